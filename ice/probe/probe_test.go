package probe_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice/probe"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestCoturn is with a server of other people.
func TestCoturn(t *testing.T) {
	s := testkit.Coturn(t)
	n, err := probe.LookAtNAT(soon(t), s.Addr)
	if err != nil || n.Translated() || n.Mapped.Addr().String() != "127.0.0.1" || n.Server.String() != s.Addr || n.RTT <= 0 {
		t.Errorf("NAT: %+v, %v", n, err)
	}
	if n.Mapping != probe.Unknown || n.Filtering != probe.Unknown {
		t.Errorf("one address tells more than it can: %+v", n)
	}
	roots, err := xmpp.ParseCA(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"udp", "tcp", "tls"} {
		cfg := probe.RelayConfig{Addr: s.Addr, Transport: network, Username: s.Username, Password: s.Password, RootCAs: roots}
		if network == "tls" {
			cfg.Addr = s.TLSAddr
		}
		r, err := probe.TryRelay(soon(t), cfg)
		if err != nil || !r.Carried || !r.Relayed.Addr().IsLoopback() || r.Setup <= 0 {
			t.Errorf("%s: %+v, %v", network, r, err)
		}
		cfg.Password = "wrong"
		if _, err := probe.TryRelay(soon(t), cfg); !errors.Is(err, probe.ErrCredentials) {
			t.Errorf("%s with a wrong password: %v", network, err)
		}
	}
	byProxy := probe.RelayConfig{Addr: "relay.example.test:3478", Transport: "tcp", Username: s.Username, Password: s.Password,
		Proxy: func(ctx context.Context, hostPort string) (net.Conn, error) {
			if hostPort != "relay.example.test:3478" {
				t.Errorf("the proxy is asked for %s", hostPort)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
		}}
	if r, err := probe.TryRelay(soon(t), byProxy); err != nil || !r.Carried {
		t.Errorf("by a proxy: %+v, %v", r, err)
	}
	cfg := probe.RelayConfig{Addr: s.TLSAddr, Transport: "tls", Username: s.Username, Password: s.Password}
	if _, err := probe.TryRelay(soon(t), cfg); !errors.Is(err, probe.ErrTLS) {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	if _, err := probe.TryRelay(soon(t), probe.RelayConfig{Addr: s.Addr, Transport: "tls"}); !errors.Is(err, probe.ErrTLS) && !errors.Is(err, probe.ErrProtocol) {
		t.Errorf("no TLS there: %v", err)
	}
}

func TestBroken(t *testing.T) {
	// A port that is closed.
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := c.LocalAddr().String()
	_ = c.Close()
	for _, network := range []string{"udp", "tcp", "tls"} {
		if _, err := probe.TryRelay(soon(t), probe.RelayConfig{Addr: closed, Transport: network}); !errors.Is(err, probe.ErrClosed) {
			t.Errorf("closed, %s: %v", network, err)
		}
	}
	// One that takes everything and says nothing.
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := probe.TryRelay(short, probe.RelayConfig{Addr: mute.LocalAddr().String(), Transport: "udp"}); !errors.Is(err, probe.ErrNoAnswer) {
		t.Errorf("mute: %v", err)
	}
	if _, err := probe.LookAtNAT(soon(t), mute.LocalAddr().String()); !errors.Is(err, probe.ErrNoAnswer) {
		t.Errorf("mute STUN: %v", err)
	}
	if _, err := probe.LookAtNAT(t.Context()); err == nil {
		t.Error("no server at all")
	}
	for _, addr := range []string{"", "nothing", "host.invalid:3478", "127.0.0.1:notaport"} {
		if _, err := probe.LookAtNAT(soon(t), addr); !errors.Is(err, probe.ErrHost) {
			t.Errorf("STUN at %q: %v", addr, err)
		}
		if _, err := probe.TryRelay(soon(t), probe.RelayConfig{Addr: addr, Transport: "tcp"}); !errors.Is(err, probe.ErrHost) {
			t.Errorf("TURN at %q: %v", addr, err)
		}
	}
}

// Something else than a STUN server, and servers that lie, are errors and nothing worse.
func TestHostile(t *testing.T) {
	answers := map[string][]byte{
		"text":          []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"endless frame": {1, 1, 0xff, 0xff, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"short":         {1, 1},
		"nothing":       nil,
	}
	for name, answer := range answers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1500))
			_, _ = c.Write(answer)
			_ = c.Close()
		}()
		if _, err := probe.TryRelay(soon(t), probe.RelayConfig{Addr: ln.Addr().String(), Transport: "tcp"}); !errors.Is(err, probe.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		_ = ln.Close()
		<-ended
	}
}
