package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// wire joins two engines. Stanzas take a while and keep their order, as on a stream.
type wire struct {
	t     *testing.T
	ends  map[jid.JID]*engine.Engine
	pumps map[jid.JID]chan func()
	delay time.Duration
	// lose drops replies to this action, and drop the action itself.
	lose, drop jingle.Action
	mu         sync.Mutex
	log        []string
}

// end is one side's [engine.Signaler].
type end struct {
	w    *wire
	self jid.JID
}

func (e end) Send(to jid.JID, m *jingle.Message, done func(error)) {
	w := e.w
	text := m.Element().String()
	w.mu.Lock()
	w.log = append(w.log, e.self.Local()+" "+string(m.Action))
	w.mu.Unlock()
	if m.Action == w.drop {
		return
	}
	w.pumps[e.self] <- func() {
		time.Sleep(w.delay)
		x, err := xmltree.Parse([]byte(text), xmltree.Limits{})
		if err != nil {
			w.t.Error(err)
		}
		w.ends[to].Receive(e.self, x, func(se *jingle.StanzaError) {
			if m.Action == w.lose {
				return
			}
			// The reply goes the peer's way, behind what the peer sent before.
			w.pumps[to] <- func() {
				time.Sleep(w.delay)
				if se != nil {
					done(se)
					return
				}
				done(nil)
			}
		})
	}
}

// start runs both engines and the wire until the test ends.
func start(t *testing.T, w *wire, incoming func(*engine.Session, *jingle.Message) (engine.Application, error)) (a, b *engine.Engine, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg, pumping sync.WaitGroup
	quit := make(chan struct{})
	w.t, w.ends = t, make(map[jid.JID]*engine.Engine)
	w.pumps = map[jid.JID]chan func(){romeo: make(chan func(), 1000), juliet: make(chan func(), 1000)}
	for _, self := range []jid.JID{romeo, juliet} {
		pumping.Go(func() {
			for {
				select {
				case f := <-w.pumps[self]:
					f()
				case <-quit:
					return
				}
			}
		})
		e, err := engine.New(engine.Config{
			Local: func() jid.JID { return self }, Signaler: end{w, self}, Registry: &jingle.Registry{},
			Incoming: incoming, MaxPerPeer: 4,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.ends[self] = e
		wg.Go(func() {
			if err := e.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v", err)
			}
		})
	}
	return w.ends[romeo], w.ends[juliet], func() {
		cancel()
		wg.Wait()
		synctest.Wait()
		time.Sleep(time.Minute) // let the last stanzas and their replies arrive
		close(quit)
		pumping.Wait()
	}
}

// app is an application that writes down what happens and does what the test says.
type app struct {
	mu     sync.Mutex
	events []string
	on     func(*engine.Session, jingle.Event) error
}

func (a *app) Handle(s *engine.Session, ev jingle.Event) error {
	a.mu.Lock()
	name := fmt.Sprintf("%T", ev)[len("jingle."):]
	if e, ok := ev.(jingle.Ended); ok {
		name += " " + string(e.Reason.Condition)
	}
	a.events = append(a.events, name)
	a.mu.Unlock()
	if a.on != nil {
		return a.on(s, ev)
	}
	return nil
}

func (a *app) wrote() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

func opaque(ns, local string) jingle.Payload { return jingle.Opaque{XML: xmltree.New(ns, local)} }

func offer(name string) *jingle.Message {
	return &jingle.Message{Action: jingle.SessionInitiate, Contents: []jingle.Content{{
		Name: name, Description: opaque("urn:app", "description"), Transport: opaque("urn:pipe", "transport"),
	}}}
}

func call(s *engine.Session) error { return s.Do(offer("voice")) }

// accepting answers a session at once.
func accepting(s *engine.Session, ev jingle.Event) error {
	if ev, ok := ev.(jingle.Initiated); ok {
		return s.Do(&jingle.Message{Action: jingle.SessionAccept, Contents: ev.Message.Contents})
	}
	return nil
}

func expect(t *testing.T, a *app, want ...string) {
	t.Helper()
	if got := a.wrote(); !slices.Equal(got, want) {
		t.Errorf("events are %q, want %q", got, want)
	}
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee, caller := &app{on: accepting}, &app{}
		w := &wire{delay: 30 * time.Millisecond}
		a, b, stop := start(t, w, func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil })
		defer stop()
		s, err := a.Start(juliet, "", caller, call)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a.Len() != 1 || b.Len() != 1 {
			t.Errorf("there are %d and %d sessions, want 1 and 1", a.Len(), b.Len())
		}
		s.Post(func() {
			if err := s.Do(&jingle.Message{Action: jingle.SessionInfo, Info: []jingle.Payload{opaque("urn:x", "mute")}}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		s.Post(func() { s.Terminate(&jingle.Reason{Condition: jingle.Success}) })
		<-s.Done()
		time.Sleep(time.Second)
		expect(t, caller, "Accepted", "Ended success")
		expect(t, callee, "Initiated", "InfoReceived", "Ended success")
		if a.Len() != 0 || b.Len() != 0 {
			t.Errorf("%d and %d sessions are left", a.Len(), b.Len())
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"stranger", jingle.ErrServiceUnavailable(), "Ended gone"},
		{"busy", &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.Busy}}, "Ended busy"},
		{"other", errors.New("no microphone"), "Ended failed-application"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller := &app{}
				a, b, stop := start(t, &wire{}, func(*engine.Session, *jingle.Message) (engine.Application, error) { return nil, c.err })
				defer stop()
				if _, err := a.Start(juliet, "", caller, call); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				expect(t, caller, c.want)
				if b.Len() != 0 {
					t.Errorf("%d sessions are left with the callee", b.Len())
				}
			})
		})
	}
}

func TestBeginFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, w := &app{}, &wire{}
		a, _, stop := start(t, w, nilApp)
		defer stop()
		s, err := a.Start(juliet, "", caller, func(*engine.Session) error { return errors.New("no socket") })
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		expect(t, caller, "Ended general-error")
		if len(w.log) != 0 {
			t.Errorf("sent %q", w.log)
		}
	})
}

func nilApp(*engine.Session, *jingle.Message) (engine.Application, error) { return &app{}, nil }

func TestCrossingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee := &app{on: accepting}
		w := &wire{delay: 50 * time.Millisecond}
		a, b, stop := start(t, w, func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil })
		defer stop()
		low, high := &app{}, &app{}
		if _, err := a.Start(juliet, "aaa", low, call); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Start(romeo, "bbb", high, call); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect(t, low, "Accepted")
		expect(t, high, "Ended expired")
		expect(t, callee, "Initiated")
	})
}

func TestLostReplyEndsInTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, callee := &app{}, &app{}
		a, b, stop := start(t, &wire{lose: jingle.SessionInitiate},
			func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil })
		defer stop()
		if _, err := a.Start(juliet, "", caller, call); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		expect(t, caller)
		time.Sleep(2 * time.Second)
		expect(t, caller, "Ended timeout")
		expect(t, callee, "Initiated", "Ended timeout")
		if b.Len() != 0 {
			t.Error("the callee still rings")
		}
	})
}

func TestPeerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := &app{}
		a, _, stop := start(t, &wire{}, nilApp)
		defer stop()
		s, err := a.Start(juliet, "", caller, call)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		a.Unavailable(juliet)
		for range 9 {
			time.Sleep(time.Second)
			s.Heard() // media still flows
		}
		time.Sleep(10 * time.Second)
		expect(t, caller)
		s.Heard() // before it went away, which says nothing about afterwards
		a.Unavailable(juliet.Bare())
		time.Sleep(time.Second)
		s.Heard() // on the way
		time.Sleep(11 * time.Second)
		expect(t, caller, "Ended gone")
	})
}

