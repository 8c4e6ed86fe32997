package si

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

// Config says how a [Manager] works. Local, Request, Transfers, Bytestreams and InBand must be set.
type Config struct {
	// Local returns our full address.
	Local func() jid.JID
	// Request sends an IQ of type set with this payload and later calls done once, with the payload of the result or
	// with an error, which is a [*jingle.StanzaError] if it is the peer's. It does not block.
	Request func(to jid.JID, payload *xmltree.Element, timeout time.Duration, done func(*xmltree.Element, error))
	// Transfers runs the transfers.
	Transfers *transfers.Manager
	// Bytestreams returns the SOCKS5 bytestreams to use with a peer.
	Bytestreams func(peer jid.JID) *s5b.Factory
	InBand      *ibb.Router
	// BlockSize is that of in-band bytestreams (default 4096).
	BlockSize int
	// OfferTimeout is how long a peer may take to answer an offer (default 10 min), StreamTimeout how long it may take
	// to connect (default 2 min).
	OfferTimeout, StreamTimeout time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Manager offers and takes files by stream initiation, as transfers of a [transfers.Manager]. Its methods may be called
// from any goroutine and do not block.
type Manager struct {
	cfg Config

	mu       sync.Mutex
	sessions map[key]*session
	ctx      context.Context // of everything that runs
	stop     context.CancelFunc
	running  sync.WaitGroup
	closed   bool
}

// key names a session: the one who offers chooses the id.
type key struct {
	peer     jid.JID
	id       string
	outgoing bool
}

// NewManager returns a manager without sessions.
func NewManager(cfg Config) (*Manager, error) {
	if cfg.Local == nil || cfg.Request == nil || cfg.Transfers == nil || cfg.Bytestreams == nil || cfg.InBand == nil {
		return nil, errors.New("si: Local, Request, Transfers, Bytestreams and InBand must be set")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.OfferTimeout, 10*time.Minute)
	def(&cfg.StreamTimeout, 2*time.Minute)
	if cfg.BlockSize <= 0 || cfg.BlockSize > ibb.MaxBlockSize {
		cfg.BlockSize = ibb.DefaultBlockSize
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, sessions: make(map[key]*session)}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m, nil
}

// Run waits until ctx is done and everything has ended. The transfers manager should end with the same ctx.
func (m *Manager) Run(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.running.Wait()
	return context.Cause(ctx)
}

// begin runs f on a goroutine that Run waits for. It returns false if Run has ended.
func (m *Manager) begin(f func(ctx context.Context)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.running.Go(func() { f(m.ctx) })
	return true
}

func (m *Manager) enter(s *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.sessions[s.key] != nil {
		return false
	}
	m.sessions[s.key] = s
	return true
}

func (m *Manager) remove(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions[s.key] == s {
		delete(m.sessions, s.key)
	}
}

func (m *Manager) find(k key) *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[k]
}

// SendOptions says how a file is offered; the zero value is the default.
type SendOptions struct {
	// Streams are the methods to offer, best first; nil means all.
	Streams []string
	// Attempt says which earlier transfer this one goes on with.
	Attempt transfers.Attempt
}

// Send offers a file to a full address.
func (m *Manager) Send(peer jid.JID, src transfers.Source, opts SendOptions) (*transfers.Transfer, error) {
	streams := opts.Streams
	if len(streams) == 0 {
		streams = methods()
	}
	s := &session{m: m, key: key{peer, "si-" + rand.Text(), true}, local: m.cfg.Local(), requesting: NewRequesting(streams, opts.Attempt.Again)}
	if !m.enter(s) {
		return nil, transfers.ErrClosed
	}
	t, err := m.cfg.Transfers.Outgoing(peer, s.key.id, src, transfers.Unhashed, opts.Attempt, func(d transfers.Driver) transfers.Signaling {
		s.driver = d
		return s
	})
	if err != nil {
		m.remove(s)
		return nil, err
	}
	f := t.File()
	offer := SI{ID: s.key.id, MIMEType: f.MediaType, Profile: NSFile, Methods: streams,
		File: &File{Name: f.Name, Size: f.Size, Date: f.Date, Range: &Range{}}}
	if len(f.Desc) > 0 {
		offer.File.Desc = f.Desc[0].Text
	}
	offer.File.Extra = f.Extra
	m.cfg.Request(peer, offer.Element(), m.cfg.OfferTimeout, func(e *xmltree.Element, err error) {
		// Not on the caller's goroutine, which may hold what the events need.
		m.begin(func(context.Context) { s.answered(e, err) })
	})
	return t, nil
}

// Handle takes the <si/> of an IQ of type set. answer is called exactly once, perhaps minutes later: when the user has
// decided. Whether the sender may offer files at all is for the caller to know.
func (m *Manager) Handle(from jid.JID, payload *xmltree.Element, answer func(*xmltree.Element, *jingle.StanzaError)) {
	p, err := Parse(payload)
	offer, ok := p.(SI)
	if err != nil || !ok {
		answer(nil, jingle.ErrBadRequest("%v", err))
		return
	}
	machine, se := NewAnswering(offer)
	if se != nil {
		answer(nil, se)
		return
	}
	s := &session{m: m, key: key{from, offer.ID, false}, local: m.cfg.Local(), answering: machine, answer: answer}
	if !m.enter(s) {
		answer(nil, &jingle.StanzaError{Type: "cancel", Condition: "conflict", Text: "There is an offer of this id."})
		return
	}
	_, err = m.cfg.Transfers.Offer(from, offer.ID, describe(offer), func(d transfers.Driver) transfers.Signaling {
		s.driver = d
		return s
	})
	if err == nil {
		return
	}
	m.remove(s)
	var rejected *engine.Rejection
	switch {
	case errors.As(err, &se):
	case errors.As(err, &rejected):
		se = declined()
	default:
		se = jingle.ErrServiceUnavailable()
	}
	answer(nil, se)
}

// describe returns an offered file in the terms of XEP-0234.
func describe(offer SI) filetransfer.File {
	f := filetransfer.File{Name: offer.File.Name, Size: offer.File.Size, Date: offer.File.Date, MediaType: offer.MIMEType,
		Extra: offer.File.Extra}
	if offer.File.Desc != "" {
		f.Desc = []filetransfer.Desc{{Text: offer.File.Desc}}
	}
	if offer.File.Range != nil {
		f.Range = &filetransfer.Range{}
	}
	if sum, err := hex.DecodeString(offer.File.Hash); err == nil && len(sum) == 16 {
		f.Hashes = []hashes.Hash{hashes.Of(hashes.MD5, sum)} // XEP-0096 section 3
	}
	return f
}

// HandleBytestreams takes the <query/> of XEP-0065 in an IQ of type set: streamhosts for a stream that was agreed on.
// answer is called exactly once.
func (m *Manager) HandleBytestreams(from jid.JID, payload *xmltree.Element, answer func(*xmltree.Element, *jingle.StanzaError)) {
	p, err := s5b.ParseQuery(payload)
	q, ok := p.(s5b.Query)
	if err != nil || !ok || q.SID == "" {
		answer(nil, jingle.ErrBadRequest("This is no offer of a bytestream."))
		return
	}
	s := m.find(key{from, q.SID, false})
	if s == nil {
		// XEP-0065 section 5.3.1.
		answer(nil, &jingle.StanzaError{Type: "modify", Condition: "not-acceptable", Text: "This bytestream was not agreed on."})
		return
	}
	s.bytestream(q, answer)
}
