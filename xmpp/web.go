package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// method is how a stream is carried.
type method int

const (
	overTCP method = iota
	overWebSocket
	overBOSH
)

// seeOtherURI is the condition by which WebSocket and BOSH name another URL (RFC 7395 section 3.6.1, XEP-0124 section 17.2).
const seeOtherURI = "see-other-uri"

func (m method) String() string {
	return [...]string{"TCP", "WebSocket", "BOSH"}[m]
}

// methodOf tells what a URL stands for.
func methodOf(u *url.URL) (m method, secure bool, err error) {
	switch u.Scheme {
	case "wss":
		return overWebSocket, true, nil
	case "ws":
		return overWebSocket, false, nil
	case "https":
		return overBOSH, true, nil
	case "http":
		return overBOSH, false, nil
	}
	return 0, false, fmt.Errorf("%q is none of wss (WebSocket), https (BOSH)", u.Scheme)
}

// webTarget makes a target of a URL. plain allows one without TLS.
func webTarget(text string, plain bool) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, errors.New("not a URL")
	}
	m, secure, err := methodOf(u)
	switch {
	case err != nil:
		return target{}, err
	case u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "":
		return target{}, errors.New("a URL such as wss://host/path is needed")
	case !secure && !plain:
		return target{}, errors.New("a URL without TLS is for --tls plain-loopback only")
	}
	port := u.Port()
	if port == "" {
		if port = "443"; !secure {
			port = "80"
		}
	}
	return target{addr: net.JoinHostPort(u.Hostname(), port), method: m, url: u, direct: secure, plain: !secure}, nil
}

// webClient makes the HTTP client of one target. The certificate must be for the host of the URL, which came from the
// user or from the domain itself over TLS (RFC 7395 section 4, XEP-0156 section 5).
type webClient struct {
	*http.Client
	transport *http.Transport

	mu  sync.Mutex
	err error // why the last connection could not be made
}

func (c *Config) webClient(t target) *webClient {
	w := new(webClient)
	conf := c.tlsConfig(false)
	conf.ServerName = ""
	if t.url != nil {
		conf.ServerName = asciiDomain(t.url.Hostname())
	}
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		to := t
		to.addr = addr
		raw, err := c.dial(ctx, to)
		w.note(err)
		return raw, err
	}
	w.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			raw, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			conf := conf.Clone()
			if t.url == nil {
				host, _, _ := net.SplitHostPort(addr)
				conf.ServerName = asciiDomain(host)
			}
			conn := tls.Client(raw, conf)
			if err := conn.HandshakeContext(ctx); err != nil {
				raw.Close()
				err = c.tlsError(err, addr)
				w.note(err)
				return nil, err
			}
			return conn, nil
		},
		MaxResponseHeaderBytes: 64 << 10,
	}
	w.Client = &http.Client{
		Transport: w.transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			// What is sent holds the login, so it goes to nobody else.
			return http.ErrUseLastResponse
		},
	}
	return w
}

func (w *webClient) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// cause returns our own account of why a request failed, in place of net/http's.
func (w *webClient) cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	if errors.As(w.err, &known) {
		return known
	}
	return err
}

// dialTarget makes what the login talks over.
func (c *Config) dialTarget(ctx context.Context, t target) (net.Conn, error) {
	switch t.method {
	case overWebSocket:
		return c.dialWebSocket(ctx, t)
	case overBOSH:
		return c.dialBOSH(t), nil
	}
	return c.dial(ctx, t)
}
