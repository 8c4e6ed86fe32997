package socks5

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	requester = "requester@example.com/foo"
	target    = "target@example.org/bar"
)

type proxy struct {
	*Server
	t    testing.TB
	addr string
	stop func()
	err  error

	mu    sync.Mutex
	ended []Info
	why   []EndReason
}

func (p *proxy) Started(Info) {}
func (p *proxy) Ended(i Info, r EndReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.why = append(p.ended, i), append(p.why, r)
}

func start(t testing.TB, cfg Config) *proxy {
	t.Helper()
	p := &proxy{t: t}
	cfg.Observer = p
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Server, p.addr = s, ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.err = s.Run(ctx, ln); close(done) }()
	p.stop = func() { cancel(); <-done }
	t.Cleanup(p.stop)
	return p
}

// dial opens a raw connection that is closed with the test.
func (p *proxy) dial() *net.TCPConn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// refused checks that the next connection is reset at once.
func (p *proxy) refused(otherwise string) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Error(otherwise)
	}
}

func connect(key string) []byte {
	b := append([]byte{5, 1, 0, 3, byte(len(key))}, key...)
	return append(b, 0, 0)
}

// join speaks the SOCKS5 part as a client does.
func (p *proxy) join(key Key) *net.TCPConn {
	p.t.Helper()
	c := p.dial()
	p.exchange(c, []byte{5, 1, 0}, []byte{5, 0})
	req := connect(key.String())
	want := bytes.Clone(req)
	want[1] = 0
	p.exchange(c, req, want)
	return c
}

func (p *proxy) exchange(c net.Conn, send, want []byte) {
	p.t.Helper()
	if _, err := c.Write(send); err != nil {
		p.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("sent %x, got %x (%v), want %x", send, got, err, want)
	}
}

func (p *proxy) pairUp(sid string) (tgt, req *net.TCPConn) {
	p.t.Helper()
	key := NewKey(sid, requester, target)
	tgt, req = p.join(key), p.join(key)
	if err := p.Activate(Activation{SID: sid, Requester: requester, Target: target, User: "requester@example.com"}); err != nil {
		p.t.Fatal(err)
	}
	return tgt, req
}

func (p *proxy) waitEnd(n int) (Info, EndReason) {
	p.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		p.mu.Lock()
		if len(p.ended) >= n {
			defer p.mu.Unlock()
			return p.ended[n-1], p.why[n-1]
		}
		p.mu.Unlock()
	}
	p.t.Fatalf("stream %d did not end", n)
	return Info{}, ""
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

// XEP-0065 section 5.3.2: the key is the lower-case hexadecimal SHA-1 of SID, requester and target.
func TestKey(t *testing.T) {
	// printf 'vxf9n471bn46requester@example.com/footarget@example.org/bar' | sha1sum
	if got := NewKey("vxf9n471bn46", requester, target).String(); got != "98b8d688d0f5d895fd41c5e7309a2e9e33ba32ff" {
		t.Errorf("key %s", got)
	}
}

// The flow of XEP-0065 section 6.2, with an early sender (libpurple does so) and both half-closes.
func TestMediatedStream(t *testing.T) {
	p := start(t, Config{})
	key := NewKey("vxf9n471bn46", requester, target)
	tgt := p.join(key)
	act := Activation{SID: "vxf9n471bn46", Requester: requester, Target: target, User: "requester@example.com"}
	if err := p.Activate(act); !errors.Is(err, ErrOneParty) {
		t.Errorf("activated with one party: %v", err)
	}
	req := p.join(key)
	early := []byte("before its time ")
	if _, err := req.Write(early); err != nil {
		t.Fatal(err)
	}
	if err := p.Activate(act); err != nil {
		t.Fatal(err)
	}
	if err := p.Activate(act); !errors.Is(err, ErrNotFound) {
		t.Errorf("activated twice: %v", err)
	}
	data := make([]byte, 3<<20)
	rand.Read(data)
	go func() { _, _ = req.Write(data); _ = req.CloseWrite() }()
	got, err := io.ReadAll(tgt)
	if err != nil || !bytes.Equal(got, append(early, data...)) {
		t.Fatalf("target got %d bytes of %d, %v", len(got), len(early)+len(data), err)
	}
	if _, err := tgt.Write([]byte("thanks")); err != nil { // after the other direction has ended
		t.Fatal(err)
	}
	_ = tgt.CloseWrite()
	if got, err := io.ReadAll(req); err != nil || string(got) != "thanks" {
		t.Errorf("requester got %q, %v", got, err)
	}
	i, why := p.waitEnd(1)
	if why != EndFinished || i.ToTarget != uint64(len(early)+len(data)) || i.ToRequester != 6 || i.User != "requester@example.com" ||
		i.Requester.String() != req.LocalAddr().String() || i.Target.String() != tgt.LocalAddr().String() {
		t.Errorf("%v %+v", why, i)
	}
	if c := p.Counters(); c.Streams != 0 || c.Pending != 0 || c.StreamsTotal != 1 || c.Bytes < i.ToTarget+6 || c.ActivationErrors != 2 {
		t.Errorf("%+v", c)
	}
}

