package component

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an XMPP server's component listener that a test scripts.
type fake struct {
	t  testing.TB
	ln net.Listener
}

func newFake(t testing.TB) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &fake{t, ln}
}

// peer is the server's end of one connection.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (f *fake) accept() *peer {
	f.t.Helper()
	c, err := f.ln.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	f.t.Cleanup(func() { c.Close() })
	return &peer{f.t, c, bufio.NewReader(c)}
}

func (p *peer) expect(want string) string {
	p.t.Helper()
	var got strings.Builder
	for !strings.HasSuffix(got.String(), want) {
		b, err := p.r.ReadByte()
		if err != nil {
			p.t.Fatalf("waited for %s, got %s, %v", want, got.String(), err)
		}
		got.WriteByte(b)
	}
	return got.String()
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

const streamHead = `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='relay.example.com' id='3BF96D32'>`

// joined accepts a component as XEP-0114's examples do.
func (f *fake) joined() *peer {
	f.t.Helper()
	p := f.accept()
	p.expect("to='relay.example.com'>")
	p.send(streamHead)
	p.expect("</handshake>")
	p.send("<handshake/>")
	return p
}

func run(t testing.TB, f *fake, change func(*Config)) (*Component, func() error) {
	t.Helper()
	cfg := Config{Domain: "relay.example.com", Secret: "s3cr3t", Server: f.ln.Addr().String(), Offer: offer(t, &activator{}), MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return c, stop
}

const pingIQ = `<iq type='get' id='%s' from='romeo@example.com/o' to='relay.example.com'><ping xmlns='urn:xmpp:ping'/></iq>`

func TestHandshakeAndEnd(t *testing.T) {
	f := newFake(t)
	c, stop := run(t, f, nil)
	p := f.accept()
	if got := p.expect("'>"); !strings.HasSuffix(got, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='relay.example.com'>") {
		t.Error(got)
	}
	p.send(streamHead)
	// printf 3BF96D32s3cr3t | sha1sum
	if got := p.expect("</handshake>"); got != "<handshake>ba33290100f616a33656a931798d6c9011cfa840</handshake>" {
		t.Error(got)
	}
	p.send("<handshake/>")
	p.send(fmt.Sprintf(pingIQ, "1"))
	p.expect("id='1'/>")
	if !c.Connected() {
		t.Error("not connected")
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.expect("</stream:stream>")
	if c.Connected() {
		t.Error("still connected")
	}
}

func TestReconnects(t *testing.T) {
	f := newFake(t)
	c, _ := run(t, f, nil)
	for i, end := range []string{"</stream:stream>", "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", "", "<broken"} {
		p := f.joined()
		p.send(fmt.Sprintf(pingIQ, "x"))
		p.expect("id='x'/>")
		p.send(end)
		p.Close()
		if n := c.Counters().Connects; n != uint64(i+1) {
			t.Errorf("%d connects", n)
		}
	}
	// refusals, and a listener that speaks something else
	for i, head := range []string{
		"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"HTTP/1.1 400 Bad Request\r\n\r\n", "<html></html>", streamHead + "</stream:stream>", "",
	} {
		p := f.accept()
		if why := c.Counters().Problem; i == 1 && !strings.Contains(why, "host-unknown") {
			t.Errorf("not joined because of %q", why)
		}
		p.send(head)
		p.Close()
	}
	p := f.joined()
	p.send(fmt.Sprintf(pingIQ, "last"))
	p.expect("id='last'/>")
	if why := c.Counters().Problem; why != "" {
		t.Errorf("joined, and not because of %q", why)
	}
}

func TestWrongSecretSaysSo(t *testing.T) {
	f := newFake(t)
	c, err := New(Config{Domain: "relay.example.com", Secret: "wrong", Server: f.ln.Addr().String(), Offer: offer(t, &activator{})})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.session(t.Context()) }()
	p := f.accept()
	p.expect("'>")
	p.send(streamHead)
	p.expect("</handshake>")
	p.send("<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
	if err := <-done; !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not-authorized") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

// No stanza ends the connection or keeps the next from being answered.
func TestHostileStanzas(t *testing.T) {
	f := newFake(t)
	c, _ := run(t, f, nil)
	p := f.joined()
	deep := func(n int) string {
		return strings.Repeat("<a>", n) + strings.Repeat("</a>", n)
	}
	iq := func(id, body string) string {
		return "<iq type='set' id='" + id + "' from='eve@evil.example/x' to='relay.example.com'>" + body + "</iq>"
	}
	for i, h := range []struct{ send, want string }{
		{iq("deep", deep(100_000)), "policy-violation"},
		{iq("wide", strings.Repeat("<a/>", 100_000)), "policy-violation"},
		{iq("long", "<a>"+strings.Repeat("x", 4<<20)+"</a>"), "policy-violation"},
		{iq("attr", "<a "+"x='"+strings.Repeat("y", 1<<20)+"'/>"), "policy-violation"},
		{iq("attrs", "<a"+manyAttrs(10_000)+"/>"), "policy-violation"},
		{"<iq type='set' id='" + strings.Repeat("i", 1<<20) + "' from='eve@evil.example/x' to='relay.example.com'/>", ""},
		{"<message from='e@e' to='relay.example.com'>" + deep(50_000) + "</message>", ""},
		{"<presence/>   \n\n", ""},
		{"<iq/>", ""},
		{iq("ns", "<a:services xmlns:a='urn:xmpp:extdisco:2'/>"), "service-unavailable"},
		{strings.Replace(iq("ns2", "<a:services xmlns:a='urn:xmpp:extdisco:2'/>"), "'set'", "'get'", 1), "forbidden"},
		{iq("open", "<query xmlns='http://jabber.org/protocol/bytestreams' sid='"+strings.Repeat("s", 2000)+"'><activate>a@b</activate></query>"), "forbidden"},
		{"<iq type='get' id='far' from='" + strings.Repeat("a", 5000) + "@example.com' to='relay.example.com'><ping xmlns='urn:xmpp:ping'/></iq>", ""},
	} {
		p.send(h.send)
		if h.want != "" {
			if got := p.expect("</iq>"); !strings.Contains(got, h.want) {
				t.Errorf("%d: %s", i, got)
			}
		}
		id := fmt.Sprint("after", i)
		p.send(fmt.Sprintf(pingIQ, id))
		p.expect("id='" + id + "'/>")
	}
	if n := c.Counters().Connects; n != 1 {
		t.Errorf("%d connects", n)
	}
}

func manyAttrs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d='x'", i)
	}
	return b.String()
}

// A server that asks and does not read must not stop the reader.
func TestReaderNeverWaits(t *testing.T) {
	f := newFake(t)
	c, _ := run(t, f, nil)
	p := f.joined()
	q := "<iq type='get' id='i' from='romeo@example.com/o' to='relay.example.com'><services xmlns='urn:xmpp:extdisco:2'/></iq>"
	for range 20_000 { // its answers are ten times what the sockets hold
		p.send(q)
	}
	p.send(fmt.Sprintf(pingIQ, "z"))
	until(t, "all were read", func() bool { n := c.Counters(); return n.Answered+n.Dropped == 20_001 })
	if c.Counters().Dropped == 0 {
		t.Error("the test did not fill the queue")
	}
}

func TestPingsAndGivesUpADeadServer(t *testing.T) {
	f := newFake(t)
	_, _ = run(t, f, func(c *Config) { c.Ping = 20 * time.Millisecond })
	p := f.joined()
	if got := p.expect("</iq>"); !strings.Contains(got, "to='example.com'") || !strings.Contains(got, "urn:xmpp:ping") {
		t.Error(got)
	}
	f.joined() // nothing came from the server: the component comes again
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

func FuzzStanza(f *testing.F) {
	f.Add(head + `<services xmlns='urn:xmpp:extdisco:2'/></iq>`)
	f.Add(`<iq type='set' id='i' from='romeo@example.com/orchard' to='relay.example.com'><q:query xmlns:q='http://jabber.org/protocol/bytestreams' sid='s'><q:activate>t@example.org/x</q:activate></q:query></iq>`)
	f.Add("<a><b xmlns='x'><c/></b></a><a/></stream:stream>")
	h := handler(f, &activator{})
	f.Fuzz(func(t *testing.T, in string) {
		s := newScanner(strings.NewReader("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>" + in))
		if _, err := s.open(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			depth := len(s.ns)
			e, over, err := s.next()
			if err != nil {
				return
			}
			if len(s.ns) != depth {
				t.Fatalf("%d namespace scopes are left open", len(s.ns)-depth)
			}
			reply := h.answer(now, e, over)
			if reply == "" {
				continue
			}
			r := newScanner(strings.NewReader("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>" + reply))
			_, _ = r.open()
			if back, _, err := r.next(); err != nil || back.local != "iq" || back.attr("id") != e.attr("id") {
				t.Fatalf("answered %s: %v", reply, err)
			}
		}
	})
}
