package xmpp

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// noProxy is [Config].Proxy for those who want none, whatever the environment says.
const noProxy = "none"

// parseProxy reads [Config].Proxy; nil is none.
func parseProxy(text string) (*url.URL, error) {
	if text == "" || text == noProxy {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL") // url's own error repeats the text, which may hold a password
	}
	ports := map[string]string{"http": "8080", "https": "443", "socks5": "1080", "socks5h": "1080"}
	port, ok := ports[u.Scheme]
	if !ok || u.Hostname() == "" {
		return nil, errors.New("a URL such as http://host:8080 or socks5://host:1080 is needed")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// proxyFor returns the proxy for a target, nil for none.
func (c *Config) proxyFor(t target) (*url.URL, error) {
	if c.Proxy != "" || t.plain {
		if t.plain {
			return nil, nil // it must be this machine
		}
		return parseProxy(c.Proxy)
	}
	env := httpproxy.FromEnvironment()
	all := cmp.Or(os.Getenv("ALL_PROXY"), os.Getenv("all_proxy"))
	if t.method == overTCP {
		env.HTTPSProxy = "" // by its name it is for the web only
	}
	env.HTTPSProxy = cmp.Or(env.HTTPSProxy, all)
	u, err := env.ProxyFunc()(&url.URL{Scheme: "https", Host: t.addr})
	if u == nil || err != nil {
		return nil, err
	}
	return parseProxy(u.String())
}

// ErrNoProxy says that a host is reached directly.
var ErrNoProxy = errors.New("no proxy")

// DialByProxy opens a TCP connection to a host and port by the proxy by which the client would open a WebSocket there. It is
// [ErrNoProxy] where it would need none. The proxy is told the host, or an address of it if at is set.
func (c *Client) DialByProxy(ctx context.Context, hostPort string, at netip.AddrPort) (net.Conn, error) {
	via, err := c.cfg.proxyFor(target{addr: hostPort, method: overWebSocket})
	switch {
	case via == nil:
		return nil, cmp.Or(err, ErrNoProxy)
	case at.IsValid():
		hostPort = at.String()
	}
	return c.cfg.dialBy(ctx, via, hostPort)
}

// HasProxy reports whether there is a proxy for some hosts at least.
func (c *Client) HasProxy() bool {
	via, err := c.cfg.proxyFor(target{addr: "host.invalid:443", method: overWebSocket})
	return via != nil && err == nil
}

// proxyError is what has happened to a connection by way of a proxy.
type proxyError struct {
	host string // of the proxy, with its port
	err  error
}

func (e *proxyError) Error() string { return "proxy " + e.host + ": " + e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// words says it for people. What the system says of a connection is of that to the proxy; of that to the server the proxy says in
// words of its own.
func (e *proxyError) words() (message, advice string) {
	var dns *net.DNSError
	switch {
	case errors.As(e.err, &dns):
		message = fmt.Sprintf("the name of the proxy %s could not be looked up: %s", e.host, dnsReason(dns))
	case errors.Is(e.err, syscall.ECONNREFUSED):
		message = fmt.Sprintf("the proxy %s refused the connection", e.host)
	case isTimeout(e.err):
		message = fmt.Sprintf("no answer by way of the proxy %s", e.host)
	default:
		message = "no connection: " + clip(e.Error())
	}
	return message, "Check the proxy: it is that of --proxy, of the configuration, or of the environment (ALL_PROXY, HTTPS_PROXY)"
}

// dialThrough opens a TCP connection, by way of a proxy if there is one.
func (c *Config) dialThrough(ctx context.Context, t target) (net.Conn, error) {
	via, err := c.proxyFor(t)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if via == nil {
		return c.dialDirect(ctx, t.addr)
	}
	return c.dialBy(ctx, via, t.addr)
}

// dialBy opens a TCP connection by a proxy.
func (c *Config) dialBy(ctx context.Context, via *url.URL, hostPort string) (net.Conn, error) {
	if via.Scheme == "socks5" || via.Scheme == "socks5h" {
		var auth *proxy.Auth
		if via.User != nil {
			password, _ := via.User.Password()
			auth = &proxy.Auth{User: via.User.Username(), Password: password}
		}
		d, err := proxy.SOCKS5("tcp", via.Host, auth, dialer(c.Dial))
		if err != nil {
			return nil, &proxyError{via.Host, err}
		}
		through, ok := d.(proxy.ContextDialer)
		if !ok {
			return nil, errors.New("proxy: no dialer with a context")
		}
		conn, err := through.DialContext(ctx, "tcp", hostPort)
		if err != nil {
			return nil, &proxyError{via.Host, err}
		}
		return conn, nil
	}
	conn, err := c.dialDirect(ctx, via.Host)
	if err == nil {
		conn, err = connectHTTP(ctx, conn, via, hostPort)
	}
	if err != nil {
		return nil, &proxyError{via.Host, err}
	}
	return conn, nil
}

// dialer makes a function what x/net/proxy wants.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial implements proxy.Dialer.
func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d(context.Background(), network, addr)
}

// DialContext implements proxy.ContextDialer.
func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}

// connectHTTP asks an HTTP proxy for a connection (RFC 9110 section 9.3.6). raw is closed if that fails.
func connectHTTP(ctx context.Context, raw net.Conn, via *url.URL, addr string) (_ net.Conn, err error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			raw.Close()
		}
	}()
	conn := raw
	if via.Scheme == "https" {
		t := tls.Client(raw, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = t
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if via.User != nil {
		password, _ := via.User.Password()
		auth := &http.Request{Header: http.Header{}}
		auth.SetBasicAuth(via.User.Username(), password)
		req.Header.Set("Proxy-Authorization", auth.Header.Get("Authorization"))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	// XMPP's server may speak first in theory: what came with the answer is not lost.
	r := bufio.NewReaderSize(&limited{conn, 64 << 10}, 4<<10)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // which reads nothing: what follows is not the answer's
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it does not connect to %s: HTTP status %d", addr, resp.StatusCode)
	}
	rest, _ := r.Peek(r.Buffered())
	return &prefixed{Conn: conn, head: rest}, nil
}

// limited bounds what is read before it is given up.
type limited struct {
	c    net.Conn
	left int
}

// Read implements io.Reader.
func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := l.c.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

// prefixed is a connection of which something has been read already.
type prefixed struct {
	net.Conn
	head []byte
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
