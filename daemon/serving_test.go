package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/memlisten"
)

// idle is a daemon whose one account never connects, as it does not run.
func idle(t testing.TB) *daemon.Daemon {
	t.Helper()
	d, err := daemon.New(daemon.Config{Version: "test", Accounts: []daemon.Account{{
		JID: "alice@example.test", Password: func() (string, error) { return "secret", nil }}}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// serveOn serves a daemon until the test ends.
func serveOn(t testing.TB, l net.Listener, d *daemon.Daemon) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- apiserver.Serve(ctx, l, d, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// web is a plain HTTP client of a listener.
func web(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, MaxIdleConnsPerHost: 4}}
}

func digit(n int) *jingledv1.Event {
	return &jingledv1.Event{Account: "alice@example.test", Peer: "bob@example.test/x", Sid: "s\n\ndata: forged",
		Body: &jingledv1.Event_CallDtmf{CallDtmf: &jingledv1.CallDtmf{Digit: fmt.Sprint(n)}}}
}

// sse reads frames as an EventSource does.
type sse struct {
	body io.ReadCloser
	scan *bufio.Scanner
}

func openSSE(t testing.TB, h *http.Client, query, last string) *sse {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://jingled/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := h.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if ct := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || ct != "text/event-stream" {
		t.Fatalf("%s, %s", res.Status, ct)
	}
	return &sse{res.Body, bufio.NewScanner(res.Body)}
}

// next returns the fields of the next frame; a comment has the field "".
func (s *sse) next(t testing.TB) map[string]string {
	t.Helper()
	f := map[string]string{}
	for s.scan.Scan() {
		line := s.scan.Text()
		if line == "" {
			return f
		}
		name, value, _ := strings.Cut(line, ":")
		f[name] += strings.TrimPrefix(value, " ")
	}
	t.Fatalf("the stream ended: %v", s.scan.Err())
	return nil
}

func (s *sse) expect(t testing.TB, event, id string) map[string]string {
	t.Helper()
	f := s.next(t)
	if f["event"] != event || f["id"] != id {
		t.Fatalf("got %q, want the event %s with id %q", f, event, id)
	}
	return f
}

func TestServerSentEvents(t *testing.T) {
	d := idle(t)
	l := memlisten.New()
	serveOn(t, l, d)
	h := web(l.Dial)
	defer h.CloseIdleConnections()

	s := openSSE(t, h, "", "")
	s.expect(t, "hello", "0")
	for n := range 3 {
		d.Publish(digit(n))
	}
	f := s.expect(t, "call_dtmf", "1")
	var e jingledv1.Event
	if err := protojson.Unmarshal([]byte(f["data"]), &e); err != nil || e.GetCallDtmf().GetDigit() != "0" || e.GetSid() != "s\n\ndata: forged" {
		t.Errorf("data %s: %v", f["data"], err)
	}
	s.expect(t, "call_dtmf", "2")

	t.Run("resume", func(t *testing.T) {
		for _, s := range []*sse{openSSE(t, h, "?since_seq=2", ""), openSSE(t, h, "?since_seq=1", "2")} {
			s.expect(t, "hello", "")
			s.expect(t, "call_dtmf", "3")
		}
	})
	t.Run("gap", func(t *testing.T) {
		s := openSSE(t, h, "?since_seq=77", "") // of a daemon before this one
		s.expect(t, "hello", "")
		s.expect(t, "gap", "0")
		s.expect(t, "call_dtmf", "1")
	})
	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct{ method, query string }{{"GET", "?since_seq=-1"}, {"GET", "?since_seq=x"}, {"POST", ""}} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://jingled/v1/events"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := h.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode < 400 || res.StatusCode >= 500 {
				t.Errorf("%s %s: %s", c.method, c.query, res.Status)
			}
		}
	})
}

// TestServerSentEventsKeepAlive waits in fake time for the comment that keeps a silent stream alive.
func TestServerSentEventsKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memlisten.New()
		ctx, cancel := context.WithCancel(t.Context())
		d := idle(t)
		served := make(chan error, 1)
		go func() { served <- apiserver.Serve(ctx, l, d, nil) }()
		h := web(l.Dial)
		s := openSSE(t, h, "", "")
		s.expect(t, "hello", "0")
		began := time.Now()
		f := s.next(t)
		if _, comment := f[""]; !comment || time.Since(began) != 15*time.Second {
			t.Errorf("after %v came %q", time.Since(began), f)
		}
		d.Publish(digit(1))
		s.expect(t, "call_dtmf", "1")
		_ = s.body.Close()
		h.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// methods are all RPCs of the schema.
func methods() []protoreflect.MethodDescriptor {
	// The services that begin servers of their own, and have their own tests.
	apart := []protoreflect.Name{"PhoneService", "WhipService"}
	var out []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("jingled.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			if slices.Contains(apart, s.Name()) {
				continue
			}
			for j := range s.Methods().Len() {
				out = append(out, s.Methods().Get(j))
			}
		}
		return true
	})
	slices.SortFunc(out, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return out
}

// ask posts a body to an RPC and returns the status and what came back within a moment.
func ask(h *http.Client, m protoreflect.MethodDescriptor, contentType string, body []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://jingled/%s/%s", m.Parent().FullName(), m.Name())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := h.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	if m.IsStreamingServer() {
		// A stream of events does not end by itself; its first bytes are enough.
		b := make([]byte, 1)
		n, err := res.Body.Read(b)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return res.StatusCode, b[:n], err
	}
	out, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, out, err
}

