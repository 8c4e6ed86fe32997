package alloc

import "net/netip"

// EffectKind says what an Effect asks for.
type EffectKind uint8

// What the table asks its driver to do, in order.
const (
	// EffectSend: send Data to the client To, from the server address Via when it is set.
	EffectSend EffectKind = iota
	// EffectBind: bind (UDP) or listen on (TCP) Relay.Bind, then call Bound at once.
	EffectBind
	// EffectUnbind: close the sockets of Relay and forget its handle.
	EffectUnbind
	// EffectStarted, EffectEnded: session Alloc began, or ended for Reason.
	EffectStarted
	EffectEnded
	// EffectRefused: an authenticated Allocate of User from To.Client got the error Code.
	EffectRefused
	// EffectChannel: channel Channel of Alloc relays to and from Peer through Relay. For offloading.
	EffectChannel
	// EffectUnchannel: the channel is gone.
	EffectUnchannel
	// EffectMoved: Alloc's client is now To (RFC 8016); it was From.
	EffectMoved
	// EffectElsewhere: another table, Shard, owns what the packet speaks of: hand the packet of To over to it.
	EffectElsewhere
	// EffectDial: connect from Relay.Bind to Peer, then call Dialed with Conn (RFC 6062).
	EffectDial
	// EffectJoin: the client stream To carries peer connection Conn's bytes from here on, after all sends.
	EffectJoin
	// EffectCloseConn: close peer connection Conn and the client stream that carries it.
	EffectCloseConn
	// EffectCloseClient: close the client stream To after what was sent.
	EffectCloseClient
)

// Effect is one thing to do. Only the fields that its kind names are set. Data is valid until the next call
// of the table.
type Effect struct {
	Kind    EffectKind
	To      FiveTuple
	From    FiveTuple
	Via     netip.AddrPort
	Data    []byte
	Relay   *Relay
	Alloc   *Allocation
	Peer    netip.AddrPort
	Channel uint16
	Conn    uint32
	Shard   uint16
	User    string
	Code    int
	Reason  EndReason
}

// emit queues an effect.
func (t *Table) emit(e Effect) { t.out = append(t.out, e) }

// keep copies b into the arena that lives until the next call.
func (t *Table) keep(b []byte) []byte {
	at := len(t.arena)
	t.arena = append(t.arena, b...)
	return t.arena[at:len(t.arena):len(t.arena)]
}
