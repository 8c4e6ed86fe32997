package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/jingled/jingled/internal/testkit"
)

// browser is the page in Chromium.
type browser struct {
	t    *testing.T
	conn *websocket.Conn

	mu      sync.Mutex
	next    int
	replies map[int]chan reply
	events  []event
	stanzas []string
	news    chan struct{} // closed and made anew with each event
}

type reply struct {
	ID     int
	Result json.RawMessage
	Error  string
	event
}

// event is what the page tells by itself.
type event struct {
	Event, SID, State, Kind, Reason, Direction, XML, Name string
	What                                                  json.RawMessage
}

// open loads the page, whose script is the bundle, into a Chromium with this sound as its microphone.
func open(t *testing.T, bundle []byte, microphone string) *browser {
	t.Helper()
	return openWith(t, http.NewServeMux(), bundle, "--use-file-for-fake-audio-capture="+microphone)
}

// openWith is open with what else is served at the page's address.
func openWith(t *testing.T, mux *http.ServeMux, bundle []byte, flags ...string) *browser {
	t.Helper()
	b := &browser{t: t, replies: make(map[int]chan reply), news: make(chan struct{})}
	connected := make(chan *websocket.Conn, 1)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>stanza</title><script src=/bundle.js></script>"))
	})
	mux.HandleFunc("GET /bundle.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(bundle)
	})
	mux.HandleFunc("GET /control", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetReadLimit(1 << 20)
		connected <- c
		b.read(c)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	// getUserMedia wants https, or localhost by its name.
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	testkit.Chromium(t, "http://localhost:"+port+"/", flags...)
	select {
	case b.conn = <-connected:
	case <-time.After(patience):
		t.Fatal("the page did not start")
	}
	t.Cleanup(func() { _ = b.conn.CloseNow() })
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Logf("stanzas of the browser:\n%s", strings.Join(b.stanzas, "\n"))
		}
	})
	return b
}

func (b *browser) read(c *websocket.Conn) {
	for {
		_, data, err := c.Read(context.Background())
		if err != nil {
			return
		}
		var r reply
		if err := json.Unmarshal(data, &r); err != nil {
			b.t.Errorf("the page said %s: %v", data, err)
			continue
		}
		b.mu.Lock()
		switch {
		case r.Event == "stanza":
			b.stanzas = append(b.stanzas, fmt.Sprintf("%s %s", r.Direction, r.XML))
		case r.Event != "":
			if r.Event == "log" {
				b.stanzas = append(b.stanzas, fmt.Sprintf("log %s", r.What))
			}
			b.events = append(b.events, r.event)
			close(b.news)
			b.news = make(chan struct{})
		default:
			b.replies[r.ID] <- r
			delete(b.replies, r.ID)
		}
		b.mu.Unlock()
	}
}

// do gives the page a command and returns what it says.
func do[T any](b *browser, command string, args map[string]any) T {
	b.t.Helper()
	ch := make(chan reply, 1)
	b.mu.Lock()
	b.next++
	id := b.next
	b.replies[id] = ch
	b.mu.Unlock()
	data, err := json.Marshal(map[string]any{"id": id, "command": command, "args": args})
	if err == nil {
		err = b.conn.Write(b.t.Context(), websocket.MessageText, data)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	var out T
	select {
	case r := <-ch:
		if r.Error != "" {
			b.t.Fatalf("the page, %s: %s", command, r.Error)
		}
		if err := json.Unmarshal(r.Result, &out); err != nil {
			b.t.Fatalf("the page, %s: %v", command, err)
		}
	case <-time.After(patience):
		b.t.Fatalf("the page does not answer to %s", command)
	}
	return out
}

// await waits for an event of a session, after those that were there before, if seen says so.
func (b *browser) await(sid, name string, is ...func(event) bool) event {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		news := b.news
		for _, e := range b.events {
			if e.Event == name && (sid == "" || e.SID == sid) && (len(is) == 0 || is[0](e)) {
				b.mu.Unlock()
				return e
			}
		}
		events := fmt.Sprintf("%+v", b.events)
		b.mu.Unlock()
		select {
		case <-news:
		case <-deadline:
			b.t.Fatalf("the page tells of no %s: %s", name, events)
		}
	}
}
