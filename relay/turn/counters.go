package turn

// Counters are totals since the server started, except where "now" is said.
type Counters struct {
	Allocations uint64 // now
	Streams     uint64 // now: TCP, TLS and DTLS clients
	PortsFree   uint64 // now: over all relay addresses

	AllocationsTotal uint64
	// Requests and Errors by what they were.
	Requests   map[string]uint64 // method name in lower case: "allocate", "refresh", "binding" ...
	ErrorCodes map[int]uint64    // error answers by code

	PacketsToPeer, BytesToPeer     uint64
	PacketsToClient, BytesToClient uint64
	// BatchesToPeer and BatchesToClient count system calls that sent: packets/batches is the gain of segmentation.
	BatchesToPeer, BatchesToClient uint64

	DroppedPermission  uint64 // data without permission, either way
	DroppedBandwidth   uint64 // a limiter's Session said no
	DroppedMalformed   uint64 // not STUN, not ChannelData, or broken
	DroppedUnknown     uint64 // data of a client without an allocation, unbound channels
	DroppedRate        uint64 // unauthenticated requests over the rate
	DroppedSend        uint64 // the kernel refused to send
	DroppedSlowClient  uint64 // stream clients that did not read
	ReceiveBufferDrops uint64 // datagrams that the kernel dropped before we read them (SO_RXQ_OVFL; Linux)

	AuthFailures    uint64
	HandshakeErrors uint64 // TLS, DTLS, PROXY
	StreamsRefused  uint64 // over MaxStreams or MaxStreamsPerAddress
	OffloadPackets  uint64 // relayed in the kernel, also counted above
}

// Counters adds up what all loops counted. It takes each loop's lock for a moment.
func (s *Server) Counters() Counters {
	c := Counters{Requests: map[string]uint64{}, ErrorCodes: map[int]uint64{}}
	for _, sh := range s.live() {
		sh.mu.Lock()
		st := &sh.table.Stats
		c.Allocations += uint64(sh.table.Len()) // a length
		c.AllocationsTotal += st.Allocations
		for code, n := range st.ErrorCodes {
			c.ErrorCodes[code] += n
		}
		for m, n := range st.Requests {
			if name := methodNames[m]; name != "" {
				c.Requests[name] += n
			}
		}
		c.PacketsToPeer += st.PacketsToPeer
		c.BytesToPeer += st.BytesToPeer
		c.PacketsToClient += st.PacketsToClient
		c.BytesToClient += st.BytesToClient
		c.DroppedPermission += st.DroppedPermission
		c.DroppedBandwidth += st.DroppedBandwidth
		c.DroppedMalformed += st.DroppedMalformed
		c.DroppedUnknown += st.DroppedUnknown
		c.DroppedRate += st.DroppedRate
		c.AuthFailures += st.AuthFailures
		c.DroppedSlowClient += sh.dropped
		sh.io.counters(&c)
		if sh.short != nil {
			c.OffloadPackets += sh.short.packets
		}
		sh.mu.Unlock()
	}
	c.Streams = uint64(s.limits.count()) // a length
	c.PortsFree = uint64(s.ports.Free()) // a length
	c.HandshakeErrors = s.counts.handshakes.Load()
	c.StreamsRefused = s.counts.refused.Load()
	return c
}

// methodNames are the request methods by number.
var methodNames = [16]string{1: "binding", 3: "allocate", 4: "refresh", 8: "create-permission", 9: "channel-bind", 10: "connect", 11: "connection-bind"}
