package ibb_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// server carries stanzas between routers, as text and in order.
type server struct {
	t       testing.TB
	mu      sync.Mutex
	queue   []func()
	wake    chan struct{}
	quit    chan struct{}
	routers map[jid.JID]*ibb.Router
	// hold keeps answers back, and tap sees every request.
	hold bool
	held []func()
	tap  func(to jid.JID, e *xmltree.Element)
}

func newServer(t testing.TB) *server {
	s := &server{t: t, wake: make(chan struct{}, 1), quit: make(chan struct{}), routers: map[jid.JID]*ibb.Router{}}
	for _, who := range []jid.JID{romeo, juliet} {
		r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: client{s, who}})
		if err != nil {
			t.Fatal(err)
		}
		s.routers[who] = r
	}
	var wg sync.WaitGroup
	wg.Go(s.run)
	t.Cleanup(func() { close(s.quit); wg.Wait() })
	return s
}

func (s *server) run() {
	for {
		s.mu.Lock()
		var f func()
		if len(s.queue) > 0 {
			f, s.queue = s.queue[0], s.queue[1:]
		}
		s.mu.Unlock()
		if f != nil {
			f()
			continue
		}
		select {
		case <-s.wake:
		case <-s.quit:
			return
		}
	}
}

func (s *server) enqueue(f func()) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// client is the XMPP stream of one account.
type client struct {
	s   *server
	who jid.JID
}

func (c client) Request(to jid.JID, payload *xmltree.Element, done func(error)) {
	text := payload.AppendXML(nil, "")
	c.s.enqueue(func() {
		e, err := xmltree.Parse(text, xmltree.Limits{})
		if err != nil {
			c.s.t.Errorf("sent what is not XML: %v", err)
			return
		}
		if c.s.tap != nil {
			c.s.tap(to, e)
		}
		answered := false
		c.s.routers[to].Handle(c.who, e, func(se *jingle.StanzaError) {
			if answered {
				c.s.t.Error("answered twice")
			}
			answered = true
			f := func() {
				if se != nil {
					done(se)
				} else {
					done(nil)
				}
			}
			c.s.mu.Lock()
			hold := c.s.hold && e.Name.Local == "data"
			if hold {
				c.s.held = append(c.s.held, f)
			}
			c.s.mu.Unlock()
			if !hold {
				c.s.enqueue(f)
			}
		})
	})
}

// open returns both ends of a stream.
func open(t testing.TB, s *server, block, window int) (a, b *ibb.Stream) {
	t.Helper()
	opened, done := make(chan struct{}), make(chan error, 1)
	b, err := s.routers[juliet].Expect(ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: block, Window: window}, func() { close(opened) })
	if err != nil {
		t.Fatal(err)
	}
	a, err = s.routers[romeo].Open(ibb.StreamConfig{Peer: juliet, SID: "s", BlockSize: block, Window: window}, func(err error) { done <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-opened
	return a, b
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestBothWays(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000, 600_000} {
		for _, window := range []int{1, 8} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				a, b := open(t, s, 4096, window)
				data := pattern(size)
				var wg sync.WaitGroup
				for _, pair := range [][2]*ibb.Stream{{a, b}, {b, a}} {
					wg.Go(func() {
						if n, err := pair[0].Write(data); n != size || err != nil {
							t.Errorf("%d, %v", n, err)
						}
					})
					wg.Go(func() {
						got := make([]byte, size)
						if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, data) {
							t.Errorf("%d bytes: %v", size, err)
						}
					})
				}
				wg.Wait()
				if err := a.Close(); err != nil {
					t.Error(err)
				}
				if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the close: %d, %v", n, err)
				}
				if _, err := b.Write([]byte("x")); !errors.Is(err, ibb.ErrPeerClosed) {
					t.Errorf("after the close: %v", err)
				}
				b.Close()
				a.Close()
				if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after our close: %v", err)
				}
				if _, err := a.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after our close: %v", err)
				}
				synctest.Wait()
				if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 {
					t.Errorf("%d streams are left", n)
				}
			})
		}
	}
}

