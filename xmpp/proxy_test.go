package xmpp_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

func httpProxy(r *bufio.Reader, c net.Conn) (string, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", err
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:p@ss"))
	if req.Method != http.MethodConnect || req.Header.Get("Proxy-Authorization") != want {
		_, err := io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return "", fmt.Errorf("refused: %w", err)
	}
	_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	return req.Host, err
}

// socksProxy is the server's side of RFC 1928 and RFC 1929.
func socksProxy(r *bufio.Reader, c net.Conn) (string, error) {
	var b [512]byte
	read := func(n int) []byte {
		_, _ = io.ReadFull(r, b[:n])
		return b[:n]
	}
	read(int(read(2)[1]))
	_, _ = c.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	pass := string(read(int(read(1)[0])))
	if user != "user" || pass != "p@ss" {
		_, err := c.Write([]byte{1, 1})
		return "", fmt.Errorf("refused: %w", err)
	}
	_, _ = c.Write([]byte{1, 0})
	head := read(4)
	var host string
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	port := read(2)
	_, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))), err
}

// TestProxy logs in through proxies that ask for a password, by TCP and by BOSH, and is told why one refuses.
func TestProxy(t *testing.T) { testkit.Each(t, proxies) }

func proxies(t *testing.T, s *testkit.Server) {
	inside := jid.MustParse(s.AddUser(t, "inside", "secret"))
	for name, handle := range map[string]func(*bufio.Reader, net.Conn) (string, error){"http": httpProxy, "socks5": socksProxy} {
		t.Run(name, func(t *testing.T) {
			addr, used := testkit.ListenProxy(t, handle)
			cfg := account(s, inside, name)
			cfg.Proxy = name + "://user:p%40ss@" + addr
			start(t, cfg, nil)
			if used.Load() == 0 {
				t.Error("the proxy was not used")
			}
			cfg.Proxy = name + "://user:wrong@" + addr
			cfg.FailFast = true
			c, err := xmpp.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "proxy") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
}

// TestProxyIsTold says what a proxy is asked for: a name that it looks up, or the address that was chosen here.
func TestProxyIsTold(t *testing.T) {
	const name = "files.example.test:443"
	for scheme, handle := range map[string]func(*bufio.Reader, net.Conn) (string, error){"http": httpProxy, "socks5": socksProxy} {
		for want, at := range map[string]netip.AddrPort{name: {}, "9.9.9.9:443": netip.MustParseAddrPort("9.9.9.9:443")} {
			t.Run(scheme+" "+want, func(t *testing.T) {
				there, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer there.Close()
				told := make(chan string, 1)
				addr, _ := testkit.ListenProxy(t, func(r *bufio.Reader, c net.Conn) (string, error) {
					to, err := handle(r, c)
					told <- to
					return there.Addr().String(), err
				})
				c, err := xmpp.New(xmpp.Config{JID: "romeo@example.test", Password: password("secret"), Proxy: scheme + "://user:p%40ss@" + addr})
				if err != nil {
					t.Fatal(err)
				}
				conn, err := c.DialByProxy(t.Context(), name, at)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if got := wait(t, "what the proxy is told", told); got != want {
					t.Errorf("the proxy is asked for %s, and not for %s", got, want)
				}
			})
		}
	}
}

// TestProxyEnvironment takes ALL_PROXY for every server that is not on this machine, and NO_PROXY's exceptions.
func TestProxyEnvironment(t *testing.T) {
	s := testkit.SharedServer(t, testkit.Chosen(t))
	inside := jid.MustParse(s.AddUser(t, "inside", "secret"))
	addr, used := testkit.ListenProxy(t, func(r *bufio.Reader, c net.Conn) (string, error) {
		to, err := socksProxy(r, c)
		if to != "xmpp.example.test:5222" {
			return "", fmt.Errorf("asked for %s", to)
		}
		return s.Addr, err
	})
	cfg := account(s, inside, "far")
	cfg.Connect = "xmpp.example.test:5222"
	t.Setenv("ALL_PROXY", "socks5://user:p%40ss@"+addr)
	t.Setenv("NO_PROXY", "")
	start(t, cfg, nil)
	far := used.Load() // more than once where the first login tries a channel binding in vain
	if far == 0 {
		t.Error("the proxy was not used")
	}
	near := account(s, inside, "near")
	start(t, near, nil)
	cfg.Proxy, cfg.FailFast = "none", true
	c, err := xmpp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("connected without the proxy")
	}
	if used.Load() != far {
		t.Errorf("the proxy was used %d times, and then %d", far, used.Load())
	}
}

func TestConnectURLs(t *testing.T) {
	for _, tc := range []struct {
		connect, proxy string
		mode           xmpp.TLSMode
		ok             bool
	}{
		{"wss://example.test/ws", "", "", true},
		{"https://example.test:5281/http-bind", "socks5://proxy.test", "", true},
		{"ws://example.test/ws", "", "", false},
		{"http://example.test/http-bind", "", "", false},
		{"ws://127.0.0.1:5280/ws", "", xmpp.TLSPlainLoopback, true},
		{"ftp://example.test/", "", "", false},
		{"wss://user:pw@example.test/", "", "", false},
		{"wss:///ws", "", "", false},
		{"", "ftp://proxy.test", "", false},
		{"", "socks5://", "", false},
		{"", "none", "", true},
	} {
		_, err := xmpp.New(xmpp.Config{JID: "a@example.test", Password: password("x"), Connect: tc.connect, Proxy: tc.proxy, TLS: tc.mode})
		if (err == nil) != tc.ok {
			t.Errorf("Connect %q, Proxy %q: %v", tc.connect, tc.proxy, err)
		}
	}
}

// TestNoProxyThere: where the proxy is wrong, that is said of the proxy and not of the server.
func TestNoProxyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"http", "socks5"} {
		for _, server := range []string{"xmpp.example.test:5222", "wss://xmpp.example.test/ws"} {
			c, err := xmpp.New(xmpp.Config{JID: "a@example.test", Password: password("x"), Connect: server, Proxy: scheme + "://" + addr, FailFast: true})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context())
			if want := "the proxy " + addr + " refused the connection"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Check the proxy") {
				t.Errorf("%s to %s: %v, want %s", scheme, server, err, want)
			}
		}
	}
}
