package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/ice"
)

const patience = 20 * time.Second

// rawPeer is a raw path that tells what happens by channels.
type rawPeer struct {
	*Raw
	candidates chan ice.Candidate
	states     chan State
	pairs      chan Pair
}

func newRaw(t *testing.T, cfg Config) *rawPeer {
	t.Helper()
	p := &rawPeer{candidates: make(chan ice.Candidate, 1), states: make(chan State, 10), pairs: make(chan Pair, 10)}
	var err error
	p.Raw, err = NewRaw(cfg, Handler{
		Candidate: func(c ice.Candidate) { p.candidates <- c }, State: func(s State) { p.states <- s },
		Pair: func(pair Pair) { p.pairs <- pair },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Gather(); err != nil {
		t.Fatal(err)
	}
	return p
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
		panic("unreachable")
	}
}

func start(t *testing.T, p Path) net.Conn {
	t.Helper()
	c, err := p.Start(true, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func wantPacket(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 100)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("%q comes in place of %q (%v)", b[:n], want, err)
	}
}

func TestRaw(t *testing.T) {
	a, b := newRaw(t, Config{LoopbackOnly: true}), newRaw(t, Config{LoopbackOnly: true})
	ca, cb := await(t, "candidate", a.candidates), await(t, "candidate", b.candidates)
	if ca.Component != 1 || ca.Type != ice.Host || ca.ID == "" {
		t.Errorf("candidate: %+v", ca)
	}
	connA, connB := start(t, a), start(t, b)
	if err := a.AddRemote(cb); err != nil {
		t.Fatal(err)
	}
	if err := b.AddRemote(ca); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	send(t, connA, "there")
	wantPacket(t, connB, "there")
	send(t, connB, "back")
	wantPacket(t, connA, "back")
	if p := await(t, "pair", a.pairs); p.Remote.Addr.Port() != cb.Port || p.Local.Addr.Port() != ca.Port {
		t.Errorf("pair: %v", p)
	}
	for _, want := range []State{Checking, Connected} {
		if s := await(t, "state", a.states); s != want {
			t.Errorf("state %s in place of %s", s, want)
		}
	}
}

// Packets of others are not taken. A NAT may have chosen another port, once.
func TestRawTakesThePeersPackets(t *testing.T) {
	p := newRaw(t, Config{LoopbackOnly: true})
	own := await(t, "candidate", p.candidates)
	conn := start(t, p)
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(own.IP), own.Port))
	dial := func(from string) net.Conn {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, to)
		if err != nil {
			t.Skipf("only Linux has all of 127.0.0.0/8: %v", err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	stranger, peer, other := dial("127.0.0.3"), dial("127.0.0.2"), dial("127.0.0.2")
	if err := p.AddRemote(ice.Candidate{Component: 1, IP: "127.0.0.2", Port: 9}); err != nil {
		t.Fatal(err)
	}
	send(t, stranger, "stranger")
	send(t, peer, "peer")
	send(t, other, "other port")
	send(t, peer, "again")
	wantPacket(t, conn, "peer")
	wantPacket(t, conn, "again")
	send(t, conn, "answer")
	wantPacket(t, peer, "answer")
	if sel, ok := p.Selected(); !ok || sel.Remote.Type != ice.PeerReflexive {
		t.Errorf("selected: %v %v", sel, ok)
	}
	// The peer moves (XEP-0177 section 4.2).
	if err := p.AddRemote(ice.Candidate{Component: 1, Generation: 1, IP: "127.0.0.2", Port: uint16(other.LocalAddr().(*net.UDPAddr).Port)}); err != nil {
		t.Fatal(err)
	}
	send(t, conn, "moved")
	wantPacket(t, other, "moved")
}

func TestRawChecksAddresses(t *testing.T) {
	loop := newRaw(t, Config{LoopbackOnly: true})
	for ip, port := range map[string]uint16{"192.0.2.7": 1, "127.0.0.1": 0, "example.org": 1, "224.0.0.1": 1, "0.0.0.0": 1, "::1": 1} {
		if err := loop.AddRemote(ice.Candidate{Component: 1, IP: ip, Port: port}); err == nil {
			t.Errorf("%s port %d is taken", ip, port)
		}
	}
	if err := loop.AddRemote(ice.Candidate{Component: 2, IP: "127.0.0.1", Port: 1}); err == nil {
		t.Error("another component is taken")
	}
	if !strings.Contains(loop.Report(), "no address") {
		t.Error(loop.Report())
	}
	world, err := NewRaw(Config{}, Handler{})
	if err == nil {
		for _, ip := range []string{"127.0.0.1", "255.255.255.255", "239.1.2.3"} {
			if err := world.AddRemote(ice.Candidate{Component: 1, IP: ip, Port: 1}); err == nil {
				t.Errorf("%s is taken", ip)
			}
		}
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	} // else this machine has no network
	if _, err := NewRaw(Config{Policy: RelayOnly}, Handler{}); !errors.Is(err, ErrRawRelay) {
		t.Errorf("with relays only: %v", err)
	}
}

// What is sent to somebody who does not answer stops.
func TestRawFails(t *testing.T) {
	silent := newRaw(t, Config{LoopbackOnly: true})
	c := await(t, "candidate", silent.candidates)
	p := newRaw(t, Config{LoopbackOnly: true, ConnectTimeout: 50 * time.Millisecond, DisconnectAfter: 25 * time.Millisecond})
	if err := p.AddRemote(c); err != nil {
		t.Fatal(err)
	}
	start(t, p)
	for _, want := range []State{Checking, Failed} {
		if s := await(t, "state", p.states); s != want {
			t.Errorf("state %s in place of %s", s, want)
		}
	}
	// One that answers for a while.
	p = newRaw(t, Config{LoopbackOnly: true, DisconnectAfter: 10 * time.Millisecond})
	own := await(t, "candidate", p.candidates)
	if err := p.AddRemote(c); err != nil {
		t.Fatal(err)
	}
	if err := silent.AddRemote(own); err != nil {
		t.Fatal(err)
	}
	conn, back := start(t, p), start(t, silent)
	send(t, back, "once")
	wantPacket(t, conn, "once")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var states []State
	for len(states) == 0 || states[len(states)-1] != Failed {
		select {
		case s := <-p.states:
			states = append(states, s)
		case <-tick.C:
			send(t, conn, "is anybody there")
		case <-time.After(patience):
			t.Fatalf("it goes on: %v", states)
		}
	}
	if len(states) < 3 || states[len(states)-2] != Disturbed {
		t.Errorf("states: %v", states)
	}
}

// A STUN server's word is told; that of others is not.
func TestRawMapped(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	go func() {
		b := make([]byte, 1500)
		n, from, err := server.ReadFromUDP(b)
		if err != nil {
			return
		}
		request := &stun.Message{Raw: b[:n]}
		if request.Decode() != nil {
			return
		}
		for _, m := range [][]stun.Setter{
			{stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(198, 51, 100, 1), Port: 1}},
			{stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 5), Port: 4000}},
		} {
			if answer, err := stun.Build(m...); err == nil {
				_, _ = server.WriteToUDP(answer.Raw, from)
			}
		}
	}()
	p := newRaw(t, Config{LoopbackOnly: true, Servers: []Server{{URI: "stun:" + server.LocalAddr().String()}}})
	c := await(t, "candidate", p.candidates)
	if c.IP != "203.0.113.5" || c.Port != 4000 || c.Type != ice.ServerReflexive {
		t.Errorf("candidate: %+v", c)
	}
}

// The second component of a content is an agent with the same credentials (RFC 8445 section 5.3).
func TestComponents(t *testing.T) {
	a := newPeer(t, Config{LoopbackOnly: true, Component: 2})
	ufrag, pwd := a.Credentials()
	b := newPeer(t, Config{LoopbackOnly: true, Ufrag: ufrag, Pwd: pwd})
	if u, p := b.Credentials(); u != ufrag || p != pwd {
		t.Error("other credentials than those given")
	}
	c := newPeer(t, Config{LoopbackOnly: true, Component: 2})
	connect(t, a, c)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.candidates {
		if x.Component != 2 || x.Priority&0xff != 254 {
			t.Errorf("candidate: %+v", x)
		}
		if err := b.AddRemote(x); err == nil {
			t.Error("a candidate of another component is taken")
		}
	}
}
