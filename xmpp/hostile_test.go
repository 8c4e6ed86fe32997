package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// online brings a client online with a scripted server, in a synctest bubble.
func online(t *testing.T, s *server, c *Client) (p *script, stop func()) {
	t.Helper()
	end := run(t, c)
	p = s.accept()
	p.login()
	p.settle("")
	return p, func() {
		go p.goodbye()
		if err := end(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// TestHostileStanzas sends what must not end the stream, nor make the client hang, and checks that it goes on.
func TestHostileStanzas(t *testing.T) {
	ibb := "http://jabber.org/protocol/ibb"
	for _, tc := range []struct {
		name, stanza string
		reply        string // "type condition" of the answer; "" for none
	}{
		{"ibb seq is no number", `<iq type='set' id='1' from='eve@evil.test/x'><data xmlns='` + ibb + `' seq='abc' sid='s'/></iq>`, "error service-unavailable"},
		{"ibb block size", `<iq type='set' id='1' from='eve@evil.test/x'><open xmlns='` + ibb + `' block-size='99999999999' sid='s'/></iq>`, "error service-unavailable"},
		{"from is no address", `<iq type='get' id='1' from='@@@/'><ping xmlns='urn:xmpp:ping'/></iq>`, ""},
		{"from is empty", `<iq type='get' id='1' from=''><ping xmlns='urn:xmpp:ping'/></iq>`, ""},
		{"to is no address", `<iq type='get' id='1' from='eve@evil.test/x' to='a@b@c'><ping xmlns='urn:xmpp:ping'/></iq>`, "error bad-request"},
		{"no id", `<iq type='get' from='eve@evil.test/x'><ping xmlns='urn:xmpp:ping'/></iq>`, ""},
		{"no payload", `<iq type='get' id='1' from='eve@evil.test/x'/>`, "error bad-request"},
		{"unknown type", `<iq type='tell' id='1' from='eve@evil.test/x'><a xmlns='b'/></iq>`, "error bad-request"},
		{"no type", `<iq id='1' from='eve@evil.test/x'><a xmlns='b'/></iq>`, "error bad-request"},
		{"stray result", `<iq type='result' id='jd-1' from='eve@evil.test/x'/>`, ""},
		{"stray error", `<iq type='error' id='jd-1' from='eve@evil.test/x'/>`, ""},
		{"message from nowhere", `<message from='///'><body>x</body></message>`, ""},
		{"presence from nowhere", `<presence from=' '/>`, ""},
		{"names that Go's parser refuses", `<iq type='set' id='1' from='eve@evil.test/x'><a:b:c xmlns:a='x'/></iq>`, "error bad-request"},
		{"prefix that is not declared", `<iq type='set' id='1' from='eve@evil.test/x'><z:a/></iq>`, "error bad-request"},
		{"attribute twice", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x' b='1' b='2'/></iq>`, "error bad-request"},
		{"tags that do not match", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x'></b></iq>`, "error bad-request"},
		{"entity that is not declared", `<message from='eve@evil.test/x'><body>&lol;</body></message>`, ""},
		{"comment", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x'/><!-- > </iq> --></iq>`, "error bad-request"},
		{"processing instruction", `<iq type='set' id='1' from='eve@evil.test/x'><?php </iq> ?><a xmlns='x'/></iq>`, "error bad-request"},
		{"CDATA that looks like an end", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x'><![CDATA[</a></iq></stream:stream>]]></a></iq>`, "error service-unavailable"},
		{"end of the stream in an attribute", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x' b='</stream:stream>' c="></iq>"/></iq>`, "error bad-request"},
		{"deep", `<iq type='set' id='1' from='eve@evil.test/x'>` + strings.Repeat("<a xmlns='x'>", 5000) + strings.Repeat("</a>", 5000) + `</iq>`, "error bad-request"},
		{"many attributes", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x'` + manyAttrs(500) + `/></iq>`, "error bad-request"},
		{"huge request", `<iq type='set' id='1' from='eve@evil.test/x'><a xmlns='x'>` + strings.Repeat("x", 300<<10) + `</a></iq>`, "error policy-violation"},
		{"huge message", `<message from='eve@evil.test/x'><body>` + strings.Repeat("&amp;", 1<<20) + `</body></message>`, ""},
		{"huge start tag", `<iq type='set' id='1' from='eve@evil.test/x' x='` + strings.Repeat("x", 300<<10) + `'><a xmlns='x'/></iq>`, ""},
		{"error without an error", `<iq type='error' id='1' from='eve@evil.test/x'></iq>`, ""},
		{"roster push of a stranger", `<iq type='set' id='1' from='eve@evil.test/x'><query xmlns='jabber:iq:roster'><item jid='eve@evil.test' subscription='both'/></query></iq>`, "error service-unavailable"},
		{"another namespace", `<iq xmlns='jabber:server' type='get' id='1' from='eve@evil.test/x'><ping xmlns='urn:xmpp:ping'/></iq>`, ""},
		{"unknown stream element", `<r xmlns='urn:xmpp:sm:3'/>`, ""},
		{"carbon of a stranger", `<message from='eve@evil.test'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bob@example.test/x' to='alice@example.test'><body>x</body></message></forwarded></received></message>`, ""},
		{"carbon with nothing in it", `<message from='alice@example.test'><sent xmlns='urn:xmpp:carbons:2'/></message>`, ""},
		{"carbon of somebody else's", `<message from='alice@example.test'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bob@example.test/x' to='eve@evil.test'/></forwarded></sent></message>`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c := mustNew(t, s.config())
				c.HandleMessage(func(m *Message) { t.Errorf("message got through: %.200s", m.Element) })
				p, stop := online(t, s, c)
				p.say("%s", tc.stanza)
				if tc.reply != "" {
					e := p.want()
					got := e.Attr("type")
					if x := e.Child(nsClient, "error"); x != nil {
						got += " " + jingle.ParseStanzaError(x).Condition
					}
					if got != tc.reply || e.Attr("to") != "eve@evil.test/x" || e.Attr("id") != "1" {
						t.Errorf("answer %s", e)
					}
				}
				p.alive()
				if len(c.Roster()) != 0 {
					t.Errorf("roster: %v", c.Roster())
				}
				stop()
			})
		})
	}
}

func manyAttrs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d='1'", i)
	}
	return b.String()
}

// TestFlood sends ten thousand requests of one peer to a handler that never answers, and checks that others get
// through and that every request is answered in the end.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10000
		s := newServer(t)
		cfg := s.config()
		cfg.Limits.Outbox = 2 * n
		cfg.Timeouts.KeepAlive = -1
		c := mustNew(t, cfg)
		held := 0
		c.HandleIQ(jingle.NS, "jingle", func(*IQ) { held++ })
		p, stop := online(t, s, c)
		answers := make(chan string, 2*n)
		var alive, late int
		readerEnd := make(chan struct{})
		go func() {
			defer close(readerEnd)
			for {
				e, err := p.element()
				if err != nil {
					return
				}
				switch {
				case e.Attr("id") == "end":
					return
				case e.Attr("id") == "alive" && e.Attr("type") == "result":
					alive++
				case e.Attr("type") == "error":
					cond := jingle.ParseStanzaError(e.Child(nsClient, "error")).Condition
					if cond == "internal-server-error" {
						late++
					}
					answers <- cond
				}
			}
		}()
		for i := range n {
			p.say("<iq type='set' id='%d' from='eve@evil.test/x%d'><jingle xmlns='urn:xmpp:jingle:1'/></iq>", i, i%100)
		}
		p.say("<iq type='get' id='alive' from='%s'><ping xmlns='urn:xmpp:ping'/></iq>", bob)
		synctest.Wait()
		if held > 1024/4 || alive != 1 {
			t.Errorf("%d requests of one peer reached the handler; %d of another's were answered", held, alive)
		}
		if got := len(answers); got != n-held {
			t.Errorf("%d of %d refused at once", got, n-held)
		}
		time.Sleep(2 * time.Minute) // Timeouts.Answer
		synctest.Wait()
		if len(answers) != n || late != held {
			t.Errorf("%d of %d answered, %d late", len(answers), n, late)
		}
		if st := c.Stats(); st.Overflow != uint64(n-held) || st.Unanswered != uint64(held) {
			t.Errorf("%+v", st)
		}
		p.say("<iq type='get' id='end' from='%s'><ping xmlns='urn:xmpp:ping'/></iq>", bob)
		<-readerEnd
		stop()
	})
}

// TestFloodOfMessages fills the inbox while a handler is stuck: the stream goes on, memory is bounded, others get in.
func TestFloodOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Limits.Inbox = 100
		c := mustNew(t, cfg)
		release := make(chan struct{})
		from := map[string]int{}
		c.HandleMessage(func(m *Message) {
			<-release
			from[m.From.Local()]++
		})
		p, stop := online(t, s, c)
		for range 1000 {
			p.say("<message from='eve@evil.test/x'><body>x</body></message>")
		}
		p.say("<message from='bob@example.test/x'><body>x</body></message>")
		synctest.Wait()
		close(release)
		synctest.Wait()
		if from["eve"] != 25 || from["bob"] != 1 {
			t.Errorf("delivered %v", from)
		}
		p.alive()
		stop()
	})
}

