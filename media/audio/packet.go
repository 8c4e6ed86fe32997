package audio

// Packet is sound as it came in an RTP packet, to be passed on as it is.
type Packet struct {
	Payload []byte
	// Source tells one stream of packets from another. Seq and Timestamp go on within one.
	Source    uint32
	Seq       uint16
	Timestamp uint32
	Marker    bool
	// Event is set for a telephone event (RFC 4733), whose clock is that of the sound around it.
	Event bool
}

// PacketSource is a [Source] whose sound comes encoded, and in its own time: from another client, for which a call is
// only a bridge.
type PacketSource interface {
	Source
	// Connect gives the source what takes its packets, and nil when that ends. take does not keep the packet. It returns
	// false if the call does not send this codec: then it is Read that has to give the sound of the packet. It may be called
	// from any goroutine, but not with a lock that Read needs.
	Connect(take func(c *Codec, p Packet) bool)
}

// PacketSink is a [Sink] that passes packets on as they come, without a playout buffer, which the client behind it has.
type PacketSink interface {
	Sink
	// Takes reports whether packets of this codec can be passed on. If not, the sound comes by WritePCM.
	Takes(c *Codec) bool
	// WritePacket takes the next packet, and does not keep it. It must not block.
	WritePacket(c *Codec, p Packet) error
}
