package transfers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// world is two accounts and the server between them, which carries stanzas as text and in order.
type world struct {
	t    *testing.T
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	queue []func()
	wake  chan struct{}
	// tamper may change or (by nil) swallow a Jingle message on its way.
	tamper func(from jid.JID, e *xmltree.Element) *xmltree.Element
	seen   []string // actions, "romeo session-initiate"

	romeo, juliet *account
}

type account struct {
	w         *world
	jid       jid.JID
	engine    *engine.Engine
	ibb       *ibb.Router
	files     *transfers.Manager
	dir       string
	folder    *store.Folder
	events    chan transfers.Event
	factories []engine.TransportFactory
	onOffer   func(transfers.Offered)
}

type options struct {
	s5b       [2]bool // whether romeo's and juliet's S5B is usable
	noS5B     bool
	window    int
	files     transfers.Config
	store     store.Config
	s5bTiming s5b.NegotiationConfig
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &world{t: t, ctx: ctx, stop: stop, wake: make(chan struct{}, 1)}
	w.romeo, w.juliet = w.account(romeo, o, o.s5b[0]), w.account(juliet, o, o.s5b[1])
	serverCtx, stopServer := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); w.serve(serverCtx) }()
	t.Cleanup(func() {
		stop()
		w.wg.Wait()
		stopServer()
		<-served
		for _, a := range []*account{w.romeo, w.juliet} {
			if n := a.engine.Len() + len(a.files.Active()) + a.ibb.Len(); n != 0 {
				t.Errorf("%s: %d sessions, transfers or streams are left", a.jid, n)
			}
		}
	})
	return w
}

func (w *world) account(who jid.JID, o options, s5bWorks bool) *account {
	t := w.t
	a := &account{w: w, jid: who, dir: t.TempDir(), events: make(chan transfers.Event, 10000)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	a.folder, err = store.Open(a.dir, o.store)
	check(err)
	t.Cleanup(func() { a.folder.Close() })
	a.ibb, err = ibb.NewRouter(ibb.RouterConfig{Stanzas: a})
	check(err)
	inBand, err := ibb.NewFactory(ibb.Config{Router: a.ibb, Window: o.window})
	check(err)
	if !o.noS5B {
		cfg := s5b.Config{Timing: o.s5bTiming}
		if s5bWorks {
			cfg.Allow = func(netip.AddrPort) bool { return true }
			l, err := s5b.NewListener(s5b.ListenerConfig{Addr: "127.0.0.1:0"})
			check(err)
			cfg.Listener = l
			w.wg.Go(func() { _ = l.Run(w.ctx) })
		}
		a.factories = append(a.factories, s5b.NewFactory(cfg))
	}
	a.factories = append(a.factories, inBand)
	cfg := o.files
	cfg.Transports = func(jid.JID, bool) []engine.TransportFactory { return a.factories }
	cfg.Events = func(e transfers.Event) {
		if offer, ok := e.(transfers.Offered); ok && a.onOffer != nil {
			a.onOffer(offer)
		}
		a.events <- e
	}
	a.onOffer = func(o transfers.Offered) { o.Transfer.Accept(a.folder) }
	a.files, err = transfers.New(cfg)
	check(err)
	var reg jingle.Registry
	filetransfer.Register(&reg)
	s5b.Register(&reg)
	ibb.Register(&reg)
	a.engine, err = engine.New(engine.Config{
		Local: func() jid.JID { return who }, Signaler: a, Registry: &reg,
		Incoming: func(s *engine.Session, m *jingle.Message) (engine.Application, error) {
			if !transfers.Offers(m) {
				return nil, &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.UnsupportedApplications}}
			}
			return a.files.Incoming(s, m)
		},
	})
	check(err)
	w.wg.Go(func() { _ = a.engine.Run(w.ctx) })
	w.wg.Go(func() { _ = a.files.Run(w.ctx) })
	return a
}

