package turn

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// packetIO owns the datagram sockets of a shard: its listeners' and its relays'. All methods but run and wake are called with the shard's
// lock held.
type packetIO interface {
	// listen opens a listener before run; share: other shards open it too. It returns the address with its port.
	listen(a netip.AddrPort, share bool) (netip.AddrPort, error)
	// bind opens a relay's socket and sets r.Attach.
	bind(r *alloc.Relay) error
	unbind(r *alloc.Relay)
	// path finds what toClient needs for a client, to be kept in Allocation.Attach. nil: no such listener.
	path(server netip.AddrPort) any
	// toPeer sends r.Payload, or holds it until flush: the payload must stay as it is until then.
	toPeer(r *alloc.Route)
	// control sends a message to a client from the listener at server, now.
	control(server, client netip.AddrPort, b []byte)
	flush()
	// run serves until ctx ends.
	run(ctx context.Context)
	// wake makes run look at the shard's inbox. Called without the lock.
	wake()
	close()
	counters(c *Counters)
}

// shard is one allocation table with its sockets. Whoever holds mu owns it: its loop for a batch of packets, a stream's
// reader for a read's worth of frames. The table itself knows no lock.
type shard struct {
	srv     *Server
	index   uint16
	mu      sync.Mutex
	table   *alloc.Table
	io      packetIO
	streams map[alloc.FiveTuple]*stream
	dirty   []*stream // have output to flush
	peers   map[uint32]*peerConn
	dropped uint64 // sends to slow streams
	stopped bool
	short   *shortcuts  // nil: nothing is offloaded
	route   alloc.Route // of the packet at hand; here, so that no packet allocates one

	inboxMu sync.Mutex
	inbox   []letter
}

// letter is a packet that another shard received for an allocation of this one.
type letter struct {
	from alloc.FiveTuple
	data []byte
}

const maxInbox = 1024

func newShard(s *Server, index uint16) *shard {
	return &shard{srv: s, index: index, streams: map[alloc.FiveTuple]*stream{}, peers: map[uint32]*peerConn{}}
}

// post hands a packet over. Beyond the bound packets are lost, as datagrams may be.
func (sh *shard) post(from alloc.FiveTuple, b []byte) {
	sh.inboxMu.Lock()
	if len(sh.inbox) < maxInbox {
		sh.inbox = append(sh.inbox, letter{from, append([]byte(nil), b...)})
	}
	sh.inboxMu.Unlock()
	sh.io.wake()
}

// readInbox handles what other shards posted. Called with the lock held.
func (sh *shard) readInbox(now time.Time) {
	sh.inboxMu.Lock()
	box := sh.inbox
	sh.inbox = nil
	sh.inboxMu.Unlock()
	for _, l := range box {
		sh.datagram(now, l.from, sh.table.Lookup(l.from), l.data, false)
	}
	sh.flush()
}

// datagram handles one packet of a UDP client. a is its allocation, or nil.
func (sh *shard) datagram(now time.Time, from alloc.FiveTuple, a *alloc.Allocation, b []byte, forward bool) {
	if a == nil && forward {
		// RFC 8016: the client's new address may hash to another loop's socket.
		if to, ok := sh.srv.moved.find(from); ok && to != sh.index {
			sh.srv.shards[to].post(from, b)
			return
		}
	}
	switch sh.table.FromClient(now, a, b, &sh.route) {
	case alloc.Forward:
		sh.io.toPeer(&sh.route)
	case alloc.Control:
		effects := sh.table.Message(now, from, b)
		for i := range effects {
			if effects[i].Kind == alloc.EffectElsewhere && forward {
				sh.srv.shards[effects[i].Shard].post(from, b)
				return
			}
		}
		sh.perform(effects)
	case alloc.Drop:
	}
}

