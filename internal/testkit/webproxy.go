package testkit

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// WebProxy is an HTTP proxy that connects to hosts (RFC 9110 section 9.3.6).
type WebProxy struct {
	// URL is where it is.
	URL string

	route func(hostPort string) (addr string, ok bool)

	mu    sync.Mutex
	asked []string
}

// NewWebProxy starts a proxy that connects where route says, and refuses the rest. It ends with the test.
func NewWebProxy(t testing.TB, route func(hostPort string) (addr string, ok bool)) *WebProxy {
	t.Helper()
	p := &WebProxy{route: route}
	addr, _ := ListenProxy(t, p.handle)
	p.URL = "http://" + addr
	return p
}

// Asked are the hosts that it was asked for, with their ports, in their order.
func (p *WebProxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *WebProxy) handle(r *bufio.Reader, c net.Conn) (string, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Host)
	p.mu.Unlock()
	to, ok := p.route(req.Host)
	if !ok || req.Method != http.MethodConnect {
		_, err := io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return "", errors.Join(errors.New("refused"), err)
	}
	_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	return to, err
}

// ListenProxy starts a proxy on loopback. handle speaks with a client and returns where to go on to. The proxy ends with the test;
// used is how often it has connected.
func ListenProxy(t testing.TB, handle func(*bufio.Reader, net.Conn) (string, error)) (addr string, used *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	used = new(atomic.Int32)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				to, err := handle(r, c)
				if err != nil {
					return
				}
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				used.Add(1)
				defer server.Close()
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(server, r); server.Close() })
				both.Go(func() { _, _ = io.Copy(c, server); c.Close() })
				both.Wait()
			})
		}
	})
	return ln.Addr().String(), used
}
