package xmpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/internal/memlisten"
)

// manager is a scripted connection manager (XEP-0124).
type manager struct {
	t       *testing.T
	created string // attributes of the session
	// answer is asked for each request after the first; a status of 0 breaks the connection.
	answer func(rid int64, body string) (status int, text string)

	mu     sync.Mutex
	bodies []string
	open   int
	most   int // that were open at once
	first  int64
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has given it up
	}
	start, err := firstTag(b)
	if err != nil || r.Method != http.MethodPost || start.Name.Space != nsBOSH {
		m.t.Errorf("manager: %s with %q", r.Method, b)
	}
	rid, err := strconv.ParseInt(attr(start, "rid"), 10, 64)
	if err != nil || rid <= 0 || rid > 1<<53-1<<32 {
		m.t.Errorf("manager: rid %q", attr(start, "rid"))
	}
	m.mu.Lock()
	m.bodies = append(m.bodies, string(b))
	m.open++
	m.most = max(m.most, m.open)
	creates := m.first == 0
	if creates {
		m.first = rid
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open--
	}()
	if creates != (attr(start, "sid") == "") {
		m.t.Errorf("manager: a sid in %q", b)
	}
	status, text := http.StatusOK, body(" sid='s1' from='example.test' authid='a1' "+m.created, "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>")
	if !creates || m.created == "" {
		status, text = m.answer(rid-m.first, string(b))
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (m *manager) seen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bodies)
}

func body(attrs, children string) string {
	return "<body xmlns='" + nsBOSH + "'" + attrs + ">" + children + "</body>"
}

// withManager opens a stream at a connection manager, in a bubble whose time it passes.
func withManager(t *testing.T, m *manager, use func(net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m.t = t
		ln := memlisten.New()
		srv := &http.Server{Handler: m}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(ln) // until it is closed
		}()
		cfg, err := Config{JID: alice, Password: func() (string, error) { return "", nil }, Connect: "http://127.0.0.1:5280/http-bind", TLS: TLSPlainLoopback,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				c, err := ln.Dial(ctx)
				return pipe{c, "127.0.0.1:5280"}, err
			}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		to, err := webTarget(cfg.Connect, true)
		if err != nil {
			t.Fatal(err)
		}
		c := cfg.dialBOSH(to)
		write(t, c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.test' version='1.0'>")
		use(c)
		c.Close()
		srv.Close()
		<-served
		time.Sleep(2 * time.Minute) // of the bubble's time: what is held is answered
	})
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// read reads on until it has seen the text.
func read(t *testing.T, c net.Conn, until string) {
	t.Helper()
	var all strings.Builder
	var b [1024]byte
	for !strings.Contains(all.String(), until) {
		n, err := c.Read(b[:])
		if err != nil {
			t.Fatalf("%v after %q, want %q", err, all.String(), until)
		}
		all.Write(b[:n])
	}
}

// hold answers nothing for as long as the session allows.
func hold(wait time.Duration) (int, string) {
	time.Sleep(wait)
	return http.StatusOK, body("", "")
}

const usual = "wait='60' hold='1' requests='2' inactivity='30' polling='5'"

// TestBOSHCreation asks for a session as XEP-0124 section 7.1 and XEP-0206 section 4 want it.
func TestBOSHCreation(t *testing.T) {
	m := &manager{created: usual, answer: func(int64, string) (int, string) { return hold(60 * time.Second) }}
	withManager(t, m, func(c net.Conn) {
		read(t, c, "features")
		start, err := firstTag([]byte(m.seen()[0]))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"to": "example.test", "wait": "60", "hold": "1", "ver": "1.6", "content": "text/xml; charset=utf-8", "sid": ""} {
			if got := attr(start, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if !strings.Contains(m.seen()[0], `xmpp:version="1.0"`) {
			t.Errorf("no version in %s", m.seen()[0])
		}
	})
}

// TestBOSHRepeats has requests fail in each way that can be mended: they come again, as they were (XEP-0124 section 17.3), and
// their answers are taken in order.
func TestBOSHRepeats(t *testing.T) {
	for name, fault := range map[string]func() (int, string){
		"recoverable error":   func() (int, string) { return http.StatusOK, body(" type='error'", "") },
		"broken connection":   func() (int, string) { return 0, "" },
		"server out of order": func() (int, string) { return http.StatusBadGateway, "" },
		"too much at once":    func() (int, string) { return http.StatusTooManyRequests, "" },
	} {
		t.Run(name, func(t *testing.T) {
			failures := map[int64]int{}
			var mu sync.Mutex
			m := &manager{created: usual, answer: func(rid int64, text string) (int, string) {
				if !strings.Contains(text, "<message") {
					return hold(60 * time.Second)
				}
				mu.Lock()
				failures[rid]++
				n := failures[rid]
				mu.Unlock()
				if n < 3 {
					return fault()
				}
				i := strings.Index(text, "<message")
				return http.StatusOK, body("", strings.TrimSuffix(text[i:], "</body>"))
			}}
			withManager(t, m, func(c net.Conn) {
				read(t, c, "features")
				for i := range 3 {
					write(t, c, wireMessage(i))
				}
				for i := range 3 {
					read(t, c, fmt.Sprintf("id='%d'", i))
				}
				byRID := map[string]string{}
				repeated := 0
				for _, b := range m.seen() {
					start, _ := firstTag([]byte(b))
					switch before, ok := byRID[attr(start, "rid")]; {
					case !ok:
						byRID[attr(start, "rid")] = b
					case before != b:
						t.Errorf("repeated as %q, was %q", b, before)
					default:
						repeated++
					}
				}
				if repeated < 2 {
					t.Errorf("%d requests were repeated", repeated)
				}
			})
		})
	}
}

// TestBOSHWindow keeps to the number of requests that the manager allows, with rids that leave none out.
func TestBOSHWindow(t *testing.T) {
	for _, requests := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(requests), func(t *testing.T) {
			m := &manager{created: fmt.Sprintf("wait='5' hold='1' requests='%d'", requests)}
			m.answer = func(_ int64, text string) (int, string) {
				time.Sleep(50 * time.Millisecond)
				return http.StatusOK, body("", strings.Repeat("<message xmlns='jabber:client' id='got'/>", strings.Count(text, "<message")))
			}
			withManager(t, m, func(c net.Conn) {
				read(t, c, "features")
				const n = 30
				for i := range n {
					write(t, c, wireMessage(i))
					time.Sleep(7 * time.Millisecond)
				}
				for range n {
					read(t, c, "id='got'")
				}
				m.mu.Lock()
				defer m.mu.Unlock()
				if m.most > requests {
					t.Errorf("%d requests at once, %d are allowed", m.most, requests)
				}
				var rids []int64
				for _, b := range m.bodies {
					start, _ := firstTag([]byte(b))
					rid, _ := strconv.ParseInt(attr(start, "rid"), 10, 64)
					rids = append(rids, rid)
				}
				slices.Sort(rids)
				for i := range rids {
					if rids[i] != rids[0]+int64(i) {
						t.Fatalf("the rids are %v", rids)
					}
				}
			})
		})
	}
}

