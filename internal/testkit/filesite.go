package testkit

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// FileSite is a web server, by TLS, that has one file at every path, and lets only so much of an answer through.
type FileSite struct {
	*httptest.Server

	mu     sync.Mutex
	answer FileAnswer
	asked  []string
	pass   int           // bytes of an answer; negative: all
	cuts   int           // how often answers were cut
	news   chan struct{} // closed when pass or cuts become others
}

// FileAnswer is what a [FileSite] answers.
type FileAnswer struct {
	Data []byte
	// ETag is the entity tag, with its quotes.
	ETag string
	// NoRanges is a server that knows none.
	NoRanges bool
	// Status is in place of the file, if it is not 0.
	Status int
}

// NewFileSite starts a server that lets everything through. It ends with the test.
func NewFileSite(t testing.TB, data []byte) *FileSite {
	s := &FileSite{answer: FileAnswer{Data: data, ETag: `"one"`}, pass: -1, news: make(chan struct{})}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(func() {
		s.Let(-1)
		s.Close()
	})
	return s
}

// Let says how many bytes of each answer get through from now on, all if n is negative. Answers that wait go on.
func (s *FileSite) Let(n int) { s.set(n, 0) }

// Cut is [FileSite.Let] that breaks the connections of answers under way.
func (s *FileSite) Cut(n int) { s.set(n, 1) }

func (s *FileSite) set(pass, cuts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass, s.cuts = pass, s.cuts+cuts
	close(s.news)
	s.news = make(chan struct{})
}

// Change makes later answers others.
func (s *FileSite) Change(how func(*FileAnswer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(&s.answer)
}

// Asked returns the Range of each request until now, "" for everything, and forgets them.
func (s *FileSite) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := slices.Clone(s.asked)
	s.asked = nil
	return asked
}

// ServeHTTP implements [http.Handler].
func (s *FileSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer, cuts := s.answer, s.cuts
	s.asked = append(s.asked, r.Header.Get("Range"))
	s.mu.Unlock()
	if answer.Status != 0 {
		w.WriteHeader(answer.Status)
		return
	}
	if answer.NoRanges {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", answer.ETag)
	http.ServeContent(&sluice{ResponseWriter: w, site: s, cuts: cuts, gone: r.Context().Done()}, r, "file.bin", time.Time{}, bytes.NewReader(answer.Data))
}

// sluice is an answer that waits where it has to.
type sluice struct {
	http.ResponseWriter
	site *FileSite
	cuts int // when it began
	sent int
	gone <-chan struct{}
}

func (s *sluice) Write(b []byte) (int, error) {
	for written := 0; ; {
		s.site.mu.Lock()
		pass, cuts, news := s.site.pass, s.site.cuts, s.site.news
		s.site.mu.Unlock()
		if cuts != s.cuts {
			panic(http.ErrAbortHandler) // the server's way to break a connection
		}
		part := b[written:]
		if pass >= 0 {
			part = part[:max(min(len(part), pass-s.sent), 0)]
		}
		n, err := s.ResponseWriter.Write(part)
		written, s.sent = written+n, s.sent+n
		if err != nil || written == len(b) {
			return written, err
		}
		if f, ok := s.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		select {
		case <-news:
		case <-s.gone:
			return written, http.ErrAbortHandler
		}
	}
}
