package transfers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

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
	seen   []string                 // actions, "romeo session-initiate"
	inBand func(e *xmltree.Element) // may look at blocks, and change them

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
	si        *si.Manager
}

type options struct {
	s5b       [2]bool // whether romeo's and juliet's S5B is usable
	noS5B     bool
	window    int
	files     transfers.Config
	store     store.Config
	s5bTiming s5b.NegotiationConfig
	proxy     proxy // by which alone SOCKS5 bytestreams go
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &world{t: t, ctx: ctx, stop: stop, wake: make(chan struct{}, 1)}
	names := [2]jid.JID{romeo, juliet}
	if o.proxy != nil {
		names = o.proxy.names()
	}
	w.romeo, w.juliet = w.account(names[0], o, o.s5b[0]), w.account(names[1], o, o.s5b[1])
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
	cfgS5B := s5b.Config{Timing: o.s5bTiming}
	if !o.noS5B {
		cfg := &cfgS5B
		switch {
		case o.proxy != nil:
			cfg.Allow = func(netip.AddrPort) bool { return true }
			cfg.Proxies = o.proxy.hosts
			cfg.Request = func(_ jid.JID, e *xmltree.Element, done func(error)) { o.proxy.activate(who, e, done) }
		case s5bWorks:
			cfg.Allow = func(netip.AddrPort) bool { return true }
			l, err := s5b.NewListener(s5b.ListenerConfig{Addr: "127.0.0.1:0"})
			check(err)
			cfg.Listener = l
			w.wg.Go(func() { _ = l.Run(w.ctx) })
		}
		a.factories = append(a.factories, s5b.NewFactory(*cfg))
	}
	streams := s5b.NewFactory(cfgS5B)
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
	ice.Register(&reg)
	jet.Register(&reg)
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
	a.si, err = si.NewManager(si.Config{
		Local: func() jid.JID { return who }, Transfers: a.files, InBand: a.ibb,
		Bytestreams: func(jid.JID) *s5b.Factory { return streams },
		Request: func(to jid.JID, e *xmltree.Element, _ time.Duration, done func(*xmltree.Element, error)) {
			a.query(to, e, done)
		},
	})
	check(err)
	w.wg.Go(func() { _ = a.si.Run(w.ctx) })
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
	if who == w.romeo.jid {
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
	a.query(to, payload, func(_ *xmltree.Element, err error) { done(err) })
}

// query carries an IQ of type set and its answer.
func (a *account) query(to jid.JID, payload *xmltree.Element, done func(*xmltree.Element, error)) {
	text := payload.AppendXML(nil, "")
	a.w.enqueue(func() {
		e, err := xmltree.Parse(text, xmltree.Limits{})
		if err != nil {
			a.w.t.Errorf("sent what is not XML: %v", err)
			return
		}
		reply := func(result *xmltree.Element, se *jingle.StanzaError) {
			a.w.enqueue(func() {
				if se != nil {
					done(nil, se)
				} else {
					done(result, nil)
				}
			})
		}
		answer := func(se *jingle.StanzaError) { reply(nil, se) }
		if e.Name.Space == ibb.NSIBB {
			a.w.mu.Lock()
			inBand := a.w.inBand
			a.w.mu.Unlock()
			if inBand != nil {
				inBand(e)
			}
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
		switch e.Name.Space {
		case si.NS:
			a.w.at(to).si.Handle(a.jid, e, func(result *xmltree.Element, se *jingle.StanzaError) {
				if result != nil && tamper != nil {
					result = tamper(to, result)
				}
				reply(result, se)
			})
		case s5b.NSBytestreams:
			a.w.at(to).si.HandleBytestreams(a.jid, e, reply)
		default:
			a.w.at(to).engine.Receive(a.jid, e, answer)
		}
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
	t, err := w.romeo.files.Send(w.romeo.engine, w.juliet.jid, src, transfers.SendOptions{})
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
