package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// openTunnel opens one and returns what comes out of it. end closes it and returns what OpenTunnel returned.
func openTunnel(t *testing.T, d *daemon.Daemon, jid string) (messages chan *jingledv1.OpenTunnelResponse, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	messages = make(chan *jingledv1.OpenTunnelResponse, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- d.OpenTunnel(ctx, &jingledv1.OpenTunnelRequest{Jid: jid}, func(m *jingledv1.OpenTunnelResponse) error {
			messages <- m
			return nil
		})
		close(messages)
	}()
	return messages, func() error { cancel(); return <-ended }
}

// TestTunnelLifetime has an account for as long as its tunnel is open.
func TestTunnelLifetime(t *testing.T) {
	d := idle(t)
	none := func(*jingledv1.OpenTunnelResponse) error { return nil }
	if err := d.OpenTunnel(t.Context(), &jingledv1.OpenTunnelRequest{Jid: "carol@x.test/desk"}, none); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("before Run: %v", err)
	}
	d, err := daemon.New(daemon.Config{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	// Run may not have begun yet.
	var messages chan *jingledv1.OpenTunnelResponse
	var end func() error
	var first *jingledv1.OpenTunnelResponse
	for first == nil {
		messages, end = openTunnel(t, d, "carol@x.test/desk")
		first = <-messages
	}
	ready := first.GetReady()
	if ready.GetTunnel() == "" || !strings.Contains(strings.Join(ready.GetFeatures(), " "), "urn:xmpp:jingle:1") ||
		!strings.Contains(strings.Join(ready.GetRequests(), " "), "urn:xmpp:jingle:1") {
		t.Errorf("ready: %v", ready)
	}
	accounts := func() int {
		res, err := d.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(res.GetAccounts())
	}
	if n := accounts(); n != 1 {
		t.Errorf("%d accounts", n)
	}
	for _, c := range []struct {
		jid  string
		code connect.Code
	}{{"carol@x.test/other", connect.CodeAlreadyExists}, {"carol@x.test", connect.CodeInvalidArgument}, {"@", connect.CodeInvalidArgument}} {
		if err := d.OpenTunnel(t.Context(), &jingledv1.OpenTunnelRequest{Jid: c.jid}, none); connect.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %v", c.jid, err, c.code)
		}
	}
	push := func(tunnel string, stanzas ...string) error {
		_, err := d.PushStanzas(t.Context(), &jingledv1.PushStanzasRequest{Tunnel: tunnel, Stanzas: stanzas})
		return err
	}
	if err := push("guess", "<presence/>"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("another's tunnel: %v", err)
	}
	if err := push(ready.GetTunnel(), "<nonsense/>"); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("no stanza: %v", err)
	}
	// A stranger's session is refused, through the tunnel.
	if err := push(ready.GetTunnel(), `<iq type="set" id="i1" from="mallory@x.test/m"><jingle xmlns="urn:xmpp:jingle:1" action="session-info" sid="s"/></iq>`); err != nil {
		t.Fatal(err)
	}
	for m := range messages {
		if s := m.GetStanza(); strings.Contains(s, `id="i1"`) {
			if !strings.Contains(s, "<iq xmlns=\"jabber:client\"") || !strings.Contains(s, `to="mallory@x.test/m"`) || !strings.Contains(s, `type="error"`) {
				t.Errorf("the answer: %s", s)
			}
			break
		}
	}
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Errorf("the end: %v", err)
	}
	if n := accounts(); n != 0 {
		t.Errorf("%d accounts after the end", n)
	}
	if err := push(ready.GetTunnel(), "<presence/>"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("after the end: %v", err)
	}
	// The end of the daemon is the end of its tunnels.
	messages, end = openTunnel(t, d, "carol@x.test/desk")
	if (<-messages).GetReady() == nil {
		t.Error("not ready again")
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	for range messages {
	}
	if err := end(); err != nil {
		t.Errorf("at the daemon's end: %v", err)
	}
}
