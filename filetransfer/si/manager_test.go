package si_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	ibbpkg "github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// world is two accounts and a server between them that carries stanzas as text.
type world struct {
	t      *testing.T
	people map[jid.JID]*account
	// tamper may change an IQ's payload on its way, or answer it with an error.
	tamper func(from jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError)
	wg     sync.WaitGroup
	ctx    context.Context
}

type account struct {
	w      *world
	jid    jid.JID
	si     *si.Manager
	files  *transfers.Manager
	ibb    *ibbpkg.Router
	events chan transfers.Event
	folder *store.Folder
	accept func(transfers.Offered)
	// storing, if not nil, is called when a file is complete and before it gets its name.
	storing func()
	queue   chan func()
}

func newWorld(t *testing.T, streamhosts bool) *world {
	ctx, stop := context.WithCancel(context.Background())
	w := &world{t: t, people: map[jid.JID]*account{}, ctx: ctx}
	for _, who := range []jid.JID{romeo, juliet} {
		w.people[who] = w.account(who, streamhosts)
	}
	t.Cleanup(func() {
		stop()
		w.wg.Wait()
		for _, a := range w.people {
			if n := len(a.files.Active()) + a.ibb.Len(); n != 0 {
				t.Errorf("%s: %d transfers or streams are left", a.jid, n)
			}
		}
	})
	return w
}

func (w *world) account(who jid.JID, streamhosts bool) *account {
	t := w.t
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &account{w: w, jid: who, events: make(chan transfers.Event, 1000), queue: make(chan func(), 1000)}
	var err error
	a.folder, err = store.Open(t.TempDir(), store.Config{})
	must(err)
	t.Cleanup(func() { a.folder.Close() })
	a.accept = func(o transfers.Offered) { o.Transfer.Accept(a.folder) }
	a.files, err = transfers.New(transfers.Config{
		Events: func(e transfers.Event) {
			switch e := e.(type) {
			case transfers.Offered:
				a.accept(e)
			case transfers.Storing:
				if a.storing != nil {
					a.storing()
				}
			}
			a.events <- e
		},
		Transports: func(jid.JID, bool) []engine.TransportFactory { return nil },
	})
	must(err)
	a.ibb, err = ibbpkg.NewRouter(ibbpkg.RouterConfig{Stanzas: a})
	must(err)
	cfg := s5b.Config{Allow: func(netip.AddrPort) bool { return true }}
	if streamhosts {
		cfg.Listener, err = s5b.NewListener(s5b.ListenerConfig{Addr: "127.0.0.1:0"})
		must(err)
		w.wg.Go(func() { _ = cfg.Listener.Run(w.ctx) })
	}
	factory := s5b.NewFactory(cfg)
	a.si, err = si.NewManager(si.Config{
		Local: func() jid.JID { return who }, Transfers: a.files, InBand: a.ibb, Request: a.request,
		Bytestreams: func(jid.JID) *s5b.Factory { return factory },
	})
	must(err)
	w.wg.Go(func() { _ = a.si.Run(w.ctx) })
	w.wg.Go(func() { _ = a.files.Run(w.ctx) })
	w.wg.Go(func() { // stanzas to this account, in order
		for {
			select {
			case f := <-a.queue:
				f()
			case <-w.ctx.Done():
				return
			}
		}
	})
	return a
}

func (a *account) request(to jid.JID, payload *xmltree.Element, _ time.Duration, done func(*xmltree.Element, error)) {
	text := payload.AppendXML(nil, "")
	peer := a.w.people[to]
	answer := func(e *xmltree.Element, se *jingle.StanzaError) {
		a.queue <- func() {
			if se != nil {
				done(nil, se)
			} else {
				done(e, nil)
			}
		}
	}
	peer.queue <- func() {
		e, err := xmltree.Parse(text, xmltree.Limits{})
		if err != nil {
			a.w.t.Errorf("sent what is not XML: %v", err)
			return
		}
		if a.w.tamper != nil {
			var se *jingle.StanzaError
			if e, se = a.w.tamper(a.jid, e); se != nil {
				answer(nil, se)
				return
			}
		}
		switch e.Name.Space {
		case si.NS:
			peer.si.Handle(a.jid, e, answer)
		case bytestreams:
			peer.si.HandleBytestreams(a.jid, e, answer)
		case ibb:
			peer.ibb.Handle(a.jid, e, func(se *jingle.StanzaError) { answer(nil, se) })
		}
	}
}

