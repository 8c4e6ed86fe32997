package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// party is a client with in-band bytestreams.
type party struct {
	*xmpp.Client
	router *ibb.Router
}

// Request implements [ibb.Stanzas].
func (p *party) Request(to jid.JID, payload *xmltree.Element, done func(error)) {
	p.Client.Request(to, "set", payload, 0, func(_ *xmltree.Element, err error) { done(err) })
}

// plain hides what a connection is, so that nobody can set options of TCP.
type plain struct{ net.Conn }

func login(b testing.TB, srv *testkit.Server, user string, options bool) *party {
	b.Helper()
	cfg := xmpptest.At(srv, user, "secret")
	if !options {
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			return plain{c}, err
		}
	}
	client := xmpptest.Client(b, cfg)
	p := &party{Client: client}
	var err error
	if p.router, err = ibb.NewRouter(ibb.RouterConfig{Stanzas: p}); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"open", "data", "close"} {
		client.HandleIQ(ibb.NSIBB, name, func(iq *xmpp.IQ) {
			p.router.Handle(iq.From, iq.Payload, func(e *jingle.StanzaError) {
				if e != nil {
					iq.Fail(e)
					return
				}
				iq.Reply(nil)
			})
		})
	}
	xmpptest.Run(b, client)
	return p
}

// inBand sends size bytes from one to the other and returns how long it took.
func inBand(b testing.TB, from, to *party, sid string, block, window, size int) time.Duration {
	b.Helper()
	opened := make(chan error, 2)
	in, err := to.router.Expect(ibb.StreamConfig{Peer: from.JID(), SID: sid, BlockSize: block}, func() { opened <- nil })
	if err != nil {
		b.Fatal(err)
	}
	out, err := from.router.Open(ibb.StreamConfig{Peer: to.JID(), SID: sid, BlockSize: block, Window: window}, func(err error) { opened <- err })
	if err != nil {
		b.Fatal(err)
	}
	for range 2 {
		if err := <-opened; err != nil {
			b.Fatal(err)
		}
	}
	start := time.Now()
	go func() { _, _ = out.Write(make([]byte, size)); _ = out.Close() }()
	if n, err := io.Copy(io.Discard, in); n != int64(size) || err != nil && !errors.Is(err, io.EOF) {
		b.Fatalf("%d of %d bytes, %v", n, size, err)
	}
	_ = in.Close()
	return time.Since(start)
}

// BenchmarkInBand sends by in-band bytestreams through a real Prosody, with blocks of 16 KiB, beside clients that do it as
// most do: one block after the other, with TCP as it is. Prosody's sockets are as it has them by default.
func BenchmarkInBand(b *testing.B) {
	srv := testkit.ProsodyWith(b, testkit.ProsodyConfig{Global: "network_settings = {}"})
	for _, user := range []string{"romeo", "juliet", "tybalt", "mercutio"} {
		srv.AddUser(b, user, "secret")
	}
	romeo, juliet := login(b, srv, "romeo", true), login(b, srv, "juliet", true)
	tybalt, mercutio := login(b, srv, "tybalt", false), login(b, srv, "mercutio", false)
	const size, few = 64 << 20, 1 << 20
	window := 0
	if v := os.Getenv("JINGLED_BENCH_WINDOW"); v != "" { // of blocks, to find the best
		var err error
		if window, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += inBand(b, romeo, juliet, "ours", 16<<10, window, size)
		theirs += inBand(b, tybalt, mercutio, "theirs", 16<<10, 1, few)
	}
	us := float64(b.N) * size / 1e6 / ours.Seconds()
	them := float64(b.N) * few / 1e6 / theirs.Seconds()
	b.ReportMetric(us, "MB/s")
	b.ReportMetric(them, "MB/s/plain")
	b.ReportMetric(us/them, "ratio")
	b.ReportMetric(0, "ns/op")
}