// TestSequenceWraps goes over the highest number (XEP-0047 section 2.2).
func TestSequenceWraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var seqs []string
		s.tap = func(_ jid.JID, e *xmltree.Element) {
			if e.Name.Local == "data" {
				seqs = append(seqs, e.Attr("seq"))
			}
		}
		a, b := open(t, s, 2, 16)
		ibb.SkipForTest(a, 65530)
		ibb.SkipForTest(b, 65530)
		data := pattern(2 * 10)
		go a.Write(data)
		got := make([]byte, len(data))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
		if want := []string{"65530", "65531", "65532", "65533", "65534", "65535", "0", "1", "2", "3"}; !slices.Equal(seqs, want) {
			t.Errorf("the blocks are numbered %v", seqs)
		}
		a.Close()
		b.Close()
	})
}

// TestWindow counts the blocks that are on their way without an answer.
func TestWindow(t *testing.T) {
	for _, window := range []int{1, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.hold = true
			a, b := open(t, s, 100, window)
			finished := false
			go func() {
				a.Write(make([]byte, 2000))
				finished = true
			}()
			synctest.Wait()
			if len(s.held) != window || finished {
				t.Errorf("%d blocks are on their way, want %d; finished %t", len(s.held), window, finished)
			}
			s.mu.Lock()
			s.hold = false
			s.queue = append(s.queue, s.held...)
			s.mu.Unlock()
			s.wake <- struct{}{}
			if _, err := io.ReadFull(b, make([]byte, 2000)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if !finished {
				t.Error("the writer still waits")
			}
			a.Close()
			b.Close()
		})
	}
}

// TestReaderThatDoesNotRead holds a well-behaved writer back.
func TestReaderThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := open(t, s, 4096, 8)
		written := 0
		go func() {
			for range 1000 {
				n, _ := a.Write(make([]byte, 4096))
				written += n
			}
		}()
		synctest.Wait()
		if written > 256<<10+9*4096 {
			t.Errorf("%d bytes are taken though nobody reads", written)
		}
		if _, err := io.ReadFull(b, make([]byte, 1000*4096)); err != nil {
			t.Error(err)
		}
		a.Close()
		b.Close()
	})
}

func TestCloseWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.hold = true
		a, b := open(t, s, 10, 1)
		errs := make(chan error, 2)
		go func() { _, err := b.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := b.Write(make([]byte, 100)); errs <- err }()
		synctest.Wait()
		b.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}
		a.Close()
	})
}

// TestHostile sends what no client should. The answer and the fate of the stream are those of XEP-0047 section 2.2.
func TestHostile(t *testing.T) {
	data := func(seq int, payload string) string {
		return fmt.Sprintf(`<data xmlns='http://jabber.org/protocol/ibb' seq='%d' sid='s'>%s</data>`, seq, payload)
	}
	full := base64.StdEncoding.EncodeToString(make([]byte, 100))
	for name, c := range map[string]struct {
		in   []string
		want string // condition of the last answer
		err  error  // of the reader, nil if the stream lives
		read int
	}{
		"a gap":               {[]string{data(0, full), data(2, full)}, "unexpected-request", ibb.ErrSequence, 100},
		"a number twice":      {[]string{data(0, full), data(0, full)}, "unexpected-request", ibb.ErrSequence, 100},
		"not base64":          {[]string{data(0, "?")}, "bad-request", ibb.ErrBadBlock, 0},
		"a pad in the middle": {[]string{data(0, "BBBB=CCC")}, "bad-request", ibb.ErrBadBlock, 0},
		"no number":           {[]string{`<data xmlns='http://jabber.org/protocol/ibb' sid='s'>AA==</data>`}, "bad-request", ibb.ErrBadBlock, 0},
		"too large":           {[]string{data(0, base64.StdEncoding.EncodeToString(make([]byte, 101)))}, "bad-request", ibb.ErrBadBlock, 0},
		"empty":               {[]string{data(0, ""), data(1, full)}, "", nil, 100},
		"another stream":      {[]string{strings.Replace(data(0, full), "sid='s'", "sid='t'", 1)}, "item-not-found", nil, 0},
		"no stream":           {[]string{strings.Replace(data(0, full), "sid='s'", "", 1)}, "item-not-found", nil, 0},
		"open again":          {[]string{`<open xmlns='http://jabber.org/protocol/ibb' block-size='100' sid='s'/>`}, "unexpected-request", nil, 0},
		"open unasked":        {[]string{`<open xmlns='http://jabber.org/protocol/ibb' block-size='100' sid='new'/>`}, "not-acceptable", nil, 0},
		"something else":      {[]string{`<pause xmlns='http://jabber.org/protocol/ibb' sid='s'/>`}, "feature-not-implemented", nil, 0},
		"close":               {[]string{data(0, full), `<close xmlns='http://jabber.org/protocol/ibb' sid='s'/>`}, "", io.EOF, 100},
		"data after close":    {[]string{`<close xmlns='http://jabber.org/protocol/ibb' sid='s'/>`, data(0, full)}, "item-not-found", io.EOF, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			var closed int
			s.tap = func(to jid.JID, e *xmltree.Element) {
				if to == romeo && e.Name.Local == "close" {
					closed++
				}
			}
			a, b := open(t, s, 100, 1)
			var last *jingle.StanzaError
			answers := 0
			for _, in := range c.in {
				e, err := xmltree.Parse([]byte(in), xmltree.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				s.routers[juliet].Handle(romeo, e, func(se *jingle.StanzaError) { last = se; answers++ })
			}
			synctest.Wait()
			got := ""
			if last != nil {
				got = last.Condition
			}
			if got != c.want || answers != len(c.in) {
				t.Errorf("%s: %d answers, the last %q, want %q", name, answers, got, c.want)
			}
			if n, err := io.ReadFull(b, make([]byte, c.read)); err != nil {
				t.Errorf("%s: %d of %d bytes: %v", name, n, c.read, err)
			}
			if c.err != nil {
				if _, err := b.Read(make([]byte, 1)); !errors.Is(err, c.err) {
					t.Errorf("%s: reading: %v", name, err)
				}
				if want := map[bool]int{true: 0, false: 1}[errors.Is(c.err, io.EOF)]; closed != want {
					t.Errorf("%s: %d closes were sent, want %d", name, closed, want)
				}
				if _, err := b.Write([]byte("x")); err == nil {
					t.Errorf("%s: the stream can still be written", name)
				}
			}
			a.Close()
			b.Close()
			synctest.Wait()
		})
	}
}

