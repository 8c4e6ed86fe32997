package xmpp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// TestMaxStanzaOfProsody sends the largest stanza that a Prosody of 20,000 bytes takes, which ends the stream for more. Debian's
// tells nobody, so a module does, as the next version of it.
func TestMaxStanzaOfProsody(t *testing.T) {
	s := testkit.ProsodyWith(t, testkit.ProsodyConfig{Global: "c2s_stanza_size_limit = 20000\n", Modules: []string{"tell_limits"},
		Plugins: map[string]string{"tell_limits": `
module:hook("stream-features", function (event)
	event.features:tag("limits", { xmlns = "urn:xmpp:stream-limits:0" })
		:text_tag("max-bytes", event.origin.username and "20000" or "10000"):up();
end);
`}})
	user := jid.MustParse(s.AddUser(t, "alice", "secret"))
	for _, way := range ways(s) {
		t.Run(way.name, func(t *testing.T) {
			cfg := account(s, user, "phone")
			way.configure(&cfg)
			got, states := make(chan string, 10), make(chan xmpp.StateChange, 10)
			c := start(t, cfg, func(c *xmpp.Client) {
				bodies(got)(c)
				c.OnState(func(s xmpp.StateChange) { states <- s })
			})
			most := c.MaxStanza()
			if most > 20000 || most < 19900 {
				t.Fatalf("the largest stanza is of %d bytes", most)
			}
			room := most - len(chat(c.JID(), "x").AppendXML(nil, "jabber:client")) + 1
			if err := c.Send(chat(c.JID(), strings.Repeat("x", room+1))); !errors.Is(err, xmpp.ErrTooLarge) {
				t.Errorf("a byte more: %v", err)
			}
			if err := c.Send(chat(c.JID(), strings.Repeat("y", room))); err != nil {
				t.Fatal(err)
			}
			if b := wait(t, "the large message", got); len(b) != room || b[0] != 'y' {
				t.Errorf("%d bytes came, and not %d", len(b), room)
			}
			for len(states) > 0 {
				if s := <-states; s.State == xmpp.Offline {
					t.Errorf("the stream was lost: %v", s.Err)
				}
			}
		})
	}
}