func (w *world) enqueue(f func()) {
	w.mu.Lock()
	w.queue = append(w.queue, f)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *world) serve(ctx context.Context) {
	for {
		w.mu.Lock()
		var f func()
		if len(w.queue) > 0 {
			f, w.queue = w.queue[0], w.queue[1:]
		}
		w.mu.Unlock()
		if f != nil {
			f()
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (w *world) at(who jid.JID) *account {
	if who == romeo {
		return w.romeo
	}
	return w.juliet
}

// Send implements [engine.Signaler].
func (a *account) Send(to jid.JID, m *jingle.Message, done func(error)) {
	a.Request(to, m.Element(), done)
}

// Request implements [ibb.Stanzas].
func (a *account) Request(to jid.JID, payload *xmltree.Element, done func(error)) {
	text := payload.AppendXML(nil, "")
	a.w.enqueue(func() {
		e, err := xmltree.Parse(text, xmltree.Limits{})
		if err != nil {
			a.w.t.Errorf("sent what is not XML: %v", err)
			return
		}
		answer := func(se *jingle.StanzaError) {
			a.w.enqueue(func() {
				if se != nil {
					done(se)
				} else {
					done(nil)
				}
			})
		}
		if e.Name.Space == ibb.NSIBB {
			a.w.at(to).ibb.Handle(a.jid, e, answer)
			return
		}
		a.w.mu.Lock()
		a.w.seen = append(a.w.seen, a.jid.Local()+" "+e.Attr("action"))
		tamper := a.w.tamper
		a.w.mu.Unlock()
		if tamper != nil {
			if e = tamper(a.jid, e); e == nil {
				answer(nil)
				return
			}
		}
		a.w.at(to).engine.Receive(a.jid, e, answer)
	})
}

// wait returns the last event of an account's next transfer, and the events before it.
func (a *account) wait() (last transfers.Event, all []transfers.Event) {
	a.w.t.Helper()
	for {
		select {
		case e := <-a.events:
			switch e.(type) {
			case transfers.Done, transfers.Failed:
				return e, all
			}
			all = append(all, e)
		case <-time.After(30 * time.Second):
			a.w.t.Fatalf("%s: nothing happens after %v", a.jid, all)
		}
	}
}

func source(name string, data []byte) transfers.Source {
	return transfers.Source{Name: name, Size: int64(len(data)), ModTime: time.Unix(1e9, 0), MediaType: "text/plain",
		Open: func() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(data)}, nil }}
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func (w *world) send(src transfers.Source) *transfers.Transfer {
	w.t.Helper()
	t, err := w.romeo.files.Send(w.romeo.engine, juliet, src, transfers.SendOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// checkArrived checks both ends of a transfer that went well.
func checkArrived(t *testing.T, w *world, name, transport string, data []byte) {
	t.Helper()
	sum := sha256.Sum256(data)
	last, _ := w.juliet.wait()
	got, ok := last.(transfers.Done)
	if !ok {
		t.Fatalf("receiver: %+v", last)
	}
	b, err := os.ReadFile(got.Path)
	if err != nil || !bytes.Equal(b, data) || filepath.Base(got.Path) != name || filepath.Dir(got.Path) != w.juliet.dir {
		t.Errorf("%d bytes in %s: %v", len(b), got.Path, err)
	}
	if got.Bytes != int64(len(data)) || got.Transport != transport || got.Verified != hashes.SHA256 || got.Hash.Hex() != hex.EncodeToString(sum[:]) || got.Elapsed <= 0 {
		t.Errorf("receiver: %+v", got)
	}
	last, _ = w.romeo.wait()
	sent, ok := last.(transfers.Done)
	if !ok || sent.Bytes != got.Bytes || !sent.Confirmed || sent.Transport != transport || sent.Hash.Hex() != got.Hash.Hex() {
		t.Errorf("sender: %+v", last)
	}
	if left := names(t, w.juliet.dir); slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, ".part") }) {
		t.Errorf("left behind: %v", left)
	}
}

func TestTransfer(t *testing.T) {
	for name, c := range map[string]struct {
		options
		transport string
	}{
		"S5B":                          {options{s5b: [2]bool{true, true}}, s5b.NS},
		"S5B fails, IBB replaces it":   {options{}, ibb.NS},
		"IBB":                          {options{noS5B: true}, ibb.NS},
		"IBB, one block after another": {options{noS5B: true, window: 1}, ibb.NS},
	} {
		for _, size := range []int{0, 1, 4095, 4096, 4097, 300_000} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				c.s5bTiming.EmptyGrace = 10 * time.Millisecond
				w := newWorld(t, c.options)
				data := pattern(size)
				w.send(source("a file.txt", data))
				checkArrived(t, w, "a file.txt", c.transport, data)
			})
		}
	}
}

