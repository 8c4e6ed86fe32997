package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jingled/jingled/jingle"
)

// ErrNoTransport says that none of the peer's transports can be used.
var ErrNoTransport = errors.New("no transport in common")

// StreamConfig says which content a [Stream] connects, and how. All fields must be set.
type StreamConfig struct {
	Session *Session
	Content jingle.ContentID
	// Factories are the transports that may be used, best first.
	Factories []TransportFactory
	// Connected is told, on the session's goroutine, of the working connection and its transport's namespace. It is
	// called again if a replacement connects later.
	Connected func(conn io.ReadWriteCloser, ns string)
}

// Stream connects one content of a session: it makes its transports, feeds them and falls back from one to the next as
// the session's machine says. It belongs to the session's goroutine. An application gives it every event by
// [Stream.Handle].
//
// If no transport is left, the machine ends the content, and with the last content the session.
type Stream struct {
	cfg StreamConfig
	// current is the transport in use, next the one that we offered as its replacement.
	current, next *leg
}

// leg is one transport in its life.
type leg struct {
	Transport
	stream  *Stream
	started bool
	closed  bool
}

// NewStream returns a stream without a transport. Call [Stream.Offer] or [Stream.Answer] next.
func NewStream(cfg StreamConfig) *Stream { return &Stream{cfg: cfg} }

// Offer makes the first transport that can be made, and returns its payload for a session-initiate or content-add.
func (st *Stream) Offer() (jingle.Payload, error) {
	var failures []error
	for _, f := range st.cfg.Factories {
		l, err := st.make(f, true)
		if err == nil {
			var p jingle.Payload
			if p, err = l.Offer(); err == nil {
				st.current = l
				return p, nil
			}
			l.close()
		}
		failures = append(failures, fmt.Errorf("%s: %w", f.NS(), err))
	}
	return nil, errors.Join(append([]error{ErrNoTransport}, failures...)...)
}

// Ready tells the machine which transports the stream may fall back to. Call it when the content is part of the session:
// after Do(session-initiate), or when it was received.
func (st *Stream) Ready() {
	ns := make([]string, len(st.cfg.Factories))
	for i, f := range st.cfg.Factories {
		ns[i] = f.NS()
	}
	st.cfg.Session.SetTransports(st.cfg.Content, ns...)
}

// Answer makes the transport that the peer proposed and returns the payload to accept it with. The error wraps
// [ErrNoTransport] if we have no such transport. After the accept is sent, call [Stream.Start].
func (st *Stream) Answer(remote jingle.Payload) (jingle.Payload, error) {
	l, p, err := st.answer(remote)
	if err != nil {
		return nil, err
	}
	st.current.close()
	st.current = l
	return p, nil
}

func (st *Stream) answer(remote jingle.Payload) (*leg, jingle.Payload, error) {
	ns := jingle.NSOf(remote)
	i := slices.IndexFunc(st.cfg.Factories, func(f TransportFactory) bool { return f.NS() == ns })
	if i < 0 {
		return nil, nil, fmt.Errorf("%w: the other side offers %.80q", ErrNoTransport, ns)
	}
	l, err := st.make(st.cfg.Factories[i], false)
	if err != nil {
		return nil, nil, err
	}
	p, err := l.Answer(remote)
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, p, nil
}

// Start lets the current transport connect.
func (st *Stream) Start() { st.current.start() }

// NS returns the namespace of the transport in use, or "".
func (st *Stream) NS() string {
	if st.current == nil {
		return ""
	}
	return st.current.NS()
}

// Close ends every negotiation. Connections that were handed over stay open.
func (st *Stream) Close() {
	st.current.close()
	st.next.close()
	st.current, st.next = nil, nil
}

// Handle takes an event. handled says that it was (also) about this stream's transport; err answers the IQ of a
// transport-info. Events without transports are left alone.
func (st *Stream) Handle(ev jingle.Event) (handled bool, err error) {
	switch ev := ev.(type) {
	case jingle.Accepted:
		return st.accepted(st.current, ev.Message), nil
	case jingle.ContentAccepted:
		return st.accepted(st.current, ev.Message), nil
	case jingle.InfoReceived:
		if ev.Message.Action != jingle.TransportInfo {
			return false, nil
		}
		if c := st.mine(ev.Message); c != nil {
			return true, st.info(c.Transport)
		}
	case jingle.TransportNeeded:
		if ev.ID == st.cfg.Content {
			st.replace(ev.NS)
			return true, nil
		}
	case jingle.TransportReplaced:
		if c := st.mine(ev.Message); c != nil && st.next != nil {
			st.current.close()
			st.current, st.next = st.next, nil
			st.accepted(st.current, ev.Message)
			return true, nil
		}
	case jingle.TransportOffered:
		if c := st.mine(ev.Message); c != nil {
			st.offered(c.Transport)
			return true, nil
		}
	case jingle.Ended:
		st.Close()
	}
	return false, nil
}

func (st *Stream) mine(m *jingle.Message) *jingle.Content {
	for i := range m.Contents {
		if m.Contents[i].ID() == st.cfg.Content {
			return &m.Contents[i]
		}
	}
	return nil
}

