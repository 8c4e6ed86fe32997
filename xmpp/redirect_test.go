package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/jingled/jingled/internal/memlisten"
)

// TestSeeOtherHostAtLogin is sent to another host before the login (RFC 6120 section 4.9.3.19), and logs in there.
func TestSeeOtherHostAtLogin(t *testing.T) {
	const there = "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>node2.test:9222</see-other-host></stream:error></stream:stream>"
	send := func(p *script) {
		if _, _, err := p.next(); err != nil {
			t.Error(err)
		}
		_ = p.trySay(streamOpen + there)
	}
	for _, tc := range []struct {
		name  string
		mode  TLSMode
		moves bool
	}{
		{"direct TLS", TLSDirect, true},
		{"after STARTTLS", TLSStart, true},
		{"without TLS", TLSPlainLoopback, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ch := newServer(t), chain(t, "example.test")
				var dialled []string
				cfg := s.config()
				cfg.TLS, cfg.RootCAs, cfg.FailFast = tc.mode, ch.Pool(), true
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialled = append(dialled, addr)
					return s.dial(ctx, network, addr)
				}
				accept := func() (p *script) {
					server := &tls.Config{Certificates: []tls.Certificate{ch.TLS}}
					switch p = s.accept(); tc.mode {
					case TLSDirect:
						p, _ = s.overTLS(p.raw, server)
					case TLSStart:
						p, _ = p.startTLS(s, server)
					}
					return p
				}
				stop := run(t, mustNew(t, cfg))
				p := accept()
				send(p)
				if tc.moves {
					q := accept()
					q.login()
					q.settle("")
					go q.goodbye()
				}
				synctest.Wait()
				err := stop()
				if want := []string{"127.0.0.1:5222", "node2.test:9222"}; tc.moves && (err != nil || !slices.Equal(dialled, want)) {
					t.Errorf("dialled %v, %v", dialled, err)
				}
				if !tc.moves && (len(dialled) != 1 || err == nil || !strings.Contains(err.Error(), "see-other-host")) {
					t.Errorf("dialled %v, %v", dialled, err)
				}
				p.Close()
			})
		})
	}
	t.Run("in a circle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, ch := newServer(t), chain(t, "example.test")
			cfg := s.config()
			cfg.TLS, cfg.RootCAs, cfg.FailFast = TLSDirect, ch.Pool(), true
			end := make(chan error, 1)
			go func() { end <- mustNew(t, cfg).Run(t.Context()) }()
			for range 1 + maxRedirects {
				p, _ := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
				send(p)
				defer p.Close()
			}
			if err := <-end; err == nil || !strings.Contains(err.Error(), "see-other-host") {
				t.Error(err)
			}
		})
	})
}

// TestSeeOtherURI is sent on by a WebSocket and by a BOSH manager (RFC 7395 section 3.6.1, XEP-0124 section 17.2), and never
// to where there is no TLS.
func TestSeeOtherURI(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		moves    bool
	}{
		"WebSocket to WebSocket": {"wss://one.example.test/ws", "wss://two.example.test/xmpp", true},
		"WebSocket to BOSH":      {"wss://one.example.test/ws", "https://two.example.test/bosh", true},
		"BOSH to BOSH":           {"https://one.example.test/bosh", "https://two.example.test/bosh", true},
		"without TLS":            {"wss://one.example.test/ws", "ws://two.example.test/xmpp", false},
		"BOSH without TLS":       {"https://one.example.test/bosh", "http://two.example.test/bosh", false},
		"something else":         {"wss://one.example.test/ws", "ftp://two.example.test/", false},
		"with a name in it":      {"wss://one.example.test/ws", "wss://me@two.example.test/ws", false},
		"a host, as for TCP":     {"https://one.example.test/bosh", "two.example.test:443", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &crossroads{t: t, to: tc.to}
				ln, ch := memlisten.New(), chain(t, "one.example.test", "two.example.test")
				srv := &http.Server{Handler: w}
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = srv.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})) // until it is closed
				}()
				cfg := Config{JID: alice, Password: func() (string, error) { return "secret", nil }, Connect: tc.from, RootCAs: ch.Pool(),
					FailFast: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return ln.Dial(ctx) }}
				err := mustNew(t, cfg).Run(t.Context())
				if want := map[bool]string{true: "not-authorized", false: seeOtherURI}[tc.moves]; err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Run: %v, want %s", err, want)
				}
				want := []string{tc.from[strings.Index(tc.from, "one"):]}
				if tc.moves {
					want = append(want, tc.to[strings.Index(tc.to, "two"):])
				}
				if got := w.seen(); !slices.Equal(got, want) {
					t.Errorf("visited were %v, want %v", got, want)
				}
				srv.Close()
				<-served
			})
		})
	}
}

// crossroads is a web server that sends whoever comes to its first host elsewhere, and lets nobody in at the second one.
type crossroads struct {
	t  *testing.T
	to string

	mu      sync.Mutex
	visited []string
}

func (w *crossroads) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.visited)
}

func (w *crossroads) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.visited = append(w.visited, r.Host+r.URL.Path)
	w.mu.Unlock()
	first := strings.HasPrefix(r.Host, "one.")
	closed := "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
	if r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
		if first {
			closed = body(" type='terminate' condition='see-other-uri'", "<uri>"+w.to+"</uri>")
		} else {
			closed = body(" type='terminate' condition='not-authorized'", "")
		}
		_, _ = io.WriteString(out, closed)
		return
	}
	ws, err := websocket.Accept(out, r, &websocket.AcceptOptions{Subprotocols: []string{"xmpp"}})
	if err != nil {
		w.t.Error(err)
		return
	}
	defer ws.CloseNow()
	say := func(text string) {
		if err := ws.Write(r.Context(), websocket.MessageText, []byte(text)); err != nil && !errors.Is(err, net.ErrClosed) {
			w.t.Log(err)
		}
	}
	_, _, _ = ws.Read(r.Context()) // <open/>
	if first {
		say("<close xmlns='" + nsFraming + "' see-other-uri='" + w.to + "'/>")
	} else {
		say("<open xmlns='" + nsFraming + "' from='example.test' id='1' version='1.0'/>")
		say(closed)
	}
	_, _, _ = ws.Read(r.Context()) // the end
}