func TestBigOverS5B(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}, files: transfers.Config{ProgressInterval: time.Millisecond}})
	data := pattern(64 << 20)
	tr := w.send(source("big", data))
	checkArrived(t, w, "big", s5b.NS, data)
	<-tr.Done()
	if tr.Copied() != int64(len(data)) {
		t.Errorf("%d bytes copied", tr.Copied())
	}
}

func TestFilesOnDisk(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	data := pattern(3 << 20)
	path := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := transfers.File(path)
	if err != nil || src.Name != "photo.png" || src.MediaType != "image/png" || src.Size != int64(len(data)) {
		t.Fatalf("%+v, %v", src, err)
	}
	for _, want := range []string{"photo.png", "photo (2).png"} {
		w.send(src)
		checkArrived(t, w, want, s5b.NS, data)
	}
	if _, err := transfers.File(t.TempDir()); err == nil {
		t.Error("a folder is sent as a file")
	}
	if err := os.WriteFile(path, data[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	w.send(src)
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.FailedApplication || e.Err == nil {
		t.Errorf("a file that changed: %+v", e)
	}
	if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || !e.ByPeer {
		t.Errorf("a file that changed, at the receiver: %+v", e)
	}
}

func first(e transfers.Event, _ []transfers.Event) transfers.Event { return e }

// TestManyAtOnce sends to and fro.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	data := pattern(200_000)
	const each = 8
	for range each {
		w.send(source("same name", data))
		if _, err := w.juliet.files.Send(w.juliet.engine, romeo, source("back", data), transfers.SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []*account{w.romeo, w.juliet} {
		for range 2 * each {
			if e, ok := first(a.wait()).(transfers.Done); !ok {
				t.Errorf("%s: %+v", a.jid, e)
			}
		}
		if got := len(names(t, a.dir)); got != each {
			t.Errorf("%s has %d files", a.jid, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"../../x": "x", "/etc/passwd": "passwd", `..\..\y`: "y", "..": "file", "CON": "_CON", "a\u202egnp.exe": "agnp.exe", ".profile": "_profile",
	} {
		w := newWorld(t, options{noS5B: true})
		w.send(source(name, []byte("x")))
		checkArrived(t, w, want, ibb.NS, []byte("x"))
	}
}

func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// TestWire pins who says what, as clients expect it: received before the success, and the receiver ends the session.
func TestWire(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.send(source("f", []byte("data")))
	checkArrived(t, w, "f", ibb.NS, []byte("data"))
	want := []string{"romeo session-initiate", "juliet session-accept", "romeo session-info", "juliet session-info", "juliet session-terminate"}
	if got := w.actions(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestDecline(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.juliet.onOffer = func(o transfers.Offered) {
		if o.File.Name != "f" || *o.File.Size != 4 || o.Transfer.Peer() != romeo || o.Transfer.Outgoing() {
			t.Errorf("%+v", o)
		}
		o.Transfer.Decline()
		o.Transfer.Accept(w.juliet.folder) // too late
	}
	w.send(source("f", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.Decline || !e.ByPeer {
		t.Errorf("sender: %+v", e)
	}
	if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != jingle.Decline || e.ByPeer {
		t.Errorf("receiver: %+v", e)
	}
	if left := names(t, w.juliet.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// slow is a source that stops in the middle until it is closed.
type slow struct {
	io.ReadSeeker
	left int
	quit chan struct{}
	once sync.Once
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left <= 0 {
		<-s.quit
		return 0, errors.New("closed")
	}
	n, err := s.ReadSeeker.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

func (s *slow) Close() error {
	s.once.Do(func() { close(s.quit) })
	return nil
}

func TestCancel(t *testing.T) {
	for _, who := range []string{"sender", "receiver", "shutdown"} {
		for _, noS5B := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s ibb=%t", who, noS5B), func(t *testing.T) {
				w := newWorld(t, options{noS5B: noS5B, s5b: [2]bool{true, true}, files: transfers.Config{ProgressInterval: time.Millisecond}})
				data := pattern(1 << 20)
				src := source("f", data)
				sl := &slow{ReadSeeker: bytes.NewReader(data), left: 100_000, quit: make(chan struct{})}
				src.Open = func() (io.ReadSeekCloser, error) { return sl, nil }
				var in *transfers.Transfer
				w.juliet.onOffer = func(o transfers.Offered) {
					in = o.Transfer
					in.Accept(w.juliet.folder)
				}
				out := w.send(src)
				for e := range w.juliet.events {
					if p, ok := e.(transfers.Progress); ok && p.Bytes > 0 {
						break
					}
				}
				if got := names(t, w.juliet.dir); !slices.Equal(got, []string{"f.part"}) {
					t.Errorf("on the way: %v", got)
				}
				sl.Close()
				switch who {
				case "sender":
					out.Cancel(nil)
				case "receiver":
					in.Cancel(nil)
				case "shutdown":
					w.stop()
				}
				for _, a := range []*account{w.romeo, w.juliet} {
					if e, ok := first(a.wait()).(transfers.Failed); !ok {
						t.Errorf("%s: %+v", a.jid, e)
					}
				}
				<-in.Done()
				if left := names(t, w.juliet.dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// edit changes the first element of a name below e.
func edit(e *xmltree.Element, local string, f func(*xmltree.Element)) {
	for c := range e.Elements() {
		if c.Name.Local == local {
			f(c)
			return
		}
		edit(c, local, f)
	}
}

func setText(s string) func(*xmltree.Element) {
	return func(e *xmltree.Element) { e.Children = []xmltree.Node{xmltree.Text(s)} }
}

// TestLies changes what the sender says.
func TestLies(t *testing.T) {
	data := pattern(10_000)
	for name, c := range map[string]struct {
		action string
		edit   func(e *xmltree.Element)
		files  transfers.Config
		store  store.Config
		reason jingle.Condition // of both sides
		text   string           // part of the receiver's text
		done   bool             // it works all the same
	}{
		"a smaller size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("9000")) }, transfers.Config{}, store.Config{},
			jingle.MediaError, "More bytes came than the 9000", false},
		"a larger size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("10001")) }, transfers.Config{StallTimeout: 300 * time.Millisecond}, store.Config{},
			"", "", false},
		"a wrong checksum": {"session-info", func(e *xmltree.Element) {
			edit(e, "hash", setText("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		}, transfers.Config{}, store.Config{}, jingle.MediaError, "damaged", false},
		"no size": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "file", func(f *xmltree.Element) {
				f.Children = slices.DeleteFunc(f.Children, func(n xmltree.Node) bool {
					c, ok := n.(*xmltree.Element)
					return ok && c.Name.Local == "size"
				})
			})
		}, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"a negative size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("-5")) }, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"too large":       {"session-initiate", func(*xmltree.Element) {}, transfers.Config{MaxSize: 9999}, store.Config{}, jingle.MediaError, "", false},
		"disk full":       {"session-initiate", func(*xmltree.Element) {}, transfers.Config{}, store.Config{Free: func(string) (int64, error) { return 5000, nil }}, jingle.MediaError, "cannot be stored", false},
		"a request": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "content", func(c *xmltree.Element) { c.Set("senders", "responder") })
		}, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"encrypted": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "content", func(c *xmltree.Element) { c.Add(xmltree.New("urn:xmpp:jingle:jet:0", "security")) })
		}, transfers.Config{}, store.Config{}, jingle.SecurityError, "", false},
		"an unknown transport": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "transport", func(c *xmltree.Element) { c.Name.Space = "urn:example" })
		}, transfers.Config{}, store.Config{}, jingle.UnsupportedTransports, "", false},
		"no hash, as Dino offers": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "hash-used", func(h *xmltree.Element) { h.Name.Local = "something" })
		}, transfers.Config{}, store.Config{}, "", "", true},
		"an unknown hash": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "hash-used", func(h *xmltree.Element) { h.Set("algo", "tiger") })
		}, transfers.Config{}, store.Config{}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true, files: c.files, store: c.store})
			once := sync.Once{}
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				if from == romeo && e.Attr("action") == c.action {
					once.Do(func() { c.edit(e) })
				}
				return e
			}
			w.send(source("f", data))
			sent := first(w.romeo.wait())
			if c.done {
				if _, ok := sent.(transfers.Done); !ok {
					t.Fatalf("sender: %+v", sent)
				}
				if got, ok := first(w.juliet.wait()).(transfers.Done); !ok || got.Hash.Algo != hashes.SHA256 {
					t.Errorf("receiver: %+v", got)
				}
				return
			}
			if e, ok := sent.(transfers.Failed); !ok || (c.reason != "" && e.Reason != c.reason) {
				t.Errorf("sender: %+v", sent)
			}
			if c.text != "" {
				if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != c.reason || !strings.Contains(e.Text, c.text) || e.ByPeer {
					t.Errorf("receiver: %+v", e)
				}
			}
			w.stop()
			w.wg.Wait()
			if left := names(t, w.juliet.dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestSilentPeer swallows what the receiver says at the end, and what it decides.
func TestSilentPeer(t *testing.T) {
	t.Run("never confirms", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{ConfirmTimeout: 100 * time.Millisecond}})
		w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
			if a := e.Attr("action"); from == juliet && (a == "session-info" || a == "session-terminate") {
				return nil
			}
			return e
		}
		w.send(source("f", []byte("data")))
		if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || e.Confirmed {
			t.Errorf("%+v", e)
		}
	})
	t.Run("never decides", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{DecisionTimeout: 100 * time.Millisecond}})
		w.juliet.onOffer = nil
		w.send(source("f", []byte("data")))
		for _, a := range []*account{w.romeo, w.juliet} {
			if e, ok := first(a.wait()).(transfers.Failed); !ok || e.Reason != jingle.Expired {
				t.Errorf("%s: %+v", a.jid, e)
			}
		}
	})
	t.Run("never connects", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{ConnectTimeout: 100 * time.Millisecond}})
		w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
			if from == juliet && e.Attr("action") == "session-accept" {
				return nil
			}
			return e
		}
		w.send(source("f", []byte("data")))
		if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != jingle.ConnectivityError {
			t.Errorf("%+v", e)
		}
	})
}

