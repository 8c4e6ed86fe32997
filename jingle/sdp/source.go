package sdp

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/jingle/rtp"
)

// writeSources adds ssrc-group and ssrc attributes (XEP-0339 section 2), and the msid of the media description, which
// Jingle has with each source.
func writeSources(m *Media, d rtp.Description) {
	for _, g := range d.SSRCGroups {
		if !token(g.Semantics) || len(g.SSRCs) == 0 {
			continue
		}
		v := g.Semantics
		for _, ssrc := range g.SSRCs {
			v += " " + decimal(ssrc)
		}
		m.Attributes.add(attrSSRCGroup, v)
	}
	for _, s := range d.Sources {
		for _, p := range s.Parameters {
			switch v := decimal(s.SSRC) + " " + p.Name; {
			case !token(p.Name):
			case p.NoValue:
				m.Attributes.add(attrSSRC, v)
			case phrase(p.Value):
				m.Attributes.add(attrSSRC, v+":"+p.Value)
			}
		}
	}
}

// writeMSID adds the msid that the sources have (RFC 8830 section 2).
func writeMSID(m *Media, d rtp.Description) {
	for _, s := range d.Sources {
		if v, ok := s.Parameters.Get(attrMSID); ok && phrase(v) && len(strings.Fields(v)) <= 2 {
			m.Attributes.add(attrMSID, v)
			return
		}
	}
}

// readSources is the inverse. Sources of a media description that says its msid only once get it each.
func readSources(m *Media, d *rtp.Description) {
	for _, v := range m.Attributes.All(attrSSRCGroup) {
		f := strings.Fields(v)
		if len(f) < 2 {
			continue
		}
		g := rtp.SSRCGroup{Semantics: f[0]}
		for _, s := range f[1:] {
			if n, ok := number(s, 32); ok {
				g.SSRCs = append(g.SSRCs, uint32(n))
			}
		}
		d.SSRCGroups = append(d.SSRCGroups, g)
	}
	for _, v := range m.Attributes.All(attrSSRC) {
		id, v, _ := strings.Cut(v, " ")
		n, ok := number(id, 32)
		ssrc := uint32(n)
		name, value, found := strings.Cut(strings.TrimSpace(v), ":")
		if !ok || name == "" {
			continue
		}
		if name == attrMSID {
			value = cleanMSID(value)
		}
		i := slices.IndexFunc(d.Sources, func(s rtp.Source) bool { return s.SSRC == ssrc })
		if i < 0 {
			i = len(d.Sources)
			d.Sources = append(d.Sources, rtp.Source{SSRC: ssrc})
		}
		d.Sources[i].Parameters = append(d.Sources[i].Parameters, rtp.Parameter{Name: name, Value: value, NoValue: !found})
	}
	msid, ok := m.Attributes.Get(attrMSID)
	if msid = cleanMSID(msid); !ok || msid == "" {
		return
	}
	for i, s := range d.Sources {
		if _, has := s.Parameters.Get(attrMSID); !has {
			d.Sources[i].Parameters = append(s.Parameters, rtp.Parameter{Name: attrMSID, Value: msid})
		}
	}
}

// cleanMSID takes away the braces and the spaces at the end that Firefox writes and others stumble over.
func cleanMSID(v string) string {
	return strings.TrimSpace(strings.NewReplacer("{", "", "}", "").Replace(v))
}
