package sdp

import (
	"strings"

	"github.com/jingled/jingled/jingle/rtp"
)

const trrInt = "trr-int"

// addFeedback adds the rtcp-fb attributes of a payload type, or of all with the format "*" (XEP-0293 section 5).
func (as *Attributes) addFeedback(format string, f rtp.Feedback) {
	for _, m := range f.Messages {
		v := m.Type
		if m.Subtype != "" {
			v += " " + m.Subtype
		}
		v += assignments(m.Parameters)
		if word(m.Type) && phrase(v) {
			as.add(attrRTCPFeedback, format+" "+v)
		}
	}
	if f.TRRInt != nil {
		as.add(attrRTCPFeedback, format+" "+trrInt+" "+decimal(*f.TRRInt))
	}
}

// readFeedback reads e.g. "nack pli" or "trr-int 100".
func readFeedback(f *rtp.Feedback, v string) {
	fields := strings.Fields(v)
	if len(fields) == 0 {
		return
	}
	if fields[0] == trrInt {
		if len(fields) > 1 {
			if n, ok := number(fields[1], 32); ok {
				ms := uint32(n)
				f.TRRInt = &ms
			}
		}
		return
	}
	m := rtp.FeedbackMessage{Type: fields[0]}
	rest := fields[1:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		m.Subtype, rest = rest[0], rest[1:]
	}
	m.Parameters = readAssignments(rest)
	f.Messages = append(f.Messages, m)
}

// assignments writes parameters, each after a space; a name stands alone if it has no value (XEP-0293 section 3).
func assignments(ps rtp.Parameters) string {
	var b strings.Builder
	for _, p := range ps {
		switch {
		case !word(p.Name) || strings.Contains(p.Name, "="):
		case p.Value == "":
			b.WriteString(" " + p.Name)
		case word(p.Value):
			b.WriteString(" " + p.Name + "=" + p.Value)
		}
	}
	return b.String()
}

func readAssignments(fields []string) rtp.Parameters {
	var out rtp.Parameters
	for _, s := range fields {
		if name, value, _ := strings.Cut(s, "="); name != "" {
			out = append(out, rtp.Parameter{Name: name, Value: value})
		}
	}
	return out
}
