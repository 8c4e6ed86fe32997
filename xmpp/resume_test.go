package xmpp

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

const featSM = `<sm xmlns='urn:xmpp:sm:3'/>`

// loginSM plays a login on a server with stream management. It returns the client's element in place of bind.
func (s *script) loginSM(enabled string) {
	s.open(offer("SCRAM-SHA-256"))
	s.auth(scram{password: "secret"})
	s.open(featBind + featSM)
	s.bindAs(phone)
	if e := s.want(); !e.Is(sm.NS, "enable") || e.Attr("resume") != "true" {
		s.t.Errorf("server: want enable, got %s", e)
	}
	s.say("%s", enabled)
}

// again plays the login of a client that should resume, and returns what it asks with.
func (s *script) again() *xmltree.Element {
	s.open(offer("SCRAM-SHA-256"))
	s.auth(scram{password: "secret"})
	s.open(featBind + featSM)
	return s.want()
}

// stanza reads on to the next stanza and counts those of stream management.
func (s *script) stanza() (e *xmltree.Element, requests int) {
	for {
		e, err := s.element()
		if err != nil {
			return nil, requests
		}
		if !e.Is(sm.NS, "r") {
			return e, requests
		}
		requests++
	}
}

type states struct {
	mu  sync.Mutex
	all []string
}

func (s *states) note(c StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := c.State.String()
	if c.Resumed {
		text += " resumed"
	}
	s.all = append(s.all, text)
}

func (s *states) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.all, ", ")
}

func message(to jid.JID, body string) *xmltree.Element {
	return xmltree.New(nsClient, "message").Set("to", to.String()).Add(xmltree.New(nsClient, "body").AddText(body))
}

func smConfig(s *server) Config {
	cfg := s.config()
	cfg.NoRoster, cfg.NoCarbons, cfg.NoBlockList = true, true, true
	return cfg
}

// managed is a client on a scripted server with stream management.
type managed struct {
	*Client
	t    *testing.T
	s    *server
	seen states
	stop func() error
}

// manage starts a client, plays its login, which ends with what the server answers to enable, and reads its presence.
func manage(t *testing.T, tune func(*Config), enabled string) (*managed, *script) {
	s := newServer(t)
	cfg := smConfig(s)
	if tune != nil {
		tune(&cfg)
	}
	m := &managed{Client: mustNew(t, cfg), t: t, s: s}
	m.OnState(m.seen.note)
	m.stop = run(t, m.Client)
	p := s.accept()
	p.loginSM(enabled)
	p.stanza()
	return m, p
}

// forgotten plays a login in which the server does not know the stream any more, as failed says, and makes a new one.
func (s *script) forgotten(failed string) {
	s.again()
	s.say("%s", failed)
	s.bindAs(phone)
	s.want() // enable
	s.say(`<enabled xmlns='urn:xmpp:sm:3' id='def' resume='true'/>`)
}

// end stops the client, which says goodbye by p.
func (m *managed) end(p *script) {
	m.t.Helper()
	go p.goodbye()
	if err := m.stop(); err != nil {
		m.t.Error(err)
	}
}