// perform carries out what the table asks for.
func (sh *shard) perform(effects []alloc.Effect) {
	for i := 0; i < len(effects); i++ {
		e := effects[i]
		switch e.Kind {
		case alloc.EffectSend:
			sh.send(&e)
		case alloc.EffectBind:
			// Bound reuses the effects' memory: this one is the last of its batch but for the other family's bind.
			rest := append([]alloc.Effect(nil), effects[i+1:]...)
			sh.perform(sh.table.Bound(time.Now(), e.Relay, sh.bind(e.Relay)))
			effects, i = rest, -1
		case alloc.EffectUnbind:
			sh.unbind(e.Relay)
		case alloc.EffectStarted:
			sh.attach(e.Alloc)
			if o := sh.srv.cfg.Observer; o != nil {
				o.Started(sh.table.Info(e.Alloc))
			}
		case alloc.EffectEnded:
			sh.srv.moved.forget(e.Alloc.Tuple())
			sh.lengthen(e.Alloc, 0)
			if o := sh.srv.cfg.Observer; o != nil {
				o.Ended(sh.table.Info(e.Alloc), e.Reason)
			}
		case alloc.EffectRefused:
			if o := sh.srv.cfg.Observer; o != nil {
				o.Refused(e.User, e.To.Client, e.Code)
			}
		case alloc.EffectMoved:
			sh.srv.moved.forget(e.From)
			if e.To.Transport == alloc.UDP && len(sh.srv.shards) > 1 {
				sh.srv.moved.set(e.To, sh.index)
			}
			sh.attach(e.Alloc)
			sh.lengthen(e.Alloc, 0)
			sh.shorten(e.Alloc)
		case alloc.EffectDial:
			sh.dial(&e)
		case alloc.EffectJoin:
			sh.join(e.Conn, e.To)
		case alloc.EffectCloseConn:
			sh.closePeer(e.Conn)
		case alloc.EffectCloseClient:
			if st := sh.streams[e.To]; st != nil {
				st.finish()
			}
		case alloc.EffectChannel:
			sh.shorten(e.Alloc)
		case alloc.EffectUnchannel:
			sh.lengthen(e.Alloc, e.Channel)
		case alloc.EffectElsewhere:
			// Streams handle it themselves.
		}
	}
}

// attach keeps the way to an allocation's client with it.
func (sh *shard) attach(a *alloc.Allocation) {
	ft := a.Tuple()
	if ft.Transport == alloc.UDP {
		a.Attach = sh.io.path(ft.Server)
		return
	}
	a.Attach = nil
	if st := sh.streams[ft]; st != nil {
		a.Attach = st
	}
}

func (sh *shard) send(e *alloc.Effect) {
	if e.To.Transport == alloc.UDP {
		server := e.To.Server
		if e.Via.IsValid() {
			server = e.Via
		}
		sh.io.control(server, e.To.Client, e.Data)
		return
	}
	if st := sh.streams[e.To]; st != nil {
		st.queue(e.Data, nil, 0, true)
	}
}

// toStream queues a peer's packet for a client on a stream.
func (sh *shard) toStream(st *stream, head, payload []byte, pad int) {
	if !st.queue(head, payload, pad, false) {
		sh.dropped++
	}
}

func (sh *shard) bind(r *alloc.Relay) error {
	if sh.stopped {
		return net.ErrClosed
	}
	if r.TCP {
		return sh.listenPeer(r)
	}
	return sh.io.bind(r)
}

func (sh *shard) unbind(r *alloc.Relay) {
	if r.TCP {
		sh.unlistenPeer(r)
		return
	}
	sh.io.unbind(r)
}

// flush sends what was held back.
func (sh *shard) flush() {
	sh.io.flush()
	for i, st := range sh.dirty {
		st.flush()
		sh.dirty[i] = nil
	}
	sh.dirty = sh.dirty[:0]
}

// expire lets time pass.
func (sh *shard) expire(now time.Time) {
	if d := sh.table.Deadline(); !d.IsZero() && !d.After(now) {
		sh.perform(sh.table.Expire(now))
		sh.flush()
	}
}

// shutdown ends all allocations.
func (sh *shard) shutdown() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var all []*alloc.Allocation
	for a := range sh.table.All {
		all = append(all, a)
	}
	for _, a := range all {
		sh.perform(sh.table.Kick(time.Now(), a, alloc.EndShutdown))
	}
	sh.flush()
	sh.stopped = true
	sh.io.close()
}
