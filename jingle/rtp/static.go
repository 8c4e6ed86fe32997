package rtp

import (
	"fmt"
	"strings"
)

// codec is what identifies an encoding.
type codec struct {
	name      string
	clockrate uint32
	channels  uint8
}

// static holds the payload types that have one meaning forever (RFC 3551 section 6).
var static = map[uint8]codec{
	0: {"PCMU", 8000, 1}, 3: {"GSM", 8000, 1}, 4: {"G723", 8000, 1}, 5: {"DVI4", 8000, 1}, 6: {"DVI4", 16000, 1},
	7: {"LPC", 8000, 1}, 8: {"PCMA", 8000, 1}, 9: {"G722", 8000, 1}, 10: {"L16", 44100, 2}, 11: {"L16", 44100, 1},
	12: {"QCELP", 8000, 1}, 13: {"CN", 8000, 1}, 14: {"MPA", 90000, 1}, 15: {"G728", 8000, 1}, 16: {"DVI4", 11025, 1},
	17: {"DVI4", 22050, 1}, 18: {"G729", 8000, 1}, 25: {"CelB", 90000, 1}, 26: {"JPEG", 90000, 1},
	28: {"nv", 90000, 1}, 31: {"H261", 90000, 1}, 32: {"MPV", 90000, 1}, 33: {"MP2T", 90000, 1}, 34: {"H263", 90000, 1},
}

// Normal returns p with the name, clock rate and channels that a static id implies where they are absent (RFC 3551
// section 6). It reports false if the encoding is unknown even so, or the id is none of RTP.
func (p PayloadType) Normal() (PayloadType, bool) {
	if s, ok := static[p.ID]; ok && (p.Name == "" || strings.EqualFold(p.Name, s.name)) {
		p.Name = s.name
		if p.Clockrate == 0 {
			p.Clockrate = s.clockrate
		}
		if p.Channels == 0 && s.channels != 1 {
			p.Channels = s.channels
		}
	}
	return p, p.Name != "" && p.ID < 128
}

// codec returns what to compare; an unknown clock rate is 0.
func (p PayloadType) codec() codec {
	p, _ = p.Normal()
	return codec{strings.ToLower(p.Name), p.Clockrate, max(p.Channels, 1)}
}

// String is for logs and people: "opus/48000/2 (111)".
func (p PayloadType) String() string {
	p, _ = p.Normal()
	s := printable(p.Name)
	if s == "" {
		s = "unknown"
	}
	if p.Clockrate != 0 {
		s += fmt.Sprintf("/%d", p.Clockrate)
	}
	if p.Channels > 1 {
		s += fmt.Sprintf("/%d", p.Channels)
	}
	return fmt.Sprintf("%s (%d)", s, p.ID)
}

// printable makes a peer's name fit for a line of text.
func printable(s string) string {
	const limit = 40
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// names lists payload types for people.
func names(ps []PayloadType) string {
	const limit = 24
	if len(ps) == 0 {
		return "nothing"
	}
	var out []string
	for i, p := range ps {
		if i == limit {
			out = append(out, "...")
			break
		}
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}
