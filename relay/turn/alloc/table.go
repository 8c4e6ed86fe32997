package alloc

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// Protocol times of RFC 8656 and 6062.
const (
	permissionLifetime = 5 * time.Minute  // RFC 8656 section 9
	channelLifetime    = 10 * time.Minute // section 12
	connectTimeout     = 30 * time.Second // RFC 6062 section 5.2
	bindTimeout        = 30 * time.Second // section 5.4
	retransmitWindow   = 40 * time.Second // RFC 8489 section 6.3.1
	bindTries          = 16
)

// RelayAddr is a local address to bind relays on and what clients are told.
type RelayAddr struct {
	Bind      netip.Addr
	Advertise netip.Addr // valid: zero was replaced by Bind
}

// Discovery names the addresses of RFC 5780.
type Discovery struct {
	Addrs [2]netip.Addr
	Ports [2]uint16
}

// Config configures a Table. It may be replaced while the table lives. Defaults are filled in by New and Reconfigure.
type Config struct {
	Realm           string
	Software        string
	Auth            Authenticator // nil refuses all
	Limits          Limiter       // nil: no limits
	Peers           PeerPolicy    // nil refuses all peers
	Relays          []RelayAddr   // used in turn per family
	DefaultLifetime time.Duration
	MaxLifetime     time.Duration
	MaxAge          time.Duration
	NonceLifetime   time.Duration
	MaxPermissions  int
	MaxChannels     int
	MaxConns        int
	TCPRelay        bool
	NoMobility      bool
	NoSHA256        bool
	NoBinding       bool
	ThirdParty      string
	UnauthRate      int
	Draining        bool
	Alternates      []netip.AddrPort
	Discovery       *Discovery
}

func (c *Config) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.DefaultLifetime, 600*time.Second)
	def(&c.MaxLifetime, 3600*time.Second)
	def(&c.MaxAge, 24*time.Hour)
	def(&c.NonceLifetime, 10*time.Minute)
	c.MaxLifetime = max(c.MaxLifetime, c.DefaultLifetime)
	for _, n := range []*int{&c.MaxPermissions, &c.MaxChannels} {
		if *n <= 0 {
			*n = 256
		}
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 16
	}
	if c.UnauthRate == 0 {
		c.UnauthRate = 8192
	}
	if c.Realm == "" {
		c.Realm = "turn"
	}
}

// Seed is what a table needs of the world's randomness.
type Seed struct {
	// Secret keys nonces and mobility tickets. Tables of one server share it.
	Secret [32]byte
	// Rand gives 64 random bits, unpredictable to clients.
	Rand func() uint64
	// Shard tells this table from the others of the server; Shards is how many there are.
	Shard, Shards uint16
	// Epoch is any time before the first packet.
	Epoch time.Time
	// Ports is shared by the tables of the server.
	Ports *Ports
}

// instant is nanoseconds since the epoch: small to keep and quick to compare.
type instant int64

// Table is the allocation table of one packet loop. It is a function of its inputs: no method blocks or does I/O. One
// goroutine at a time.
type Table struct {
	// Stats are totals; the owner reads them.
	Stats Stats

	cfg       Config
	seed      Seed
	nonceKey  [32]byte
	ticketKey [32]byte
	budget    budget
	now       instant
	hairpin   bool // some relay address is advertised as another

	byTuple map[FiveTuple]*Allocation
	byID    map[uint64]*Allocation
	relays  []*Relay // by handle
	free    []int32
	nextID  uint64
	turn    uint64 // round robin over relay addresses
	timers  timers
	conns   map[uint32]*conn

	msg    message
	answer reply
	out    []Effect
	arena  []byte
}

// Stats are counts since the table was made.
type Stats struct {
	Usage
	Allocations      uint64
	Requests         [16]uint64 // by method number
	ErrorCodes       map[int]uint64
	DroppedMalformed uint64
	DroppedUnknown   uint64
	DroppedRate      uint64
	AuthFailures     uint64
}