// A connection breaks while two stanzas are on their way, a request of ours is open, and stanzas of the peer come later:
// nothing is lost, nothing comes twice, and the request gets its answer.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, smConfig(s))
		var seen states
		c.OnState(seen.note)
		var got []string
		c.HandleMessage(func(m *Message) { got = append(got, m.Element.ChildText(nsClient, "body")) })
		stop := run(t, c)

		p := s.accept()
		p.loginSM(`<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='60'/>`)
		p.stanza() // presence
		p.say(`<message from='%s'><body>one</body></message><r xmlns='urn:xmpp:sm:3'/>`, bob)
		if a, _ := p.stanza(); !a.Is(sm.NS, "a") || a.Attr("h") != "1" {
			t.Errorf("acknowledged with %s", a)
		}
		p.say(`<a xmlns='urn:xmpp:sm:3' h='1'/>`)
		answered := make(chan error, 1)
		c.Request(bob, "get", pingElement(), 0, func(_ *xmltree.Element, err error) { answered <- err })
		ping, _ := p.stanza()
		if err := c.Send(message(bob, "lost on the way")); err != nil {
			t.Fatal(err)
		}
		p.Close()
		synctest.Wait()
		if err := c.Send(message(bob, "said in between")); err != nil {
			t.Errorf("nothing can be sent while the connection is away: %v", err)
		}

		q := s.accept()
		if r := q.again(); !r.Equal(xmltree.New(sm.NS, "resume").Set("previd", "abc").Set("h", "1")) {
			t.Errorf("resumed with %s", r)
		}
		// The server has got the ping, and sends what we may not have.
		q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='2'/><message from='%s'><body>two</body></message>`, bob)
		for _, want := range []string{"lost on the way", "said in between"} {
			e, _ := q.stanza()
			if e.ChildText(nsClient, "body") != want {
				t.Errorf("sent again: %s, want %q", e, want)
			}
		}
		q.say(`<iq type='result' id='%s' from='%s'/><r xmlns='urn:xmpp:sm:3'/>`, ping.Attr("id"), bob)
		if a, _ := q.stanza(); a.Attr("h") != "3" {
			t.Errorf("acknowledged with %s", a)
		}
		if err := <-answered; err != nil {
			t.Errorf("the request that was open got %v", err)
		}
		synctest.Wait()
		if strings.Join(got, " ") != "one two" {
			t.Errorf("messages are %q", got)
		}
		if want := "connecting, online, offline, connecting, online resumed"; seen.String() != want {
			t.Errorf("states are %s", seen.String())
		}
		go q.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The server resumes the stream and does not hear what is sent by it, as Prosody 0.12 after a cut within a stanza: the next
// stream is a new one.
func TestResumedAndDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
		p.say(`<a xmlns='urn:xmpp:sm:3' h='1'/>`)
		if err := c.Send(message(bob, "half of it arrives")); err != nil {
			t.Fatal(err)
		}
		p.stanza()
		p.Close()
		q := c.s.accept()
		q.again()
		q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/>`)
		began := time.Now()
		if _, requests := q.stanza(); requests != 1 {
			t.Errorf("it was asked %d times before anything was sent again", requests)
		}
		go q.stanza() // the rest, until the connection ends
		r := c.s.accept()
		if err := c.SendLater(message(bob, "said in between")); err != nil {
			t.Error(err)
		}
		if err := c.Send(message(bob, "not said")); !errors.Is(err, ErrOffline) {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("noticed after %v", took)
		}
		r.loginSM(`<enabled xmlns='urn:xmpp:sm:3' id='def' resume='true'/>`)
		for _, want := range []string{"half of it arrives", "said in between"} {
			if e, _ := r.stanza(); e.ChildText(nsClient, "body") != want {
				t.Errorf("after a new login came %s", e)
			}
		}
		if e, _ := r.stanza(); e.Name.Local != "presence" {
			t.Errorf("after what was sent again came %s", e)
		}
		synctest.Wait()
		if want := "connecting, online, offline, connecting, online resumed, offline, connecting, online"; c.seen.String() != want {
			t.Errorf("states are %s", c.seen.String())
		}
		c.end(r)
	})
}

// The server has forgotten the stream: open requests fail, and the next login is a new one.
func TestResumeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
		answered := make(chan error, 1)
		c.Request(bob, "get", pingElement(), 0, func(_ *xmltree.Element, err error) { answered <- err })
		for _, e := range []*xmltree.Element{message(bob, "arrived"), message(bob, "lost"), message("room@rooms.example.org", "for a room").Set("type", "groupchat")} {
			if err := c.Send(e); err != nil {
				t.Fatal(err)
			}
			p.stanza()
		}
		p.Close()
		q := c.s.accept()
		q.forgotten(`<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`)
		if e, _ := q.stanza(); e.ChildText(nsClient, "body") != "lost" {
			t.Errorf("after a new login came %s", e)
		}
		if e, _ := q.stanza(); e.Name.Local != "presence" {
			t.Errorf("after what was sent again came %s", e)
		}
		if err := <-answered; err != ErrOffline {
			t.Errorf("the request that was open got %v", err)
		}
		synctest.Wait()
		if want := "connecting, online, offline, connecting, online"; c.seen.String() != want {
			t.Errorf("states are %s", c.seen.String())
		}
		c.end(q)
	})
}

