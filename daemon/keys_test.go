package daemon_test

import (
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// What was pressed in a call stands in its history, in both directions.
func TestKeysAreKept(t *testing.T) {
	srv := friends(t)
	dir := t.TempDir()
	a, b := login(t, srv, "alice", func(c *daemon.Config) { c.StateDir = dir }), login(t, srv, "bob", nil)
	res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String()})
	if err != nil {
		t.Fatal(err)
	}
	sid := res.GetSid()
	await(t, b, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	if _, err := b.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		await(t, p, func(e *jingledv1.Event) bool {
			if c := e.GetCallConnected(); c != nil && c.GetEncryption() != "dtls" {
				t.Errorf("connected: %v", c)
			}
			return e.GetCallConnected() != nil
		})
	}
	for _, x := range []struct {
		from, to *peer
		digits   string
		last     string
	}{{a, b, "1,2-#", "#"}, {b, a, "d0", "0"}} {
		if _, err := x.from.SendDtmf(t.Context(), &jingledv1.SendDtmfRequest{Sid: sid, Digits: x.digits}); err != nil {
			t.Fatal(err)
		}
		await(t, x.to, func(e *jingledv1.Event) bool { return e.GetCallDtmf().GetDigit() == x.last })
	}
	if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid}); err != nil {
		t.Fatal(err)
	}
	await(t, a, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })
	got, err := a.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{})
	if err != nil || len(got.GetEntries()) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if c := got.GetEntries()[0].GetCall(); c.GetKeysSent() != "12#" || c.GetKeysReceived() != "D0" {
		t.Errorf("the call: %v", c)
	}
}
