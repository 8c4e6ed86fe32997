package ibb

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// DefaultBlockSize is the recommended size of a block (XEP-0047 section 5).
const DefaultBlockSize = 4096

// Config says how the transports of a [Factory] work. Router must be set.
type Config struct {
	Router *Router
	// BlockSize is what we offer (default 4096 bytes), MaxBlockSize what we accept (default 65535).
	BlockSize, MaxBlockSize int
	// BlockSizeFor, if not nil, says what a peer is offered instead, or 0 for BlockSize: 4096 is what every client takes, but
	// larger blocks cost the servers less. What is more than [MaxBlockSize] is cut to it.
	BlockSizeFor func(peer jid.JID) int
	// Window is how many blocks may be on their way without an answer (default 8), as in [StreamConfig].
	Window int
}

// Factory makes IBB transports. It implements [engine.TransportFactory].
type Factory struct{ cfg Config }

// NewFactory returns a factory.
func NewFactory(cfg Config) (*Factory, error) {
	if cfg.Router == nil {
		return nil, errors.New("ibb: Config.Router must be set")
	}
	if cfg.BlockSize <= 0 {
		cfg.BlockSize = DefaultBlockSize
	}
	if cfg.MaxBlockSize <= 0 {
		cfg.MaxBlockSize = MaxBlockSize
	}
	if cfg.BlockSize > MaxBlockSize || cfg.MaxBlockSize > MaxBlockSize {
		return nil, fmt.Errorf("ibb: a block has at most %d bytes", MaxBlockSize)
	}
	return &Factory{cfg}, nil
}

// NS implements [engine.TransportFactory].
func (f *Factory) NS() string { return NS }

// New implements [engine.TransportFactory].
func (f *Factory) New(c engine.TransportConfig) (engine.Transport, error) {
	return &transport{cfg: f.cfg, in: c}, nil
}

// transport is one IBB transport. Its methods run on the session's goroutine.
type transport struct {
	cfg     Config
	in      engine.TransportConfig
	sid     string
	size    int
	stream  *Stream
	handed  bool // the stream belongs to the application
	started bool
	opened  bool // the peer has opened the stream
}

// NS implements [engine.Transport].
func (t *transport) NS() string { return NS }

// Offer implements [engine.Transport].
func (t *transport) Offer() (jingle.Payload, error) {
	t.sid, t.size = "ibb-"+rand.Text(), t.cfg.BlockSize
	if f := t.cfg.BlockSizeFor; f != nil {
		if n := f(t.in.Peer); n > 0 {
			t.size = min(n, MaxBlockSize)
		}
	}
	return Transport{SID: t.sid, BlockSize: uint16(t.size)}, nil
}

// Answer implements [engine.Transport].
func (t *transport) Answer(remote jingle.Payload) (jingle.Payload, error) {
	p, ok := remote.(Transport)
	if !ok {
		return nil, fmt.Errorf("ibb: %T is no transport of %s", remote, NS)
	}
	t.sid, t.size = p.SID, min(int(p.BlockSize), t.cfg.MaxBlockSize)
	if err := t.expect(); err != nil {
		return nil, err
	}
	return Transport{SID: t.sid, BlockSize: uint16(t.size), Stanza: p.Stanza}, nil
}

// Accepted implements [engine.Transport].
func (t *transport) Accepted(remote jingle.Payload) error {
	p, ok := remote.(Transport)
	if !ok || p.SID != t.sid {
		return errors.New("the answer is about another stream")
	}
	// XEP-0261 section 2.2: the answer may lower the size, and what it says is used.
	t.size = min(t.size, int(p.BlockSize))
	return t.expect()
}

// expect waits for the peer's <open/>, unless we are to send it: XEP-0261 section 2.2 has the session's initiator do so,
// whoever offered the transport.
func (t *transport) expect() error {
	if t.in.Role == jingle.Initiator {
		return nil
	}
	s, err := t.cfg.Router.Expect(t.streamConfig(), func() {
		t.in.Host.Post(func() {
			t.opened = true
			t.hand()
		})
	})
	t.stream = s
	return err
}

func (t *transport) streamConfig() StreamConfig {
	return StreamConfig{Peer: t.in.Peer, SID: t.sid, BlockSize: t.size, Window: t.cfg.Window}
}

// Info implements [engine.Transport]. More than one bytestream in a content (XEP-0261 section 2.4) is nothing that a
// file needs.
func (t *transport) Info(jingle.Payload) error {
	return jingle.ErrUnsupportedInfo("One in-band bytestream is enough here.")
}

// Start implements [engine.Transport].
func (t *transport) Start() {
	t.started = true
	if t.in.Role != jingle.Initiator {
		t.hand()
		return
	}
	s, err := t.cfg.Router.Open(t.streamConfig(), func(err error) {
		t.in.Host.Post(func() {
			if err != nil {
				t.in.Host.Failed(err)
				return
			}
			t.opened = true
			t.hand()
		})
	})
	if err != nil {
		t.in.Host.Failed(err)
		return
	}
	t.stream = s
}

// hand gives the stream to the application when it is open.
func (t *transport) hand() {
	if t.started && t.opened && !t.handed {
		t.handed = true
		t.in.Host.Connected(t.stream)
	}
}

// Close implements [engine.Transport].
func (t *transport) Close() {
	if t.stream != nil && !t.handed {
		_ = t.stream.Close()
	}
}