// TestSeveralFiles takes a session of two files and one that cannot be taken, and declines one.
func TestSeveralFiles(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
		switch e.Attr("action") {
		case "session-initiate":
			var more []*xmltree.Element
			for i, name := range []string{"second", "third"} {
				edit(e, "content", func(c *xmltree.Element) {
					n := c.Clone().Set("name", name)
					edit(n, "name", setText(name))
					edit(n, "transport", func(tr *xmltree.Element) { tr.Set("sid", name) })
					if i == 1 {
						n.Set("senders", "responder")
					}
					more = append(more, n)
				})
			}
			return e.Add(more...)
		case "session-accept":
			n := 0
			for range e.Elements() {
				n++
			}
			if n != 1 {
				t.Errorf("accepted %s", e)
			}
		}
		return e
	}
	w.juliet.onOffer = func(o transfers.Offered) {
		if o.File.Name == "second" {
			o.Transfer.Decline()
		} else {
			o.Transfer.Accept(w.juliet.folder)
		}
	}
	w.send(source("first", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || !e.Confirmed {
		t.Errorf("sender: %+v", e)
	}
	done, declined := 0, 0
	for range 2 {
		switch e := first(w.juliet.wait()).(type) {
		case transfers.Done:
			done++
			if filepath.Base(e.Path) != "first" {
				t.Errorf("%+v", e)
			}
		case transfers.Failed:
			declined++
		}
	}
	if done != 1 || declined != 1 {
		t.Errorf("%d done, %d declined", done, declined)
	}
}

// TestLateCandidates offers candidates by transport-info only, before the receiver has decided.
func TestLateCandidates(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	var candidates *xmltree.Element
	w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
		switch a := from.Local() + " " + e.Attr("action"); a {
		case "romeo session-initiate":
			edit(e, "transport", func(tr *xmltree.Element) {
				candidates = tr.Clone()
				tr.Children = nil
			})
		case "juliet session-accept":
			edit(e, "transport", func(tr *xmltree.Element) { tr.Children = nil }) // so that only romeo's can work
		}
		return e
	}
	w.juliet.onOffer = func(o transfers.Offered) {
		info := xmltree.New(jingle.NS, "jingle").Set("action", "transport-info").Set("sid", o.Transfer.SID()).
			Add(xmltree.New(jingle.NS, "content").Set("creator", "initiator").Set("name", "file").Add(candidates))
		w.juliet.engine.Receive(romeo, info, func(se *jingle.StanzaError) {
			if se != nil {
				t.Errorf("the candidates are refused: %v", se)
			}
			o.Transfer.Accept(w.juliet.folder)
		})
	}
	w.send(source("f", []byte("data")))
	checkArrived(t, w, "f", s5b.NS, []byte("data"))
}

