package daemon

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle"
)

// TestEveryEndHasASentence has each reason of XEP-0166 section 7.4, by either side.
func TestEveryEndHasASentence(t *testing.T) {
	for _, r := range []jingle.Condition{jingle.AlternativeSession, jingle.Busy, jingle.Cancel, jingle.ConnectivityError, jingle.Decline,
		jingle.Expired, jingle.FailedApplication, jingle.FailedTransport, jingle.GeneralError, jingle.Gone, jingle.IncompatibleParameters,
		jingle.MediaError, jingle.SecurityError, jingle.Timeout, jingle.UnsupportedApplications, jingle.UnsupportedTransports, "failed_application"} {
		for _, byPeer := range []bool{true, false} {
			text := (&call{}).sentence(&jingledv1.CallEnded{Reason: string(r), ByPeer: byPeer})
			if !strings.HasSuffix(text, ".") || strings.Contains(text, "-") {
				t.Errorf("%s, by the peer: %v: %q", r, byPeer, text)
			}
		}
	}
	if text := (&call{}).sentence(&jingledv1.CallEnded{Reason: "success"}); text != "" {
		t.Errorf("a conversation is explained: %q", text)
	}
}

// TestFailuresAreTold has what a user can do nothing about, and the sentences for both sides.
func TestFailuresAreTold(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	for reason, c := range map[string]struct{ caller, callee string }{
		"busy":    {"The other side is in another call.", "in another call"},
		"decline": {"The other side does not want the call.", "does not want"},
	} {
		sid := alice.call(bob.jid)
		bob.incoming()
		bob.hangUp(sid, reason)
		if e := alice.ended(sid); e.GetReason() != reason || e.GetText() != c.caller || !e.GetByPeer() {
			t.Errorf("%s: the caller hears %v", reason, e)
		}
		if e := bob.ended(sid); !strings.Contains(e.GetText(), c.callee) {
			t.Errorf("%s: the callee hears %v", reason, e)
		}
	}
	sid := alice.call(bob.jid)
	bob.incoming()
	alice.hangUp(sid, "")
	if e := bob.ended(sid); e.GetReason() != "cancel" || e.GetText() != "They have given up." {
		t.Errorf("given up: %v", e)
	}
	if e := alice.ended(sid); e.GetText() != "We have given up before they answered." {
		t.Errorf("given up: %v", e)
	}
	// A device that is not there: the server says so.
	sid = alice.call(bob.jid + "/nowhere")
	if e := alice.ended(sid); e.GetReason() == "success" || e.GetText() == "" {
		t.Errorf("not there: %v", e)
	}
	if _, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "@"}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("nobody: %v", err)
	}
}
