package daemon

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
)

// trio are three daemons who all know each other; change is for alice, who is sent on.
func trio(t *testing.T, change func(*Config)) (srv *xmppserver.Server, alice, bob, carol *actor) {
	t.Helper()
	srv = newServer(t)
	for _, pair := range [][2]string{{"alice", "carol"}, {"bob", "carol"}} {
		if err := srv.Befriend(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	return srv, act(t, srv, "alice", change), act(t, srv, "bob", nil), act(t, srv, "carol", nil)
}

// talk has one call the other with tones, and returns the call's sid.
func talk(t *testing.T, from, to *actor, fromHz, toHz int, record string) string {
	t.Helper()
	media := func(hz int, who *actor) *jingledv1.Media {
		m := &jingledv1.Media{AudioIn: fmt.Sprintf("tone:%d", hz)}
		if record != "" {
			m.Record = filepath.Join(record, who.jid.Local()+".wav")
		}
		return m
	}
	full := jid.JID(to.accounts[0].client.JID())
	res, err := from.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: full.String(), Media: media(fromHz, from)})
	if err != nil {
		t.Fatal(err)
	}
	to.incoming()
	if _, err := to.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: res.GetSid(), Media: media(toHz, to)}); err != nil {
		t.Fatal(err)
	}
	from.connected(res.GetSid())
	to.connected(res.GetSid())
	return res.GetSid()
}

// known waits until one has learnt what another's client can do.
func known(t *testing.T, who, of *actor) {
	t.Helper()
	if _, err := who.accounts[0].client.Capabilities(t.Context(), of.accounts[0].client.JID()); err != nil {
		t.Fatal(err)
	}
}

// joined is connected, which may have been told already.
func (a *actor) joined(sid string) {
	a.t.Helper()
	a.until("the connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil && e.GetSid() == sid })
}

// over is ended, which may have been told already.
func (a *actor) over(sid string) *jingledv1.CallEnded {
	a.t.Helper()
	return a.until("the end", func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil && e.GetSid() == sid }).GetCallEnded()
}

func (a *actor) asked(sid string) *jingledv1.CallTransferAsked {
	a.t.Helper()
	return a.await("a wish", func(e *jingledv1.Event) bool { return e.GetSid() == sid && e.GetCallTransferAsked() != nil }).GetCallTransferAsked()
}

// TestUnattendedTransfer is section 2 of XEP-0251: bob sends alice on to carol.
func TestUnattendedTransfer(t *testing.T) {
	_, alice, bob, carol := trio(t, nil)
	dir := t.TempDir()
	sid := talk(t, alice, bob, 440, 700, dir)
	grows(t, filepath.Join(dir, "alice.wav.part"), 48000*2)
	known(t, bob, alice)
	if _, err := bob.TransferCall(t.Context(), &jingledv1.TransferCallRequest{Sid: sid, To: carol.jid.String()}); err != nil {
		t.Fatal(err)
	}
	if w := alice.asked(sid); w.GetTo() != carol.jid.String() || w.GetAttended() {
		t.Errorf("asked: %v", w)
	}
	res, err := alice.FollowTransfer(t.Context(), &jingledv1.FollowTransferRequest{Sid: sid})
	if err != nil {
		t.Fatal(err)
	}
	bob.await("hold", func(e *jingledv1.Event) bool { return e.GetSid() == sid && e.GetCallPeerState().GetHeld() })
	if in := carol.incoming(); in.GetSid() != res.GetSid() {
		t.Errorf("carol: %v", in)
	}
	record := filepath.Join(dir, "carol.wav")
	if _, err := carol.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: res.GetSid(),
		Media: &jingledv1.Media{AudioIn: "tone:1000", Record: record}}); err != nil {
		t.Fatal(err)
	}
	if e := alice.ended(sid); e.GetReason() != "success" || e.GetSuccessor() != res.GetSid() || e.GetByPeer() {
		t.Errorf("alice: %v", e)
	}
	if e := bob.over(sid); e.GetReason() != "success" || e.GetTransferredTo() != carol.jid.String() || !e.GetByPeer() {
		t.Errorf("bob: %v", e)
	}
	alice.joined(res.GetSid())
	carol.joined(res.GetSid())
	grows(t, record+".part", 48000*2)
	alice.hangUp(res.GetSid(), "")
	carol.over(res.GetSid())
	alice.over(res.GetSid())
	if s := share(t, record, 440); s < 0.9 {
		t.Errorf("carol hears alice: %.2f", s)
	}
	if s := share(t, filepath.Join(dir, "alice-transferred.wav"), 1000); s < 0.9 {
		t.Errorf("alice hears carol: %.2f", s)
	}
	if s := share(t, filepath.Join(dir, "alice.wav"), 700); s < 0.9 {
		t.Errorf("alice has heard bob: %.2f", s)
	}
}

