package sdp

import (
	"strconv"
	"strings"
)

// Session is a session description. Lines that WebRTC has no use for (i=, u=, e=, p=, r=, z=, k=) are not kept.
type Session struct {
	// ID and Version are those of the o= line. Version grows with each description of one session.
	ID, Version uint64
	// Name is that of the s= line; empty is written as "-".
	Name       string
	Bandwidths []Bandwidth
	Attributes Attributes
	Media      []Media
}

// Media is a media description, an m= line with what follows it.
type Media struct {
	// Type is "audio", "video" or "application".
	Type string
	// Port is 9 where ICE finds the path, and 0 in a description that is rejected or goes along with a bundle.
	Port uint16
	// Proto is e.g. "UDP/TLS/RTP/SAVPF".
	Proto string
	// Formats are payload types, or "webrtc-datachannel".
	Formats    []string
	Bandwidths []Bandwidth
	Attributes Attributes
}

// Bandwidth is a b= line.
type Bandwidth struct {
	Type  string
	Value uint64
}

// Attribute is an a= line. An empty value is written without the colon.
type Attribute struct{ Key, Value string }

// Attributes are a= lines in their order.
type Attributes []Attribute

// Get returns the value of the first attribute of this name.
func (as Attributes) Get(key string) (value string, ok bool) {
	for _, a := range as {
		if a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// Has reports whether there is an attribute of this name.
func (as Attributes) Has(key string) bool {
	_, ok := as.Get(key)
	return ok
}

// All returns the values of all attributes of this name.
func (as Attributes) All(key string) []string {
	var out []string
	for _, a := range as {
		if a.Key == key {
			out = append(out, a.Value)
		}
	}
	return out
}

func (as *Attributes) add(key, value string) { *as = append(*as, Attribute{key, value}) }

// MID returns the media identification (RFC 5888 section 4), or "".
func (m *Media) MID() string {
	v, _ := m.Attributes.Get(attrMID)
	return v
}

// Rejected reports whether the description is refused or no longer in use (RFC 3264 section 6). One that only goes along
// with a bundle has port 0 too, but is alive (RFC 9143 section 6).
func (m *Media) Rejected() bool { return m.Port == 0 && !m.Attributes.Has(attrBundleOnly) }

// Reject returns the media description with which this one is refused, or with which its place is kept when its content
// was removed: SDP never takes away an m= line (RFC 3264 sections 6 and 8.2).
func (m *Media) Reject() Media {
	r := Media{Type: m.Type, Proto: m.Proto, Formats: m.Formats}
	if mid := m.MID(); mid != "" {
		r.Attributes.add(attrMID, mid)
	}
	r.Attributes.add(inactive, "")
	for _, v := range m.Attributes.All(attrRTPMap) {
		r.Attributes.add(attrRTPMap, v) // pion wants to know them even so
	}
	return r
}

// String returns the text, with lines ended by CR LF. Control characters in values become spaces, so that no value can
// begin a line of its own.
func (s *Session) String() string {
	var b strings.Builder
	line := func(key, value string) {
		b.WriteString(key)
		b.WriteString(strings.Map(oneLine, value))
		b.WriteString("\r\n")
	}
	name := s.Name
	if name == "" {
		name = "-"
	}
	line("v=", "0")
	line("o=", "- "+strconv.FormatUint(s.ID, 10)+" "+strconv.FormatUint(s.Version, 10)+" IN IP4 0.0.0.0")
	line("s=", name)
	writeBandwidths(line, s.Bandwidths)
	line("t=", "0 0")
	writeAttributes(line, s.Attributes)
	for i := range s.Media {
		m := &s.Media[i]
		line("m=", m.Type+" "+strconv.Itoa(int(m.Port))+" "+m.Proto+" "+strings.Join(m.Formats, " "))
		line("c=", "IN IP4 0.0.0.0")
		writeBandwidths(line, m.Bandwidths)
		writeAttributes(line, m.Attributes)
	}
	return b.String()
}

func writeBandwidths(line func(key, value string), bs []Bandwidth) {
	for _, b := range bs {
		line("b=", b.Type+":"+strconv.FormatUint(b.Value, 10))
	}
}

func writeAttributes(line func(key, value string), as Attributes) {
	for _, a := range as {
		if a.Value == "" {
			line("a=", a.Key)
		} else {
			line("a=", a.Key+":"+a.Value)
		}
	}
}

func oneLine(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
