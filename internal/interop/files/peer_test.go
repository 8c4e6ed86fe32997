package files

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// peer is a scripted client that is logged in.
type peer struct {
	t      *testing.T
	d      *dialect
	client *xmpp.Client
	reg    jingle.Registry
	inbox  chan *jingle.Message
	early  []*jingle.Message

	sid string
	us  jid.JID

	band      chan []byte // bytes of in-band bytestreams; closed by a close
	seq       int
	trickling sync.Mutex
	trickle   func(ice.DataChannel) // takes our candidates for data channels, as they come; nil: nobody does

	si   chan *xmpp.IQ // offers of ours by stream initiation
	host chan *xmpp.IQ // our <query/> of XEP-0065
}

func login(t *testing.T, d *dialect, srv *xmppserver.Server) *peer {
	t.Helper()
	p := &peer{t: t, d: d, inbox: make(chan *jingle.Message, 100), band: make(chan []byte, 10_000), si: make(chan *xmpp.IQ, 1), host: make(chan *xmpp.IQ, 1)}
	filetransfer.Register(&p.reg)
	s5b.Register(&p.reg)
	ibb.Register(&p.reg)
	ice.Register(&p.reg)
	cfg := xmpptest.AtEmbedded(srv, "romeo", "secret")
	cfg.Resource, cfg.TLS, cfg.Features, cfg.CapsNode = "phone", xmpp.TLSPlainLoopback, d.features, d.node
	p.client = xmpptest.Client(t, cfg)
	p.client.HandleIQ(jingle.NS, "jingle", func(iq *xmpp.IQ) {
		m, err := jingle.ParseMessage(iq.Payload, &p.reg)
		if err != nil {
			t.Errorf("%s cannot parse: %v", d.name, err)
			return
		}
		iq.Reply(nil)
		p.trickling.Lock()
		defer p.trickling.Unlock()
		if !p.trickled(m) {
			p.inbox <- m
		}
	})
	p.client.HandleIQ(ibb.NSIBB, "open", func(iq *xmpp.IQ) {
		if n, _ := strconv.Atoi(iq.Payload.Attr("block-size")); n == 0 || n > d.block {
			t.Errorf("%s refuses blocks of %s, it has agreed to %d", d.name, iq.Payload.Attr("block-size"), d.block)
		}
		iq.Reply(nil)
	})
	p.client.HandleIQ(ibb.NSIBB, "data", func(iq *xmpp.IQ) {
		b, err := base64.StdEncoding.DecodeString(iq.Payload.Text())
		if n, _ := strconv.Atoi(iq.Payload.Attr("seq")); err != nil || n != p.seq || len(b) > d.block {
			t.Errorf("%s: block %s of %d bytes, %v; expected is %d", d.name, iq.Payload.Attr("seq"), len(b), err, p.seq)
		}
		p.seq = (p.seq + 1) % 65536
		p.band <- b
		iq.Reply(nil)
	})
	p.client.HandleIQ(ibb.NSIBB, "close", func(iq *xmpp.IQ) { iq.Reply(nil) })
	p.client.HandleIQ("http://jabber.org/protocol/si", "si", func(iq *xmpp.IQ) { iq.Defer(time.Minute); p.si <- iq })
	p.client.HandleIQ(s5b.NSBytestreams, "query", func(iq *xmpp.IQ) { iq.Defer(time.Minute); p.host <- iq })
	xmpptest.Run(t, p.client)
	return p
}

// request sends a payload in an IQ of type set and returns the answer's.
func (p *peer) request(payload string) *xmltree.Element {
	p.t.Helper()
	return p.ask(payload)()
}

// ask is request that does not wait; what it returns does.
func (p *peer) ask(payload string) func() *xmltree.Element {
	p.t.Helper()
	type answer struct {
		e   *xmltree.Element
		err error
	}
	got := make(chan answer, 1)
	p.client.Request(p.us, "set", parse(p.t, payload), ours.Patience, func(e *xmltree.Element, err error) { got <- answer{e, err} })
	return func() *xmltree.Element {
		p.t.Helper()
		a := <-got
		if a.err != nil {
			p.t.Fatalf("%s: %v\n%s", p.d.name, a.err, payload)
		}
		return a.e
	}
}

func (p *peer) jingle(action, inner string) {
	p.t.Helper()
	p.request(fmt.Sprintf("<jingle xmlns='%s' action='%s' sid='%s'>%s</jingle>", jingle.NS, action, p.sid, inner))
}

// content wraps a transport, and what else is to stand in the content.
func content(name, transport string, more ...string) string {
	return fmt.Sprintf("<content creator='initiator' name='%s' senders='initiator'>%s%s</content>", name, strings.Join(more, ""), transport)
}

