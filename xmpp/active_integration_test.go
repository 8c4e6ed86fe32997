package xmpp_test

import (
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// TestInactive has servers hold presence back from a device that nobody uses, until somebody does.
func TestInactive(t *testing.T) {
	launch := map[testkit.Kind]func(*testing.T) *testkit.Server{
		testkit.KindProsody: func(t *testing.T) *testkit.Server {
			return testkit.ProsodyWith(t, testkit.ProsodyConfig{Modules: []string{"csi_simple"}})
		},
		testkit.KindEjabberd: func(t *testing.T) *testkit.Server { return testkit.SharedServer(t, testkit.KindEjabberd) },
	}
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			s := launch[kind](t)
			aliceJID, bobJID := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
			s.Befriend(t, "alice", "bob")
			idle, used := watch(t, account(s, aliceJID, "idle")), watch(t, account(s, aliceJID, "used"))
			bob := watch(t, account(s, bobJID, "desk"))
			shows := func(w *watcher, want string) {
				t.Helper()
				for {
					if r, ok := w.Resource(bobJID + "/desk"); ok && r.Show == want {
						return
					}
					wait(t, "presence of bob", w.presence)
				}
			}
			shows(idle, "")
			shows(used, "")
			idle.SetActive(false)
			check(t, idle.Ping(t.Context(), "")) // then the server knows
			check(t, bob.SetPresence(xmpp.Presence{Show: "dnd"}))
			shows(used, "dnd")
			// When it sends what it holds back is the server's business; but at the latest now.
			r, _ := idle.Resource(bobJID + "/desk")
			t.Logf("held back: %v", r.Show != "dnd")
			idle.SetActive(true)
			shows(idle, "dnd")
		})
	}
}
