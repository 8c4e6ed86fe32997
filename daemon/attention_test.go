package daemon

import (
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// TestAttention follows what the XMPP server is told about whether anybody uses the account.
func TestAttention(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", func(c *Config) { c.IdleAfter = 50 * time.Millisecond }), act(t, srv, "bob", nil)
	client := alice.accounts[0].client
	is := func(when string, active bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); client.Active() != active; time.Sleep(time.Millisecond) { // it is told nowhere
			if time.Now().After(end) {
				t.Fatalf("%s: active: %v", when, !active)
			}
		}
	}
	is("somebody reads events", true)
	alice.sub.Close()
	is("nobody is there", false)
	sid := alice.call("bob@example.test")
	is("a call", true)
	bob.incoming()
	bob.answer(sid)
	bob.connected(sid)
	time.Sleep(100 * time.Millisecond) // longer than IdleAfter
	is("the call goes on", true)
	bob.hangUp(sid, "")
	is("after the call", false)
	var err error
	if alice.sub, err = alice.Subscribe(0); err != nil {
		t.Fatal(err)
	}
	is("somebody reads events again", true)
	if _, err := bob.ListCalls(t.Context(), &jingledv1.ListCallsRequest{}); err != nil {
		t.Fatal(err)
	}
}
