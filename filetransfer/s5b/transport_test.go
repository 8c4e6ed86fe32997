package s5b_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// host is the session of one side: a goroutine that runs what is posted.
type host struct {
	t         *testing.T
	tr        engine.Transport
	peer      *host
	work      chan func()
	quit      chan struct{}
	connected chan io.ReadWriteCloser
	failed    chan error
}

func (h *host) run() {
	for {
		select {
		case f := <-h.work:
			f()
		case <-h.quit:
			return
		}
	}
}

func (h *host) Post(f func()) {
	select {
	case h.work <- f:
	case <-h.quit:
	}
}

func (h *host) SendInfo(p jingle.Payload) {
	// Over the wire as XML, so that what is written is what is read.
	q, err := s5b.Parse(p.Element())
	if err != nil {
		h.t.Errorf("a transport-info that nobody can read: %v", err)
		return
	}
	h.peer.Post(func() { _ = h.peer.tr.Info(q) })
}

func (h *host) Connected(c io.ReadWriteCloser) { h.connected <- c }
func (h *host) Failed(err error)               { h.failed <- err }

// pair negotiates between two factories up to the start.
func pair(t *testing.T, initiator, responder s5b.Config) (a, b *host) {
	t.Helper()
	hosts := [2]*host{}
	for i := range hosts {
		hosts[i] = &host{t: t, work: make(chan func(), 100), quit: make(chan struct{}), connected: make(chan io.ReadWriteCloser, 1), failed: make(chan error, 1)}
	}
	a, b = hosts[0], hosts[1]
	a.peer, b.peer = b, a
	sid := rand.Text() // a port of one may be that of another test's at another address
	var err error
	if a.tr, err = s5b.NewFactory(initiator).New(engine.TransportConfig{SID: sid, Local: romeo, Peer: juliet, Role: jingle.Initiator, Offerer: true, Host: a}); err != nil {
		t.Fatal(err)
	}
	if b.tr, err = s5b.NewFactory(responder).New(engine.TransportConfig{SID: sid, Local: juliet, Peer: romeo, Role: jingle.Responder, Host: b}); err != nil {
		t.Fatal(err)
	}
	offer, err := a.tr.Offer()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.tr.Answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	checkUnique(t, offer.(s5b.Transport), answer.(s5b.Transport))
	if err := a.tr.Accepted(answer); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, h := range hosts {
		h.work <- h.tr.Start // before anything that the peer's start brings
	}
	for _, h := range hosts {
		wg.Go(h.run)
	}
	t.Cleanup(func() {
		for _, h := range hosts {
			done := make(chan struct{})
			h.Post(func() { h.tr.Close(); close(done) })
			<-done
			close(h.quit)
		}
		wg.Wait()
	})
	return a, b
}

func checkUnique(t *testing.T, ts ...s5b.Transport) {
	t.Helper()
	seen := map[uint32]bool{}
	for _, tr := range ts {
		for _, c := range tr.Candidates {
			if seen[c.Priority] || c.Priority == 0 || c.CID == "" || c.Port == 0 || c.JID == "" || c.Type == "" {
				t.Errorf("candidate %+v", c)
			}
			seen[c.Priority] = true
		}
	}
	if ts[0].Mode != s5b.ModeTCP || ts[1].Mode != "" {
		t.Error("the mode belongs into the offer only")
	}
}

func listener(t *testing.T, cfg s5b.ListenerConfig) *s5b.Listener {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	l, err := s5b.NewListener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("listener: %v", err)
		}
	})
	return l
}

func allowAll(netip.AddrPort) bool { return true }

