package turn

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// fastPath says whether this system has the batched packet path.
const fastPath = true

func newPacketIO(sh *shard, fast bool) (packetIO, error) {
	if !fast {
		return newPlainIO(sh), nil
	}
	return newFastIO(sh)
}

const (
	maxEvents  = 256
	maxRounds  = 4 // reads of one listener before others get their turn
	maxWait    = time.Second
	rateWindow = 50 * time.Millisecond
)

// sock is one datagram socket: a listener's share, or a relay's.
type sock struct {
	fd       int
	local    netip.AddrPort
	relay    *alloc.Relay // nil: a listener
	overflow uint32       // SO_RXQ_OVFL as last seen
	df       bool         // IP_MTU_DISCOVER is on
	single   bool         // the device cannot segment
	batch    int          // relays: datagrams to ask for, see expect
	round    uint64       // relays: the loop's round that last read

	// Of a relay's socket: the socket that is connected to the peer it sends most to, and who that may become.
	connected *sock
	last      netip.AddrPort
	streak    int
	// Of a connected socket.
	peer      netip.AddrPort
	strangers bool // packets of others may be in it
	gro       bool
	calm      int // reads since there was more than one packet
}

// fastIO is the Linux packet path: raw sockets outside Go's poller, one epoll loop on a thread of its own, batched
// receives with GRO, trains of packets sent with UDP_SEGMENT.
type fastIO struct {
	sh        *shard
	epfd      int
	evfd      int
	socks     []*sock // by file descriptor
	listeners map[netip.AddrPort]*sock
	rx        *receiver
	tx        train
	closed    bool

	failed, drops      uint64
	toPeers, toClients uint64
	packets            int  // since the loop last looked
	more               bool // a listener still has some
	rounds             uint64

	connections, maxConnections int
}

func newFastIO(sh *shard) (*fastIO, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	ev, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(ep)
		return nil, err
	}
	f := &fastIO{
		sh: sh, epfd: ep, evfd: ev, listeners: map[netip.AddrPort]*sock{}, rx: newReceiver(),
		maxConnections: maxConnections(Loops(sh.srv.cfg)),
	}
	if err := f.watch(ev); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fastIO) watch(fd int) error {
	return unix.EpollCtl(f.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) // a file descriptor
}

// open makes a bound socket and watches it. share is 0, or the option by which others may have the same address.
func (f *fastIO) open(a netip.AddrPort, share int, buffer int, relay *alloc.Relay) (*sock, error) {
	domain := unix.AF_INET
	if !a.Addr().Is4() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &sock{fd: fd, relay: relay}
	fail := func(err error) (*sock, error) {
		unix.Close(fd)
		return nil, err
	}
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fail(err)
		}
	}
	if share != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, share, 1); err != nil {
			return fail(err)
		}
	}
	// What follows makes things better where the kernel has it.
	if buffer > 0 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		}
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	if relay != nil {
		// ICMP errors for RFC 8656 section 11.5. Fragmentation stays allowed (section 15).
		if domain == unix.AF_INET {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		}
	}
	if err := unix.Bind(fd, sockaddr(a)); err != nil {
		return fail(err)
	}
	if s.local, err = localAddr(fd); err != nil {
		return fail(err)
	}
	if err := f.watch(fd); err != nil {
		return fail(err)
	}
	for len(f.socks) <= fd {
		f.socks = append(f.socks, nil)
	}
	f.socks[fd] = s
	return s, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil // a port
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil // a port
	}
	return netip.AddrPort{}, errors.New("turn: socket of an unknown family")
}

func (f *fastIO) listen(a netip.AddrPort, share bool) (netip.AddrPort, error) {
	option := 0
	if share {
		option = unix.SO_REUSEPORT
	}
	s, err := f.open(a, option, f.sh.srv.cfg.ReceiveBuffer, nil)
	if err != nil {
		return a, err
	}
	f.listeners[s.local] = s
	return s.local, nil
}

func (f *fastIO) bind(r *alloc.Relay) error {
	s, err := f.open(r.Bind, 0, f.sh.srv.cfg.RelayBuffer, r)
	if err != nil {
		return err
	}
	r.Attach = s
	return nil
}

func (f *fastIO) unbind(r *alloc.Relay) {
	s, ok := r.Attach.(*sock)
	if !ok {
		return
	}
	// What waits for this socket must leave before its number is used again.
	f.flush()
	f.disconnect(s, s.connected)
	f.socks[s.fd] = nil
	unix.Close(s.fd)
	s.fd = -1
	r.Attach = nil
}

func (f *fastIO) path(server netip.AddrPort) any {
	if s := f.listeners[server]; s != nil {
		return s
	}
	return nil
}

func (f *fastIO) toPeer(r *alloc.Route) {
	s, ok := r.Relay.Attach.(*sock)
	if !ok {
		return
	}
	if s = f.toward(s, r.Peer); r.DF != s.df {
		f.flush()
		s.setDF(r.DF)
	}
	f.add(s, r.Peer, nil, r.Payload, 0)
}