func (p *peer) await(action jingle.Action, is func(*jingle.Message) bool) *jingle.Message {
	p.t.Helper()
	for i, m := range p.early {
		if m.Action == action && (is == nil || is(m)) {
			p.early = append(p.early[:i:i], p.early[i+1:]...)
			return m
		}
	}
	deadline := time.After(ours.Patience)
	for {
		select {
		case m := <-p.inbox:
			if m.Action == action && (is == nil || is(m)) {
				return m
			}
			p.early = append(p.early, m)
		case <-deadline:
			var names []string
			for _, m := range p.early {
				names = append(names, string(m.Action))
			}
			p.t.Fatalf("%s gets no %s but %v", p.d.name, action, names)
		}
	}
}

// trickled gives our candidates for data channels to who follows them; p.trickling is held.
func (p *peer) trickled(m *jingle.Message) bool {
	if p.trickle == nil || m.Action != jingle.TransportInfo {
		return false
	}
	d, ok := m.Contents[0].Transport.(ice.DataChannel)
	if ok {
		p.trickle(d)
	}
	return ok
}

// dst is what SOCKS5 is asked for: the hash of the stream's id and the two addresses.
func dst(sid string, offerer, other jid.JID) string {
	sum := sha1.Sum([]byte(sid + offerer.String() + other.String()))
	return hex.EncodeToString(sum[:])
}

// listen is the peer's direct candidate: whoever asks for the right hash comes in.
func (p *peer) listen(want string) (port int, conns <-chan net.Conn) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	out := make(chan net.Conn, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := serveSOCKS(c, want); err != nil {
				_ = c.Close()
				continue
			}
			select {
			case out <- c:
			default:
				_ = c.Close()
			}
		}
	}()
	p.t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port, out
}

func serveSOCKS(c net.Conn, want string) error {
	_ = c.SetDeadline(time.Now().Add(ours.Patience))
	hello := make([]byte, 2)
	if _, err := io.ReadFull(c, hello); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, hello[1])); err != nil {
		return err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return err
	}
	req := make([]byte, 5+40+2)
	if _, err := io.ReadFull(c, req); err != nil {
		return err
	}
	if string(req[5:45]) != want {
		return fmt.Errorf("it asks for %q", req[5:45])
	}
	req[1] = 0
	_, err := c.Write(req)
	return err
}

// dial connects to a candidate of ours.
func (p *peer) dial(host string, port uint16, want string) net.Conn {
	p.t.Helper()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))), ours.Patience)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(ours.Patience))
	_, err = c.Write([]byte{5, 1, 0})
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 2))
	}
	if err == nil {
		_, err = c.Write(append(append([]byte{5, 1, 0, 3, 40}, want...), 0, 0))
	}
	answer := make([]byte, 47)
	if err == nil {
		_, err = io.ReadFull(c, answer)
	}
	if err != nil || answer[1] != 0 {
		p.t.Fatalf("%s does not get in: %v, %v", p.d.name, answer[:2], err)
	}
	return c
}

// sendInBand sends data as the client does.
func (p *peer) sendInBand(sid string, data []byte) {
	p.t.Helper()
	p.request(fmt.Sprintf("<open xmlns='%s' sid='%s' block-size='%d' stanza='iq'/>", ibb.NSIBB, sid, p.d.block))
	window := make(chan struct{}, p.d.window)
	var wg sync.WaitGroup
	for seq := 0; len(data) > 0; seq++ {
		n := min(len(data), p.d.block)
		e := xmltree.New(ibb.NSIBB, "data").Set("sid", sid).Set("seq", strconv.Itoa(seq%65536)).AddText(base64Of(data[:n]))
		data = data[n:]
		window <- struct{}{}
		wg.Add(1)
		p.client.Request(p.us, "set", e, ours.Patience, func(_ *xmltree.Element, err error) {
			defer wg.Done()
			if <-window; err != nil {
				p.t.Errorf("%s, a block: %v", p.d.name, err)
			}
		})
	}
	wg.Wait()
	if p.d.closes {
		// Whoever has every byte may be through with the stream already.
		p.client.Request(p.us, "set", parse(p.t, fmt.Sprintf("<close xmlns='%s' sid='%s'/>", ibb.NSIBB, sid)), ours.Patience,
			func(*xmltree.Element, error) {})
	}
}

// takeInBand collects bytes.
func (p *peer) takeInBand(size int) []byte {
	p.t.Helper()
	var out []byte
	deadline := time.After(ours.Patience)
	for len(out) < size {
		select {
		case b := <-p.band:
			out = append(out, b...)
		case <-deadline:
			p.t.Fatalf("%s gets only %d of %d bytes", p.d.name, len(out), size)
		}
	}
	return out
}
