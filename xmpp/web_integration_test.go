package xmpp_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// web sets a way in without TLS, by scheme ws or http.
func web(s *testkit.Server, scheme string) func(*xmpp.Config) {
	path := "/xmpp-websocket"
	if scheme == "http" {
		path = "/http-bind"
	}
	return func(c *xmpp.Config) { c.Connect, c.TLS = scheme+"://"+s.HTTPAddr+path, xmpp.TLSPlainLoopback }
}

func chat(to jid.JID, body string) *xmltree.Element {
	return xmltree.New("jabber:client", "message").Set("to", to.String()).Set("type", "chat").
		Add(xmltree.New("jabber:client", "body").AddText(body))
}

func bodies(into chan string) func(*xmpp.Client) {
	return func(c *xmpp.Client) {
		c.HandleMessage(func(m *xmpp.Message) {
			if b := m.Element.ChildText("jabber:client", "body"); b != "" {
				into <- b
			}
		})
	}
}

// TestWeb logs in by WebSocket and by BOSH at both servers, asks, and sends stanzas both ways in their order.
func TestWeb(t *testing.T) {
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			s := testkit.SharedServer(t, kind)
			for _, scheme := range []string{"ws", "http"} {
				t.Run(scheme, func(t *testing.T) {
					const n = 200
					var clients [2]*xmpp.Client
					var got [2]chan string
					for i := range clients {
						cfg := account(s, jid.MustParse(s.AddUser(t, fmt.Sprintf("web-%s-%d", scheme, i), "secret")), "phone")
						web(s, scheme)(&cfg)
						got[i] = make(chan string, n+1)
						clients[i] = start(t, cfg, bodies(got[i]))
					}
					answer := make(chan error, 1)
					clients[0].Request(jid.JID(s.Domain), "get", xmltree.New("urn:xmpp:ping", "ping"), 0, func(_ *xmltree.Element, err error) { answer <- err })
					if err := wait(t, "ping", answer); err != nil {
						t.Error(err)
					}
					big := strings.TrimSpace(strings.Repeat("a <word> & another; ", 2000))
					for i := range n {
						if err := clients[0].Send(chat(clients[1].JID(), fmt.Sprint(i))); err != nil {
							t.Fatal(err)
						}
						if err := clients[1].Send(chat(clients[0].JID(), fmt.Sprint(i))); err != nil {
							t.Fatal(err)
						}
					}
					if err := clients[0].Send(chat(clients[1].JID(), big)); err != nil {
						t.Fatal(err)
					}
					for i := range n {
						for k := range got {
							if b := wait(t, "message", got[k]); b != fmt.Sprint(i) {
								t.Fatalf("message %d is %s", i, b)
							}
						}
					}
					if b := wait(t, "the large message", got[1]); b != big {
						t.Errorf("the large message came with %d bytes of %d", len(b), len(big))
					}
				})
			}
		})
	}
}

// TestResumeWithEjabberd cuts connections between messages: each comes once.
func TestResumeWithEjabberd(t *testing.T) {
	s := testkit.SharedServer(t, testkit.KindEjabberd)
	for n, way := range ways(s) {
		t.Run(way.name, func(t *testing.T) {
			var cut cutter
			got, states := make(chan string, 100), make(chan xmpp.StateChange, 100)
			cfg := account(s, jid.MustParse(s.AddUser(t, fmt.Sprint("cut", n), "secret")), "phone")
			way.configure(&cfg)
			cfg.Dial = cut.dial
			c := start(t, cfg, func(c *xmpp.Client) {
				bodies(got)(c)
				c.OnState(func(s xmpp.StateChange) { states <- s })
			})
			peerCfg := account(s, jid.MustParse(s.AddUser(t, fmt.Sprint("peer", n), "secret")), "phone")
			peer := start(t, peerCfg, nil)
			for i := range 5 {
				cut.cut()
				for st := wait(t, "state", states); !st.Resumed; st = wait(t, "state", states) {
					if st.State == xmpp.Online && i > 0 {
						t.Fatal("the stream was not resumed")
					}
				}
				if err := peer.Send(chat(c.JID(), fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if b := wait(t, "message", got); b != fmt.Sprint(i) {
					t.Fatalf("message %d is %s", i, b)
				}
			}
		})
	}
}

// TestBOSHCut breaks the connections below a BOSH session, which repeats its requests and loses nothing.
func TestBOSHCut(t *testing.T) {
	testkit.Each(t, boshCut)
}

func boshCut(t *testing.T, s *testkit.Server) {
	const n, each = 120, 30
	var cut [2]cutter
	var clients [2]*xmpp.Client
	got := make(chan string, n)
	offline := make(chan struct{}, 16)
	for i := range clients {
		cfg := account(s, jid.MustParse(s.AddUser(t, fmt.Sprint("bosh-", i), "secret")), "phone")
		web(s, "http")(&cfg)
		cfg.Dial = cut[i].dial
		clients[i] = start(t, cfg, func(c *xmpp.Client) {
			c.OnState(func(s xmpp.StateChange) {
				if s.State == xmpp.Offline {
					t.Logf("offline: %v", s.Err)
					offline <- struct{}{}
				}
			})
			if i == 1 {
				bodies(got)(c)
			}
		})
	}
	for i := range n {
		if err := clients[0].Send(chat(clients[1].JID(), fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i%each == each/2 {
			cut[i/each%2].cut()
		}
		if b := wait(t, "message", got); b != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, b)
		}
	}
	if len(offline) > 0 {
		t.Error("a session was lost")
	}
}

// front puts TLS for a name before a server's HTTP, and a host-meta.
func front(t *testing.T, s *testkit.Server, name, hostMeta, contentPath string) (*httptest.Server, []byte) {
	t.Helper()
	chain, err := selfsigned.New(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(chain.Cert, chain.Key)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.HTTPAddr})
	transport := &http.Transport{}
	proxy.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	if contentPath != "" {
		mux.HandleFunc(contentPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(hostMeta)) })
	}
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, chain.CA
}