// TestPing: a peer whose goodbye was lost is asked, and says that the session is over; one that still has it keeps it.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee, caller := &app{on: accepting}, &app{}
		w := &wire{drop: jingle.SessionTerminate}
		a, b, stop := start(t, w, func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil })
		defer stop()
		s, err := a.Start(juliet, "", caller, call)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.Ping("")
		b.Ping(romeo.Bare())
		time.Sleep(time.Second)
		if a.Len() != 1 || b.Len() != 1 {
			t.Fatalf("there are %d and %d sessions, want 1 and 1", a.Len(), b.Len())
		}
		s.Post(func() { s.Terminate(&jingle.Reason{Condition: jingle.Success}) })
		<-s.Done()
		time.Sleep(time.Minute)
		if b.Len() != 1 {
			t.Fatal("the other side has heard of the end")
		}
		b.Ping(romeo)
		time.Sleep(time.Second)
		if b.Len() != 0 {
			t.Error("the other side still has the session")
		}
		expect(t, callee, "Initiated", "Ended gone")
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, stop := start(t, &wire{}, nilApp)
		defer stop()
		var refused []*app
		for range 6 {
			caller := &app{}
			if _, err := a.Start(juliet, "", caller, call); err != nil {
				var se *jingle.StanzaError
				if !errors.As(err, &se) || se.Condition != "resource-constraint" {
					t.Errorf("refused with %v", err)
				}
				refused = append(refused, caller)
			}
		}
		synctest.Wait()
		if len(refused) != 2 || b.Len() != 4 {
			t.Errorf("%d were refused and %d sessions made, want 2 and 4", len(refused), b.Len())
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := &app{}
		a, b, stop := start(t, &wire{}, nilApp)
		if _, err := a.Start(juliet, "", caller, call); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		expect(t, caller, "Ended gone")
		if _, err := a.Start(juliet, "", caller, call); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("a session started after the end: %v", err)
		}
		answered := false
		b.Receive(romeo, (&jingle.Message{Action: jingle.SessionInitiate, SID: "x", Contents: offer("v").Contents}).Element(),
			func(se *jingle.StanzaError) { answered = se != nil })
		if !answered {
			t.Error("a session-initiate after the end was not refused")
		}
	})
}

func TestPanicEndsOneSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := &app{}, &app{on: func(*engine.Session, jingle.Event) error { panic("a mistake") }}
		callee := &app{on: accepting}
		a, _, stop := start(t, &wire{}, func(*engine.Session, *jingle.Message) (engine.Application, error) { return callee, nil })
		defer stop()
		if _, err := a.Start(juliet, "", good, call); err != nil {
			t.Fatal(err)
		}
		s, err := a.Start(juliet, "", bad, call)
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		synctest.Wait()
		expect(t, good, "Accepted")
		if a.Len() != 1 {
			t.Errorf("%d sessions, want the good one", a.Len())
		}
	})
}

// pipe is a transport for tests.
type pipe struct {
	cfg   engine.TransportConfig
	ns    string
	fails bool
	conn  io.ReadWriteCloser
}

func (p *pipe) NS() string { return p.ns }
func (p *pipe) Offer() (jingle.Payload, error) {
	return opaque(p.ns, "transport"), nil
}
func (p *pipe) Answer(jingle.Payload) (jingle.Payload, error) { return opaque(p.ns, "transport"), nil }
func (p *pipe) Accepted(jingle.Payload) error                 { return nil }
func (p *pipe) Info(jingle.Payload) error                     { return nil }
func (p *pipe) Close()                                        {}
func (p *pipe) Start() {
	if p.fails {
		p.cfg.Host.Failed(errors.New("blocked by a firewall"))
		return
	}
	p.cfg.Host.Connected(p.conn)
}

type pipes struct {
	ns          string
	fails, none bool
}

func (f pipes) NS() string { return f.ns }
func (f pipes) New(c engine.TransportConfig) (engine.Transport, error) {
	if f.none {
		return nil, errors.New("not on this machine")
	}
	_, conn := io.Pipe()
	return &pipe{cfg: c, ns: f.ns, fails: f.fails, conn: struct {
		io.Reader
		io.WriteCloser
	}{nil, conn}}, nil
}