// A stream that was away for too long is not asked for again.
func TestResumeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='5'/>`)
		answered := make(chan error, 1)
		c.Request(bob, "get", pingElement(), time.Hour, func(_ *xmltree.Element, err error) { answered <- err })
		p.Close()
		for range 4 {
			(<-c.s.conns).Close() // the network is still away
		}
		q := c.s.accept()
		q.loginSM(`<failed xmlns='urn:xmpp:sm:3'/>`)
		q.stanza()
		if err := <-answered; err != ErrOffline {
			t.Errorf("the request that was open got %v", err)
		}
		c.end(q)
	})
}

// Stanzas that are sent while the stream is being resumed come once each, and in order.
func TestSendWhileResuming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
		const many = 200
		p.Close()
		send := func(from, to int) {
			for i := from; i < to; i++ {
				if err := c.Send(message(bob, strconv.Itoa(i))); err != nil {
					t.Error(err)
				}
			}
		}
		send(0, many/2)
		q := c.s.accept()
		q.again()
		var wg sync.WaitGroup
		wg.Go(func() { send(many/2, many) })
		q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/>`)
		for i := range many {
			if e, _ := q.stanza(); e.ChildText(nsClient, "body") != strconv.Itoa(i) {
				t.Fatalf("the message %d is %s", i, e)
			}
		}
		wg.Wait()
		q.say(`<a xmlns='urn:xmpp:sm:3' h='%d'/>`, many+1)
		c.end(q)
	})
}

// What was said long ago is not said again.
func TestNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='600'/>`)
		if err := c.Send(message(bob, "stale")); err != nil {
			t.Fatal(err)
		}
		p.stanza()
		p.Close()
		for lost := time.Now(); time.Since(lost) < sendAgainWithin; {
			(<-c.s.conns).Close() // the network is still away
		}
		if err := c.SendLater(message(bob, "stale as well")); err != nil {
			t.Error(err)
		}
		q := c.s.accept()
		q.forgotten(`<failed xmlns='urn:xmpp:sm:3'/>`)
		if e, _ := q.stanza(); e.Name.Local != "presence" {
			t.Errorf("after a new login came %s", e)
		}
		c.end(q)
	})
}

// A server that acknowledges what was never sent, or closes the stream itself, has no stream to resume.
func TestNotResumed(t *testing.T) {
	for name, end := range map[string]string{
		"too much acknowledged": `<a xmlns='urn:xmpp:sm:3' h='7'/>`,
		"nonsense":              `<a xmlns='urn:xmpp:sm:3' h='x'/>`,
		"closed":                `</stream:stream>`,
		"stream error":          `<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
				p.say("%s", end)
				go p.goodbye()
				q := c.s.accept()
				q.loginSM(`<failed xmlns='urn:xmpp:sm:3'/>`)
				q.stanza()
				c.end(q)
			})
		})
	}
}

// What cannot be sent is bounded while the connection is away.
func TestAwayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, func(c *Config) { c.Limits.Outbox = 10 }, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
		p.Close()
		synctest.Wait()
		sent := 0
		var err error
		for sent < 100 && err == nil {
			if err = c.Send(message(bob, "x")); err == nil {
				sent++
			}
		}
		if err != ErrQueueFull || sent != 9 { // the presence is not acknowledged either
			t.Errorf("%d stanzas were queued, then %v", sent, err)
		}
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		if err := c.Send(message(bob, "x")); err != ErrOffline {
			t.Errorf("after the end: %v", err)
		}
	})
}
