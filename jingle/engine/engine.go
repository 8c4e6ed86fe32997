package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Config says how an [Engine] works. Local, Signaler, Registry and Incoming must be set.
type Config struct {
	// Local returns our full address as it is now; it changes when the stream is bound anew.
	Local func() jid.JID
	// LocalTo returns the address under which a peer knows us, where that is another one, as in a chat room, or "". nil
	// stands for none.
	LocalTo  func(peer jid.JID) jid.JID
	Signaler Signaler
	Registry *jingle.Registry
	// Incoming is asked, on the new session's goroutine and before the session-initiate is acknowledged, who takes the
	// session. A [*jingle.StanzaError] refuses it at once and reveals nothing more (XEP-0166 section 6.3.2); a
	// [*Rejection] acknowledges and terminates it with a reason; any other error is an [jingle.FailedApplication].
	Incoming func(s *Session, m *jingle.Message) (Application, error)
	// MaxSessions bounds the sessions (default 1000), MaxPerPeer those with one bare address (default 32), and
	// MaxQueued the unanswered IQs of one session (default 256).
	MaxSessions, MaxPerPeer, MaxQueued int
	// Timeouts is the base of every session's configuration; its SID, Role, Local and Peer are not used.
	Timeouts jingle.SessionConfig
	// Log may be nil.
	Log *slog.Logger
}

// Rejection refuses a session with a reason, after the session-initiate was acknowledged (XEP-0166 section 6.3.1).
type Rejection struct{ Reason *jingle.Reason }

func (r *Rejection) Error() string { return "session rejected: " + r.Reason.String() }

// ErrClosed is returned for sessions that are to start after the engine has stopped.
var ErrClosed = errors.New("the engine has stopped")

// Engine runs the sessions of one account. Its methods may be called from any goroutine and do not block.
type Engine struct {
	cfg Config

	mu       sync.Mutex
	table    jingle.Table
	sessions map[*jingle.Session]*Session
	closed   bool
	running  sync.WaitGroup // session goroutines
}

// New returns an engine without sessions.
func New(cfg Config) (*Engine, error) {
	if cfg.Local == nil || cfg.Signaler == nil || cfg.Registry == nil || cfg.Incoming == nil {
		return nil, errors.New("engine: Local, Signaler, Registry and Incoming must be set")
	}
	if cfg.MaxQueued <= 0 {
		cfg.MaxQueued = 256
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		cfg:      cfg,
		table:    jingle.Table{MaxSessions: cfg.MaxSessions, MaxPerPeer: cfg.MaxPerPeer},
		sessions: make(map[*jingle.Session]*Session),
	}, nil
}

// Run waits until ctx is done, then terminates every session and returns when all their goroutines have ended. The
// Signaler should live a little longer than ctx, so that the peers hear of the end.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	e.mu.Lock()
	e.closed = true
	for _, s := range e.sessions {
		s.Post(func() {
			s.Terminate(&jingle.Reason{Condition: jingle.Gone, Text: "The other side is shutting down."})
		})
	}
	e.mu.Unlock()
	e.running.Wait()
	return context.Cause(ctx)
}

// NewSID returns a random session id (XEP-0166 section 7.1).
func NewSID() string { return "j" + rand.Text() }

// Start makes a session with a full address. begin runs on the session's goroutine and sends the session-initiate with
// [Session.Do]; if it returns an error, the application is told with [jingle.Ended] and nothing was sent. An empty sid
// stands for a new random one.
func (e *Engine) Start(peer jid.JID, sid string, app Application, begin func(*Session) error) (*Session, error) {
	if sid == "" {
		sid = NewSID()
	}
	s := e.newSession(jingle.Initiator, peer, sid)
	s.app = app
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.enter(s); err != nil {
		return nil, err
	}
	s.Post(func() {
		if err := begin(s); err != nil {
			s.abandon(err)
		}
	})
	return s, nil
}