// file is an application with one stream, on either side.
type file struct {
	app
	factories []engine.TransportFactory
	stream    *engine.Stream
	got       string // the transport that connected last
}

func (f *file) open(s *engine.Session) {
	f.stream = engine.NewStream(engine.StreamConfig{
		Session: s, Content: jingle.ContentID{Creator: jingle.Initiator, Name: "file"}, Factories: f.factories,
		Connected: func(_ io.ReadWriteCloser, ns string) { f.connected(ns) },
	})
	f.on = func(s *engine.Session, ev jingle.Event) error {
		if ev, ok := ev.(jingle.Initiated); ok {
			c := ev.Message.Contents[0]
			f.stream.Ready()
			p, err := f.stream.Answer(c.Transport)
			if err != nil {
				s.Terminate(&jingle.Reason{Condition: jingle.UnsupportedTransports, Text: err.Error()})
				return nil
			}
			c.Transport = p
			if err := s.Do(&jingle.Message{Action: jingle.SessionAccept, Contents: []jingle.Content{c}}); err != nil {
				return err
			}
			f.stream.Start()
			return nil
		}
		_, err := f.stream.Handle(ev)
		return err
	}
}

func (f *file) connected(ns string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = ns
}

func (f *file) transport() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got
}

func (f *file) begin(s *engine.Session) error {
	f.open(s)
	p, err := f.stream.Offer()
	if err != nil {
		return err
	}
	m := offer("file")
	m.Contents[0].Transport = p
	err = s.Do(m)
	f.stream.Ready()
	return err
}

func TestFallback(t *testing.T) {
	fast, works := pipes{ns: "urn:fast"}, pipes{ns: "urn:slow"}
	broken := pipes{ns: "urn:fast", fails: true}
	for _, c := range []struct {
		name             string
		offerer, answers []engine.TransportFactory
		want             string // the transport that connects both
		end              string
	}{
		{"first works", []engine.TransportFactory{fast, works}, []engine.TransportFactory{fast, works}, "urn:fast", ""},
		{"first fails", []engine.TransportFactory{broken, works}, []engine.TransportFactory{broken, works}, "urn:slow", ""},
		{"second cannot be made", []engine.TransportFactory{broken, pipes{ns: "urn:none", none: true}, works},
			[]engine.TransportFactory{broken, works}, "urn:slow", ""},
		{"first cannot be made", []engine.TransportFactory{pipes{ns: "urn:none", none: true}, works},
			[]engine.TransportFactory{works}, "urn:slow", ""},
		{"second is refused", []engine.TransportFactory{broken, pipes{ns: "urn:odd"}, works},
			[]engine.TransportFactory{broken, works}, "urn:slow", ""},
		{"all fail", []engine.TransportFactory{broken}, []engine.TransportFactory{broken}, "", "Ended connectivity-error"},
		{"nothing in common", []engine.TransportFactory{fast}, []engine.TransportFactory{works}, "", "Ended unsupported-transports"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, receiver := &file{factories: c.offerer}, &file{factories: c.answers}
				a, b, stop := start(t, &wire{delay: 10 * time.Millisecond}, func(s *engine.Session, _ *jingle.Message) (engine.Application, error) {
					receiver.open(s)
					return receiver, nil
				})
				if _, err := a.Start(juliet, "", sender, sender.begin); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				if c.end != "" {
					if a.Len() != 0 || b.Len() != 0 {
						t.Errorf("%d and %d sessions are left", a.Len(), b.Len())
					}
					if e := sender.wrote(); e[len(e)-1] != c.end {
						t.Errorf("the sender's last event is %q, want %q", e[len(e)-1], c.end)
					}
				} else if sender.transport() != c.want || receiver.transport() != c.want {
					t.Errorf("connected %q and %q, want %q", sender.transport(), receiver.transport(), c.want)
				}
				stop()
			})
		})
	}
}
