package s5b_test

import (
	"net/netip"
	"testing"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// TestAssisted offers what a router lets in, between direct candidates and proxies.
func TestAssisted(t *testing.T) {
	l := listener(t, s5b.ListenerConfig{Addr: "127.0.0.1:0"})
	f := s5b.NewFactory(s5b.Config{Listener: l})
	offer := func() []s5b.Candidate {
		tr, err := f.New(engine.TransportConfig{SID: "x", Local: "a@b/c", Peer: "d@e/f", Role: jingle.Initiator, Offerer: true})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		p, err := tr.Offer()
		if err != nil {
			t.Fatal(err)
		}
		return p.(s5b.Transport).Candidates
	}
	if n := len(offer()); n != 1 {
		t.Errorf("%d candidates", n)
	}
	l.SetMapped(netip.MustParseAddrPort("203.0.113.7:7777"))
	cs := offer()
	if len(cs) != 2 || cs[1].Type != s5b.Assisted || cs[1].Host != "203.0.113.7" || cs[1].Port != 7777 || cs[1].JID != "a@b/c" ||
		cs[1].Priority >= cs[0].Priority || cs[1].Priority>>16 != 120 || l.Port() == 0 {
		t.Errorf("%+v", cs)
	}
	l.SetMapped(netip.AddrPort{})
	if n := len(offer()); n != 1 {
		t.Errorf("%d candidates after the mapping is gone", n)
	}
}