// TestDiscoverWeb reaches a server whose ports for XMPP do not answer, by its host-meta in both forms, and by WebSocket
// and BOSH.
func TestDiscoverWeb(t *testing.T) { testkit.Each(t, discoverWeb) }

func discoverWeb(t *testing.T, s *testkit.Server) {
	far := jid.MustParse(s.AddUser(t, "far", "secret"))
	const json = "/.well-known/host-meta.json"
	const xrd = "/.well-known/host-meta"
	for _, tc := range []struct{ name, path, doc, method string }{
		{"JSON", json, `{"links":[{"rel":"urn:xmpp:alt-connections:xbosh","href":"https://example.test/http-bind"},
			{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://example.test/xmpp-websocket"}]}`, "WebSocket"},
		{"XML", xrd, `<?xml version='1.0'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>
			<Link rel='urn:xmpp:alt-connections:websocket' href='ws://example.test/never'/>
			<Link rel='urn:xmpp:alt-connections:xbosh' href='https://example.test/http-bind'/></XRD>`, "BOSH"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv, ca := front(t, s, s.Domain, tc.doc, tc.path)
			pool, err := xmpp.ParseCA(ca)
			if err != nil {
				t.Fatal(err)
			}
			var log logLines
			cfg := xmpp.Config{JID: far, Password: password("secret"), RootCAs: pool,
				Dial: onlyPort443(srv.Listener.Addr().String()), Resolver: noDNS{}, Logger: log.logger()}
			c := start(t, cfg, nil)
			got := make(chan error, 1)
			c.Request(jid.JID(s.Domain), "get", xmltree.New("urn:xmpp:ping", "ping"), 0, func(_ *xmltree.Element, err error) { got <- err })
			if err := wait(t, "ping", got); err != nil {
				t.Error(err)
			}
			if !log.has("logged in", "method="+tc.method) {
				t.Errorf("not by %s:\n%s", tc.method, log.String())
			}
		})
	}
}

// TestWebCertificate takes no WebSocket and no BOSH of a host whose certificate is for another, but a pinned one.
func TestWebCertificate(t *testing.T) {
	s := testkit.SharedServer(t, testkit.Chosen(t))
	careful := jid.MustParse(s.AddUser(t, "careful", "secret"))
	srv, ca := front(t, s, "other.test", "", "")
	pool, err := xmpp.ParseCA(ca)
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"wss://127.0.0.1:%s/xmpp-websocket", "https://127.0.0.1:%s/http-bind"} {
		_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
		cfg := xmpp.Config{JID: careful, Password: password("secret"), RootCAs: pool,
			Connect: fmt.Sprintf(where, port), FailFast: true}
		c, err := xmpp.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = c.Run(t.Context())
		e := asError(err)
		if e == nil || e.Kind != xmpp.ErrCertificate {
			t.Fatalf("%s: %v", where, err)
		}
		if time.Since(began) > 10*time.Second {
			t.Errorf("%s: refused after %v", where, time.Since(began))
		}
		cfg.PinnedSHA256 = e.Fingerprint
		start(t, cfg, nil)
	}
}