// TestReplySenders checks RFC 6120 section 8.1.2.1: a reply counts only from whom was asked.
func TestReplySenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		var got []string
		c.Request(bob, "get", pingElement(), 0, func(reply *xmltree.Element, err error) {
			got = append(got, fmt.Sprint(reply.Attr("who"), err))
		})
		id := p.want().Attr("id")
		if !strings.HasPrefix(id, IDPrefix) || len(id) < len(IDPrefix)+16 {
			t.Errorf("id %q", id)
		}
		for _, from := range []string{"from='eve@evil.test/x'", "from='bob@example.test'", "from='bob@example.test/other'", "", "from='example.test'", "from='alice@example.test'"} {
			p.say("<iq type='result' id='%s' %s><a xmlns='x' who='wrong'/></iq>", id, from)
		}
		p.say("<iq type='result' id='%s' from='%s'><a xmlns='x' who='right'/></iq>", id, bob)
		p.say("<iq type='result' id='%s' from='%s'><a xmlns='x' who='again'/></iq>", id, bob)
		p.alive()
		if len(got) != 1 || got[0] != "right<nil>" {
			t.Errorf("done was called with %q", got)
		}
		if n := c.Stats().Unmatched; n != 7 {
			t.Errorf("%d replies unmatched", n)
		}
		stop()
	})
}

