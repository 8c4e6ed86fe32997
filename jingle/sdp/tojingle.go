package sdp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// Options choose between the forms that Jingle has for one thing. The zero value is what most clients read.
type Options struct {
	// Transport is the namespace of transports, [ice.NSUDP] if empty, or [ice.NSICE].
	Transport string
	// Channel is the namespace for data channels: [ice.NSDataChannel] if empty, a transport of its own as Conversations
	// has it, or [ice.NSSCTP] for the <sctpmap/> of XEP-0343.
	Channel string
}

// ToJingle returns the contents and groups of the SDP of the party with the role from. Rejected media descriptions give
// no content. A content of data channels has no description: that is what is sent through them. The error is an
// [*Error].
func ToJingle(s *Session, from jingle.Role, o Options) ([]jingle.Content, []jingle.Group, error) {
	if o.Transport == "" {
		o.Transport = ice.NSUDP
	}
	var contents []jingle.Content
	names := map[string]bool{}
	for i := range s.Media {
		m := &s.Media[i]
		if m.Rejected() {
			continue
		}
		name := nameOf(m.MID())
		if name == "" {
			name = strconv.Itoa(i)
		}
		if names[name] {
			return nil, nil, &Error{name, "is there twice"}
		}
		names[name] = true
		// Every client writes the initiator as creator, also of what the responder added.
		c := jingle.Content{Creator: jingle.Initiator, Name: name, Disposition: jingle.DispositionSession}
		c.Senders = sendersOf(direction(m, s), from)
		t := readTransport(m, s, o.Transport)
		if isChannel(m) {
			c.Transport = channelTransport(m, t, o)
		} else {
			if strings.Contains(m.Proto, "SCTP") || !strings.Contains(m.Proto, "RTP/") {
				return nil, nil, &Error{name, "is of a protocol that Jingle has no word for"}
			}
			c.Description, c.Transport = readStream(m, s, from), t
		}
		contents = append(contents, c)
	}
	return contents, readGroups(s, names), nil
}

func channelTransport(m *Media, t ice.Transport, o Options) jingle.Payload {
	port, size := readChannel(m)
	if o.Channel == ice.NSSCTP {
		t.SCTPMap = &ice.SCTPMap{Number: port, Protocol: formatChannel}
		return t
	}
	return ice.DataChannel{SCTPPort: port, MaxMessageSize: size, ICE: &t}
}

// readStream is the inverse of writeStream.
func readStream(m *Media, s *Session, from jingle.Role) rtp.Description {
	d := rtp.Description{Media: m.Type, RTCPMux: m.Attributes.Has(attrRTCPMux), Encryption: readEncryption(m)}
	for _, b := range m.Bandwidths {
		d.Bandwidths = append(d.Bandwidths, rtp.Bandwidth{Type: b.Type, Value: b.Value})
	}
	for _, v := range m.Attributes.All(attrContent) {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); token(name) {
				d.Categories = append(d.Categories, rtp.Category(name))
			}
		}
	}
	readPayloadTypes(m, &d)
	readExtensions(m, s, &d, from)
	readSources(m, &d)
	return d
}

// readGroups returns the groups with those of their members that are there (XEP-0338 section 2).
func readGroups(s *Session, names map[string]bool) []jingle.Group {
	var groups []jingle.Group
	for _, v := range s.Attributes.All(attrGroup) {
		f := strings.Fields(v)
		if len(f) < 2 {
			continue
		}
		g := jingle.Group{Semantics: f[0]}
		for _, mid := range f[1:] {
			if n := nameOf(mid); names[n] && !slices.Contains(g.Contents, n) {
				g.Contents = append(g.Contents, n)
			}
		}
		if g.Contents != nil {
			groups = append(groups, g)
		}
	}
	return groups
}
