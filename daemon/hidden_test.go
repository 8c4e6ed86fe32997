package daemon

import (
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// Who answers with relays only is hidden also where the caller has begun with a session, for which addresses are gathered while it
// rings: without a relay there is no call.
func TestAnswerByRelayHidesAddresses(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	sid := alice.call(bob.accounts[0].client.JID())
	bob.incoming()
	if _, err := bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{
		Account: string(bob.jid), Sid: sid, Media: &jingledv1.Media{Ice: jingledv1.IcePolicy_ICE_POLICY_RELAY},
	}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*actor{alice, bob} {
		if e := a.ended(sid); e.GetReason() != "connectivity-error" || e.GetWasConnected() || !strings.Contains(e.GetText(), "relay") {
			t.Errorf("it ended with %v", e)
		}
	}
	alice.idle()
	bob.idle()
}
