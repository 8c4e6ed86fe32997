package sdp

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/ice"
)

const (
	mediaApplication = "application"
	protoSCTP        = "UDP/DTLS/SCTP"
	formatChannel    = "webrtc-datachannel"
	// defaultSCTPPort is what everybody uses (RFC 8841 section 5.1 has no default).
	defaultSCTPPort = 5000
)

// isChannel reports whether a media description is that of data channels (RFC 8841 section 4), of whatever draft.
func isChannel(m *Media) bool {
	return m.Type == mediaApplication && strings.HasSuffix(m.Proto, "DTLS/SCTP")
}

// writeChannel makes m that of data channels (XEP-0343 section 4.2, RFC 8841). The number of streams of an <sctpmap/>
// has no place in it any more.
func writeChannel(m *Media, t ice.Transport, dc *ice.DataChannel) {
	m.Type, m.Proto, m.Formats = mediaApplication, protoSCTP, []string{formatChannel}
	port, size := uint16(defaultSCTPPort), uint64(0)
	switch {
	case dc != nil:
		size = dc.MaxMessageSize
		if dc.SCTPPort != 0 {
			port = dc.SCTPPort
		}
	case t.SCTPMap != nil && t.SCTPMap.Number != 0:
		port = t.SCTPMap.Number
	}
	m.Attributes.add(attrSCTPPort, decimal(port))
	if size != 0 {
		m.Attributes.add(attrMaxMessageSize, decimal(size))
	}
}

// readChannel returns the port and the longest message in bytes, 0 if that is not told.
func readChannel(m *Media) (port uint16, size uint64) {
	port = defaultSCTPPort
	old, _ := m.Attributes.Get(attrSCTPMap) // "5000 webrtc-datachannel 1024"
	old, _, _ = strings.Cut(old, " ")
	now, _ := m.Attributes.Get(attrSCTPPort)
	for _, v := range append(slices.Clone(m.Formats), old, now) {
		if n, ok := number(v, 16); ok && n != 0 {
			port = uint16(n)
		}
	}
	v, _ := m.Attributes.Get(attrMaxMessageSize)
	size, _ = number(v, 53)
	return port, size
}
