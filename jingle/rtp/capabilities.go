package rtp

import (
	"fmt"
	"slices"
	"strings"
)

// EncryptionPolicy says what to do about keys in the signalling (XEP-0167 section 7).
type EncryptionPolicy uint8

const (
	// EncryptionOff neither offers nor accepts SDES keys.
	EncryptionOff EncryptionPolicy = iota
	// EncryptionOptional offers and accepts them, and goes on without.
	EncryptionOptional
	// EncryptionRequired ends the session if they cannot be agreed on and there is no DTLS either.
	EncryptionRequired
)

// Capabilities are what we can and want for one stream.
type Capabilities struct {
	// Media is "audio" or "video".
	Media string
	// PayloadTypes are the encodings that we can send and receive, the preferred one first, each with its feedback. The
	// ids are those to offer; in an answer the peer's are used.
	PayloadTypes []PayloadType
	// Feedback is what we support for every payload type. TRRInt, here and in payload types, says that an interval is
	// observed, whatever its value.
	Feedback Feedback
	// AVPF keeps the profile RTP/AVPF in an answer even if no feedback is left (XEP-0293 section 4).
	AVPF bool
	// RTCPMux says that RTP and RTCP can share a port.
	RTCPMux bool
	// HeaderExtensions are what we support; the ids are those to offer.
	HeaderExtensions []HeaderExtension
	ExtmapAllowMixed bool
	// Encryption, Cryptos and ZRTPHashes are about keys in the signalling. Cryptos are our own keys, one for each suite,
	// the preferred one first.
	Encryption EncryptionPolicy
	Cryptos    []Crypto
	ZRTPHashes []ZRTPHash
	// DTLS says that the content's transport has a fingerprint (XEP-0320), both the peer's and ours. The media are
	// encrypted by it then, and SDES is neither wanted nor missed.
	DTLS bool
	// The rest is told to the peer as it stands.
	SSRC       uint32
	Sources    []Source
	SSRCGroups []SSRCGroup
	Bandwidths []Bandwidth
	Categories []Category
}

// Validate reports what is wrong with our own capabilities.
func (c Capabilities) Validate() error {
	if c.Media == "" {
		return fmt.Errorf("rtp: capabilities without media")
	}
	if len(c.PayloadTypes) == 0 {
		return fmt.Errorf("rtp: %s without any payload type", c.Media)
	}
	seen := map[uint8]string{}
	for _, p := range c.PayloadTypes {
		if q, ok := p.Normal(); !ok || q.Clockrate == 0 {
			return fmt.Errorf("rtp: payload type %s of %s is incomplete", p, c.Media)
		}
		if other, dup := seen[p.ID]; dup {
			return fmt.Errorf("rtp: payload types %s and %s of %s have the same id", other, p, c.Media)
		}
		seen[p.ID] = p.String()
	}
	return nil
}

// Offer returns the description for a session-initiate or a content-add (XEP-0167 section 5).
func (c Capabilities) Offer() Description {
	d := c.own()
	d.PayloadTypes = slices.Clone(c.PayloadTypes)
	d.Feedback = c.Feedback
	d.RTCPMux = c.RTCPMux
	d.HeaderExtensions = slices.Clone(c.HeaderExtensions)
	d.ExtmapAllowMixed = c.ExtmapAllowMixed
	if c.Encryption != EncryptionOff && len(c.Cryptos)+len(c.ZRTPHashes) > 0 {
		d.Encryption = &Encryption{
			Required:   c.Encryption == EncryptionRequired && !c.DTLS,
			Cryptos:    slices.Clone(c.Cryptos),
			ZRTPHashes: slices.Clone(c.ZRTPHashes),
		}
	}
	return d
}

// own returns what is told to the peer without negotiation.
func (c Capabilities) own() Description {
	return Description{
		Media: c.Media, SSRC: c.SSRC,
		Sources: slices.Clone(c.Sources), SSRCGroups: slices.Clone(c.SSRCGroups),
		Bandwidths: slices.Clone(c.Bandwidths), Categories: slices.Clone(c.Categories),
	}
}

// supported returns our feedback for a payload type of ours, that for all included.
func (c Capabilities) supported(local PayloadType) Feedback {
	f := Feedback{Messages: append(slices.Clone(c.Feedback.Messages), local.Feedback.Messages...), TRRInt: c.Feedback.TRRInt}
	if f.TRRInt == nil {
		f.TRRInt = local.Feedback.TRRInt
	}
	return f
}

// keep returns what of the offered feedback is supported, each as it was offered: nothing may be added or changed
// (XEP-0293 section 4).
func (f Feedback) keep(supported Feedback) Feedback {
	var out Feedback
	for _, m := range f.Messages {
		if slices.ContainsFunc(supported.Messages, m.Same) {
			out.Messages = append(out.Messages, m)
		}
	}
	if f.TRRInt != nil && supported.TRRInt != nil {
		out.TRRInt = f.TRRInt
	}
	return out
}

// sameMedia compares media types, whose case does not count (RFC 8866 section 5.14).
func sameMedia(a, b string) bool { return strings.EqualFold(a, b) }
