package si_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ibbpkg "github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// member is an account of ours at a real server.
type member struct {
	client *xmpp.Client
	si     *si.Manager
	events chan transfers.Event
}

// join logs in an account that takes every file into folder. With direct it offers its own address besides the proxy.
func join(t *testing.T, srv *testkit.Server, user string, direct bool) *member {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	srv.AddUser(t, user, "pw")
	m := &member{events: make(chan transfers.Event, 1000), client: xmpptest.Client(t, xmpptest.At(srv, user, "pw"))}
	request := func(to jid.JID, e *xmltree.Element, timeout time.Duration, done func(*xmltree.Element, error)) {
		m.client.Request(to, "set", e, timeout, done)
	}
	router, err := ibbpkg.NewRouter(ibbpkg.RouterConfig{Stanzas: blocks{m.client}})
	must(err)
	folder, err := store.Open(t.TempDir(), store.Config{})
	must(err)
	files, err := transfers.New(transfers.Config{
		Transports: func(jid.JID, bool) []engine.TransportFactory { return nil },
		Events: func(e transfers.Event) {
			if o, ok := e.(transfers.Offered); ok {
				o.Transfer.Accept(folder)
			}
			m.events <- e
		}})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	cfg := s5b.Config{Allow: func(a netip.AddrPort) bool { return a.Addr().IsLoopback() }, Request: blocks{m.client}.Request}
	if direct {
		cfg.Listener, err = s5b.NewListener(s5b.ListenerConfig{Addr: "127.0.0.1:0"})
		must(err)
		wg.Go(func() { _ = cfg.Listener.Run(ctx) })
	} else {
		cfg.Proxies = func() []s5b.StreamHost { return proxies(t, m.client, srv) }
	}
	factory := s5b.NewFactory(cfg)
	m.si, err = si.NewManager(si.Config{Local: m.client.JID, Request: request, Transfers: files, InBand: router,
		Bytestreams: func(jid.JID) *s5b.Factory { return factory }})
	must(err)
	answer := func(iq *xmpp.IQ) func(*xmltree.Element, *jingle.StanzaError) {
		return func(e *xmltree.Element, se *jingle.StanzaError) {
			if se != nil {
				iq.Fail(se)
			} else {
				iq.Reply(e)
			}
		}
	}
	m.client.HandleIQ(si.NS, "si", func(iq *xmpp.IQ) { m.si.Handle(iq.From, iq.Payload, answer(iq)) })
	m.client.HandleIQ(s5b.NSBytestreams, "query", func(iq *xmpp.IQ) { m.si.HandleBytestreams(iq.From, iq.Payload, answer(iq)) })
	for _, name := range []string{"open", "data", "close"} {
		m.client.HandleIQ(ibbpkg.NSIBB, name, func(iq *xmpp.IQ) {
			router.Handle(iq.From, iq.Payload, func(se *jingle.StanzaError) { answer(iq)(nil, se) })
		})
	}
	wg.Go(func() { _ = files.Run(ctx) })
	wg.Go(func() { _ = m.si.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = folder.Close()
	})
	xmpptest.Run(t, m.client)
	return m
}

type blocks struct{ *xmpp.Client }

func (b blocks) Request(to jid.JID, e *xmltree.Element, done func(error)) {
	b.Client.Request(to, "set", e, 0, func(_ *xmltree.Element, err error) { done(err) })
}

// proxies asks the server's proxy where it listens.
func proxies(t *testing.T, c *xmpp.Client, srv *testkit.Server) []s5b.StreamHost {
	reply, err := c.Query(context.Background(), jid.JID(srv.ProxyJID), "get", s5b.Query{}.Element())
	if err != nil {
		t.Errorf("proxy: %v", err)
		return nil
	}
	p, err := s5b.ParseQuery(reply)
	if err != nil {
		t.Errorf("proxy: %v", err)
		return nil
	}
	return p.(s5b.Query).StreamHosts
}

func (m *member) wait(t *testing.T) transfers.Done {
	t.Helper()
	for {
		select {
		case e := <-m.events:
			switch e := e.(type) {
			case transfers.Done:
				return e
			case transfers.Failed:
				t.Fatalf("%+v", e)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

// peer is a running slixmpp.
type peer struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr output
}

func slixmpp(t *testing.T, srv *testkit.Server, user string, args ...string) *peer {
	t.Helper()
	python := testkit.Python(t, "slixmpp", "python3-slixmpp")
	who := srv.AddUser(t, user, "pw") + "/slix"
	p := &peer{}
	p.cmd = exec.Command(python, append([]string{"testdata/si_peer.py", srv.Addr, srv.CAFile, who, "pw"}, args...)...)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("slixmpp: %s", p.stderr.String())
		}
	})
	p.line(t, "ready")
	return p
}

// output is what a program prints while somebody else looks at it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (p *peer) line(t *testing.T, want string) {
	t.Helper()
	if !p.lines.Scan() || !strings.HasPrefix(p.lines.Text(), want) {
		t.Fatalf("slixmpp says %q, want %q\n%s", p.lines.Text(), want, p.stderr.String())
	}
}

func TestSlixmpp(t *testing.T) { testkit.Each(t, withSlixmpp) }

func withSlixmpp(t *testing.T, srv *testkit.Server) {
	for i, c := range []struct {
		name, method, transport string
		direct                  bool
		size                    int
	}{
		{"direct", "s5b", bytestreams, true, 3_000_000},
		{"proxy", "s5b", bytestreams, false, 3_000_000},
		{"in-band", "ibb", ibb, false, 100_000},
	} {
		data := pattern(c.size)
		sum := fmt.Sprintf("done %d %x", len(data), sha256.Sum256(data))
		t.Run("send "+c.name, func(t *testing.T) {
			m := join(t, srv, fmt.Sprintf("romeo%d", i), c.direct)
			p := slixmpp(t, srv, fmt.Sprintf("juliet%d", i), "take", "-", "-", "-")
			to := jid.JID(srv.Account(fmt.Sprintf("juliet%d", i)) + "/slix")
			if _, err := m.si.Send(to, source(data), si.SendOptions{Streams: []string{c.transport}}); err != nil {
				t.Fatal(err)
			}
			if done := m.wait(t); done.Transport != c.transport {
				t.Errorf("%+v", done)
			}
			p.line(t, sum)
		})
		if c.direct {
			continue // as a sender it offers proxies only
		}
		t.Run("receive "+c.name, func(t *testing.T) {
			m := join(t, srv, fmt.Sprintf("tybalt%d", i), false)
			path := filepath.Join(t.TempDir(), "data")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			p := slixmpp(t, srv, fmt.Sprintf("nurse%d", i), "send", m.client.JID().String(), c.method, path)
			done := m.wait(t)
			got, err := os.ReadFile(done.Path)
			if err != nil || !bytes.Equal(got, data) || done.Transport != c.transport || done.Verified != "md5" || filepath.Base(done.Path) != "from-slixmpp.bin" {
				t.Errorf("%d bytes, %v: %+v", len(got), err, done)
			}
			p.line(t, sum)
		})
	}
}
