package limits

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Why a session is not admitted.
var (
	ErrUserQuota    = errors.New("limits: the user has enough sessions")
	ErrAddressQuota = errors.New("limits: the address has enough sessions")
	ErrFull         = errors.New("limits: the relay is full")
	ErrBanned       = errors.New("limits: banned")
)

// Limiter admits sessions and charges them for what they relay. Its methods are safe from any goroutine and never
// wait for anything but each other.
type Limiter struct {
	node                atomic.Int64 // sessions here
	refused             atomic.Uint64
	session, user, full atomic.Int64 // rates, read for every packet
	whole               bucket

	mu      sync.Mutex
	cfg     Config
	users   map[string]*userState
	addrs   map[netip.Prefix]int
	bans    banList
	guard   guard
	fleet   Fleet
	revoked func(user string, client netip.AddrPort)
	seq     uint64
}

type userState struct {
	rate   bucket
	here   map[uint64]netip.AddrPort // sessions on this node by their number
	others int                       // sessions on other nodes, as far as known
}

// New returns a Limiter for one node.
func New(cfg Config) (*Limiter, error) {
	l := &Limiter{users: map[string]*userState{}, addrs: map[netip.Prefix]int{}, bans: newBanList()}
	return l, l.Set(cfg)
}

// Set replaces the limits. Sessions that are there stay, even if there are too many of them now.
func (l *Limiter) Set(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	l.mu.Lock()
	l.cfg = cfg
	l.mu.Unlock()
	l.session.Store(cfg.SessionRate)
	l.user.Store(cfg.UserRate)
	l.full.Store(cfg.TotalRate)
	return nil
}

// Join shares counts and bans with a fleet. revoked is called, from the fleet's goroutine, for a session that the
// fleet turned out to have no room for. Call it before the first session.
func (l *Limiter) Join(f Fleet, revoked func(user string, client netip.AddrPort)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fleet, l.revoked = f, revoked
}

// Begin admits a session of user from client, or says why not. The Hold must be ended.
func (l *Limiter) Begin(now time.Time, user string, client netip.AddrPort) (*Hold, error) {
	h, fleet, err := l.begin(now, user, client)
	if err != nil {
		l.refused.Add(1)
		return nil, err
	}
	if fleet != nil {
		fleet.Touch(user)
	}
	return h, nil
}

func (l *Limiter) begin(now time.Time, user string, client netip.AddrPort) (*Hold, Fleet, error) {
	group := Group(client.Addr())
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.cfg
	if l.bans.match(now, user, client.Addr()) {
		return nil, nil, ErrBanned
	}
	if c.Total > 0 && l.node.Load() >= int64(c.Total) {
		return nil, nil, ErrFull
	}
	if c.PerAddress > 0 && l.addrs[group] >= c.PerAddress {
		return nil, nil, ErrAddressQuota
	}
	u := l.users[user]
	if u == nil {
		u = &userState{here: map[uint64]netip.AddrPort{}}
	}
	if c.PerUser > 0 && len(u.here)+u.others >= c.PerUser {
		return nil, nil, ErrUserQuota
	}
	l.users[user] = u
	l.seq++
	u.here[l.seq] = client
	l.addrs[group]++
	l.node.Add(1)
	return &Hold{l: l, user: user, state: u, id: l.seq, group: group}, l.fleet, nil
}

// Sessions returns how many sessions this node has.
func (l *Limiter) Sessions() int { return int(l.node.Load()) }

// Refused returns how many sessions were not admitted since the start.
func (l *Limiter) Refused() uint64 { return l.refused.Load() }

// Hold is one session's place. Its methods are safe from any goroutine.
type Hold struct {
	l     *Limiter
	state *userState
	own   bucket
	user  string
	group netip.Prefix
	id    uint64
	ended atomic.Bool
}

// Charge reports whether n bytes may be relayed now. It takes them from the rates of the session, of its user and of
// the node. It neither blocks nor allocates.
func (h *Hold) Charge(now time.Time, n int) bool {
	s, u, t := h.l.session.Load(), h.l.user.Load(), h.l.full.Load()
	if s|u|t == 0 {
		return true
	}
	at := now.UnixNano()
	return h.own.take(at, s, n) && h.state.rate.take(at, u, n) && h.l.whole.take(at, t, n)
}

// Limited reports whether any rate is set at present.
func (h *Hold) Limited() bool {
	return h.l.session.Load()|h.l.user.Load()|h.l.full.Load() != 0
}

// End gives the place back. Only the first call counts.
func (h *Hold) End() {
	if h.ended.Swap(true) {
		return
	}
	l := h.l
	l.mu.Lock()
	delete(h.state.here, h.id)
	if l.addrs[h.group]--; l.addrs[h.group] <= 0 {
		delete(l.addrs, h.group)
	}
	if len(h.state.here) == 0 && l.users[h.user] == h.state {
		delete(l.users, h.user)
	}
	fleet := l.fleet
	l.mu.Unlock()
	l.node.Add(-1)
	if fleet != nil {
		fleet.Touch(h.user)
	}
}