// TestAttendedTransfer is section 3: bob talks with both and puts them through; carol is not asked again.
func TestAttendedTransfer(t *testing.T) {
	_, alice, bob, carol := trio(t, func(c *Config) { c.Accounts[0].Transfers = FollowContacts })
	dir := t.TempDir()
	first := talk(t, alice, bob, 440, 700, "")
	second := talk(t, bob, carol, 800, 1000, dir)
	if _, err := bob.TransferCall(t.Context(), &jingledv1.TransferCallRequest{Sid: first, With: second}); err != nil {
		t.Fatal(err)
	}
	e := alice.ended(first)
	if e.GetReason() != "success" || e.GetSuccessor() == "" {
		t.Fatalf("alice: %v", e)
	}
	if c := carol.ended(second); c.GetSuccessor() != e.GetSuccessor() || c.GetByPeer() {
		t.Errorf("carol: %v", c)
	}
	for _, sid := range []string{first, second} {
		if e := bob.over(sid); e.GetReason() != "success" || !e.GetByPeer() || sid == first && e.GetTransferredTo() == "" {
			t.Errorf("bob: %v", e)
		}
	}
	alice.joined(e.GetSuccessor())
	carol.joined(e.GetSuccessor())
	record := filepath.Join(dir, "carol-transferred.wav")
	grows(t, record+".part", 48000*2)
	carol.hangUp(e.GetSuccessor(), "")
	alice.over(e.GetSuccessor())
	carol.over(e.GetSuccessor())
	if s := share(t, record, 440); s < 0.9 {
		t.Errorf("carol hears alice: %.2f", s)
	}
}

// TestTransferFails has what does not go; the call goes on each time.
func TestTransferFails(t *testing.T) {
	_, alice, bob, carol := trio(t, nil)
	sid := talk(t, alice, bob, 440, 700, "")
	ask := func(to string) {
		t.Helper()
		if _, err := bob.TransferCall(t.Context(), &jingledv1.TransferCallRequest{Sid: sid, To: to}); err != nil {
			t.Fatal(err)
		}
		alice.asked(sid)
		if _, err := alice.FollowTransfer(t.Context(), &jingledv1.FollowTransferRequest{Sid: sid}); err != nil {
			t.Fatal(err)
		}
	}
	ask(carol.jid.String())
	carol.hangUp(carol.incoming().GetSid(), "busy")
	e := alice.await("failure", func(e *jingledv1.Event) bool { return e.GetSid() == sid && e.GetCallTransferFailed() != nil })
	if text := e.GetCallTransferFailed().GetText(); !strings.Contains(text, "another call") {
		t.Errorf("alice hears: %q", text)
	}
	bob.await("speaking again", func(e *jingledv1.Event) bool {
		return e.GetSid() == sid && e.GetCallPeerState() != nil && !e.GetCallPeerState().GetHeld()
	})
	for name, c := range map[string]struct {
		req  *jingledv1.TransferCallRequest
		code connect.Code
	}{
		"to the peer itself":    {&jingledv1.TransferCallRequest{Sid: sid, To: alice.jid.String()}, connect.CodeInvalidArgument},
		"to nobody":             {&jingledv1.TransferCallRequest{Sid: sid, To: "@"}, connect.CodeInvalidArgument},
		"to a call of no one":   {&jingledv1.TransferCallRequest{Sid: sid, With: "x"}, connect.CodeNotFound},
		"to the very same call": {&jingledv1.TransferCallRequest{Sid: sid, With: sid}, connect.CodeFailedPrecondition},
		"of no call":            {&jingledv1.TransferCallRequest{Sid: "x", To: carol.jid.String()}, connect.CodeNotFound},
	} {
		if _, err := bob.TransferCall(t.Context(), c.req); connect.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := alice.FollowTransfer(t.Context(), &jingledv1.FollowTransferRequest{Sid: sid}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("nobody has asked: %v", err)
	}
	alice.hangUp(sid, "")
	bob.over(sid)
	alice.over(sid)
}

// TestTransferRefused has somebody who does not want to be sent on.
func TestTransferRefused(t *testing.T) {
	_, alice, bob, carol := trio(t, func(c *Config) { c.Accounts[0].Transfers = NoTransfers })
	sid := talk(t, alice, bob, 440, 700, "")
	if _, err := bob.TransferCall(t.Context(), &jingledv1.TransferCallRequest{Sid: sid, To: carol.jid.String()}); err != nil {
		t.Fatal(err)
	}
	e := bob.await("a refusal", func(e *jingledv1.Event) bool { return e.GetCallTransferFailed() != nil })
	if text := e.GetCallTransferFailed().GetText(); !strings.Contains(text, "not transferred here") {
		t.Errorf("bob hears: %q", text)
	}
	bob.hangUp(sid, "")
	alice.over(sid)
	bob.over(sid)
}