// TestFlood sends without waiting for answers.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := open(t, s, 65535, 1)
		block := base64.StdEncoding.EncodeToString(make([]byte, 65535))
		unanswered := 0
		for i := range 100 {
			e, _ := xmltree.Parse([]byte(fmt.Sprintf(`<data xmlns='http://jabber.org/protocol/ibb' seq='%d' sid='s'>%s</data>`, i, block)), xmltree.Limits{})
			unanswered++
			s.routers[juliet].Handle(romeo, e, func(*jingle.StanzaError) { unanswered-- })
		}
		n, err := io.Copy(io.Discard, b)
		if !errors.Is(err, ibb.ErrFlooded) || n > 4<<20 || unanswered != 0 {
			t.Errorf("%d bytes were kept, %d unanswered: %v", n, unanswered, err)
		}
		a.Close()
		b.Close()
		synctest.Wait()
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := open(t, s, 100, 1)
		for i, text := range []string{"AAAA", "BBBB", "?"} {
			e, _ := xmltree.Parse([]byte(fmt.Sprintf(`<data xmlns='http://jabber.org/protocol/ibb' seq='%d' sid='s'>%s</data>`, i, text)), xmltree.Limits{})
			s.routers[juliet].HandleMessage(romeo, e)
			s.routers[juliet].HandleMessage(juliet, e) // not of this stream
		}
		got, err := io.ReadAll(b)
		if !errors.Is(err, ibb.ErrBadBlock) || !bytes.Equal(got, []byte{0, 0, 0, 4, 16, 65}) {
			t.Errorf("%v, %v", got, err)
		}
		a.Close()
		b.Close()
		synctest.Wait()
	})
}

