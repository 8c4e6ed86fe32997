package s5b_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/s5b"
)

// stream reads from one buffer and writes to another.
type stream struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.out.Write(p) }

const hash = "972b7bf47291ca609517f67f86b5081086052dad"

// TestSocksBytes pins what is on the wire (XEP-0065 section 5.3.2, RFC 1928).
func TestSocksBytes(t *testing.T) {
	client := "\x05\x01\x00" + "\x05\x01\x00\x03\x28" + hash + "\x00\x00"
	server := "\x05\x00" + "\x05\x00\x00\x03\x28" + hash + "\x00\x00"
	s := &stream{in: bytes.NewReader([]byte(client + "data"))}
	if dst, err := s5b.ServeForTest(s); err != nil || dst != hash || s.out.String() != server {
		t.Errorf("%q, %v, %q", dst, err, s.out.String())
	}
	c := &stream{in: bytes.NewReader([]byte(server + "data"))}
	if err := s5b.ConnectForTest(c, hash); err != nil || c.out.String() != client {
		t.Errorf("%v, %q", err, c.out.String())
	}
	for _, rest := range []*bytes.Reader{s.in, c.in} {
		if b, _ := io.ReadAll(rest); string(b) != "data" {
			t.Errorf("%q is left, more was read than belongs to the handshake", b)
		}
	}
}

func TestConnectReplies(t *testing.T) {
	for reply, want := range map[string]error{
		"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90":      nil, // an IPv4 address, as some proxies answer
		"\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 18): nil,
		"\x05\x00\x05\x00\x00\x03\x00\x00\x00":                  nil, // an empty name
		"\x05\x00\x05\x02\x00\x03\x00\x00\x00":                  s5b.ErrRefused,
		"\x05\x00\x05\x00\x00\x09":                              s5b.ErrHandshake,
		"\x05\x00\x04\x00\x00\x01":                              s5b.ErrHandshake,
		"\x05\xff":                                              s5b.ErrHandshake,
		"\x05\x02":                                              s5b.ErrHandshake,
		"HTTP/1.1 400 Bad Request\r\n":                          s5b.ErrHandshake,
		"":                                                      io.EOF,
		"\x05\x00\x05\x00\x00\x03\x28" + hash:                   io.ErrUnexpectedEOF,
	} {
		if err := s5b.ConnectForTest(&stream{in: bytes.NewReader([]byte(reply))}, hash); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%q: %v", reply, err)
		}
	}
	for _, dst := range []string{"", strings.Repeat("x", 256)} {
		if err := s5b.ConnectForTest(&stream{in: bytes.NewReader(nil)}, dst); !errors.Is(err, s5b.ErrHandshake) {
			t.Errorf("%d bytes: %v", len(dst), err)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	for in, out := range map[string]string{
		"\x04\x01":                         "",
		"\x05\x00":                         "",
		"\x05\x01\x02":                     "\x05\xff",
		"\x05\x02\x02\x01":                 "\x05\xff",
		"\x05\x01\x00\x05\x03\x00\x03":     "\x05\x00\x05\x07\x00\x03\x00\x00\x00",
		"\x05\x01\x00\x05\x01\x00\x01":     "\x05\x00\x05\x08\x00\x03\x00\x00\x00",
		"\x05\x01\x00\x04\x01\x00\x03":     "\x05\x00",
		"GET / HTTP/1.1\r\n":               "",
		"\x05\x01\x00\x05\x01\x00\x03\xff": "\x05\x00",
		"\x05":                             "",
	} {
		s := &stream{in: bytes.NewReader([]byte(in))}
		if dst, err := s5b.ServeForTest(s); err == nil || s.out.String() != out {
			t.Errorf("%q: %q, %v, answered %q, want %q", in, dst, err, s.out.String(), out)
		}
	}
}

func FuzzSocks(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x28" + hash + "\x00\x00"))
	f.Add([]byte("\x05\x00\x05\x00\x00\x03\x28" + hash + "\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &stream{in: bytes.NewReader(b)}
		if dst, err := s5b.ServeForTest(s); err == nil {
			// What a server lets in, a client of the same address would have asked for.
			if !strings.Contains(string(b), dst) || len(dst) > 255 {
				t.Errorf("%q", dst)
			}
		}
		_ = s5b.ConnectForTest(&stream{in: bytes.NewReader(b)}, hash)
	})
}

func dial(t *testing.T, l *s5b.Listener) net.Conn {
	t.Helper()
	addrs, err := l.Addrs()
	if err != nil || len(addrs) == 0 {
		t.Fatal(addrs, err)
	}
	c, err := net.Dial("tcp", addrs[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// lines counts log lines with a word.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), word)
}

func TestListenerLetsInWhoIsExpected(t *testing.T) {
	log := &lines{}
	l := listener(t, s5b.ListenerConfig{Log: slog.New(slog.NewTextHandler(log, nil))})
	got := make(chan *net.TCPConn, 10)
	e, err := l.Expect(2, func(c *net.TCPConn) { got <- c }, hash, "other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Expect(1, nil, "other"); err == nil {
		t.Error("one hash is expected twice")
	}
	for range 3 {
		if err := s5b.ConnectForTest(dial(t, l), "wrong"); !errors.Is(err, s5b.ErrRefused) {
			t.Errorf("a wrong hash: %v", err)
		}
	}
	if n := log.count("nobody offered"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	for _, h := range []string{hash, "other"} {
		c := dial(t, l)
		if err := s5b.ConnectForTest(c, h); err != nil {
			t.Fatal(err)
		}
		in := <-got
		in.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		in.Close()
	}
	// There were enough.
	c := dial(t, l)
	_ = s5b.ConnectForTest(c, hash)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a third connection lives: %v", err)
	}
	e.Close()
	if err := s5b.ConnectForTest(dial(t, l), hash); !errors.Is(err, s5b.ErrRefused) {
		t.Errorf("after the end: %v", err)
	}
}

// TestListenerIsBounded opens connections that never say what they want.
func TestListenerIsBounded(t *testing.T) {
	l := listener(t, s5b.ListenerConfig{MaxPerHost: 3, HandshakeTimeout: 300 * time.Millisecond})
	alive := 0
	var served []net.Conn
	for range 6 {
		c := dial(t, l)
		c.Write([]byte{5, 1, 0})
		if _, err := io.ReadFull(c, make([]byte, 2)); err == nil {
			alive++
			served = append(served, c)
		}
	}
	for _, c := range served {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives its handshake")
		}
	}
	if alive != 3 {
		t.Errorf("%d connections are served, want 3", alive)
	}
}

// TestListenerEnds: what is in its handshake when the listener stops is closed.
func TestListenerEnds(t *testing.T) {
	var c net.Conn
	t.Run("run", func(t *testing.T) {
		l := listener(t, s5b.ListenerConfig{})
		var err error
		addrs, _ := l.Addrs()
		if c, err = net.Dial("tcp", addrs[0].String()); err != nil {
			t.Fatal(err)
		}
		c.Write([]byte{5, 1, 0})
		if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("still open")
	}
}

func TestListenerAddrs(t *testing.T) {
	l := listener(t, s5b.ListenerConfig{Addr: ":0"})
	addrs, err := l.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.Addr().IsLoopback() || a.Addr().IsLinkLocalUnicast() || a.Addr().Zone() != "" || a.Port() == 0 {
			t.Errorf("%s is told to peers", a)
		}
	}
	if _, err := s5b.NewListener(s5b.ListenerConfig{Addr: "nowhere"}); err == nil {
		t.Error("listens nowhere")
	}
}
