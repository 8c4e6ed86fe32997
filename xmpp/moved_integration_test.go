package xmpp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// moving is a WebSocket front of a server. Whoever is connected by it can be sent to another path of it.
type moving struct {
	t        *testing.T
	upstream string
	came     chan string // the paths at which somebody connects
	away     chan string // the URL to which one who is connected is sent
}

// ServeHTTP implements [http.Handler].
func (m *moving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protocol := []string{"xmpp"}
	client, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: protocol})
	if err != nil {
		m.t.Error(err)
		return
	}
	defer client.CloseNow()
	server, _, err := websocket.Dial(r.Context(), m.upstream, &websocket.DialOptions{Subprotocols: protocol})
	if err != nil {
		m.t.Error(err)
		return
	}
	defer server.CloseNow()
	client.SetReadLimit(1 << 20)
	server.SetReadLimit(1 << 20)
	m.came <- r.URL.Path
	ctx, over := context.WithCancel(r.Context())
	pass := func(from, to *websocket.Conn) {
		defer over()
		for {
			kind, data, err := from.Read(ctx)
			if err != nil || to.Write(ctx, kind, data) != nil {
				return
			}
		}
	}
	go pass(client, server)
	go pass(server, client)
	select {
	case <-ctx.Done():
	case to := <-m.away:
		// RFC 7395 section 3.6.1. The client's answer ends the stream at the server.
		said := fmt.Appendf(nil, "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='%s'/>", to)
		if err := client.Write(r.Context(), websocket.MessageText, said); err != nil {
			m.t.Error(err)
		}
		<-ctx.Done()
	}
}

// TestMoved is sent elsewhere by a WebSocket time and again, and logs in there.
func TestMoved(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		m := &moving{t: t, upstream: "ws://" + s.HTTPAddr + "/xmpp-websocket", came: make(chan string, 10), away: make(chan string)}
		chain, err := selfsigned.New("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewUnstartedServer(m)
		front.TLS = &tls.Config{Certificates: []tls.Certificate{chain.TLS}}
		front.StartTLS()
		t.Cleanup(front.Close)
		at := func(path string) string { return "wss://" + front.Listener.Addr().String() + path }

		got, states := make(chan string, 100), make(chan xmpp.StateChange, 100)
		cfg := account(s, jid.MustParse(s.AddUser(t, "moved", "secret")), "phone")
		cfg.Connect, cfg.RootCAs = at("/one"), chain.Pool()
		c := start(t, cfg, func(c *xmpp.Client) {
			bodies(got)(c)
			c.OnState(func(s xmpp.StateChange) { states <- s })
		})
		peer := start(t, account(s, jid.MustParse(s.AddUser(t, "stays", "secret")), "phone"), nil)
		for i, path := range []string{"/one", "/two", "/one", "/three"} {
			if i > 0 {
				m.away <- at(path)
			}
			if came := wait(t, "a connection", m.came); came != path {
				t.Fatalf("sent to %s, it comes to %s", path, came)
			}
			for wait(t, "state", states).State != xmpp.Online {
			}
			if err := peer.Send(chat(c.JID(), path)); err != nil {
				t.Fatal(err)
			}
			if b := wait(t, "message", got); b != path {
				t.Fatalf("%s is heard at %s", b, path)
			}
		}
	})
}