func TestMayAnswer(t *testing.T) {
	for _, tc := range []struct {
		to, from string
		want     bool
	}{
		{"", "", true}, {"", "alice@example.test", true}, {"", "alice@example.test/phone", true}, {"", "example.test", true},
		{"", "bob@example.test", false}, {"", "alice@example.test/other", false}, {"", "evil.test", false},
		{"alice@example.test", "", true}, {"alice@example.test", "alice@example.test", true},
		{"alice@example.test", "bob@example.test", false},
		{"example.test", "example.test", true}, {"example.test", "", true}, {"example.test", "alice@example.test", false},
		{"example.test", "bob@example.test/desk", false},
		{"bob@example.test/desk", "bob@example.test/desk", true}, {"bob@example.test/desk", "bob@example.test", false},
		{"bob@example.test/desk", "", false}, {"bob@example.test", "bob@example.test/desk", false},
		{"alice@example.test/phone", "", true}, {"alice@example.test/other", "", false},
	} {
		if got := mayAnswer(jidOf(tc.to), jidOf(tc.from), phone); got != tc.want {
			t.Errorf("to %q from %q: %v", tc.to, tc.from, got)
		}
	}
}

// TestHugeReply ends the request whose reply cannot be taken, instead of letting it time out.
func TestHugeReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		var got []error
		done := func(_ *xmltree.Element, err error) { got = append(got, err) }
		c.Request(bob, "get", pingElement(), 0, done)
		p.say("<iq type='result' id='%s' from='%s'><a xmlns='x'>%s</a></iq>", p.want().Attr("id"), bob, strings.Repeat("x", 300<<10))
		c.Request(bob, "get", pingElement(), 0, done)
		p.say("<iq type='result' id='%s' from='%s'><a xmlns='x'><b:c:d/></a></iq>", p.want().Attr("id"), bob)
		p.alive()
		if len(got) != 2 || !errors.Is(got[0], ErrTooLarge) || got[1] == nil {
			t.Errorf("%v", got)
		}
		stop()
	})
}

// TestServerBreaksStream plays what only a broken or hostile server does: the connection is given up and made again.
func TestServerBreaksStream(t *testing.T) {
	for _, tc := range []struct{ name, say, text string }{
		{"text between stanzas", "hello", "connection was lost"},
		{"a second header", "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>", ""},
		{"document type", "<!DOCTYPE x []>", "connection was lost"},
		{"end tag too many", "</stream:stream>", "closed the stream"},
		{"stream error", "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", "system-shutdown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c := mustNew(t, s.config())
				var last error
				c.OnState(func(ch StateChange) {
					if ch.State == Offline {
						last = ch.Err
					}
				})
				stop := run(t, c)
				p := s.accept()
				p.login()
				p.settle("")
				if tc.text == "" {
					p.say("%s", tc.say)
					p.alive() // ignored: an element like another
					go p.goodbye()
					stop()
					return
				}
				p.trySay("%s", tc.say)
				p2 := s.accept()
				p2.login()
				p2.settle("")
				if last == nil || !strings.Contains(last.Error(), tc.text) {
					t.Errorf("offline: %v", last)
				}
				p.Close()
				go p2.goodbye()
				stop()
			})
		})
	}
}

func TestConflictIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		end := make(chan error, 1)
		go func() { end <- c.Run(t.Context()) }()
		p := s.accept()
		p.login()
		p.settle("")
		p.trySay("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		if err := <-end; !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), string(phone)) {
			t.Errorf("Run: %v", err)
		}
		p.Close()
	})
}
