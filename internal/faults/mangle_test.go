package faults

import (
	"bufio"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/xmpp"
)

// mangler is a proxy between a client and its server that reads their XML and, when it is on, loses, doubles, delays,
// truncates and invents stanzas.
type mangler struct {
	seed  uint64 // of the decisions
	ln    net.Listener
	to    string
	on    atomic.Bool
	did   [6]atomic.Int64 // by fate
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
	over  bool
}

// What becomes of a stanza.
const (
	pass = iota
	lose
	double
	delay    // behind the next one
	truncate // and with it the connection
	invent   // something before it
)

func newMangler(t *testing.T, to string, seed uint64) *mangler {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mangler{ln: ln, to: to, seed: seed}
	m.wg.Go(func() {
		for stream := uint64(0); ; stream += 2 {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			m.mu.Lock()
			m.conns = append(m.conns, in, out)
			if m.over {
				in.Close()
				out.Close()
			}
			m.mu.Unlock()
			both := func() { in.Close(); out.Close() }
			m.wg.Go(func() { defer both(); m.pump(out, in, stream, false) })
			m.wg.Go(func() { defer both(); m.pump(in, out, stream+1, true) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		m.mu.Lock()
		m.over = true
		for _, c := range m.conns {
			c.Close()
		}
		m.mu.Unlock()
		m.wg.Wait()
	})
	return m
}

// pump copies a stream piece by piece. What is no stanza passes as it is.
func (m *mangler) pump(to io.Writer, from io.Reader, stream uint64, toClient bool) {
	random := rand.New(rand.NewPCG(m.seed, stream))
	in := bufio.NewReaderSize(from, 1<<20)
	var held []byte
	for {
		piece, stanza, err := next(in)
		if err != nil {
			return
		}
		fate := pass
		if stanza && m.on.Load() && random.IntN(12) == 0 {
			fate = 1 + random.IntN(5)
			if fate == truncate && random.IntN(4) != 0 {
				fate = lose // connections that break are another test's
			}
		}
		m.did[fate].Add(1)
		var out []byte
		switch fate {
		case lose:
		case delay:
			held = append(held, piece...)
			continue
		case double:
			out = append(append(out, piece...), piece...)
		case truncate:
			_, _ = to.Write(piece[:len(piece)/2])
			return
		case invent:
			if toClient {
				out = append(out, inventions[random.IntN(len(inventions))]...)
			}
			out = append(out, piece...)
		default:
			out = piece
		}
		out = append(out, held...)
		held = nil
		if _, err := to.Write(out); err != nil {
			return
		}
	}
}

// inventions are what a hostile server, or one that is deceived, might say to a client.
var inventions = []string{
	`<iq type='result' id='1' from='somebody@example.test/x'/>`,
	`<iq type='error' id='guess' from='example.test'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
	`<iq type='set' id='i1' from='stranger@example.test/x'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'/></iq>`,
	`<iq type='set' id='i2' from='juliet@example.test/elsewhere'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s2'><reason><success/></reason></jingle></iq>`,
	`<iq type='set' id='i3' from='romeo@example.test/elsewhere'><data xmlns='http://jabber.org/protocol/ibb' sid='s3' seq='7'>AAAA</data></iq>`,
	`<message from='stranger@example.test/x'><propose xmlns='urn:xmpp:jingle-message:0' id='p1'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose></message>`,
	`<message from='juliet@example.test'><retract xmlns='urn:xmpp:jingle-message:0' id='p2'/></message>`,
	`<presence from='juliet@example.test/ghost' type='unavailable'/>`,
	`<presence from='romeo@example.test/ghost'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='AAAA='/></presence>`,
	`<a xmlns='urn:xmpp:sm:3' h='4000000000'/>`,
	`<unknown xmlns='urn:example:nothing'><deep><deeper/></deep></unknown>`,
}

var errMarkup = errors.New("not what a stream is made of")

// next reads one piece: a tag of the stream itself, space between stanzas, or a stanza.
func next(in *bufio.Reader) (piece []byte, stanza bool, err error) {
	depth := 0
	for {
		b, err := in.ReadByte()
		if err != nil {
			return nil, false, err
		}
		piece = append(piece, b)
		if b != '<' {
			if depth == 0 {
				return piece, false, nil
			}
			continue
		}
		quote, last := byte(0), b
		start := len(piece)
		for {
			if b, err = in.ReadByte(); err != nil {
				return nil, false, err
			}
			piece = append(piece, b)
			switch {
			case quote != 0:
				if b == quote {
					quote = 0
				}
			case b == '\'' || b == '"':
				quote = b
			}
			if b == '>' && quote == 0 {
				break
			}
			last = b
		}
		if len(piece) > 1<<20 {
			return nil, false, errMarkup
		}
		tag := piece[start:]
		switch {
		case tag[0] == '?' || depth == 0 && len(tag) > 14 && string(tag[:14]) == "stream:stream ":
			return piece, false, nil
		case tag[0] == '/':
			if depth--; depth <= 0 {
				return piece, depth == 0, nil // below it is the end of the stream
			}
		case last != '/':
			depth++
		case depth == 0:
			return piece, true, nil
		}
	}
}

var mangleSeed = flag.Uint64("mangle-seed", 0, "what TestMangled does to stanzas; 0 is something else each time")

// TestMangled makes calls and sends files over streams that lose, double, delay, truncate and invent stanzas. Then the streams are
// good again: everything that was under way has ended or gone on, every file that came is whole, and all works.
func TestMangled(t *testing.T) {
	t.Parallel() // most of it is waiting
	srv := testkit.Embedded(t, xmppserver.Config{AllowPlain: true, Accounts: map[string]string{"romeo": "secret", "juliet": "secret"}})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	seed := *mangleSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-mangle-seed %d has the same fates for the stanzas of each stream", seed)
	manglers := []*mangler{newMangler(t, srv.Addr(), seed), newMangler(t, srv.Addr(), seed+1)}
	var people []*person
	for i, user := range []string{"romeo", "juliet"} {
		people = append(people, stay(t, &testkit.Server{Domain: srv.Domain(), Addr: manglers[i].ln.Addr().String(), CA: srv.CA()}, user, func(c *daemon.Config) {
			c.Accounts[0].TLS = xmpp.TLSPlainLoopback
			c.RingTimeout = 5 * time.Second
		}))
	}
	a, b := people[0], people[1]
	for _, m := range manglers {
		m.on.Store(true)
	}
	end := time.Now().Add(6 * time.Second)
	// At the end of the time, also where somebody waits for a login that has lost a word: that is half a minute.
	defer time.AfterFunc(time.Until(end), func() {
		for _, m := range manglers {
			m.on.Store(false)
		}
	}).Stop()
	var wg sync.WaitGroup
	var calls, files tally
	dir := t.TempDir()
	wg.Go(func() {
		for time.Now().Before(end) {
			sid, err := briefly(a, b)
			if err != nil {
				calls.failed.Add(1)
				time.Sleep(100 * time.Millisecond)
				if sid != "" {
					_, _ = a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid}) // it may be over
				}
				continue
			}
			calls.done.Add(1)
		}
	})
	wg.Go(func() {
		for i := 0; time.Now().Before(end); i++ {
			path, _ := file(t, dir, 1+rand.IntN(200_000))
			via := []jingledv1.Via{jingledv1.Via_VIA_IBB, jingledv1.Via_VIA_UNSPECIFIED}[i%2]
			if _, err := b.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: a.jid, Path: path, Via: via}); err != nil {
				files.failed.Add(1)
			} else {
				files.done.Add(1)
			}
			time.Sleep(300 * time.Millisecond)
		}
	})
	wg.Wait()
	marks := []uint64{a.now(), b.now()}
	for _, m := range manglers {
		// As a network that has become good again: what the streams have lost is found out by new ones.
		m.mu.Lock()
		for _, c := range m.conns {
			c.Close()
		}
		m.mu.Unlock()
	}
	t.Logf("%d calls (%d broke), %d files offered (%d not); stanzas lost %d, doubled %d, delayed %d, truncated %d, invented %d", calls.done.Load(),
		calls.failed.Load(), files.done.Load(), files.failed.Load(), sum(manglers, lose), sum(manglers, double), sum(manglers, delay), sum(manglers, truncate), sum(manglers, invent))
	for i, p := range people {
		if _, err := p.online(marks[i]); err != nil { // the next attempt may be a minute away
			p.must(p.online(marks[i]))
		}
		p.settle(t)
	}
	sid, err := call(a, b)
	if err == nil {
		err = hangUp(a, b, sid)
	}
	if err != nil {
		t.Errorf("a call afterwards: %v", err)
	}
	path, hash := file(t, dir, 50_000)
	if _, err := b.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: a.jid, Path: path}); err != nil {
		t.Errorf("a file afterwards: %v", err)
	} else if err := sent(a, path, hash); err != nil {
		t.Errorf("a file afterwards: %v", err)
	}
}

func sum(ms []*mangler, fate int) (n int64) {
	for _, m := range ms {
		n += m.did[fate].Load()
	}
	return n
}

// briefly is a call from ring to end.
func briefly(a, b *person) (sid string, err error) {
	if sid, err = call(a, b); err == nil {
		err = hangUp(a, b, sid)
	}
	return sid, err
}

// settle waits until a person is online again and nothing is under way but what waits for its turn.
func (p *person) settle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(3 * patience); ; time.Sleep(100 * time.Millisecond) {
		cs, err := p.ListCalls(t.Context(), &jingledv1.ListCallsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		as, err := p.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cs.GetCalls()) == 0 && as.GetAccounts()[0].GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s is %v and still has %v", p.jid, as.GetAccounts()[0].GetState(), cs.GetCalls())
			return
		}
	}
}
