package telepathy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice/telepathy"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	medium  = jid.JID("medium@example.com/seance")
	psychic = jid.JID("psychic@example.net/spiritworld")
)

// world joins two engines, and writes down the actions that pass.
type world struct {
	ends map[jid.JID]*engine.Engine
	mu   sync.Mutex
	log  []string
}

type signaler struct {
	w    *world
	self jid.JID
}

func (s signaler) Send(to jid.JID, m *jingle.Message, done func(error)) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	entry := string(m.Action)
	if len(m.Contents) > 0 {
		entry += " " + jingle.NSOf(m.Contents[0].Transport)
	}
	if m.Reason != nil {
		entry += " " + string(m.Reason.Condition)
	}
	s.w.log = append(s.w.log, entry)
	s.w.ends[to].Receive(s.self, m.Element(), func(se *jingle.StanzaError) {
		if se != nil {
			done(se)
			return
		}
		done(nil)
	})
}

func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// party is an application with one content, on either side.
type party struct {
	factories []engine.TransportFactory
	stream    *engine.Stream
	conns     chan string
	got       func(io.ReadWriteCloser)
	ended     chan *jingle.Reason
}

func newParty(f ...engine.TransportFactory) *party {
	return &party{factories: f, conns: make(chan string, 4), ended: make(chan *jingle.Reason, 1)}
}

func (p *party) open(s *engine.Session) {
	p.stream = engine.NewStream(engine.StreamConfig{
		Session: s, Content: jingle.ContentID{Creator: jingle.Initiator, Name: "ihearvoices"}, Factories: p.factories,
		Connected: func(c io.ReadWriteCloser, ns string) {
			p.conns <- ns
			if p.got != nil {
				p.got(c)
			}
		},
	})
}

func (p *party) begin(s *engine.Session) error {
	p.open(s)
	t, err := p.stream.Offer()
	if err != nil {
		return err
	}
	defer p.stream.Ready()
	return s.Do(&jingle.Message{Action: jingle.SessionInitiate, Contents: []jingle.Content{{
		Name: "ihearvoices", Description: jingle.Opaque{XML: xmltree.New("urn:xmpp:example", "description")}, Transport: t,
	}}})
}

// Handle implements [engine.Application].
func (p *party) Handle(s *engine.Session, ev jingle.Event) error {
	switch ev := ev.(type) {
	case jingle.Initiated:
		p.open(s)
		p.stream.Ready()
		c := ev.Message.Contents[0]
		t, err := p.stream.Answer(c.Transport)
		if err != nil {
			s.Terminate(&jingle.Reason{Condition: jingle.UnsupportedTransports})
			return nil
		}
		c.Transport = t
		if err := s.Do(&jingle.Message{Action: jingle.SessionAccept, Contents: []jingle.Content{c}}); err != nil {
			return err
		}
		p.stream.Start()
		return nil
	case jingle.Ended:
		p.ended <- ev.Reason
	}
	_, err := p.stream.Handle(ev)
	return err
}

// run lets caller call callee, until nothing moves any more.
func run(t *testing.T, caller, callee *party) *world {
	t.Helper()
	w := &world{ends: make(map[jid.JID]*engine.Engine)}
	var reg jingle.Registry
	telepathy.Register(&reg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, self := range []jid.JID{medium, psychic} {
		e, err := engine.New(engine.Config{
			Local: func() jid.JID { return self }, Signaler: signaler{w, self}, Registry: &reg,
			Incoming: func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		w.ends[self] = e
	}
	for _, e := range w.ends {
		wg.Go(func() { _ = e.Run(ctx) })
	}
	if _, err := w.ends[medium].Start(psychic, "a73sjjvkla37jfea", caller, caller.begin); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	log := w.actions()
	cancel()
	wg.Wait()
	w.log = log
	return w
}

// spoken is an ordinary transport to fall back to.
type spoken struct{ cfg engine.TransportConfig }

type spokenFactory struct{}

const spokenNS = "urn:spoken"

func (spokenFactory) NS() string { return spokenNS }
func (spokenFactory) New(c engine.TransportConfig) (engine.Transport, error) {
	return spoken{c}, nil
}
func (spoken) NS() string                                    { return spokenNS }
func (spoken) Offer() (jingle.Payload, error)                { return spokenPayload(), nil }
func (spoken) Answer(jingle.Payload) (jingle.Payload, error) { return spokenPayload(), nil }
func (spoken) Accepted(jingle.Payload) error                 { return nil }
func (spoken) Info(jingle.Payload) error                     { return nil }
func (spoken) Close()                                        {}
func (s spoken) Start()                                      { _, c := net.Pipe(); s.cfg.Host.Connected(c) }
func spokenPayload() jingle.Payload                          { return jingle.Opaque{XML: xmltree.New(spokenNS, "transport")} }

// Without a medium the session goes on by the next transport.
func TestFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newParty(telepathy.Factory{}, spokenFactory{}), newParty(telepathy.Factory{}, spokenFactory{})
		w := run(t, a, b)
		want := []string{
			"session-initiate " + telepathy.NS, "session-accept " + telepathy.NS,
			"transport-replace " + spokenNS, "transport-accept " + spokenNS,
		}
		if !slices.Equal(w.log, want) {
			t.Errorf("passed %q, want %q", w.log, want)
		}
		if len(a.conns) != 1 || len(b.conns) != 1 || <-a.conns != spokenNS || <-b.conns != spokenNS {
			t.Error("the two are not connected by the second transport")
		}
	})
}