// TestPeerText shows what a peer says as plain text.
func TestPeerText(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.juliet.onOffer = func(o transfers.Offered) {
		o.Transfer.Cancel(&jingle.Reason{Condition: jingle.Decline, Text: "no\u202e\n" + strings.Repeat("!", 1000)})
		if o.Transfer.Name() != "x" {
			t.Errorf("%q", o.Transfer.Name())
		}
	}
	w.send(source("../x", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || !strings.HasPrefix(e.Text, "no !!!") || len(e.Text) != 500 {
		t.Errorf("%+v", e)
	}
}

// TestDialects changes the wire to how clients write it.
func TestDialects(t *testing.T) {
	drop := func(names ...string) func(*xmltree.Element) {
		return func(e *xmltree.Element) {
			e.Children = slices.DeleteFunc(e.Children, func(n xmltree.Node) bool {
				c, ok := n.(*xmltree.Element)
				return ok && slices.Contains(names, c.Name.Local)
			})
		}
	}
	for name, tamper := range map[string]func(who, action string, e *xmltree.Element) *xmltree.Element{
		"Dino: name and size only, no received": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "file", drop("hash-used", "media-type", "mediaType", "range", "date"))
			if action == "session-info" {
				return nil
			}
			return e
		},
		"Conversations: mediaType, a checksum without creator": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "file", drop("hash-used", "media-type", "range", "date"))
			edit(e, "checksum", func(c *xmltree.Element) {
				c.Attrs = slices.DeleteFunc(c.Attrs, func(a xml.Attr) bool { return a.Name.Local == "creator" })
			})
			return e
		},
		"received without a name": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "received", func(c *xmltree.Element) { c.Attrs = nil })
			return e
		},
		"an answer without a description": func(who, action string, e *xmltree.Element) *xmltree.Element {
			if action == "session-accept" {
				edit(e, "file", drop("name", "size", "hash-used", "range", "media-type", "mediaType", "date"))
			}
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true})
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				return tamper(from.Local(), e.Attr("action"), e)
			}
			w.send(source("f", []byte("data")))
			for _, a := range []*account{w.romeo, w.juliet} {
				if e, ok := first(a.wait()).(transfers.Done); !ok || (a == w.romeo && !e.Confirmed) {
					t.Errorf("%s: %+v", a.jid, e)
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, options{noS5B: true, files: transfers.Config{MaxPerPeer: 2}})
	w.juliet.onOffer = nil
	for range 3 {
		w.send(source("f", []byte("x")))
	}
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.Busy {
		t.Errorf("%+v", e)
	}
	if n := len(w.juliet.files.Active()); n != 2 {
		t.Errorf("%d transfers", n)
	}
	w.stop()
	w.wg.Wait()
	if _, err := w.romeo.files.Send(w.romeo.engine, juliet, source("f", nil), transfers.SendOptions{}); !errors.Is(err, transfers.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := w.romeo.files.Send(w.romeo.engine, juliet, transfers.Source{}, transfers.SendOptions{}); err == nil {
		t.Error("a source without anything")
	}
	if _, err := transfers.New(transfers.Config{}); err == nil {
		t.Error("a manager without anything")
	}
}

// TestUnknownInfos: what is not about files is refused, what is about other files does no harm.
func TestUnknownInfos(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	offered := make(chan *transfers.Transfer, 1)
	w.juliet.onOffer = func(o transfers.Offered) { offered <- o.Transfer }
	out := w.send(source("f", []byte("x")))
	in := <-offered
	ask := func(info string) string {
		e, err := xmltree.Parse([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='`+in.SID()+`'>`+info+`</jingle>`), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		w.juliet.engine.Receive(romeo, e, func(se *jingle.StanzaError) {
			if se == nil {
				got <- ""
			} else {
				got <- se.Condition
			}
		})
		return <-got
	}
	for info, want := range map[string]string{
		``: "", // a ping
		`<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                      "feature-not-implemented",
		`<received xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='other'/>`:                   "",
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='other'><file/></checksum>`:  "",
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='file'/>`:                    "bad-request",
		`<abort xmlns='urn:xmpp:jingle:apps:file-transfer:3'><file><name>f</name></file></abort>`: "",
	} {
		if info != "" && strings.Contains(info, "abort") {
			continue // last, as it ends the transfer
		}
		if got := ask(info); got != want {
			t.Errorf("%s: %q, want %q", info, got, want)
		}
	}
	if got := ask(`<abort xmlns='urn:xmpp:jingle:apps:file-transfer:3'><file/></abort>`); got != "" {
		t.Errorf("abort: %q", got)
	}
	<-in.Done()
	<-out.Done()
}
