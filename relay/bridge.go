package relay

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn"
	"github.com/jingled/jingled/relay/turn/alloc"
)

const (
	bridgeMax  = 1024
	bridgeIdle = 2 * time.Minute
)

// bridge lets TLS listeners share their port with HTTPS (RFC 7443): what is not TURN's by ALPN goes to a local HTTP
// server, and ACME's challenges are answered by their handshake alone (RFC 8737).
func bridge(tc *turn.Config, cfg Config) {
	for i := range tc.Listeners {
		l := &tc.Listeners[i]
		if l.Transport != alloc.TLS {
			continue
		}
		if b := cfg.Listen[i].HTTPBackend; b != "" {
			h := &httpBridge{backend: b}
			l.Fallback = h.take
			l.FallbackProtocols = append(l.FallbackProtocols, "http/1.1")
		}
		if cfg.TLS.ACME != nil {
			l.FallbackProtocols = append(l.FallbackProtocols, acmeProtocol)
		}
	}
}

// httpBridge joins connections to a backend.
type httpBridge struct {
	backend string
	mu      sync.Mutex
	open    int
}

// take is called with a connection whose handshake is done. It returns when the connection has ended.
func (h *httpBridge) take(c net.Conn) {
	h.mu.Lock()
	full := h.open >= bridgeMax
	if !full {
		h.open++
	}
	h.mu.Unlock()
	if full {
		c.Close()
		return
	}
	defer func() {
		h.mu.Lock()
		h.open--
		h.mu.Unlock()
	}()
	defer c.Close()
	b, err := net.DialTimeout("tcp", h.backend, 5*time.Second)
	if err != nil {
		return
	}
	defer b.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(b, c) })
	pipe(c, b)
	wg.Wait()
}

// pipe copies until an end or a silence, and then ends both sides.
func pipe(dst, src net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		_ = src.SetReadDeadline(time.Now().Add(bridgeIdle))
		n, err := src.Read(buf)
		if n > 0 {
			_ = dst.SetWriteDeadline(time.Now().Add(bridgeIdle))
			if _, werr := dst.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			if err == io.EOF {
				if w, ok := dst.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
					return
				}
			}
			dst.Close()
			src.Close()
			return
		}
	}
}