// Without anything else either, the session ends and says why.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newParty(telepathy.Factory{}), newParty(telepathy.Factory{})
		run(t, a, b)
		if r := <-b.ended; r.Condition != jingle.ConnectivityError {
			t.Errorf("ended with %v", r)
		}
		if len(a.conns)+len(b.conns) != 0 {
			t.Error("connected without a medium")
		}
	})
}

// gift is a medium for tests: two of them reach each other.
type gift struct {
	mu    sync.Mutex
	other net.Conn
	fails error
}

func (g *gift) Reach(channel string, peer telepathy.Candidate, done func(io.ReadWriteCloser, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.fails != nil:
		done(nil, g.fails)
	case channel != "ihearvoices" || peer.Name != channel:
		done(nil, errors.New("crossed minds"))
	case g.other != nil:
		done(g.other, nil)
	default:
		var mine net.Conn
		mine, g.other = net.Pipe()
		done(mine, nil)
	}
}

// With a medium the stream is one.
func TestWithMedium(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := telepathy.Factory{Medium: &gift{}}
		a, b := newParty(f, spokenFactory{}), newParty(f, spokenFactory{})
		var wg sync.WaitGroup
		heard := make(chan string, 1)
		a.got = func(c io.ReadWriteCloser) {
			wg.Go(func() { _, _ = io.WriteString(c, "I sense a presence"); _ = c.Close() })
		}
		b.got = func(c io.ReadWriteCloser) {
			wg.Go(func() { s, _ := io.ReadAll(c); heard <- string(s) })
		}
		w := run(t, a, b)
		wg.Wait()
		if got := <-heard; got != "I sense a presence" {
			t.Errorf("heard %q", got)
		}
		if want := []string{"session-initiate " + telepathy.NS, "session-accept " + telepathy.NS}; !slices.Equal(w.log, want) {
			t.Errorf("passed %q", w.log)
		}
	})
}

func TestMediumFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := telepathy.Factory{Medium: &gift{fails: errors.New("too many skeptics in the room")}}
		a, b := newParty(f, spokenFactory{}), newParty(f, spokenFactory{})
		run(t, a, b)
		if len(a.conns) != 1 || <-a.conns != spokenNS {
			t.Error("no fallback")
		}
	})
}

// What a peer may answer, and what not.
func TestNegotiation(t *testing.T) {
	tr, err := telepathy.Factory{}.New(engine.TransportConfig{Content: jingle.ContentID{Name: "ihearvoices"}})
	if err != nil {
		t.Fatal(err)
	}
	channel := func(names ...string) telepathy.Payload {
		var p telepathy.Payload
		for _, n := range names {
			p.Candidates = append(p.Candidates, telepathy.Candidate{Name: n, Generation: telepathy.Absent})
		}
		return p
	}
	for _, p := range []jingle.Payload{channel(), channel("other"), channel("ihearvoices", "other"), spokenPayload()} {
		var xe *xmltree.Error
		if err := tr.Accepted(p); !errors.As(err, &xe) {
			t.Errorf("%s is taken as an answer", p.Element())
		}
	}
	for _, p := range []jingle.Payload{channel(), channel("a", "b"), spokenPayload()} {
		if _, err := tr.Answer(p); err == nil {
			t.Errorf("%s is answered", p.Element())
		}
	}
	// XEP-0183 example 3.
	got, err := tr.Answer(channel("ihearvoices"))
	if err != nil || !got.Element().Equal(channel("ihearvoices").Element()) {
		t.Errorf("answered %v, %v", got, err)
	}
	if err := tr.Info(spokenPayload()); err == nil {
		t.Error("an info of another transport is taken")
	}
}