// TestBlocksFit has a stream to the server that takes smaller stanzas than were agreed on with the peer, and then another.
func TestBlocksFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		var most atomic.Int64
		most.Store(20_000)
		r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: client{s, romeo}, MaxStanza: func() int { return int(most.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		s.routers[romeo] = r
		blocks, largest := 0, 0
		s.tap = func(to jid.JID, e *xmltree.Element) {
			iq := xmltree.New("jabber:client", "iq").Set("type", "set").Set("to", to.String()).Set("id", "0123456789012345678901").Add(e)
			if n := len(iq.AppendXML(nil, "jabber:client")); e.Name.Local == "data" {
				blocks, largest = blocks+1, max(largest, n)
			}
		}
		a, b := open(t, s, 60_000, 8)
		for _, limit := range []int64{20_000, 10_000, 80_000} {
			most.Store(limit)
			blocks, largest = 0, 0
			data := pattern(600_000)
			var wg sync.WaitGroup
			wg.Go(func() {
				if n, err := a.Write(data); n != len(data) || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
			got := make([]byte, len(data))
			if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("what came is not what was sent: %v", err)
			}
			wg.Wait()
			if err := a.Flush(); err != nil {
				t.Error(err)
			}
			if most := len(data) * 4 / int(3*limit-3*1_000); largest > int(limit) || limit < 80_000 && blocks > most+8 {
				t.Errorf("limit %d: %d blocks, the largest stanza had %d bytes", limit, blocks, largest)
			}
		}
		a.Close()
		b.Close()
	})
}

func TestRouterBounds(t *testing.T) {
	s := newServer(t)
	r, _ := ibb.NewRouter(ibb.RouterConfig{Stanzas: client{s, romeo}, MaxStreams: 2})
	for i, c := range []struct {
		cfg ibb.StreamConfig
		ok  bool
	}{
		{ibb.StreamConfig{Peer: juliet, SID: "a", BlockSize: 1}, true},
		{ibb.StreamConfig{Peer: juliet, SID: "a", BlockSize: 1}, false},
		{ibb.StreamConfig{Peer: juliet, SID: "b", BlockSize: 0}, false},
		{ibb.StreamConfig{Peer: juliet, SID: "b", BlockSize: 65536}, false},
		{ibb.StreamConfig{Peer: juliet, SID: "b", BlockSize: 65535}, true},
		{ibb.StreamConfig{Peer: juliet, SID: "c", BlockSize: 1}, false},
	} {
		if _, err := r.Expect(c.cfg, nil); (err == nil) != c.ok {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := ibb.NewRouter(ibb.RouterConfig{}); err == nil {
		t.Error("a router without a stream")
	}
	if _, err := ibb.NewFactory(ibb.Config{}); err == nil {
		t.Error("a factory without a router")
	}
	if _, err := ibb.NewFactory(ibb.Config{Router: r, BlockSize: 70000}); err == nil {
		t.Error("a factory with blocks that are too large")
	}
}

func BenchmarkStream(b *testing.B) {
	for _, block := range []int{4096, 16384} {
		b.Run(fmt.Sprint(block), func(b *testing.B) {
			s := newServer(b)
			x, y := open(b, s, block, 8)
			b.SetBytes(1 << 20)
			data := make([]byte, 1<<20)
			go func() {
				for range b.N {
					x.Write(data)
				}
			}()
			for range b.N {
				if _, err := io.ReadFull(y, data); err != nil {
					b.Fatal(err)
				}
			}
			x.Close()
			y.Close()
		})
	}
}

// TestOpenThenData: whoever is asked to open a stream may write at once, but what it writes comes after its answer. Who has
// asked takes data for an answer.
func TestOpenThenData(t *testing.T) {
	var said []string
	r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: mute{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: 10}
	s, err := r.Expect(cfg, func() { said = append(said, "opened") })
	if err != nil {
		t.Fatal(err)
	}
	r.Handle(romeo, ibb.Open{SID: "s", BlockSize: 10, Stanza: ibb.StanzaIQ}.Element(), func(*jingle.StanzaError) { said = append(said, "answered") })
	if !slices.Equal(said, []string{"answered", "opened"}) {
		t.Errorf("%v", said)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s, err = r.Open(cfg, func(error) {}); err != nil {
		t.Fatal(err)
	}
	r.Handle(romeo, ibb.Data{SID: "s", Data: []byte("data")}.Element(), func(e *jingle.StanzaError) {
		if e != nil {
			t.Errorf("data before the answer: %v", e)
		}
	})
	b := make([]byte, 10)
	if n, err := s.Read(b); string(b[:n]) != "data" || err != nil {
		t.Errorf("%q, %v", b[:n], err)
	}
	if _, err := s.Write(b); err == nil {
		t.Error("it writes to what is not open yet")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// mute answers nothing.
type mute struct{}

func (mute) Request(jid.JID, *xmltree.Element, func(error)) {}
