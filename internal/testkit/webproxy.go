package testkit

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &WebProxy{URL: "http://" + ln.Addr().String(), route: route}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(in) })
		}
	})
	return p
}

// Asked are the hosts that it was asked for, with their ports, in their order.
func (p *WebProxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *WebProxy) serve(in net.Conn) {
	defer in.Close()
	r := bufio.NewReader(in)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Host)
	p.mu.Unlock()
	to, ok := p.route(req.Host)
	if !ok || req.Method != http.MethodConnect {
		_, _ = io.WriteString(in, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		_, _ = io.WriteString(in, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer out.Close()
	if _, err := io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, r); out.Close() })
	both.Go(func() { _, _ = io.Copy(in, out); in.Close() })
	both.Wait()
}
