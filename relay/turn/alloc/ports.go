package alloc

import (
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

const (
	reservationLifetime = 30 * time.Second // RFC 8656 section 7.2, EVEN-PORT: at least 30 seconds
	busyTime            = time.Minute      // how long a port that something else holds is left alone
	maxReservations     = 4096
)

// Ports hands out relay ports of every relay address. All tables of a server share one; it has its own lock.
type Ports struct {
	mu       sync.Mutex
	min, max uint16
	sets     map[netip.Addr]*portSet
	reserved map[[8]byte]reservation
	queue    []reservation // oldest first, claimed ones included
	busy     []busyPort    // oldest first
}

// portSet is one bit per port, set while taken.
type portSet struct {
	words []uint64
	free  int
}

type reservation struct {
	token   [8]byte
	addr    netip.AddrPort
	user    string
	expires time.Time
}

type busyPort struct {
	addr  netip.AddrPort
	until time.Time
}

// NewPorts makes an allocator for ports lo to hi, both included.
func NewPorts(lo, hi uint16) *Ports {
	return &Ports{min: lo, max: hi, sets: map[netip.Addr]*portSet{}, reserved: map[[8]byte]reservation{}}
}

func (p *Ports) set(a netip.Addr) *portSet {
	s := p.sets[a]
	if s == nil {
		n := int(p.max) - int(p.min) + 1
		s = &portSet{words: make([]uint64, (n+63)/64), free: n}
		// Bits beyond the range are taken for good.
		if rest := n % 64; rest != 0 {
			s.words[len(s.words)-1] = ^uint64(0) << rest
		}
		p.sets[a] = s
	}
	return s
}

// evenBits masks the bits of even ports in a word. Words start at min, which may be odd.
func (p *Ports) evenBits() uint64 {
	if p.min%2 == 0 {
		return 0x5555555555555555
	}
	return 0xAAAAAAAAAAAAAAAA
}

// Take picks a free port of a, starting at a place that random chooses, in at most one pass over the range. even asks for an even port
// (EVEN-PORT), pair for an even port whose successor is free too and is taken with it.
func (p *Ports) Take(now time.Time, a netip.Addr, random uint64, even, pair bool) (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	s := p.set(a)
	start := int(random % uint64(len(s.words)))
	turn := int(random>>32) % 64
	for i := range len(s.words) {
		w := (start + i) % len(s.words)
		free := ^s.words[w]
		if even || pair {
			free &= p.evenBits()
		}
		if pair {
			next := ^s.words[w] >> 1
			if w+1 < len(s.words) {
				next |= ^s.words[w+1] << 63
			}
			free &= next
		}
		if free == 0 {
			continue
		}
		bit := (bits.TrailingZeros64(bits.RotateLeft64(free, -turn)) + turn) % 64
		n := w*64 + bit
		p.mark(s, n)
		if pair {
			p.mark(s, n+1)
		}
		return p.min + uint16(n), true // in range
	}
	return 0, false
}

func (p *Ports) mark(s *portSet, n int) {
	s.words[n/64] |= 1 << (n % 64)
	s.free--
}

// Give returns a port.
func (p *Ports) Give(a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.give(a)
}

func (p *Ports) give(a netip.AddrPort) {
	s := p.set(a.Addr())
	n := int(a.Port()) - int(p.min)
	if n < 0 || a.Port() > p.max || s.words[n/64]&(1<<(n%64)) == 0 {
		return
	}
	s.words[n/64] &^= 1 << (n % 64)
	s.free++
}

// Busy returns a port that could not be bound: it is offered again after a minute.
func (p *Ports) Busy(now time.Time, a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = append(p.busy, busyPort{a, now.Add(busyTime)})
}

// Reserve keeps a taken port for whoever of the same user brings the token.
func (p *Ports) Reserve(now time.Time, token [8]byte, a netip.AddrPort, user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	if len(p.queue) >= maxReservations {
		return false
	}
	r := reservation{token, a, user, now.Add(reservationLifetime)}
	p.reserved[token] = r
	p.queue = append(p.queue, r)
	return true
}

// Claim takes a reserved port over.
func (p *Ports) Claim(now time.Time, token [8]byte, user string) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	r, ok := p.reserved[token]
	if !ok || r.user != user {
		return netip.AddrPort{}, false
	}
	delete(p.reserved, token)
	return r.addr, true
}

func (p *Ports) expire(now time.Time) {
	for len(p.busy) > 0 && !p.busy[0].until.After(now) {
		p.give(p.busy[0].addr)
		p.busy = p.busy[1:]
	}
	for len(p.queue) > 0 && !p.queue[0].expires.After(now) {
		q := p.queue[0]
		p.queue = p.queue[1:]
		// A claimed token is gone already.
		if _, ok := p.reserved[q.token]; ok {
			delete(p.reserved, q.token)
			p.give(q.addr)
		}
	}
}

// Live says whether a is a port of ours that is taken now.
func (p *Ports) Live(a netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sets[a.Addr()]
	n := int(a.Port()) - int(p.min)
	return s != nil && n >= 0 && a.Port() <= p.max && s.words[n/64]&(1<<(n%64)) != 0
}

// Free counts the free ports of the addresses used so far.
func (p *Ports) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.sets {
		n += s.free
	}
	return n
}
