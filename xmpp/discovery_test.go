package xmpp

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

func TestOwnDisco(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Features = []string{"urn:xmpp:jingle:1", "urn:xmpp:ping", "urn:ietf:rfc:3264"}
		c := mustNew(t, cfg)
		stop := run(t, c)
		p := s.accept()
		p.login()
		ours, ok := caps.Find(p.settle(""))
		if !ok || ours.Hash != "sha-1" || ours.Node != defaultCapsNode {
			t.Fatalf("%+v", ours)
		}
		ask := func(payload string) *xmltree.Element {
			p.say("<iq type='get' id='1' from='%s' to='%s'>%s</iq>", bob, phone, payload)
			return p.want()
		}
		for _, node := range []string{"", " node='" + ours.QueryNode() + "'"} {
			info, err := disco.ParseInfo(ask("<query xmlns='" + disco.NSInfo + "'" + node + "/>").First())
			if err != nil || !info.Has(cfg.Features...) || !info.Has(disco.NSInfo, caps.NS) || !info.IsClient() {
				t.Errorf("%+v, %v", info, err)
			}
			if err := caps.Verify(info, ours); err != nil {
				t.Errorf("our own hash does not verify: %v", err)
			}
		}
		if e := ask("<query xmlns='" + disco.NSInfo + "' node='else'/>"); e.Attr("type") != "error" {
			t.Errorf("%s", e)
		}
		if e := ask("<query xmlns='" + disco.NSItems + "'/>"); e.Attr("type") != "result" {
			t.Errorf("%s", e)
		}
		go p.goodbye()
		stop()
	})
}

// TestCapabilities checks that an entity is asked once for all that have the same hash, and each on its own where the
// hash is not proven.
func TestCapabilities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		dino := &disco.Info{Identities: []disco.Identity{{Category: "client", Type: "phone", Name: "Dino"}}, Features: []string{"urn:xmpp:jingle:1"}}
		ver, err := caps.Ver(dino, "sha-1")
		if err != nil {
			t.Fatal(err)
		}
		proven := caps.Caps{Node: "https://dino.im", Ver: ver, Hash: "sha-1"}
		evil := &disco.Info{Features: []string{"urn:xmpp:jingle:1", "evil"}}
		appear := func(j jid.JID, k caps.Caps) {
			x := ""
			if k.Ver != "" {
				x = k.Element().String()
			}
			p.say("<presence from='%s'>%s</presence>", j, x)
			p.alive()
		}
		type result struct {
			caps Capabilities
			err  error
		}
		// ask calls Capabilities and answers what the client asks, which must be `want` questions.
		ask := func(j jid.JID, want int, answers ...*disco.Info) Capabilities {
			t.Helper()
			done := make(chan result, 1)
			go func() {
				k, err := c.Capabilities(t.Context(), j)
				done <- result{k, err}
			}()
			for range want {
				q := p.want()
				if q.Attr("to") != j.String() || q.First() == nil || !q.First().Is(disco.NSInfo, "query") {
					t.Errorf("asked %s", q)
				}
				if len(answers) == 0 || answers[0] == nil {
					p.say("<iq type='error' id='%s' from='%s'>%s</iq>", q.Attr("id"), j, stanzaError("cancel", "item-not-found", "").Element(nsClient))
				} else {
					a := *answers[0]
					a.Node = q.First().Attr("node")
					p.say("<iq type='result' id='%s' from='%s'>%s</iq>", q.Attr("id"), j, a.Element())
				}
				if len(answers) > 0 {
					answers = answers[1:]
				}
			}
			r := <-done
			if r.err != nil {
				t.Errorf("%s: %v", j, r.err)
			}
			return r.caps
		}
		// Eve says that she has Dino's hash and gives another answer. It is taken as hers and nobody else's.
		appear("eve@evil.test/x", proven)
		if k := ask("eve@evil.test/x", 1, evil); !k.Has("evil") {
			t.Errorf("%+v", k.Info)
		}
		ask("eve@evil.test/x", 0)
		appear("bob@example.test/desk", proven)
		if k := ask("bob@example.test/desk", 1, dino); !k.Has("urn:xmpp:jingle:1") || k.Has("evil") || k.Caps.Node != "https://dino.im" {
			t.Errorf("%+v", k)
		}
		appear("carol@example.test/y", proven)
		if k := ask("carol@example.test/y", 0); !k.Has("urn:xmpp:jingle:1") || k.Has("evil") {
			t.Errorf("%+v", k)
		}
		// Without a hash, and with one that nobody knows, each is asked; a change of presence makes it be asked again.
		appear("old@example.test/z", caps.Caps{})
		ask("old@example.test/z", 1, dino)
		ask("old@example.test/z", 0)
		appear("old@example.test/z", caps.Caps{Node: "n", Ver: "x", Hash: "md5"})
		if k := ask("old@example.test/z", 1, evil); !k.Has("evil") {
			t.Errorf("%+v", k.Info)
		}
		// A client that does not know its own node is asked without it.
		appear("odd@example.test/z", caps.Caps{Node: "n", Ver: "y", Hash: "sha-1"})
		if k := ask("odd@example.test/z", 2, nil, dino); !k.Has("urn:xmpp:jingle:1") {
			t.Errorf("%+v", k.Info)
		}
		// A server has no presence and is asked each time.
		ask("example.test", 1, dino)
		stop()
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		for _, tc := range []struct {
			to     jid.JID
			answer string
			alive  bool
		}{
			{"", "<iq type='result' id='%s' from='%s'/>", true},
			{"", "<iq type='error' id='%s' from='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", true},
			{bob, "<iq type='error' id='%s' from='%s'><error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", true},
			// A server says this for a resource that is not there.
			{bob, "<iq type='error' id='%s' from='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", false},
		} {
			end := make(chan error)
			go func() { end <- c.Ping(t.Context(), tc.to) }()
			q := p.want()
			p.say(tc.answer, q.Attr("id"), q.Attr("to"))
			if err := <-end; (err == nil) != tc.alive {
				t.Errorf("%q: %v", tc.to, err)
			}
		}
		stop()
	})
}

func TestExternalServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		done := make(chan error, 1)
		go func() {
			got, err := c.ExternalServices(t.Context(), "", "")
			if len(got) != 3 || got[0].Type != "stun" || got[1].Password != "pw" || got[2].Username != "asked" || got[2].Port != 3479 {
				t.Errorf("%+v", got)
			}
			done <- err
		}()
		q := p.want()
		if q.Attr("to") != "example.test" || !q.First().Is("urn:xmpp:extdisco:2", "services") {
			t.Errorf("%s", q)
		}
		p.say(`<iq type='result' id='%s' from='example.test'><services xmlns='urn:xmpp:extdisco:2'>
			<service type='stun' host='stun.test' port='3478'/><service type='turn' host='turn.test' username='u' password='pw' restricted='1'/>
			<service type='turn' host='secret.test' port='3479' restricted='true'/><service type='turn' host='denied.test' restricted='true'/>
			<service type='turn'/></services></iq>`, q.Attr("id"))
		q = p.want()
		if q.First().Name.Local != "credentials" || q.First().First().Attr("host") != "secret.test" {
			t.Errorf("%s", q)
		}
		p.say(`<iq type='result' id='%s' from='example.test'><credentials xmlns='urn:xmpp:extdisco:2'><service type='turn' host='secret.test' port='3479' username='asked' password='for'/></credentials></iq>`, q.Attr("id"))
		q = p.want()
		p.say(`<iq type='error' id='%s' from='example.test'><error type='auth'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`, q.Attr("id"))
		if err := <-done; err != nil {
			t.Error(err)
		}
		go func() {
			_, err := c.ExternalServices(t.Context(), "", "stun")
			done <- err
		}()
		p.say(`<iq type='error' id='%s' from='example.test'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`, p.want().Attr("id"))
		var e *jingle.StanzaError
		if err := <-done; !errors.As(err, &e) {
			t.Errorf("%v", err)
		}
		stop()
	})
}
