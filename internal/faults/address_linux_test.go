package faults

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// TestAddressChanges gives the machine another address in place of the one that a call and a file go by: both go on by the new one.
func TestAddressChanges(t *testing.T) {
	t.Parallel() // most of it is waiting
	if !testkit.InNetwork(t) {
		return
	}
	ip := func(line string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "secret", "juliet": "secret"}})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	dns := testkit.NewDNS(t)
	dns.Host("xmpp.example.test", netip.MustParseAddr("127.0.0.1"))
	// The server is known by a name: who is at one on this machine may be on it, too, and is spoken to by the loopback.
	away := func(c *daemon.Config) {
		_, port, err := net.SplitHostPort(c.Accounts[0].Connect)
		if err != nil {
			t.Fatal(err)
		}
		c.Accounts[0].Connect, c.Accounts[0].Resolver = net.JoinHostPort("xmpp.example.test", port), dns.Resolver()
		c.Loopback, c.UploadLimit = false, 200_000
	}
	at := &testkit.Server{Domain: srv.Domain(), Addr: srv.Addr(), CA: srv.CA()}
	a, b := stay(t, at, "romeo", away), stay(t, at, "juliet", away)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.after(0, sid, "the connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	if err != nil {
		t.Fatal(err)
	}
	if pair := e.GetCallConnected().GetCandidatePair(); !strings.Contains(pair.GetLocal(), testkit.NetworkAddress) {
		t.Fatalf("the path is %v", pair)
	}
	path, hash := file(t, t.TempDir(), 2_000_000)
	res, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path, Via: jingledv1.Via_VIA_S5B})
	if err != nil {
		t.Fatal(err)
	}
	moves := func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() > 0 }
	if _, err := b.after(0, res.GetSid(), "a part of the file", moves); err != nil {
		t.Fatal(err)
	}
	ip("addr add 10.98.0.1/24 dev lan")
	ip("addr del " + testkit.NetworkAddress + "/24 dev lan")
	if e, err := a.after(0, res.GetSid(), "the interruption", func(e *jingledv1.Event) bool { return e.GetTransferInterrupted() != nil }); err != nil {
		t.Error(err)
	} else if i := e.GetTransferInterrupted(); i.GetReason() != "connectivity-error" {
		t.Errorf("interrupted by %v", i)
	}
	for _, p := range []*person{a, b} {
		if err := p.heard(sid); err != nil {
			t.Error(err)
		}
	}
	if err := sent(b, path, hash); err != nil {
		t.Error(err)
	}
	if err := hangUp(a, b, sid); err != nil {
		t.Error(err)
	}
}