// enter adds a session and starts its goroutine; e.mu is held.
func (e *Engine) enter(s *Session) error {
	if e.closed {
		return ErrClosed
	}
	if err := e.table.Add(s.machine); err != nil {
		return err
	}
	e.sessions[s.machine] = s
	e.running.Go(func() {
		s.run()
	})
	return nil
}

func (e *Engine) newSession(role jingle.Role, peer jid.JID, sid string) *Session {
	cfg := e.cfg.Timeouts
	cfg.SID, cfg.Role, cfg.Local, cfg.Peer = sid, role, e.localTo(peer), peer
	return &Session{
		born:    time.Now(),
		engine:  e,
		machine: jingle.NewSession(cfg),
		local:   cfg.Local,
		log:     e.cfg.Log.With("sid", sid, "peer", peer.String()),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
}

// Receive takes an inbound IQ of type set with a <jingle/> payload. from must be the sender's full address as stamped by
// the server. answer is called exactly once, with nil for a result.
func (e *Engine) Receive(from jid.JID, payload *xmltree.Element, answer func(*jingle.StanzaError)) {
	m, err := jingle.ParseMessage(payload, e.cfg.Registry)
	if err != nil {
		answer(jingle.ErrBadRequest("%s", err.Error()))
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	machine, accept, refusal := e.table.Route(e.localTo(from), from, m)
	switch {
	case refusal != nil:
		answer(refusal)
	case !accept:
		s := e.sessions[machine]
		if s.queued.Add(1) > int64(e.cfg.MaxQueued) {
			s.queued.Add(-1)
			answer(jingle.ErrResourceConstraint("Too many requests wait for an answer."))
			return
		}
		s.post(letter{func() { s.receive(m, answer) }, func() { answer(jingle.ErrUnknownSession()) }})
	default:
		s := e.newSession(jingle.Responder, from, m.SID)
		if err := e.enter(s); err != nil {
			var se *jingle.StanzaError
			if !errors.As(err, &se) {
				se = jingle.ErrServiceUnavailable()
			}
			answer(se)
			return
		}
		s.queued.Add(1)
		s.post(letter{func() { s.receiveInitiate(m, answer) }, func() { answer(jingle.ErrUnknownSession()) }})
	}
}

// Unavailable tells the sessions with a peer that it sent unavailable presence. A bare address stands for all its
// resources.
func (e *Engine) Unavailable(peer jid.JID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.table.With(peer) {
		s := e.sessions[m]
		s.Post(func() { s.perform(s.machine.PeerUnavailable(time.Now())) })
	}
}

// Ping asks the peers of running sessions whether they still know them, as [jingle.Session.Ask] does: those that say they do not
// have ended. A bare address stands for all its resources, "" for everybody.
func (e *Engine) Ping(peer jid.JID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ask := func(s *Session) {
		s.Post(func() { s.perform(s.machine.Ask(time.Now(), s.heard.Load() > 0)) })
	}
	if peer == "" {
		for _, s := range e.sessions {
			ask(s)
		}
		return
	}
	for _, m := range e.table.With(peer) {
		ask(e.sessions[m])
	}
}

// localTo is the address under which a peer knows us.
func (e *Engine) localTo(peer jid.JID) jid.JID {
	if e.cfg.LocalTo != nil {
		if j := e.cfg.LocalTo(peer); j != "" {
			return j
		}
	}
	return e.cfg.Local()
}

// Find returns the session with this peer and sid, or nil.
func (e *Engine) Find(peer jid.JID, sid string) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[e.table.Find(peer, sid)]
}

// Len returns the number of sessions that have not ended.
func (e *Engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sessions)
}

func (e *Engine) remove(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.table.Remove(s.machine)
	delete(e.sessions, s.machine)
}

func (e *Engine) initiating(s *Session, m *jingle.Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.table.Initiating(s.machine, m)
}
