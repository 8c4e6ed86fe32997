package transfers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// proxy is a proxy of SOCKS5 bytestreams.
type proxy interface {
	names() [2]jid.JID // of the two who use it
	hosts() []s5b.StreamHost
	activate(who jid.JID, e *xmltree.Element, done func(error))
}

// ourProxy is that of jingle-relay.
type ourProxy struct {
	server *socks5.Server
	host   s5b.StreamHost
}

func newOurProxy(t *testing.T) *ourProxy {
	t.Helper()
	server, err := socks5.New(socks5.Config{MaxPendingPerAddress: 1024})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return &ourProxy{server, s5b.StreamHost{JID: "proxy.capulet.lit", Host: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}}
}

func (p *ourProxy) names() [2]jid.JID       { return [2]jid.JID{romeo, juliet} }
func (p *ourProxy) hosts() []s5b.StreamHost { return []s5b.StreamHost{p.host} }

func (p *ourProxy) activate(who jid.JID, e *xmltree.Element, done func(error)) {
	q, err := s5b.ParseQuery(e)
	if err == nil {
		err = p.server.Activate(socks5.Activation{SID: q.(s5b.Query).SID, Requester: who.String(), Target: q.(s5b.Query).Activate})
	}
	go done(err)
}

// theirProxy is that of a server, with two accounts that are logged in there, as it believes nobody else.
type theirProxy struct {
	server  string
	clients [2]*xmpp.Client
	found   []s5b.StreamHost
}

func newTheirProxy(t *testing.T, srv *testkit.Server) *theirProxy {
	t.Helper()
	p := &theirProxy{server: string(srv.Kind)}
	for i, user := range []string{"romeo", "juliet"} {
		srv.AddUser(t, user, "pw")
		p.clients[i] = xmpptest.Login(t, xmpptest.At(srv, user, "pw"))
	}
	reply, err := p.clients[0].Query(t.Context(), jid.JID(srv.ProxyJID), "get", s5b.Query{}.Element())
	if err != nil {
		t.Fatal(err)
	}
	q, err := s5b.ParseQuery(reply)
	if err != nil {
		t.Fatal(err)
	}
	p.found = q.(s5b.Query).StreamHosts
	return p
}

func (p *theirProxy) names() [2]jid.JID {
	return [2]jid.JID{p.clients[0].JID(), p.clients[1].JID()}
}

func (p *theirProxy) hosts() []s5b.StreamHost { return p.found }

func (p *theirProxy) activate(who jid.JID, e *xmltree.Element, done func(error)) {
	c := p.clients[0]
	if who != c.JID() {
		c = p.clients[1]
	}
	c.Request(jid.JID(p.found[0].JID), "set", e, 0, func(_ *xmltree.Element, err error) { done(err) })
}

// road is one of all the ways by which a file can go.
type road struct {
	name, transport string
	si              bool
	options         options
	ready           func(*testing.T, *world)
}

// roads are all that there are. The proxies run until the test ends.
func roads(t *testing.T) []road {
	ours, theirs := newOurProxy(t), newTheirProxy(t, testkit.SharedServer(t, testkit.Chosen(t)))
	direct := options{s5b: [2]bool{true, true}}
	return []road{
		{"S5B", s5b.NS, false, direct, nil},
		{"S5B by the proxy of jingle-relay", s5b.NS, false, options{proxy: ours}, nil},
		{"S5B by the proxy of " + theirs.server, s5b.NS, false, options{proxy: theirs}, nil},
		{"IBB", ibb.NS, false, options{noS5B: true}, nil},
		{"data channel", ice.NSDataChannel, false, options{noS5B: true}, byChannel},
		{"SI over S5B", s5b.NSBytestreams, true, direct, nil},
		{"SI by the proxy of jingle-relay", s5b.NSBytestreams, true, options{proxy: ours}, nil},
		{"SI by the proxy of " + theirs.server, s5b.NSBytestreams, true, options{proxy: theirs}, nil},
		{"SI over IBB", ibb.NSIBB, true, options{noS5B: true}, nil},
	}
}

// world makes two people who can use the road.
func (r road) world(t *testing.T, files transfers.Config, disk store.Config) *world {
	t.Helper()
	o := r.options
	o.files, o.store = files, disk
	w := newWorld(t, o)
	if r.ready != nil {
		r.ready(t, w)
	}
	return w
}