// accepted gives the peer's answer to a transport that we offered, and lets it connect.
func (st *Stream) accepted(l *leg, m *jingle.Message) bool {
	c := st.mine(m)
	if c == nil || l == nil {
		return false
	}
	if l.closed {
		// It failed while the answer was on its way.
		st.cfg.Session.TransportFailed(st.cfg.Content, l.NS(), failedTransport(errors.New("the transport failed")))
		return true
	}
	if got := jingle.NSOf(c.Transport); got != l.NS() {
		st.failed(l, fmt.Errorf("the other side answered with the transport %.80q to %q", got, l.NS()))
		return true
	}
	if err := l.Accepted(c.Transport); err != nil {
		st.failed(l, err)
		return true
	}
	l.start()
	return true
}

func (st *Stream) info(p jingle.Payload) error {
	ns := jingle.NSOf(p)
	for _, l := range []*leg{st.next, st.current} {
		if l != nil && l.NS() == ns {
			return l.Info(p)
		}
	}
	return nil // it is about a transport that is given up
}

// replace offers another transport.
func (st *Stream) replace(ns string) {
	i := slices.IndexFunc(st.cfg.Factories, func(f TransportFactory) bool { return f.NS() == ns })
	if i < 0 {
		return // cannot be: the machine has our list
	}
	st.next.close()
	st.next = nil
	l, err := st.make(st.cfg.Factories[i], true)
	var p jingle.Payload
	if err == nil {
		p, err = l.Offer()
	}
	if err == nil {
		st.current.close()
		err = st.cfg.Session.Do(st.message(jingle.TransportReplace, p, nil))
	}
	if err != nil {
		l.close()
		st.cfg.Session.log.Info("transport cannot be offered", "transport", ns, "err", err)
		st.cfg.Session.TransportFailed(st.cfg.Content, ns, failedTransport(err))
		return
	}
	st.next = l
}

// offered answers the peer's transport-replace.
func (st *Stream) offered(remote jingle.Payload) {
	l, p, err := st.answer(remote)
	if err != nil {
		st.cfg.Session.log.Info("transport offered by the peer cannot be used", "transport", jingle.NSOf(remote), "err", err)
		r := &jingle.Reason{Condition: jingle.FailedTransport, Text: err.Error()}
		if err := st.cfg.Session.Do(st.message(jingle.TransportReject, remote, r)); err != nil {
			st.cfg.Session.log.Debug("transport-reject", "err", err)
		}
		return
	}
	if err := st.cfg.Session.Do(st.message(jingle.TransportAccept, p, nil)); err != nil {
		l.close()
		return
	}
	st.next.close()
	st.current.close()
	st.current, st.next = l, nil
	l.start()
}

func (st *Stream) message(a jingle.Action, p jingle.Payload, r *jingle.Reason) *jingle.Message {
	return &jingle.Message{Action: a, Reason: r, Contents: []jingle.Content{
		{Creator: st.cfg.Content.Creator, Name: st.cfg.Content.Name, Transport: p},
	}}
}

func (st *Stream) failed(l *leg, err error) {
	l.close()
	st.cfg.Session.log.Info("transport failed", "transport", l.NS(), "err", err)
	st.cfg.Session.TransportFailed(st.cfg.Content, l.NS(), failedTransport(err))
}

func failedTransport(err error) *jingle.Reason {
	return &jingle.Reason{Condition: jingle.ConnectivityError, Text: err.Error()}
}

func (st *Stream) make(f TransportFactory, offerer bool) (*leg, error) {
	l := &leg{stream: st}
	s := st.cfg.Session
	t, err := f.New(TransportConfig{
		SID: s.SID(), Local: s.Local(), Peer: s.Peer(), Role: s.Role(), Offerer: offerer,
		Content: st.cfg.Content, Host: l,
	})
	if err != nil {
		return nil, err
	}
	l.Transport = t
	return l, nil
}

func (l *leg) start() {
	if l != nil && !l.started && !l.closed {
		l.started = true
		l.Transport.Start()
	}
}

func (l *leg) close() {
	if l != nil && !l.closed {
		l.closed = true
		l.Transport.Close()
	}
}

// Post implements [TransportHost].
func (l *leg) Post(f func()) {
	l.stream.cfg.Session.Post(func() {
		if !l.closed {
			f()
		}
	})
}

// SendInfo implements [TransportHost].
func (l *leg) SendInfo(p jingle.Payload) {
	l.Post(func() {
		if err := l.stream.cfg.Session.Do(l.stream.message(jingle.TransportInfo, p, nil)); err != nil {
			l.stream.cfg.Session.log.Debug("transport-info", "err", err)
		}
	})
}

// Connected implements [TransportHost].
func (l *leg) Connected(conn io.ReadWriteCloser) {
	l.stream.cfg.Session.post(letter{func() {
		if l.closed {
			closeQuietly(conn)
			return
		}
		l.stream.cfg.Connected(conn, l.NS())
	}, func() { closeQuietly(conn) }})
}

// closeQuietly closes a connection that nobody has used.
func closeQuietly(c io.Closer) { _ = c.Close() }

// Failed implements [TransportHost].
func (l *leg) Failed(err error) {
	l.Post(func() { l.stream.failed(l, err) })
}