// New makes an empty table.
func New(cfg Config, seed Seed) *Table {
	t := &Table{
		seed:    seed,
		byTuple: map[FiveTuple]*Allocation{},
		byID:    map[uint64]*Allocation{},
		conns:   map[uint32]*conn{},
		nextID:  uint64(seed.Shard) << 48,
	}
	t.Stats.ErrorCodes = map[int]uint64{}
	derive := func(label string) (key [32]byte) {
		h := hmac.New(sha256.New, seed.Secret[:])
		h.Write([]byte(label))
		h.Sum(key[:0])
		return key
	}
	t.nonceKey, t.ticketKey = derive("nonce"), derive("ticket")
	t.configure(cfg)
	t.budget = newBudget(t.cfg.UnauthRate, seed.Rand())
	return t
}

// Reconfigure replaces the configuration. Allocations stay.
func (t *Table) Reconfigure(cfg Config) {
	old := t.cfg.UnauthRate
	t.configure(cfg)
	if t.cfg.UnauthRate != old {
		t.budget = newBudget(t.cfg.UnauthRate, t.seed.Rand())
	}
}

func (t *Table) configure(cfg Config) {
	cfg.defaults()
	t.cfg = cfg
	t.hairpin = false
	for _, r := range cfg.Relays {
		t.hairpin = t.hairpin || r.Bind != r.Advertise
	}
}

// Config returns the configuration with its defaults filled in.
func (t *Table) Config() Config { return t.cfg }

func (t *Table) since(now time.Time) instant { return instant(now.Sub(t.seed.Epoch)) }

func (t *Table) time(i instant) time.Time { return t.seed.Epoch.Add(time.Duration(i)) }

// begin starts an input: effects and data of the one before are gone.
func (t *Table) begin(now time.Time) {
	t.now = t.since(now)
	t.out = t.out[:0]
	t.arena = t.arena[:0]
}

// Lookup finds the allocation of a client, or nil.
func (t *Table) Lookup(ft FiveTuple) *Allocation { return t.byTuple[ft] }

// Len counts the allocations.
func (t *Table) Len() int { return len(t.byID) }

// All yields every allocation. The table must not be changed meanwhile.
func (t *Table) All(yield func(*Allocation) bool) {
	for _, a := range t.byID {
		if !yield(a) {
			return
		}
	}
}

// Message handles a STUN message from a client: exactly one message in b, which is not changed and not kept.
// Data goes through FromClient, which leaves everything else to this.
func (t *Table) Message(now time.Time, from FiveTuple, b []byte) []Effect {
	t.begin(now)
	m := &t.msg
	if len(b) > maxControl || m.decode(b) != nil {
		t.Stats.DroppedMalformed++
		return nil
	}
	if m.Type.Class != stun.ClassRequest {
		// Answers and indications other than Send mean nothing to a server.
		t.Stats.DroppedUnknown++
		return nil
	}
	c := context{tuple: from, tid: m.TransactionID, method: m.Type.Method, size: len(b), fingerprint: m.fingerprint}
	if int(m.Type.Method) < len(t.Stats.Requests) {
		t.Stats.Requests[m.Type.Method]++
	}
	if m.Type.Method == stun.MethodBinding {
		t.binding(&c, m)
		return t.out
	}
	switch m.Type.Method {
	case stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind,
		stun.MethodConnect, stun.MethodConnectionBind:
	default:
		// RFC 8489 section 6.3.1 has nothing for unknown methods but not to answer.
		t.Stats.DroppedUnknown++
		return nil
	}
	if t.elsewhere(from, m) {
		return t.out
	}
	who, ok := t.authenticate(now, &c, m)
	if !ok {
		return t.out
	}
	// RFC 8489 section 6.3.1: unknown attributes are looked at after authentication.
	if len(m.unknown) > 0 {
		t.refuseUnknown(&c, m.unknown)
		return t.out
	}
	switch m.Type.Method {
	case stun.MethodAllocate:
		t.allocate(now, &c, m, who)
	case stun.MethodRefresh:
		t.refresh(&c, m, who)
	case stun.MethodCreatePermission:
		t.createPermission(&c, m)
	case stun.MethodChannelBind:
		t.channelBind(&c, m)
	case stun.MethodConnect:
		t.connect(&c, m)
	case stun.MethodConnectionBind:
		t.connectionBind(&c, m, who)
	}
	return t.out
}
