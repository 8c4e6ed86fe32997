package httpupload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a web server that keeps what is put, and the XMPP service that gives slots at it.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	files   map[string][]byte
	header  http.Header // of the last PUT
	refuse  *jingle.StanzaError
	handler http.HandlerFunc // in place of its own GET
}

func newServer(t *testing.T) *server {
	s := &server{files: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method == http.MethodPut {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if r.ContentLength != int64(len(b)) || len(r.TransferEncoding) > 0 {
				t.Errorf("PUT of %d bytes with the length %d, %v", len(b), r.ContentLength, r.TransferEncoding)
			}
			s.files[r.URL.Path], s.header = b, r.Header
			w.WriteHeader(http.StatusCreated)
			return
		}
		if s.handler != nil {
			s.handler(w, r)
			return
		}
		b, ok := s.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func (s *server) request(_ jid.JID, e *xmltree.Element, done func(*xmltree.Element, error)) {
	if s.refuse != nil {
		go done(nil, s.refuse)
		return
	}
	u := s.URL + "/f/" + e.Attr("filename")
	slot := httpupload.Slot{Put: u, Get: u, Header: http.Header{"Authorization": {"Bearer x"}}}.Element()
	go done(slot, nil)
}

type account struct {
	t      *testing.T
	m      *httpupload.Manager
	events chan transfers.Event
	sent   chan *xmltree.Element
	dir    string
}

func newAccount(t *testing.T, s *server, allow func(netip.Addr) bool, maxSize int64) *account {
	t.Helper()
	a := &account{t: t, events: make(chan transfers.Event, 100), sent: make(chan *xmltree.Element, 10), dir: t.TempDir()}
	folder, err := store.Open(a.dir, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := transfers.New(transfers.Config{
		Transports: func(jid.JID, bool) []engine.TransportFactory { return nil }, MaxSize: maxSize,
		Events: func(e transfers.Event) {
			if o, ok := e.(transfers.Offered); ok {
				o.Transfer.Accept(folder)
			}
			a.events <- e
		}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	a.m, err = httpupload.NewManager(httpupload.Config{Request: s.request, Transfers: files, Allow: allow, RootCAs: roots, UploadRootCAs: roots,
		Send: func(e *xmltree.Element) error { a.sent <- e; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = files.Run(ctx) })
	wg.Go(func() { _ = a.m.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = folder.Close()
	})
	return a
}

func loopback(a netip.Addr) bool { return a.IsLoopback() }

func (a *account) last() transfers.Event {
	a.t.Helper()
	for {
		select {
		case e := <-a.events:
			switch e.(type) {
			case transfers.Done, transfers.Failed:
				return e
			}
		case <-time.After(20 * time.Second):
			a.t.Fatal("nothing happens")
		}
	}
}

func source(name string, data []byte) transfers.Source {
	return transfers.Source{Name: name, Size: int64(len(data)), MediaType: "text/plain", Open: func() (io.ReadSeekCloser, error) {
		return nopCloser{bytes.NewReader(data)}, nil
	}}
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

const juliet = jid.JID("juliet@capulet.lit")

func TestThereAndBack(t *testing.T) {
	for _, size := range []int{0, 1, 1_000_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := newServer(t)
			a := newAccount(t, s, loopback, 0)
			data := bytes.Repeat([]byte("x"), size)
			if _, err := a.m.Send(httpupload.Service{JID: "upload.capulet.lit"}, juliet, source("a.txt", data), false); err != nil {
				t.Fatal(err)
			}
			if done, ok := a.last().(transfers.Done); !ok || done.Transport != httpupload.NS || done.Confirmed {
				t.Fatalf("%+v", done)
			}
			if h := s.header; h.Get("Authorization") != "Bearer x" || h.Get("Content-Type") != "text/plain" {
				t.Errorf("%v", h)
			}
			msg := <-a.sent
			sum := sha256.Sum256(data)
			if !strings.Contains(msg.String(), base64.StdEncoding.EncodeToString(sum[:])) || msg.ChildText("jabber:client", "body") != s.URL+"/f/a.txt" {
				t.Errorf("%s", msg)
			}
			share, ok := httpupload.Find(msg)
			if !ok {
				t.Fatal("our own message is not understood")
			}
			if _, err := a.m.Offer(juliet, share); err != nil {
				t.Fatal(err)
			}
			done, ok := a.last().(transfers.Done)
			if !ok || done.Verified != "sha-256" {
				t.Fatalf("%+v", done)
			}
			if got, err := os.ReadFile(done.Path); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			// The same with nothing but the address.
			if _, err := a.m.Offer(juliet, httpupload.Share{URL: share.URL, File: filetransfer.File{Name: "a.txt"}}); err != nil {
				t.Fatal(err)
			}
			if done, ok = a.last().(transfers.Done); !ok || filepath.Base(done.Path) != "a (2).txt" || done.Bytes != int64(size) {
				t.Errorf("%+v", done)
			}
		})
	}
}

func TestUploadFails(t *testing.T) {
	s := newServer(t)
	a := newAccount(t, s, loopback, 0)
	var tooLarge *httpupload.TooLargeError
	if _, err := a.m.Send(httpupload.Service{MaxSize: 3}, juliet, source("a", []byte("1234")), false); !errors.As(err, &tooLarge) || tooLarge.Max != 3 {
		t.Errorf("%v", err)
	}
	s.refuse = &jingle.StanzaError{Type: "modify", Condition: "not-acceptable",
		App: xmltree.New(httpupload.NS, "file-too-large").Add(xmltree.New(httpupload.NS, "max-file-size").AddText("2"))}
	if _, err := a.m.Send(httpupload.Service{}, juliet, source("a", []byte("1234")), false); err != nil {
		t.Fatal(err)
	}
	if f, ok := a.last().(transfers.Failed); !ok || !strings.Contains(f.Text, "at most 2 bytes") {
		t.Errorf("%+v", f)
	}
	s.refuse = nil
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, err := a.m.Send(httpupload.Service{}, juliet, source("a", bytes.Repeat([]byte("x"), 5_000_000)), false); err != nil {
		t.Fatal(err)
	}
	if f, ok := a.last().(transfers.Failed); !ok || !strings.Contains(f.Text, "403") && !strings.Contains(f.Text, "upload") {
		t.Errorf("%+v", f)
	}
	if len(a.sent) != 0 {
		t.Error("the peer was told of a file that is not there")
	}
}

// TestNotFetched has everything that a peer may try.
func TestNotFetched(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		allow   func(netip.Addr) bool
		maxSize int64
		file    filetransfer.File
		handler http.HandlerFunc
		want    string
	}{
		"a private address": {allow: nil, want: "not a public one"},
		"another size":      {allow: loopback, file: filetransfer.File{Size: size(7)}, want: "announced"},
		"too large":         {allow: loopback, maxSize: 3, want: "at most 3"},
		"no size": {allow: loopback, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("12345"))
		}, want: "how large"},
		"redirect to http": {allow: loopback, handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/x", http.StatusFound)
		}, want: "only https"},
		"redirects without end": {allow: loopback, handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		}, want: "redirects"},
		"redirect to elsewhere": {allow: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") },
			handler: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://127.0.0.2:1/x", http.StatusFound)
			}, want: "not a public one"},
		"not there": {allow: loopback, handler: http.NotFound, want: "404"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.files["/f"], s.handler = []byte("12345"), c.handler
			a := newAccount(t, s, c.allow, c.maxSize)
			if _, err := a.m.Offer(juliet, httpupload.Share{URL: s.URL + "/f", File: c.file}); err != nil {
				t.Fatal(err)
			}
			f, ok := a.last().(transfers.Failed)
			if !ok || !strings.Contains(f.Text, c.want) {
				t.Errorf("%+v", f)
			}
			if es, _ := os.ReadDir(a.dir); len(es) != 0 {
				t.Errorf("left behind: %v", es)
			}
		})
	}
}

// TestShortBody has a server that sends less than it said.
func TestShortBody(t *testing.T) {
	s := newServer(t)
	s.handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("12345"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	a := newAccount(t, s, loopback, 0)
	if _, err := a.m.Offer(juliet, httpupload.Share{URL: s.URL + "/f"}); err != nil {
		t.Fatal(err)
	}
	if f, ok := a.last().(transfers.Failed); !ok || !strings.Contains(f.Text, "5 of 10") {
		t.Errorf("%+v", f)
	}
}
