package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

func featLimits(stanza, idle int) string {
	return fmt.Sprintf("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>%d</max-bytes><idle-seconds>%d</idle-seconds></limits>", stanza, idle)
}

func TestParseLimits(t *testing.T) {
	for in, want := range map[string]streamLimits{
		featLimits(262144, 840):                      {262144, 14 * time.Minute},
		featLimits(1, 1):                             {leastStanza, leastIdle}, // RFC 6120 section 13.12
		featLimits(0, 0):                             {},
		featLimits(-1, -1):                           {},
		`<limits xmlns='urn:xmpp:stream-limits:0'/>`: {},
		`<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes> 20000 </max-bytes></limits>`:              {stanza: 20000},
		`<limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>60</idle-seconds></limits>`:             {idle: time.Minute},
		`<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>99999999999999999999</max-bytes></limits>`: {},
		`<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>many</max-bytes><x/></limits>`:             {},
	} {
		e, err := xmltree.Parse([]byte(in), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := parseLimits(e); got != want {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
	if got := parseLimits(nil); got != (streamLimits{}) {
		t.Errorf("nothing: %+v", got)
	}
}

// limited plays a login on a server with other limits before it than after it.
func (s *script) limited(after string) {
	s.open(offer("SCRAM-SHA-256") + featLimits(10000, 15))
	s.auth(scram{password: "secret"})
	s.open(featBind + after)
	s.bindAs(phone)
}

// TestMaxStanza has a server that ends the stream for a stanza of more than 20,000 bytes: none is sent, whoever wanted it to be
// hears of it, and everything else goes on.
func TestMaxStanza(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := smConfig(s)
		cfg.NoStreamManagement = true
		c := mustNew(t, cfg)
		c.HandleIQ("made:up", "all", func(iq *IQ) { iq.Reply(xmltree.New("made:up", "all").AddText(strings.Repeat("x", 20000))) })
		stop := run(t, c)
		if got := c.MaxStanza(); got != 256<<10 {
			t.Errorf("before the login %d", got)
		}
		p := s.accept()
		p.limited(featLimits(20000, 0))
		p.want() // presence
		synctest.Wait()
		most := 20000 - declaration
		if got := c.MaxStanza(); got != most {
			t.Errorf("%d, want %d", got, most)
		}
		room := most - len(message(bob, "").AppendXML(nil, nsClient))
		if err := c.Send(message(bob, strings.Repeat("x", room+20))); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), fmt.Sprint(most)) {
			t.Errorf("too large: %v", err)
		}
		failed := make(chan error, 1)
		c.Request(bob, "set", xmltree.New("x", "y").AddText(strings.Repeat("x", 20000)), 0, func(_ *xmltree.Element, err error) { failed <- err })
		if err := <-failed; !errors.Is(err, ErrTooLarge) {
			t.Errorf("a request: %v", err)
		}
		fits := message(bob, "")
		fits.Child(nsClient, "body").AddText(strings.Repeat("x", room-len("<body></body>")))
		if err := c.Send(fits); err != nil {
			t.Errorf("as large as may be: %v", err)
		}
		if e := p.want(); len(e.AppendXML(nil, nsClient)) > most || len(e.ChildText(nsClient, "body")) < 19000 {
			t.Errorf("%d bytes came", len(e.AppendXML(nil, nsClient)))
		}
		p.say("<iq type='get' id='q' from='%s'><all xmlns='made:up'/></iq>", bob)
		if e := p.want(); e.Attr("type") != "error" || e.Attr("id") != "q" {
			t.Errorf("an answer that is too large: %s", e)
		}
		p.alive()
		go p.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLimitsBeforeLogin do not hold after it.
func TestLimitsBeforeLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, smConfig(s))
		stop := run(t, c)
		p := s.accept()
		p.limited("")
		p.want()
		synctest.Wait()
		if got := c.MaxStanza(); got != 256<<10 {
			t.Errorf("%d", got)
		}
		go p.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestIdleSeconds has a server that talks all the time, and hears from us often enough all the same.
func TestIdleSeconds(t *testing.T) {
	for _, never := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			cfg := smConfig(s)
			cfg.NoStreamManagement = true
			if never {
				cfg.Timeouts.KeepAlive = -1
			}
			c := mustNew(t, cfg)
			stop := run(t, c)
			p := s.accept()
			p.limited(featLimits(20000, 40))
			p.want()
			heard := make(chan *xmltree.Element)
			go func() {
				defer close(heard)
				for {
					e, err := p.element()
					if err != nil {
						return
					}
					heard <- e
				}
			}()
			pings := 0
			for last := time.Now(); pings < 5; {
				select {
				case e := <-heard:
					if took := time.Since(last); took > 40*time.Second || took < 25*time.Second {
						t.Errorf("heard after %v", took)
					}
					last = time.Now()
					pings++
					p.say("<iq type='result' id='%s' from='example.test'/>", e.Attr("id"))
				case <-time.After(3 * time.Second):
					p.say("<message from='%s'/>", bob)
				}
			}
			p.Close()
			for range heard {
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLimitsAfterInlineLogin come among the stanzas where the login has bound or resumed, and those of before hold until then.
func TestLimitsAfterInlineLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := smConfig(s)
		cfg.Bind2 = true
		accept := overDirectTLS(t, s, &cfg)
		c := mustNew(t, cfg)
		stop := run(t, c)
		p, _ := accept()
		p.open(featSASL2 + featLimits(10000, 0))
		p.want()
		p.say(`<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@example.test/jingled~xyz</authorization-identifier>
			<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='600'/></bound></success>
			<stream:features>%s</stream:features>`, featLimits(30000, 0))
		p.stanza()
		synctest.Wait()
		if got := c.MaxStanza(); got != 30000-declaration {
			t.Errorf("bound: %d", got)
		}
		p.Close()
		q, _ := accept()
		q.open(featSASL2 + featLimits(10000, 0))
		q.want()
		q.say(`<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@example.test</authorization-identifier>
			<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/></success>`)
		if e, _ := q.stanza(); !e.Is(nsCSI, "active") {
			t.Errorf("after the resume came %s", e)
		}
		if got := c.MaxStanza(); got != 30000-declaration {
			t.Errorf("resumed, before the features: %d", got)
		}
		q.say(`<stream:features>%s</stream:features>`, featLimits(40000, 0))
		synctest.Wait()
		if got := c.MaxStanza(); got != 40000-declaration {
			t.Errorf("resumed: %d", got)
		}
		go q.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestNotSentAgainToALesserServer leaves out what the next stream does not take, and nothing else.
func TestNotSentAgainToALesserServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
		for _, body := range []string{strings.Repeat("x", 15000), "short"} {
			if err := c.Send(message(bob, body)); err != nil {
				t.Fatal(err)
			}
			p.stanza()
		}
		p.Close()
		q := c.s.accept()
		q.open(offer("SCRAM-SHA-256"))
		q.auth(scram{password: "secret"})
		q.open(featBind + featSM + featLimits(10000, 0))
		q.want()
		q.say(`<failed xmlns='%s'/>`, sm.NS)
		q.bindAs(phone)
		q.want() // enable
		q.say(`<enabled xmlns='%s' id='def' resume='true'/>`, sm.NS)
		if e, _ := q.stanza(); e.ChildText(nsClient, "body") != "short" {
			t.Errorf("sent again: %.100s", e)
		}
		c.end(q)
	})
}
