package xmpp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
)

// TestSASL2 logs in by XEP-0388 with the password, then with a token (XEP-0484), with a resource of ours and with one that
// comes with the login (XEP-0386).
func TestSASL2(t *testing.T) {
	s := testkit.ProsodySASL2(t)
	for _, tc := range []struct {
		name  string
		bind2 bool
		web   bool
	}{{"legacy binding", false, false}, {"Bind 2", true, false}, {"WebSocket", true, true}} {
		t.Run(tc.name, func(t *testing.T) {
			alice := jid.MustParse(s.AddUser(t, strings.ReplaceAll(strings.ToLower(tc.name), " ", "-"), "secret"))
			var log logLines
			store := &kept{}
			cfg := account(s, alice, "phone")
			cfg.Bind2, cfg.Tokens, cfg.Logger, cfg.InstallID = tc.bind2, store, log.logger(), "d4565fa7-4d72-4749-b3d3-740edbf87770"
			if tc.web {
				// As a reverse proxy has it, whose TLS is not the server's: nothing can be bound to it.
				front, ca := front(t, s, "127.0.0.1", "", "")
				pool, err := xmpp.ParseCA(ca)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Connect, cfg.TLS, cfg.RootCAs = "wss://"+front.Listener.Addr().String()+"/xmpp-websocket", xmpp.TLSAuto, pool
			}
			mine := make(chan *xmpp.Message, 10)
			login := func(resource, mechanism string) *xmpp.Client {
				t.Helper()
				cfg.Resource = resource
				c := start(t, cfg, func(c *xmpp.Client) { c.HandleMessage(func(m *xmpp.Message) { mine <- m }) })
				if err := c.Ping(t.Context(), ""); err != nil {
					t.Error(err)
				}
				if !log.has("logged in", "mechanism="+mechanism, c.JID().Resource()) {
					t.Errorf("not by %s:\n%s", mechanism, log.String())
				}
				if !strings.HasPrefix(c.JID().Resource(), resource) || !tc.bind2 && c.JID().Resource() != resource {
					t.Errorf("bound as %s", c.JID())
				}
				return c
			}
			first := login("one", "SCRAM-SHA-256")
			if store.t.Mechanism == "" || store.t.Secret == "" || time.Until(store.t.Expires) < time.Hour {
				t.Fatalf("the token is %+v", store.t)
			}
			t.Logf("a token for %s until %v", store.t.Mechanism, store.t.Expires)
			cfg.Password = func() (string, error) { t.Error("the password was asked for"); return "", nil }
			login("two", store.t.Mechanism)
			// Carbons are on, however they were switched on.
			if err := first.Send(chat(alice+"/nobody", "x")); err != nil {
				t.Fatal(err)
			}
			for m := wait(t, "copy", mine); m.Kind != carbons.Sent; {
				m = wait(t, "copy", mine)
			}

			// A token that the server does not know costs another attempt, not the login.
			store.t.Secret = "nonsense"
			cfg.Password = password("secret")
			login("three", "SCRAM-SHA-256")
			if store.t.Secret == "nonsense" || store.t.Secret == "" {
				t.Error("there is no new token")
			}
		})
	}
}

// kept keeps a token.
type kept struct{ t xmpp.Token }

func (k *kept) Token() xmpp.Token { return k.t }
func (k *kept) Keep(t xmpp.Token) { k.t = t }

// TestResumeWithSASL2 cuts connections as TestResumeWithProsody does; the stream is resumed along with the login.
func TestResumeWithSASL2(t *testing.T) {
	s := testkit.ProsodySASL2(t)
	for _, bind2 := range []bool{false, true} {
		var log logLines
		resumes(t, s, 4, func(c *xmpp.Config) { c.Bind2, c.Logger = bind2, log.logger() })
		if !log.has("logged in", "resumed=true", "mechanism=HT-SHA-256") {
			t.Errorf("no stream was resumed with a token:\n%s", log.String())
		}
	}
}