// talk sends bytes both ways, as the sender does at once.
func talk(t *testing.T, a, b *host) {
	t.Helper()
	var ca, cb io.ReadWriteCloser
	for ca == nil || cb == nil {
		select {
		case ca = <-a.connected:
			if _, err := ca.Write([]byte("from a")); err != nil {
				t.Fatal(err)
			}
		case cb = <-b.connected:
			if _, err := cb.Write([]byte("from b")); err != nil {
				t.Fatal(err)
			}
		case err := <-a.failed:
			t.Fatalf("initiator: %v", err)
		case err := <-b.failed:
			t.Fatalf("responder: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
		}
	}
	defer ca.Close()
	defer cb.Close()
	for c, want := range map[io.Reader]string{ca: "from b", cb: "from a"} {
		if _, ok := c.(*net.TCPConn); !ok {
			t.Errorf("a %T", c)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestDirect(t *testing.T) {
	la, lb := listener(t, s5b.ListenerConfig{}), listener(t, s5b.ListenerConfig{})
	for name, c := range map[string][2]s5b.Config{
		"both listen":             {{Listener: la, Allow: allowAll}, {Listener: lb, Allow: allowAll}},
		"the initiator listens":   {{Listener: la, Allow: allowAll}, {Allow: allowAll}},
		"the responder listens":   {{Allow: allowAll}, {Listener: lb, Allow: allowAll}},
		"only one may connect":    {{Listener: la}, {Listener: lb, Allow: allowAll}},
		"one listener for both":   {{Listener: la, Allow: allowAll}, {Allow: allowAll}},
		"several own addresses":   {{Listener: listener(t, s5b.ListenerConfig{Addr: "127.0.0.1:0", Advertise: loopbacks(3)}), Allow: allowAll}, {Allow: allowAll}},
		"the first is not ours":   {{Listener: listener(t, s5b.ListenerConfig{Addr: "127.0.0.2:0", Advertise: loopbacks(2)}), Allow: allowAll}, {Allow: allowAll}},
		"loopback among others":   {{Listener: listener(t, s5b.ListenerConfig{}), Loopback: true}, {Allow: loopbackOnly}},
		"loopback of the other":   {{Loopback: true}, {Listener: listener(t, s5b.ListenerConfig{Addr: "127.0.0.1:0"}), Allow: loopbackOnly}},
		"IPv4 on a dual listener": {{Listener: listener(t, s5b.ListenerConfig{Addr: ":0", Advertise: loopbacks(1)}), Allow: allowAll}, {Allow: allowAll}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, c[0], c[1])
			talk(t, a, b)
		})
	}
}

func TestIPv6(t *testing.T) {
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	} else {
		ln.Close()
	}
	for name, l := range map[string]*s5b.Listener{
		"its own": listener(t, s5b.ListenerConfig{Addr: "[::1]:0"}),
		"dual":    listener(t, s5b.ListenerConfig{Addr: ":0", Advertise: []netip.Addr{netip.IPv6Loopback()}}),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, s5b.Config{Allow: allowAll}, s5b.Config{Listener: l, Allow: allowAll})
			talk(t, a, b)
		})
	}
}

func loopbackOnly(a netip.AddrPort) bool { return a.Addr().Unmap().IsLoopback() }

func loopbacks(n int) []netip.Addr {
	var out []netip.Addr
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}))
	}
	return out
}

