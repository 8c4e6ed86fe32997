package transfers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jet"
)

// Config says how a [Manager] works. Events and Transports must be set; zero values of the rest are the defaults.
type Config struct {
	// Events is told of everything, on the goroutine of the transfer. It must not block.
	Events func(Event)
	// Transports returns the transports to use with a peer, best first. It is called on a session's goroutine.
	Transports func(peer jid.JID, outgoing bool) []engine.TransportFactory
	// MaxSize is the largest file that may be received, in bytes; 0 means any.
	MaxSize int64
	// MaxTransfers bounds what goes on at once (default 256), MaxPerPeer what one bare address may offer (default 16).
	MaxTransfers, MaxPerPeer int
	// ProgressInterval is how often progress is told at most (default 250 ms).
	ProgressInterval time.Duration
	// DecisionTimeout is how long an offer may wait for an answer (default 10 min), ConnectTimeout how long an accepted
	// one may take to connect (default 3 min), and StallTimeout how long no byte may come or go (default 2 min).
	DecisionTimeout, ConnectTimeout, StallTimeout time.Duration
	// ConfirmTimeout is how long a sender waits to hear that everything arrived (default 30 s), and ChecksumGrace how
	// long a receiver waits for an announced checksum (default 5 s).
	ConfirmTimeout, ChecksumGrace time.Duration
	// Checkpoint is how often a file that is being received is flushed to the disk. With 0 transfers that are interrupted
	// cannot go on: what has come of them is removed.
	Checkpoint time.Duration
	// Shared looks for a file that a peer asks for (XEP-0234 section 6.2); nil shares nothing. It runs on a goroutine of
	// its own. The reason, if not nil, goes to the peer.
	Shared func(peer jid.JID, t *Transfer, want filetransfer.File) (Shared, *jingle.Reason)
	// Upload and Download limit the rates, of all transfers together; nil: none. See [NewLimiter].
	Upload, Download *rate.Limiter
	// Envelopes open what peers have encrypted by XEP-0391; other envelopes are refused.
	Envelopes []jet.Envelope
	// RequireEncryption refuses files whose bytes could be read on their way.
	RequireEncryption bool
	// Mend repairs a received file whose hash is wrong, before it is given up; nil repairs nothing. It runs on a goroutine of
	// its own.
	Mend func(t *Transfer, target Target) error
	// Log may be nil.
	Log *slog.Logger
}

// ErrClosed is returned for transfers that are to start after the manager has stopped.
var ErrClosed = errors.New("file transfers have stopped")

// Manager runs the file transfers of one account. Its methods may be called from any goroutine and do not block.
type Manager struct {
	cfg Config

	mu      sync.Mutex
	active  map[*Transfer]bool
	closed  bool
	running sync.WaitGroup
}

// New returns a manager without transfers.
func New(cfg Config) (*Manager, error) {
	if cfg.Events == nil || cfg.Transports == nil {
		return nil, errors.New("transfers: Events and Transports must be set")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.ProgressInterval, 250*time.Millisecond)
	def(&cfg.DecisionTimeout, 10*time.Minute)
	def(&cfg.ConnectTimeout, 3*time.Minute)
	def(&cfg.StallTimeout, 2*time.Minute)
	if cfg.MaxTransfers <= 0 {
		cfg.MaxTransfers = 256
	}
	if cfg.MaxPerPeer <= 0 {
		cfg.MaxPerPeer = 16
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, active: make(map[*Transfer]bool)}, nil
}

// Run waits until ctx is done, gives up what still goes on, and returns when every transfer has ended. The engine
// should live a little longer, so that the peers hear of it.
func (m *Manager) Run(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.closed = true
	for t := range m.active {
		t.Cancel(&jingle.Reason{Condition: jingle.Gone, Text: "The other side is shutting down."})
	}
	m.mu.Unlock()
	m.running.Wait()
	return context.Cause(ctx)
}

// Active returns the transfers that have not ended.
func (m *Manager) Active() []*Transfer {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*Transfer, 0, len(m.active))
	for t := range m.active {
		out = append(out, t)
	}
	return out
}

// start runs transfers that belong together, all or none.
func (m *Manager) start(ts ...*Transfer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := 0
	for t := range m.active {
		if t.theirs && ts[0].theirs && t.peer.Bare() == ts[0].peer.Bare() {
			same++
		}
	}
	switch {
	case m.closed:
		return ErrClosed
	case len(m.active)+len(ts) > m.cfg.MaxTransfers, ts[0].theirs && same+len(ts) > m.cfg.MaxPerPeer:
		return jingle.ErrResourceConstraint("There are too many file transfers already.")
	}
	for _, t := range ts {
		m.active[t] = true
		m.running.Go(func() {
			t.run()
			m.mu.Lock()
			delete(m.active, t)
			m.mu.Unlock()
		})
	}
	return nil
}