var contentTypes = []string{"application/json", "application/proto", "application/connect+json", "application/connect+proto",
	"application/grpc", "application/grpc-web+proto", "text/plain"}

// FuzzRequests gives every RPC every kind of body. Nobody's fault but the caller's may come of it: no panic, which
// would cut the connection, and no internal error.
func FuzzRequests(f *testing.F) {
	all := methods()
	for i := range all {
		for ct := range contentTypes {
			f.Add(uint8(i), uint8(ct), []byte(`{}`))
		}
		f.Add(uint8(i), uint8(0), []byte(`{"account":"nobody@example.test","sid":"x","peer":"bob@example.test","reason":"busy"}`))
		f.Add(uint8(i), uint8(0), []byte(`{"account":"\u0000/@@","peer":"@","sinceSeq":"18446744073709551615","welcome":[{"from":["@"]}]}`))
		f.Add(uint8(i), uint8(2), []byte("\x00\x00\x00\x00\x02{}"))
		f.Add(uint8(i), uint8(3), []byte("\x00\xff\xff\xff\xff"))
		f.Add(uint8(i), uint8(1), []byte("\x0a\xff\xff\xff\xff\x0f"))
	}
	l := memlisten.New()
	serveOn(f, l, idle(f))
	h := web(l.Dial)
	f.Cleanup(h.CloseIdleConnections)
	f.Fuzz(func(t *testing.T, method, ct uint8, body []byte) {
		m := all[int(method)%len(all)]
		status, answer, err := ask(h, m, contentTypes[int(ct)%len(contentTypes)], body)
		if err != nil {
			t.Fatalf("%s: %v", m.FullName(), err)
		}
		if status == http.StatusInternalServerError {
			t.Fatalf("%s: %d %s", m.FullName(), status, answer)
		}
	})
}

// TestOversizedRequests sends more than a request may have.
func TestOversizedRequests(t *testing.T) {
	l := memlisten.New()
	serveOn(t, l, idle(t))
	h := web(l.Dial)
	defer h.CloseIdleConnections()
	body, err := json.Marshal(map[string]string{"account": strings.Repeat("a", 9<<20)})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods() {
		if m.IsStreamingServer() {
			continue // its request has the same bound, by the same option
		}
		status, answer, err := ask(h, m, "application/json", body)
		if err == nil && status == http.StatusNotFound {
			continue // a service that only the program has, where it listens for browsers
		}
		if err == nil && (status < 400 || !bytes.Contains(answer, []byte("resource_exhausted"))) && !bytes.Contains(answer, []byte("invalid_argument")) {
			t.Errorf("%s: %d %.200s", m.FullName(), status, answer)
		}
	}
	if status, answer, err := ask(h, methods()[0], "application/json", []byte(`{}`)); err != nil || status >= 500 {
		t.Errorf("afterwards: %d %s %v", status, answer, err)
	}
}

// TestManyClients has a thousand readers of events on the real socket, and some that never read, and asks how long
// others wait for an answer.
func TestManyClients(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the socket's folder has no permissions there")
	}
	const readers, deaf, flood = 1000, 8, 2000
	d := idle(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := apiserver.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, d)

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	last := make(chan error, readers)
	connected := make(chan struct{}, readers)
	for range readers {
		wg.Go(func() {
			c := client.Dial(path)
			defer c.Close()
			stream, err := c.Events.Watch(ctx, &jingledv1.WatchRequest{})
			if err != nil {
				last <- err
				connected <- struct{}{}
				return
			}
			defer stream.Close()
			ok := stream.Receive()
			connected <- struct{}{}
			for ok && stream.Msg().GetEvent().GetSid() != "last" {
				ok = stream.Receive()
			}
			last <- stream.Err()
		})
	}
	for range readers {
		<-connected
	}
	// Those who never read: a stream is asked for, and nothing more happens.
	for range deaf {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: jingled\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	quiet := latency(t, path)
	t.Logf("with %d readers: median %v, worst of %d %v", readers, quiet[len(quiet)/2], len(quiet), quiet[len(quiet)-1])
	if m := quiet[len(quiet)/2]; m > 50*time.Millisecond {
		t.Errorf("half of the requests waited longer than %v", m)
	}
	for n := range 10 {
		d.Publish(digit(n))
	}
	d.Publish(&jingledv1.Event{Sid: "last", Body: &jingledv1.Event_CallRinging{CallRinging: &jingledv1.CallRinging{}}})
	for range readers {
		if err := <-last; err != nil {
			t.Fatalf("a reader did not see the last event: %v", err)
		}
	}
	for n := range flood { // more than the daemon lets wait for a reader
		d.Publish(digit(n))
	}
	busy := latency(t, path)
	t.Logf("beside %d that never read: median %v, worst %v", deaf, busy[len(busy)/2], busy[len(busy)-1])
	if m := busy[len(busy)/2]; m > 50*time.Millisecond {
		t.Errorf("half of the requests waited longer than %v", m)
	}
}

// latency asks 200 times and returns the sorted times.
func latency(t *testing.T, path string) []time.Duration {
	t.Helper()
	c := client.Dial(path)
	defer c.Close()
	var out []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := c.Daemon.GetInfo(t.Context(), &jingledv1.GetInfoRequest{}); err != nil {
			t.Fatal(err)
		}
		out = append(out, time.Since(began))
	}
	slices.Sort(out)
	return out
}