func (a *account) Request(to jid.JID, payload *xmltree.Element, done func(error)) {
	a.request(to, payload, 0, func(_ *xmltree.Element, err error) { done(err) })
}

func (a *account) last() transfers.Event {
	a.w.t.Helper()
	for {
		select {
		case e := <-a.events:
			switch e.(type) {
			case transfers.Done, transfers.Failed:
				return e
			}
		case <-time.After(20 * time.Second):
			a.w.t.Fatalf("%s: nothing happens", a.jid)
		}
	}
}

// early reports whether a transfer says anything of its end while its receiver has not.
func early(a *account) transfers.Event {
	timeout := time.After(300 * time.Millisecond)
	for {
		select {
		case e := <-a.events:
			switch e.(type) {
			case transfers.Done, transfers.Failed:
				return e
			}
		case <-timeout:
			return nil
		}
	}
}

func source(data []byte) transfers.Source {
	return transfers.Source{Name: "a.bin", Size: int64(len(data)), Open: func() (io.ReadSeekCloser, error) {
		return nopCloser{bytes.NewReader(data)}, nil
	}}
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

func (w *world) send(data []byte, streams ...string) {
	w.t.Helper()
	if _, err := w.people[romeo].si.Send(juliet, source(data), si.SendOptions{Streams: streams}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) arrived(data []byte, transport string) transfers.Done {
	w.t.Helper()
	got, ok := w.people[juliet].last().(transfers.Done)
	if !ok || got.Transport != transport {
		w.t.Fatalf("receiver: %+v", got)
	}
	if b, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(b, data) {
		w.t.Fatalf("%d bytes arrived, %v", len(b), err)
	}
	sent, ok := w.people[romeo].last().(transfers.Done)
	if !ok || sent.Bytes != int64(len(data)) || sent.Transport != transport {
		w.t.Fatalf("sender: %+v", sent)
	}
	return got
}

func TestSend(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 4097, 300_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			w := newWorld(t, true)
			data := pattern(size)
			w.send(data)
			w.arrived(data, bytestreams)
			w.send(data, ibb)
			w.arrived(data, ibb)
		})
	}
}

func TestFallsBackToInBand(t *testing.T) {
	for name, hosts := range map[string]bool{"nothing to offer": false, "nothing to reach": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, hosts)
			w.tamper = func(_ jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
				for h := range e.Elements() {
					if h.Is(bytestreams, "streamhost") {
						h.Set("port", "1")
					}
				}
				return e, nil
			}
			data := pattern(20_000)
			w.send(data)
			w.arrived(data, ibb)
		})
	}
}

func TestMD5(t *testing.T) {
	data := pattern(1000)
	sum := md5.Sum(data)
	for _, right := range []bool{true, false} {
		w := newWorld(t, true)
		w.tamper = func(_ jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
			if f := e.Child(si.NSFile, "file"); f != nil && e.Attr("id") != "" {
				s := sum
				if !right {
					s[0]++
				}
				f.Set("hash", hex.EncodeToString(s[:]))
			}
			return e, nil
		}
		w.send(data)
		switch got := w.people[juliet].last().(type) {
		case transfers.Done:
			if !right || got.Verified != "md5" {
				t.Errorf("%+v", got)
			}
		case transfers.Failed:
			if right {
				t.Errorf("%+v", got)
			}
		}
		// A receiver that could do nothing with what came breaks the stream, which is all that it can say.
		if sent, ok := w.people[romeo].last().(transfers.Done); ok != right {
			t.Errorf("sender: %+v", sent)
		}
	}
}

func TestDeclined(t *testing.T) {
	w := newWorld(t, true)
	w.people[juliet].accept = func(o transfers.Offered) { o.Transfer.Decline() }
	w.send(pattern(10))
	if f, ok := w.people[romeo].last().(transfers.Failed); !ok || f.Reason != jingle.Decline || !f.ByPeer {
		t.Errorf("%+v", f)
	}
}
