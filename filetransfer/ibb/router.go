package ibb

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Stanzas sends IQs over the XMPP stream.
type Stanzas interface {
	// Request sends payload in an IQ of type set and later calls done exactly once: with nil for a result, with a
	// [*jingle.StanzaError] for an error of the peer, with another error if no answer came. It does not block, keeps
	// the order of calls, and done may be called from any goroutine.
	Request(to jid.JID, payload *xmltree.Element, done func(error))
}

// RouterConfig says how a [Router] works. Stanzas must be set.
type RouterConfig struct {
	Stanzas Stanzas
	// MaxStreams bounds the streams that are open or expected (default 256).
	MaxStreams int
	// MaxStanza, if not nil, says how large a stanza may be at the moment, in bytes (XEP-0478). Blocks are made smaller than
	// was agreed on where they would not fit.
	MaxStanza func() int
}

// Router hands the bytestream stanzas of one account to the streams that they belong to. Its methods may be called
// from any goroutine and do not block.
type Router struct {
	cfg RouterConfig

	mu      sync.Mutex
	streams map[key]*Stream
	past    []key // the streams that ended last
}

// maxPast is how many streams are remembered after their end.
const maxPast = 64

type key struct {
	peer jid.JID
	sid  string
}

// NewRouter returns a router without streams.
func NewRouter(cfg RouterConfig) (*Router, error) {
	if cfg.Stanzas == nil {
		return nil, errors.New("ibb: RouterConfig.Stanzas must be set")
	}
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = 256
	}
	return &Router{cfg: cfg, streams: make(map[key]*Stream)}, nil
}

func errNoStream() *jingle.StanzaError {
	return &jingle.StanzaError{Type: "cancel", Condition: "item-not-found", Text: "There is no such in-band bytestream."}
}

// StreamConfig says what a stream is. Peer, SID and BlockSize must be set.
type StreamConfig struct {
	Peer jid.JID // full address
	SID  string
	// BlockSize is the agreed size of a block in bytes.
	BlockSize int
	// Window is how many blocks may be on their way without an answer at most (default 8). It begins with 4 KiB and grows for
	// as long as the answers come quickly; where they come at once it stays with one block.
	Window int
	// Hold is how long the answer to the peer's <close/> waits for [Stream.Close] or [Stream.Abort] at most, so that it says
	// whether we could keep what came. It must be less than peers wait for an answer, which is 30 s as a rule. With 0 the
	// answer does not wait: most protocols have other words for that.
	Hold time.Duration
}

// Expect registers a stream that the peer will open. opened is called once when it has; it must not block. Until then
// the stream can only be closed.
func (r *Router) Expect(cfg StreamConfig, opened func()) (*Stream, error) {
	if opened == nil {
		opened = func() {}
	}
	return r.add(cfg, opened)
}

// Open registers a stream and opens it. done is called once with the peer's answer; it must not block.
func (r *Router) Open(cfg StreamConfig, done func(error)) (*Stream, error) {
	s, err := r.add(cfg, nil)
	if err != nil {
		return nil, err
	}
	o := Open{SID: cfg.SID, BlockSize: uint16(cfg.BlockSize), Stanza: StanzaIQ}
	r.cfg.Stanzas.Request(cfg.Peer, o.Element(), func(err error) {
		if err != nil {
			err = fmt.Errorf("open an in-band bytestream: %w", err)
			s.fail(err, false)
		} else {
			s.mu.Lock()
			s.open = true
			s.mu.Unlock()
		}
		done(err)
	})
	return s, nil
}