// Only the hash made with the requester's own address opens a stream.
func TestActivationByTheRightPartyOnly(t *testing.T) {
	p := start(t, Config{})
	key := NewKey("sid", requester, target)
	p.join(key)
	p.join(key)
	for _, a := range []Activation{
		{SID: "sid", Requester: "mallory@example.com/foo", Target: target},
		{SID: "sid", Requester: target, Target: requester}, // the target itself
		{SID: "sid", Requester: "requester@example.com", Target: target},
		{SID: "sid", Requester: requester, Target: "target@example.org"},
		{SID: "SID", Requester: requester, Target: target},
		{},
	} {
		if err := p.Activate(a); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if c := p.Counters(); c.Streams != 0 || c.Pending != 2 {
		t.Errorf("%+v", c)
	}
}

func TestThirdPartyIsRefused(t *testing.T) {
	p := start(t, Config{})
	key := NewKey("sid", requester, target)
	p.join(key)
	p.join(key)
	c := p.dial()
	p.exchange(c, []byte{5, 1, 0}, []byte{5, 0})
	want := connect(key.String())
	want[1] = replyRefused
	p.exchange(c, connect(key.String()), want)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the third connection stays open")
	}
}

func TestHandshakesByteByByte(t *testing.T) {
	p := start(t, Config{})
	key := hex.EncodeToString(bytes.Repeat([]byte{0xAB}, 20))
	upper := bytes.ToUpper([]byte(key))
	for name, c := range map[string]struct {
		send  []byte
		reply []byte // all that comes back; the connection is closed then unless open is set
		open  bool
	}{
		"several methods":   {append([]byte{5, 3, 2, 1, 0}, connect(key)...), append([]byte{5, 0}, reply(0, key)...), true},
		"upper case":        {append([]byte{5, 1, 0}, connect(string(upper))...), append([]byte{5, 0}, reply(0, string(upper))...), true},
		"a port":            {append([]byte{5, 1, 0}, append(connect(key)[:45], 1, 2)...), append([]byte{5, 0}, append(reply(0, key)[:45], 1, 2)...), true},
		"SOCKS4":            {[]byte{4, 1, 0, 80, 1, 2, 3, 4, 0}, nil, false},
		"HTTP":              {[]byte("GET / HTTP/1.1\r\n\r\n"), nil, false},
		"no methods":        {[]byte{5, 0}, nil, false},
		"password only":     {[]byte{5, 1, 2}, []byte{5, 0xff}, false},
		"bind":              {append([]byte{5, 1, 0}, 5, 2, 0, 3), []byte{5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"udp associate":     {append([]byte{5, 1, 0}, 5, 3, 0, 3), []byte{5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"an IPv4 address":   {append([]byte{5, 1, 0}, 5, 1, 0, 1), []byte{5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"an IPv6 address":   {append([]byte{5, 1, 0}, 5, 1, 0, 4), []byte{5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"a host name":       {append([]byte{5, 1, 0}, connect("metadata.google.internal")...), []byte{5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"not hexadecimal":   {append([]byte{5, 1, 0}, connect(key[:39]+"g")...), []byte{5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"an empty name":     {append([]byte{5, 1, 0}, connect("")...), []byte{5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0}, false},
		"version changes":   {append([]byte{5, 1, 0}, 4, 1, 0, 3), []byte{5, 0}, false},
		"end in the middle": {append([]byte{5, 1, 0}, connect(key)[:20]...), []byte{5, 0}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn := p.dial()
			for i := range c.send { // one byte a segment
				if _, err := conn.Write(c.send[i : i+1]); err != nil {
					break // the proxy may have hung up already
				}
			}
			if c.open {
				got := make([]byte, len(c.reply))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, c.reply) {
					t.Errorf("got %x, %v", got, err)
				}
				conn.Close()
				until(t, "the proxy notices", func() bool { p.sweep(time.Now()); return p.Counters().Pending == 0 })
				return
			}
			_ = conn.CloseWrite()
			got, _ := io.ReadAll(conn)
			if !bytes.Equal(got, c.reply) && len(got) != 0 { // a reset may eat the answer: unread bytes remain with some
				t.Errorf("got %x, want %x", got, c.reply)
			}
		})
	}
	until(t, "nobody is pending", func() bool { return p.Counters().Pending == 0 })
}

func reply(code byte, key string) []byte {
	b := connect(key)
	b[1] = code
	return b
}

func TestHalfOpenConnectionsAreBounded(t *testing.T) {
	p := start(t, Config{HandshakeTimeout: 50 * time.Millisecond, MaxPendingPerAddress: 5})
	var open []net.Conn
	for range 5 {
		open = append(open, p.dial())
	}
	until(t, "five are pending", func() bool { return p.Counters().Pending == 5 })
	p.refused("the sixth half-open connection was taken")
	for _, c := range open { // slow ones are cut
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("a silent connection was answered")
		}
	}
	until(t, "there is room again", func() bool { return p.Counters().Pending == 0 })
	p.join(NewKey("a", "b", "c"))
}

func TestPendingConnectionsExpire(t *testing.T) {
	p := start(t, Config{})
	a := p.join(NewKey("a", requester, target))
	b1, b2 := p.join(NewKey("b", requester, target)), p.join(NewKey("b", requester, target))
	p.sweep(time.Now().Add(2*time.Minute - time.Second))
	if n := p.Counters().Pending; n != 3 {
		t.Errorf("%d pending before the time", n)
	}
	p.sweep(time.Now().Add(2*time.Minute + time.Second))
	for _, c := range []net.Conn{a, b1, b2} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("still open")
		}
	}
	if c := p.Counters(); c.Pending != 0 || c.Expired != 3 {
		t.Errorf("%+v", c)
	}
}

// A party that hung up does not count, and frees its place for one that tries again.
func TestPartyThatHungUp(t *testing.T) {
	p := start(t, Config{})
	key := NewKey("sid", requester, target)
	act := Activation{SID: "sid", Requester: requester, Target: target}
	tgt, req := p.join(key), p.join(key)
	tgt.Close()
	until(t, "activation notices", func() bool { return errors.Is(p.Activate(act), ErrOneParty) })
	tgt = p.join(key)
	if err := p.Activate(act); err != nil {
		t.Fatal(err)
	}
	_, _ = req.Write([]byte("x"))
	if _, err := io.ReadFull(tgt, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestIdleAndOldStreamsEnd(t *testing.T) {
	p := start(t, Config{IdleTimeout: time.Hour, MaxAge: 4 * time.Hour})
	_, _ = p.pairUp("idle")
	tgt, req := p.pairUp("busy")
	at := time.Now()
	for range 5 { // sends in one direction only, a little every 40 minutes
		at = at.Add(40 * time.Minute)
		_, _ = req.Write([]byte("x"))
		_, _ = io.ReadFull(tgt, make([]byte, 1))
		p.sweep(at)
	}
	if _, why := p.waitEnd(1); why != EndIdle {
		t.Errorf("the idle stream: %v", why)
	}
	if n := p.Counters().Streams; n != 1 {
		t.Fatalf("%d streams", n)
	}
	p.sweep(time.Now().Add(4*time.Hour + time.Second))
	if _, why := p.waitEnd(2); why != EndMaxAge && why != EndIdle {
		t.Errorf("the old stream: %v", why)
	}
}

// A receiver that stopped reading is idle although its buffers are full and its kernel acknowledges probes.
func TestStalledReceiverIsIdle(t *testing.T) {
	p := start(t, Config{IdleTimeout: time.Hour})
	_, req := p.pairUp("sid")
	_ = req.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = req.Write(make([]byte, 64<<20)) // until everything is full
	p.sweep(time.Now())
	p.sweep(time.Now().Add(61 * time.Minute))
	if _, why := p.waitEnd(1); why != EndIdle {
		t.Errorf("%v", why)
	}
}

func TestMaxBytes(t *testing.T) {
	p := start(t, Config{MaxBytes: 100_000})
	tgt, req := p.pairUp("exact")
	go func() { _, _ = req.Write(make([]byte, 100_000)); _ = req.CloseWrite() }()
	if b, err := io.ReadAll(tgt); len(b) != 100_000 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	tgt.Close()
	if _, why := p.waitEnd(1); why != EndFinished {
		t.Errorf("exactly the limit: %v", why)
	}
	tgt, more := p.pairUp("more")
	go func() { _, _ = more.Write(make([]byte, 200_000)) }()
	b, _ := io.ReadAll(tgt)
	if i, why := p.waitEnd(2); why != EndMaxBytes || len(b) > 100_000 || i.ToTarget > 100_000 {
		t.Errorf("%v, %d bytes, %+v", why, len(b), i)
	}
}

type rate struct {
	mu      sync.Mutex
	charged int
	every   int // every so many charges one is refused
	n       int
	begun   []string
	ended   int
	err     error
	blocked atomic.Bool
}

func (r *rate) Begin(_ time.Time, user string, client netip.AddrPort) (Hold, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = append(r.begun, user)
	if r.err != nil {
		return nil, r.err
	}
	return r, nil
}
func (r *rate) Blocked(time.Time, netip.Addr) bool { return r.blocked.Load() }
func (r *rate) Limited() bool                      { return true }
func (r *rate) End()                               { r.mu.Lock(); r.ended++; r.mu.Unlock() }
func (r *rate) Charge(_ time.Time, n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n++; r.every > 0 && r.n%r.every == 0 {
		return false
	}
	r.charged += n
	return n <= 2048
}

func TestLimiterIsChargedForAll(t *testing.T) {
	r := &rate{every: 50}
	p := start(t, Config{Limiter: r})
	tgt, req := p.pairUp("sid")
	data := make([]byte, 1<<20+123)
	rand.Read(data)
	go func() { _, _ = req.Write(data); _ = req.CloseWrite() }()
	got, err := io.ReadAll(tgt)
	tgt.Close()
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	p.waitEnd(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.charged != len(data) || r.ended != 1 || len(r.begun) != 1 || r.begun[0] != "requester@example.com" {
		t.Errorf("%+v", r)
	}
}

func TestLimiterRefuses(t *testing.T) {
	full := errors.New("enough")
	r := &rate{err: full}
	p := start(t, Config{Limiter: r, MaxStreams: 1})
	key := NewKey("sid", requester, target)
	p.join(key)
	p.join(key)
	act := Activation{SID: "sid", Requester: requester, Target: target}
	if err := p.Activate(act); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	r.mu.Lock()
	r.err = nil
	r.mu.Unlock()
	if err := p.Activate(act); err != nil { // the parties were not thrown out
		t.Errorf("%v", err)
	}
	key = NewKey("2", requester, target)
	p.join(key)
	p.join(key)
	if err := p.Activate(Activation{SID: "2", Requester: requester, Target: target}); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	r.blocked.Store(true)
	p.refused("a banned address may connect")
}

func TestKickDrainShutdown(t *testing.T) {
	p := start(t, Config{})
	tgt, req := p.pairUp("1")
	p.pairUp("2")
	key := NewKey("3", requester, target)
	p.join(key)
	p.join(key)
	if n := p.Kick(func(i Info) bool { return i.Requester.String() == req.LocalAddr().String() }); n != 1 {
		t.Errorf("kicked %d", n)
	}
	if _, err := tgt.Read(make([]byte, 1)); err == nil {
		t.Error("kicked, but open")
	}
	if _, why := p.waitEnd(1); why != EndKicked {
		t.Error(why)
	}
	p.Drain(true)
	p.refused("a draining proxy takes connections")
	if err := p.Activate(Activation{SID: "3", Requester: requester, Target: target}); err != nil {
		t.Errorf("those that wait may still begin: %v", err)
	}
	if got := p.Sessions(); len(got) != 2 {
		t.Errorf("%d sessions", len(got))
	}
	p.stop()
	if _, why := p.waitEnd(3); why != EndShutdown || !errors.Is(p.err, context.Canceled) {
		t.Error(why, p.err)
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	p := start(t, Config{MaxPendingPerAddress: 1000})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			sid := fmt.Sprint("sid", i)
			tgt, req := p.pairUp(sid)
			data := bytes.Repeat([]byte(sid), 10_000)
			go func() { _, _ = req.Write(data); _ = req.CloseWrite() }()
			got, err := io.ReadAll(tgt)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
			tgt.Close()
		})
	}
	wg.Wait()
	until(t, "all have ended", func() bool { c := p.Counters(); return c.Streams == 0 && c.Pending == 0 && c.StreamsTotal == 40 })
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte{5, 1, 0, 5, 1, 0, 3, 0, 0, 0})
	f.Add(append([]byte{5, 2, 0, 1}, connect("da39a3ee5e6b4b0d3255bfef95601890afd80709")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		in := bytes.NewReader(b)
		req, err := readRequest(struct {
			io.Reader
			io.Writer
		}{in, &out})
		if out.Len() > len(b)+12 {
			t.Errorf("%d bytes answered to %d", out.Len(), len(b))
		}
		if err != nil {
			return
		}
		if got := uint64(len(b) - in.Len()); got != req.size {
			t.Errorf("read %d bytes, says %d", got, req.size)
		}
		if len(req.domain) != 40 || len(req.reply(0)) != 47 {
			t.Errorf("%+v", req)
		}
	})
}