// setDF switches the DF bit (RFC 8656 section 15).
func (s *sock) setDF(on bool) {
	s.df = on
	if s.local.Addr().Is4() {
		v := unix.IP_PMTUDISC_DONT
		if on {
			v = unix.IP_PMTUDISC_DO
		}
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, v)
		return
	}
	v := unix.IPV6_PMTUDISC_WANT
	if on {
		v = unix.IPV6_PMTUDISC_DO
	}
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, v)
}

func (f *fastIO) control(server, client netip.AddrPort, b []byte) {
	s := f.listeners[server]
	if s == nil {
		return
	}
	// Answers may not overtake data that was received before.
	f.flush()
	if err := sendOne(s.fd, client, b); err != nil {
		f.failed++
	}
}

func (f *fastIO) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(f.evfd, one[:])
}

func (f *fastIO) close() {
	if f.closed {
		return
	}
	f.closed = true
	for i, s := range f.socks {
		if s != nil {
			unix.Close(s.fd)
			f.socks[i] = nil
		}
	}
	unix.Close(f.epfd)
	unix.Close(f.evfd)
}

func (f *fastIO) counters(c *Counters) {
	c.DroppedSend += f.failed
	c.ReceiveBufferDrops += f.drops
	c.BatchesToPeer += f.toPeers
	c.BatchesToClient += f.toClients
}

// run is the loop. It owns its thread: a sleeping or polling thread is no goroutine's business.
func (f *fastIO) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Sleeps of 250 us must not become 300.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	stop := context.AfterFunc(ctx, f.wake)
	defer stop()
	var events [maxEvents]unix.EpollEvent
	pace := pacer{max: f.sh.srv.cfg.Coalesce, above: f.sh.srv.cfg.CoalesceAbove}
	wait := maxWait
	for ctx.Err() == nil {
		n := f.poll(events[:], wait)
		now := time.Now()
		f.sh.mu.Lock()
		f.rounds++
		for i := range events[:n] {
			f.event(now, &events[i])
		}
		f.sh.flush()
		f.sh.expire(now)
		wait = maxWait
		if d := f.sh.table.Deadline(); !d.IsZero() {
			wait = min(wait, max(d.Sub(now), time.Millisecond))
		}
		handled, more := f.packets, f.more || n == maxEvents
		f.packets, f.more = 0, false
		f.sh.mu.Unlock()
		pace.round(now, handled, more)
	}
}

// poll returns ready events. It looks before it blocks: under load nothing ever blocks, and then the system call needs none of the
// scheduler's bookkeeping.
func (f *fastIO) poll(events []unix.EpollEvent, wait time.Duration) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(f.epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno == 0 && n > 0 {
		return int(n) // at most maxEvents
	}
	m, err := unix.EpollWait(f.epfd, events, int(wait.Milliseconds())+1)
	if err != nil {
		return 0
	}
	return m
}

func (f *fastIO) event(now time.Time, e *unix.EpollEvent) {
	fd := int(e.Fd)
	if fd == f.evfd {
		var b [8]byte
		_, _ = unix.Read(fd, b[:])
		f.sh.readInbox(now)
		return
	}
	if fd >= len(f.socks) || f.socks[fd] == nil {
		return // closed by an event before this one
	}
	s := f.socks[fd]
	if s.relay == nil {
		f.readListener(now, s)
		return
	}
	if e.Events&unix.EPOLLERR != 0 {
		f.readErrors(now, s)
	}
	if e.Events&unix.EPOLLIN != 0 && s.fd >= 0 {
		f.readRelay(now, s)
	}
}

func (f *fastIO) readListener(now time.Time, s *sock) {
	sh := f.sh
	for range maxRounds {
		n := f.rx.read(s.fd, len(f.rx.msgs))
		for i := range n {
			from, b, size := f.rx.packet(i, s, &f.drops)
			ft := alloc.FiveTuple{Client: from, Server: s.local}
			a := sh.table.Lookup(ft)
			for len(b) > 0 || size == 0 {
				k := min(size, len(b))
				f.packets++
				sh.datagram(now, ft, a, b[:k:k], true)
				b = b[k:]
				if len(b) == 0 {
					break
				}
				if a == nil || a.Dead() {
					a = sh.table.Lookup(ft)
				}
			}
		}
		// The buffers are about to be read into again.
		sh.flush()
		if n < len(f.rx.msgs) {
			return
		}
	}
	f.more = true
}

