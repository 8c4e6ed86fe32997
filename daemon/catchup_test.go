package daemon_test

import (
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
)

// TestNoGhostsFromOfflineStorage calls somebody who is not there. What was withdrawn before they come does not ring, not
// even for a moment; what still stands does.
func TestNoGhostsFromOfflineStorage(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		alice, bob := s.AddUser(t, "alice", "pw"), s.AddUser(t, "bob", "pw")
		s.Befriend(t, "alice", "bob")
		a := atHome(t, alice, s.Addr, s.Pool(), nil)
		call := func() string {
			t.Helper()
			res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob})
			if err != nil {
				t.Fatal(err)
			}
			return res.GetSid()
		}
		withdrawn := call()
		if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: withdrawn}); err != nil {
			t.Fatal(err)
		}
		standing := call()
		// With the answer to this the server has stored what came before it.
		if _, err := a.UpdateContact(t.Context(), &jingledv1.UpdateContactRequest{Jid: bob, Name: &bob}); err != nil {
			t.Fatal(err)
		}

		b := atHome(t, bob, s.Addr, s.Pool(), nil)
		b.since(t, "a call", standing, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
		if _, err := b.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: standing}); err != nil {
			t.Fatal(err)
		}
		a.since(t, "the refusal", standing, func(e *jingledv1.Event) bool { return e.GetCallEnded().GetReason() == "decline" })
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.all {
			if e.GetSid() == withdrawn {
				t.Errorf("of the call that was withdrawn came %v", e)
			}
		}
	})
}
