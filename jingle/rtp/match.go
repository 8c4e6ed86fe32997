package rtp

import (
	"strconv"
	"strings"
)

// Encodings that carry or repair others and are no answer on their own.
const (
	nameRTX  = "rtx"
	nameRED  = "red"
	paramApt = "apt"
)

// Auxiliary reports whether the encoding only goes along with others: retransmission, redundancy, error correction,
// telephone events and comfort noise.
func (p PayloadType) Auxiliary() bool {
	switch p.codec().name {
	case nameRTX, nameRED, "ulpfec", "flexfec", "flexfec-03", "telephone-event", "tone", "cn":
		return true
	}
	return false
}

// SameCodec reports whether both are the same encoding, so that what one side sends the other can read: the name
// without its case, clock rate and channels, and those parameters that make two codecs of one name. The id does not
// count.
func SameCodec(a, b PayloadType) bool {
	x, y := a.codec(), b.codec()
	// The clock rate is only recommended (XEP-0167 section 4), so an absent one matches.
	if x.name != y.name || x.name == "" || x.channels != y.channels ||
		x.clockrate != y.clockrate && x.clockrate != 0 && y.clockrate != 0 {
		return false
	}
	same := func(param, def string) bool {
		return paramOr(a.Parameters, param, def) == paramOr(b.Parameters, param, def)
	}
	switch x.name {
	case "h264":
		// RFC 6184 section 8.2.2: packetization-mode and profile must be the same on both sides.
		return same("packetization-mode", "0") &&
			h264Profile(a.Parameters) == h264Profile(b.Parameters)
	case "vp9": // RFC 9628 section 6
		return same("profile-id", "0")
	case "h265": // RFC 7798 section 7.2.2
		return same("profile-id", "1") && same("tx-mode", "SRST")
	case "av1": // RTP payload format for AV1, section 7.2.3
		return same("profile", "0")
	}
	return true
}

func paramOr(ps Parameters, name, def string) string {
	if v, ok := ps.Get(name); ok {
		return v
	}
	return def
}

// defaultH264Level is what an absent profile-level-id means (RFC 6184 section 8.1): Baseline, level 1.
const defaultH264Level = "42000a"

// h264Profile returns the profile part of profile-level-id. Baseline counts as Constrained Baseline: nobody encodes
// what the former has more.
func h264Profile(ps Parameters) string {
	v := strings.ToLower(paramOr(ps, "profile-level-id", defaultH264Level))
	if len(v) != 6 {
		return v
	}
	if strings.HasPrefix(v, "42") {
		return "42"
	}
	return v[:4]
}

// answerParameters returns the parameters with which the responder takes an offered encoding: its own, but for what
// the two must agree on.
func answerParameters(offered, local PayloadType) Parameters {
	ps := append(Parameters(nil), local.Parameters...)
	if local.codec().name != "h264" {
		return ps
	}
	theirs := strings.ToLower(paramOr(offered.Parameters, "profile-level-id", defaultH264Level))
	ours := strings.ToLower(paramOr(ps, "profile-level-id", defaultH264Level))
	if len(theirs) != 6 || len(ours) != 6 {
		return ps
	}
	// RFC 6184 section 8.2.2: the profile is repeated; the level is our own if both allow asymmetry, else the lower.
	level := ours[4:]
	asym := paramOr(offered.Parameters, "level-asymmetry-allowed", "0") == "1" &&
		paramOr(ps, "level-asymmetry-allowed", "0") == "1"
	if !asym && hexByte(theirs[4:]) < hexByte(level) {
		level = theirs[4:]
	}
	return ps.With("profile-level-id", theirs[:4]+level)
}

func hexByte(s string) uint64 {
	n, err := strconv.ParseUint(s, 16, 8)
	if err != nil {
		return 0
	}
	return n
}

// carries returns the payload types that an auxiliary encoding speaks of: those in "apt" of rtx (RFC 4588 section 8.1)
// or in the list of red, e.g. "111/111" (RFC 2198 section 5). ok is false if it names none.
func (p PayloadType) carries() (ids []uint8, ok bool) {
	var list []string
	switch p.codec().name {
	case nameRTX:
		v, _ := p.Parameters.Get(paramApt)
		list = []string{v}
	case nameRED:
		for _, q := range p.Parameters {
			// The list has no name; some put it in the name, some in the value.
			if v := q.Name + q.Value; strings.Trim(v, "0123456789/") == "" {
				list = strings.Split(v, "/")
			}
		}
		if list == nil {
			return nil, true // red of video names no one
		}
	default:
		return nil, true
	}
	for _, s := range list {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 7)
		if err != nil {
			return nil, false
		}
		ids = append(ids, uint8(n))
	}
	return ids, true
}