func (f *fastIO) readRelay(now time.Time, s *sock) {
	want := s.expect(f.rounds)
	if _, ok := s.relay.Alloc().Attach.(*stream); ok {
		// Towards a stream every further datagram spares a write.
		want = relayBatch
	}
	if s.strangers {
		want = max(want, 2) // to see when it is empty
	}
	if b, ok, handled := f.readConnected(s, want); handled {
		n := 0
		if ok {
			n = 1
			f.packets++
			f.fromPeer(now, s.relay, s.peer, b, 0, true)
		}
		s.got(n)
		f.flush()
		f.sh.flush()
		return
	}
	n := f.rx.read(s.fd, want)
	train := false
	for i := range n {
		from, b, size := f.rx.packet(i, s, &f.drops)
		train = train || size < len(b)
		for first := true; ; first = false {
			k := min(size, len(b))
			f.packets++
			f.fromPeer(now, s.relay, from, b[:k:k], i, first)
			b = b[k:]
			if len(b) == 0 {
				break
			}
		}
	}
	s.got(n)
	s.read(n, want, train)
	f.flush()
	f.sh.flush()
}

// expect says how many datagrams to ask for: asking for more than there are costs an attempt in vain, asking for fewer another round of
// epoll. A socket that was ready in the last round too, and gave all it was asked for, is likely to have more.
func (s *sock) expect(round uint64) int {
	if s.round+1 != round {
		s.batch = 1
	}
	s.round = round
	return max(s.batch, 1)
}

func (s *sock) got(n int) {
	if n >= s.batch {
		s.batch = min(2*max(s.batch, 1), relayBatch)
	} else {
		s.batch = n
	}
}

// fromPeer relays one datagram; it is the first in the receiver's place i, or one further on in a train.
func (f *fastIO) fromPeer(now time.Time, r *alloc.Relay, from netip.AddrPort, b []byte, i int, first bool) {
	head := f.tx.head()
	n, pad, v := f.sh.table.FromPeer(now, r, from, len(b), head)
	if v != alloc.Forward {
		return
	}
	a := r.Alloc()
	switch to := a.Attach.(type) {
	case *sock:
		if first {
			whole := f.rx.before(i, n, len(b))
			copy(whole, head[:n])
			f.add(to, a.Tuple().Client, nil, whole, pad)
			return
		}
		f.add(to, a.Tuple().Client, head[:n], b, pad)
	case *stream:
		f.sh.toStream(to, head[:n], b, pad)
	}
}

// readErrors empties a relay socket's error queue.
func (f *fastIO) readErrors(now time.Time, s *sock) {
	var data [64]byte
	var oob [256]byte
	for range 16 {
		_, oobn, _, sa, err := unix.Recvmsg(s.fd, data[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			continue
		}
		for _, m := range msgs {
			v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
			v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
			if (!v4 && !v6) || len(m.Data) < int(unsafe.Sizeof(unix.SockExtendedErr{})) {
				continue
			}
			e := (*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
			// Only what came from the network; our own send errors are no news to the client.
			if e.Origin != unix.SO_EE_ORIGIN_ICMP && e.Origin != unix.SO_EE_ORIGIN_ICMP6 {
				continue
			}
			if peer, ok := fromSockaddr(sa); ok {
				f.sh.perform(f.sh.table.ICMP(now, s.relay, peer, e.Type, e.Code, e.Info))
			}
		}
	}
	// A pending error would fail the next send.
	_, _ = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
}

func fromSockaddr(sa unix.Sockaddr) (netip.AddrPort, bool) {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), true // a port
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), true // a port
	}
	return netip.AddrPort{}, false
}

// pacer lets packets gather under load: after a round it sleeps, so that the next one handles more. Off below a rate, where latency
// counts, and when rounds take as long as the sleep, where the CPU is what counts.
type pacer struct {
	max   time.Duration
	above int
	start time.Time
	n     int
	busy  time.Duration
	pause time.Duration
}

// From manyTimes the rate, the pause doubles to the longest, if the loop is busy for less than halfBusy of the time: a loop
// near its limit is not held up.
const (
	manyTimes = 10
	halfBusy  = 0.6
)

// round ends a round that handled so many packets. More are waiting already if the round stopped before it had all: who
// sleeps then falls behind at any rate above what one round takes in one pause.
func (p *pacer) round(begun time.Time, handled int, more bool) {
	if p.max <= 0 {
		return
	}
	p.n += handled
	spent := time.Since(begun)
	p.busy += spent
	if d := begun.Sub(p.start); d >= rateWindow {
		switch rate := float64(p.n) / d.Seconds(); {
		case rate > float64(manyTimes*p.above) && p.busy.Seconds() < halfBusy*d.Seconds():
			p.pause = p.max
		case rate > float64(p.above):
			p.pause = p.max / 2
		default:
			p.pause = 0
		}
		p.start, p.n, p.busy = begun, 0, 0
	}
	if p.pause == 0 || handled == 0 || more || spent >= p.pause {
		return
	}
	ts := unix.NsecToTimespec(int64(p.pause))
	_ = unix.Nanosleep(&ts, nil)
}