// TestBOSHPolls asks no more often than it may where nothing is held (XEP-0124 section 12).
func TestBOSHPolls(t *testing.T) {
	m := &manager{created: "wait='0' hold='0' requests='1' polling='7' inactivity='30'", answer: func(int64, string) (int, string) { return hold(0) }}
	withManager(t, m, func(c net.Conn) {
		read(t, c, "features")
		before := len(m.seen())
		time.Sleep(70 * time.Second)
		if n := len(m.seen()) - before; n < 9 || n > 11 {
			t.Errorf("asked %d times in 70 s, one each 7 s is right", n)
		}
	})
}

// TestBOSHEnds ends a session from both sides (XEP-0124 sections 13 and 17.2).
func TestBOSHEnds(t *testing.T) {
	t.Run("by us", func(t *testing.T) {
		m := &manager{created: usual}
		m.answer = func(_ int64, text string) (int, string) {
			if strings.Contains(text, "terminate") {
				return http.StatusOK, body(" type='terminate'", "")
			}
			return hold(60 * time.Second)
		}
		withManager(t, m, func(c net.Conn) {
			read(t, c, "features")
			write(t, c, "<presence type='unavailable'/></stream:stream>")
			read(t, c, streamEndTag)
			last := m.seen()[len(m.seen())-1]
			if !strings.Contains(last, `type="terminate"`) || !strings.Contains(last, "unavailable") {
				t.Errorf("the last request is %s", last)
			}
		})
	})
	for _, tc := range []struct {
		name, attrs, children string
		condition             string
		says                  string
	}{
		{"as it should", " type='terminate'", "", "", streamEndTag},
		{"item-not-found", " type='terminate' condition='item-not-found'", "", "item-not-found", ""},
		{"remote-connection-failed", " type='terminate' condition='remote-connection-failed'", "", "remote-connection-failed", ""},
		{"remote-stream-error", " type='terminate' condition='remote-stream-error'",
			"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "", "<conflict"},
	} {
		t.Run("by the manager, "+tc.name, func(t *testing.T) {
			m := &manager{created: usual, answer: func(int64, string) (int, string) {
				time.Sleep(time.Second)
				return http.StatusOK, body(tc.attrs, tc.children)
			}}
			withManager(t, m, func(c net.Conn) {
				read(t, c, "features")
				text, err := io.ReadAll(c)
				var se *StreamError
				if errors.As(err, &se); tc.condition != "" && (se == nil || se.Condition != tc.condition) {
					t.Errorf("got %v, want %s", err, tc.condition)
				}
				if !strings.Contains(string(text), tc.says) {
					t.Errorf("got %q, want %q", text, tc.says)
				}
			})
		})
	}
}

// TestBOSHNotThere gives up at once what cannot be begun, and says why: there may be other ways to the server.
func TestBOSHNotThere(t *testing.T) {
	refused := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Config{JID: alice, Password: func() (string, error) { return "", nil }, Connect: "https://example.test/http-bind", FailFast: true, Dial: refused})
		began := time.Now()
		err := c.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the connection was refused") || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
	m := &manager{answer: func(int64, string) (int, string) { return http.StatusServiceUnavailable, "" }}
	withManager(t, m, func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "503") || len(m.seen()) != 1 {
			t.Errorf("after %d requests: %v", len(m.seen()), err)
		}
	})
}

func wireMessage(id int) string { return fmt.Sprintf("<message xmlns='jabber:client' id='%d'/>", id) }