// send lets romeo offer a file to juliet.
func (r road) send(w *world, src transfers.Source) *transfers.Transfer {
	w.t.Helper()
	if !r.si {
		return w.send(src)
	}
	t, err := w.romeo.si.Send(w.juliet.jid, src, si.SendOptions{Streams: []string{r.transport}})
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// arrived checks what has come, and that both know it.
func (r road) arrived(w *world, name string, data []byte) {
	w.t.Helper()
	if !r.si {
		checkArrived(w.t, w, name, r.transport, data)
		return
	}
	got, ok := first(w.juliet.wait()).(transfers.Done)
	if !ok || got.Bytes != int64(len(data)) || got.Transport != r.transport || got.Path != filepath.Join(w.juliet.dir, name) {
		w.t.Fatalf("receiver: %+v", got)
	}
	if b, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(b, data) {
		w.t.Errorf("%d bytes in %s: %v", len(b), got.Path, err)
	}
	if sent, ok := first(w.romeo.wait()).(transfers.Done); !ok || sent.Bytes != got.Bytes || sent.Transport != r.transport {
		w.t.Errorf("sender: %+v", sent)
	}
}

// TestEveryRoad goes through sizes and names.
func TestEveryRoad(t *testing.T) {
	for _, r := range roads(t) {
		t.Run(r.name, func(t *testing.T) {
			w := r.world(t, transfers.Config{}, store.Config{})
			for _, size := range []int{0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537} {
				name := fmt.Sprint(size)
				r.send(w, source(name, pattern(size)))
				r.arrived(w, name, pattern(size))
			}
			r.send(w, source("../../x", []byte("x")))
			r.arrived(w, "x", []byte("x"))
			if left := names(t, filepath.Dir(w.juliet.dir)); len(left) != 2 {
				t.Errorf("beside the folders of the two: %v", left)
			}
		})
	}
}

// resize changes what an offer says of the size.
func resize(to string) func(r road, sender bool, action string, e *xmltree.Element) {
	return func(r road, sender bool, action string, e *xmltree.Element) {
		switch {
		case !sender:
		case r.si:
			edit(e, "file", func(f *xmltree.Element) { f.Set("size", to) })
		case action == "session-initiate":
			edit(e, "size", setText(to))
		}
	}
}

// stuck is a file that cannot be read to its end: the disk does not answer, until the file is closed.
type stuck struct {
	*bytes.Reader
	once *sync.Once
	stop chan struct{}
}

func (s stuck) Read(b []byte) (int, error) {
	if s.Len() == 0 {
		<-s.stop
		return 0, errors.New("the disk is gone")
	}
	return s.Reader.Read(b)
}

func (s stuck) Close() error {
	s.once.Do(func() { close(s.stop) })
	return nil
}

// TestEveryRoadWithLiars has a peer that does not do as it says. Nothing of it is kept, and both hear of it.
func TestEveryRoadWithLiars(t *testing.T) {
	short := transfers.Config{StallTimeout: 400 * time.Millisecond}
	all := roads(t)
	for name, c := range map[string]struct {
		files  transfers.Config
		store  store.Config
		tamper func(r road, sender bool, action string, e *xmltree.Element)
		inBand func(e *xmltree.Element)
		stops  bool
		reason jingle.Condition // at the receiver; "" is any
		text   string
	}{
		"sends more": {tamper: resize("9000"), reason: jingle.MediaError, text: "More bytes came than the 9000"},
		"sends less": {tamper: resize("10001"), files: short},
		"stops":      {files: short, stops: true},
		"wrong hash": {reason: jingle.MediaError, text: "damaged", tamper: func(r road, sender bool, action string, e *xmltree.Element) {
			switch {
			case !sender:
			case r.si:
				edit(e, "file", func(f *xmltree.Element) { f.Set("hash", strings.Repeat("ab", 16)) })
			case action == "session-info":
				edit(e, "hash", setText("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
			}
		}},
		// By stream initiation there is no word for it: the receiver waits for a stream, or on it.
		"wrong range": {files: transfers.Config{StallTimeout: 2 * time.Second, ConnectTimeout: 2 * time.Second}, tamper: func(r road, sender bool, action string, e *xmltree.Element) {
			switch {
			case sender:
			case r.si:
				edit(e, "file", func(f *xmltree.Element) {
					f.Children = nil
					f.Add(xmltree.New(si.NSFile, "range").Set("offset", "10001"))
				})
			case action == "session-accept":
				edit(e, "range", func(g *xmltree.Element) { g.Set("offset", "10001") })
			}
		}},
		"uses a number twice": {inBand: func(e *xmltree.Element) {
			if e.Attr("seq") == "1" {
				e.Set("seq", "0")
			}
		}},
		"disk full": {store: store.Config{Free: func(string) (int64, error) { return 5000, nil }}},
	} {
		for _, r := range all {
			if c.inBand != nil && r.transport != ibb.NS && r.transport != ibb.NSIBB {
				continue
			}
			t.Run(name+", "+r.name, func(t *testing.T) {
				t.Parallel() // they wait for silence
				w := r.world(t, c.files, c.store)
				if c.tamper != nil {
					w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
						c.tamper(r, from == w.romeo.jid, e.Attr("action"), e)
						return e
					}
				}
				w.mu.Lock()
				w.inBand = c.inBand
				w.mu.Unlock()
				src := source("f", pattern(10_000))
				if c.stops {
					stop := make(chan struct{})
					once := &sync.Once{}
					t.Cleanup(func() { once.Do(func() { close(stop) }) })
					src.Open = func() (io.ReadSeekCloser, error) { return stuck{bytes.NewReader(pattern(5000)), once, stop}, nil }
					w.juliet.onOffer = func(o transfers.Offered) {
						o.Transfer.Accept(w.juliet.folder)
						go func() {
							<-o.Transfer.Done()
							once.Do(func() { close(stop) })
						}()
					}
				}
				r.send(w, src)
				e, ok := first(w.juliet.wait()).(transfers.Failed)
				if !ok || c.reason != "" && e.Reason != c.reason || !strings.Contains(e.Text, c.text) || e.Text == "" && e.Reason == "" {
					t.Errorf("receiver: %+v", e)
				}
				// By stream initiation a sender learns of the end of the stream and nothing else.
				if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok && !r.si {
					t.Errorf("sender: %+v", e)
				}
				w.stop()
				w.wg.Wait()
				if left := names(t, w.juliet.dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

func done(e transfers.Event) bool {
	_, ok := e.(transfers.Done)
	return ok
}

// TestEveryRoadManyFiles sends small files, a few at once.
func TestEveryRoadManyFiles(t *testing.T) {
	files, atOnce := 80, 8
	if os.Getenv(soak) != "" {
		files = 10_000
	}
	for _, r := range roads(t) {
		t.Run(r.name, func(t *testing.T) {
			files := files
			if r.transport == ice.NSDataChannel && files < 1000 {
				files = 30 // each has its own handshake
			}
			w := r.world(t, transfers.Config{MaxTransfers: 64, MaxPerPeer: 64}, store.Config{})
			slots, received := make(chan struct{}, atOnce), make(chan struct{})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range files {
					if e := first(w.romeo.wait()); !done(e) {
						t.Errorf("%+v", e)
					}
					<-slots
				}
			}()
			go func() {
				defer close(received)
				for range files {
					if e := first(w.juliet.wait()); !done(e) {
						t.Errorf("%+v", e)
					}
				}
			}()
			for n := range files {
				slots <- struct{}{}
				r.send(w, source(fmt.Sprint(n), bytes.Repeat([]byte("x"), n%100)))
			}
			<-sent
			<-received
			if got := names(t, w.juliet.dir); len(got) != files {
				t.Errorf("%d files", len(got))
			}
		})
	}
}

// TestEveryRoadBeyond4GiB has juliet ask for the end of a giant file. She herself does not know it: so the end comes, and then
// she waits for the rest in vain, and keeps what there is.
func TestEveryRoadBeyond4GiB(t *testing.T) {
	const size, offset = 4<<30 + 100_001, 4<<30 + 1
	for _, r := range roads(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel() // they wait for silence
			w := r.world(t, transfers.Config{Checkpoint: time.Hour, StallTimeout: 3 * time.Second},
				store.Config{Free: func(string) (int64, error) { return 1 << 40, nil }})
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				switch {
				case from != w.juliet.jid:
				case r.si:
					edit(e, "file", func(f *xmltree.Element) { f.Add(xmltree.New(si.NSFile, "range").Set("offset", fmt.Sprint(offset))) })
				case e.Attr("action") == "session-accept":
					edit(e, "range", func(g *xmltree.Element) { g.Set("offset", fmt.Sprint(offset)) })
				}
				return e
			}
			tr := r.send(w, giant(size))
			got, ok := first(w.juliet.wait()).(transfers.Failed)
			if !ok || got.Interruption != transfers.Broken || got.Bytes != size-offset {
				t.Fatalf("%+v", got)
			}
			w.romeo.wait()
			if tr.Copied() != size-offset {
				t.Errorf("%d bytes were sent", tr.Copied())
			}
			part, err := os.ReadFile(filepath.Join(w.juliet.dir, "giant"+store.PartSuffix))
			want := make([]byte, size-offset)
			if _, err2 := io.ReadFull(&sparse{at: offset, size: size}, want); err != nil || err2 != nil || !bytes.Equal(part, want) {
				t.Errorf("%d bytes, which are others: %v, %v", len(part), err, err2)
			}
		})
	}
}

// TestFullProxy sends files at once through a proxy that carries one stream for each user. The others go in-band.
func TestFullProxy(t *testing.T) {
	const files = 8
	full := newTheirProxy(t, testkit.EjabberdWith(t, testkit.EjabberdConfig{ProxyStreams: 1}))
	for _, r := range []road{
		{name: "S5B", transport: s5b.NS, options: options{proxy: full}},
		{name: "SI", transport: s5b.NSBytestreams, si: true, options: options{proxy: full}},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := r.world(t, transfers.Config{MaxTransfers: 64, MaxPerPeer: 64}, store.Config{})
			for n := range files {
				src := source(fmt.Sprint(n), pattern(100_000))
				if !r.si {
					w.send(src)
				} else if _, err := w.romeo.si.Send(w.juliet.jid, src, si.SendOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			by := map[string]int{}
			for range files {
				e := first(w.juliet.wait())
				if d, ok := e.(transfers.Done); !ok || d.Bytes != 100_000 {
					t.Errorf("receiver: %+v", e)
				} else {
					by[d.Transport]++
				}
				if e := first(w.romeo.wait()); !done(e) {
					t.Errorf("sender: %+v", e)
				}
			}
			if t.Logf("%v", by); by[r.transport] == 0 || len(by) != 2 {
				t.Errorf("they came by %v", by)
			}
		})
	}
}