func (r *Router) add(cfg StreamConfig, opened func()) (*Stream, error) {
	if cfg.BlockSize < 1 || cfg.BlockSize > MaxBlockSize {
		return nil, fmt.Errorf("ibb: a block size of %d", cfg.BlockSize)
	}
	if cfg.Window <= 0 {
		cfg.Window = 8
	}
	s := &Stream{router: r, peer: cfg.Peer, sid: cfg.SID, hold: cfg.Hold, blockSize: cfg.BlockSize, pace: newPace(cfg.BlockSize, cfg.Window), onOpen: opened}
	s.change.L = &s.mu
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{cfg.Peer, cfg.SID}
	switch {
	case r.streams[k] != nil:
		return nil, fmt.Errorf("ibb: there is a stream %.64q with this peer already", cfg.SID)
	case len(r.streams) >= r.cfg.MaxStreams:
		return nil, fmt.Errorf("ibb: there are %d streams already", len(r.streams))
	}
	r.streams[k] = s
	return s, nil
}

// around is the length of the <iq/> and <data/> around a block, at most, without the addressee and the id of the stream.
const around = 256

// fits returns how many bytes a block of a stream may have for its stanza to be taken. In base64 four characters stand for three
// bytes; an address or id may have to be escaped, which makes it six times as long at worst.
func (r *Router) fits(s *Stream) int {
	if r.cfg.MaxStanza == nil {
		return MaxBlockSize
	}
	text := r.cfg.MaxStanza() - around - 6*(len(s.peer)+len(s.sid))
	return max(text/4*3, 1)
}

func (r *Router) remove(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := (key{s.peer, s.sid}); r.streams[k] == s {
		delete(r.streams, k)
		if r.past = append(r.past, k); len(r.past) > maxPast {
			r.past = r.past[1:]
		}
	}
}

// ended reports whether there was such a stream lately.
func (r *Router) ended(from jid.JID, sid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.past, key{from, sid})
}

func (r *Router) find(from jid.JID, sid string) *Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams[key{from, sid}]
}

// Len returns the number of streams.
func (r *Router) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.streams)
}

// Handle takes the payload of an IQ of type set in [NSIBB]. from is the sender's full address as stamped by the server.
// answer is called exactly once, with nil for a result; perhaps later: for data when there is room, and for a <close/> as
// [StreamConfig].Hold says.
func (r *Router) Handle(from jid.JID, payload *xmltree.Element, answer func(*jingle.StanzaError)) {
	s := r.find(from, payload.Attr("sid"))
	if s == nil {
		if payload.Is(NSIBB, "open") {
			// XEP-0047 section 2.1: streams are opened that were agreed on, and no others.
			answer(&jingle.StanzaError{Type: "cancel", Condition: "not-acceptable", Text: "Nobody asked for this in-band bytestream."})
			return
		}
		if payload.Is(NSIBB, "close") && r.ended(from, payload.Attr("sid")) {
			// Both sides have closed it at once, which is no reason for the peer to think that something went wrong.
			answer(nil)
			return
		}
		answer(errNoStream())
		return
	}
	var err error
	var p jingle.Payload
	switch {
	case payload.Is(NSIBB, "open"):
		if p, err = ParseOpen(payload); err == nil {
			opened, se := s.opened(p.(Open))
			if answer(se); opened != nil {
				opened()
			}
			return
		}
	case payload.Is(NSIBB, "data"):
		if p, err = ParseData(payload); err == nil {
			s.received(p.(Data), answer)
			return
		}
		defer s.fail(fmt.Errorf("%w: %w", ErrBadBlock, err), true)
	case payload.Is(NSIBB, "close"):
		s.peerClosed(answer)
		return
	default:
		answer(&jingle.StanzaError{Type: "cancel", Condition: "feature-not-implemented"})
		return
	}
	answer(jingle.ErrBadRequest("%s", err.Error()))
}

// HandleMessage takes the <data/> of a message (XEP-0047 section 4).
func (r *Router) HandleMessage(from jid.JID, payload *xmltree.Element) {
	s := r.find(from, payload.Attr("sid"))
	if s == nil || !payload.Is(NSIBB, "data") {
		return
	}
	p, err := ParseData(payload)
	if err != nil {
		s.fail(fmt.Errorf("%w: %w", ErrBadBlock, err), true)
		return
	}
	s.received(p.(Data), nil)
}