func TestNobodyReachable(t *testing.T) {
	l := listener(t, s5b.ListenerConfig{})
	// The default policy does not connect to this machine, so the peers' candidates are of no use.
	a, b := pair(t, s5b.Config{Listener: l}, s5b.Config{Listener: listener(t, s5b.ListenerConfig{})})
	for _, h := range []*host{a, b} {
		select {
		case err := <-h.failed:
			if !errors.Is(err, s5b.ErrNoCandidate) {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

// proxy is a SOCKS5 bytestreams proxy for tests: it joins the two connections of one hash when it is activated.
type proxy struct {
	ln     net.Listener
	mu     sync.Mutex
	conns  map[string][]net.Conn
	refuse bool
}

func newProxy(t *testing.T) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, conns: map[string][]net.Conn{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.mu.Lock() // the client hears of success before the connection is in the map
			if dst, err := s5b.ServeForTest(c); err == nil {
				p.conns[dst] = append(p.conns[dst], c)
			} else {
				c.Close()
			}
			p.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, cs := range p.conns {
			for _, c := range cs {
				c.Close()
			}
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) streamHost() s5b.StreamHost {
	return s5b.StreamHost{JID: "proxy.lit", Host: "127.0.0.1", Port: uint16(p.ln.Addr().(*net.TCPAddr).Port)}
}

// request is the activation of a stream whose requester is from.
func (p *proxy) request(from jid.JID) func(jid.JID, *xmltree.Element, func(error)) {
	return func(to jid.JID, e *xmltree.Element, done func(error)) {
		q, err := s5b.ParseQuery(e)
		query, _ := q.(s5b.Query)
		p.mu.Lock()
		defer p.mu.Unlock()
		cs := p.conns[s5b.DstAddr(query.SID, from, jid.JID(query.Activate))]
		if err != nil || to != "proxy.lit" || p.refuse || len(cs) != 2 {
			go done(&jingle.StanzaError{Type: "cancel", Condition: "not-allowed", Text: fmt.Sprint(len(cs))})
			return
		}
		go io.Copy(cs[0], cs[1])
		go io.Copy(cs[1], cs[0])
		go done(nil)
	}
}

func TestProxy(t *testing.T) {
	for _, who := range []string{"initiator", "responder"} {
		t.Run(who+"'s", func(t *testing.T) {
			p := newProxy(t)
			cfg := map[string]s5b.Config{"initiator": {Allow: allowAll}, "responder": {Allow: allowAll}}
			from := map[string]jid.JID{"initiator": romeo, "responder": juliet}[who]
			cfg[who] = s5b.Config{Allow: allowAll, Proxies: func() []s5b.StreamHost { return []s5b.StreamHost{p.streamHost()} }, Request: p.request(from)}
			a, b := pair(t, cfg["initiator"], cfg["responder"])
			talk(t, a, b)
		})
	}
}

// TestPeerIsQuicker has the initiator's result reach a responder that has not started yet.
func TestPeerIsQuicker(t *testing.T) {
	l := listener(t, s5b.ListenerConfig{})
	h := &host{t: t, work: make(chan func(), 100), connected: make(chan io.ReadWriteCloser, 1), failed: make(chan error, 1)}
	h.peer = &host{work: make(chan func(), 100)} // who listens to nothing
	tr, err := s5b.NewFactory(s5b.Config{Listener: l}).New(engine.TransportConfig{SID: "x", Local: juliet, Peer: romeo, Role: jingle.Responder, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	answer, err := tr.Answer(s5b.Transport{SID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ours := answer.(s5b.Transport)
	c, err := net.Dial("tcp", net.JoinHostPort(ours.Candidates[0].Host, fmt.Sprint(ours.Candidates[0].Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s5b.ConnectForTest(c, ours.DstAddr); err != nil {
		t.Fatal(err)
	}
	if err := tr.Info(s5b.Transport{SID: "s", CandidateUsed: ours.Candidates[0].CID}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Info(s5b.Transport{SID: "s", CandidateError: true}); err == nil {
		t.Error("two results are taken")
	}
	tr.Start()
	for {
		select {
		case f := <-h.work:
			f()
		case <-h.connected:
			return
		case err := <-h.failed:
			t.Fatal(err)
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

func TestProxyRefuses(t *testing.T) {
	p := newProxy(t)
	p.refuse = true
	a, b := pair(t, s5b.Config{Allow: allowAll, Proxies: func() []s5b.StreamHost { return []s5b.StreamHost{p.streamHost()} }, Request: p.request(romeo)}, s5b.Config{Allow: allowAll})
	for _, h := range []*host{a, b} {
		select {
		case err := <-h.failed:
			if !errors.Is(err, s5b.ErrProxy) {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

func TestTransportRefuses(t *testing.T) {
	tr, err := s5b.NewFactory(s5b.Config{}).New(engine.TransportConfig{Local: juliet, Peer: romeo, Role: jingle.Responder})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := tr.Answer(s5b.Transport{SID: "s", Mode: s5b.ModeUDP}); err == nil {
		t.Error("UDP is accepted")
	}
	if _, err := tr.Answer(s5b.Query{}); err == nil {
		t.Error("another payload is accepted")
	}
	if _, err := tr.Answer(s5b.Transport{SID: "s"}); err != nil {
		t.Error(err)
	}
	if err := tr.Accepted(s5b.Transport{SID: "other"}); err == nil {
		t.Error("another stream is accepted")
	}
	var se *jingle.StanzaError
	if err := tr.Info(s5b.Transport{SID: "other", CandidateError: true}); !errors.As(err, &se) || se.Condition != "item-not-found" {
		t.Errorf("%v", err)
	}
	if err := tr.Info(s5b.Transport{SID: "s", CandidateUsed: "x"}); !errors.As(err, &se) || se.Condition != "unexpected-request" {
		t.Errorf("%v", err)
	}
}

func TestAllow(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.168.1.5:1000": true, "10.0.0.1:80": true, "[2001:db8::1]:5000": true, "[fd00::1]:1": true, "198.51.100.1:1": true,
		"127.0.0.1:80": false, "[::1]:80": false, "[::ffff:127.0.0.1]:80": false, "169.254.169.254:80": false, "[fe80::1]:1": false,
		"0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:1": false, "255.255.255.255:1": false, "192.168.1.5:0": false,
	} {
		if got := s5b.AllowPublicAndPrivate(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
}

// TestHostileCandidates offers addresses that nothing may be sent to, and a dstaddr that is no hash.
func TestHostileCandidates(t *testing.T) {
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	hit := make(chan struct{}, 10)
	go func() {
		for {
			c, err := victim.Accept()
			if err != nil {
				return
			}
			hit <- struct{}{}
			c.Close()
		}
	}()
	h := &host{t: t, work: make(chan func(), 100), quit: make(chan struct{}), connected: make(chan io.ReadWriteCloser, 1), failed: make(chan error, 1)}
	told := make(chan jingle.Payload, 10)
	tr, _ := s5b.NewFactory(s5b.Config{}).New(engine.TransportConfig{Local: juliet, Peer: romeo, Role: jingle.Responder, Host: tellTo{h, told}})
	port := uint16(victim.Addr().(*net.TCPAddr).Port)
	offer := s5b.Transport{SID: "s", DstAddr: strings.Repeat("A", 200)}
	for i, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "localhost", "0.0.0.0", "::1", "not an address", "fe80::1%lo", "999.1.1.1"} {
		for _, typ := range []s5b.Type{s5b.Direct, s5b.Proxy} {
			offer.Candidates = append(offer.Candidates, s5b.Candidate{CID: fmt.Sprint(i, typ), Host: host, Port: port, Priority: uint32(i), Type: typ})
		}
	}
	if _, err := tr.Answer(offer); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(h.run)
	h.Post(tr.Start)
	select {
	case p := <-told:
		if !p.(s5b.Transport).CandidateError {
			t.Errorf("told %s", p.Element())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing happens")
	}
	h.Post(tr.Close)
	h.Post(func() { close(h.quit) })
	wg.Wait()
	if len(hit) > 0 {
		t.Error("this machine was connected to")
	}
}

type tellTo struct {
	*host
	told chan jingle.Payload
}

func (h tellTo) SendInfo(p jingle.Payload) { h.told <- p }
