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
	OffloadPackets  uint64 // relayed in the kernel, also counted above
}
