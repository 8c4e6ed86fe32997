package faults

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
)

func TestMain(m *testing.M) {
	// Most of these tests wait, for which no processors are needed.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(testkit.Main(m))
}

// patience is how long one step may take.
const patience = 75 * time.Second

// person is a daemon with one account, at the end of a cable.
type person struct {
	*daemon.Daemon
	t       testing.TB
	jid     string
	cable   *testkit.Cable
	inbox   string
	stateAt string

	mu      sync.Mutex
	keep    int           // how many events; 0 is maxSeen
	ring    time.Duration // how long a call may take to ring here; 0 is patience
	refusal error         // of the last file that could not be accepted
	seen    []*jingledv1.Event
	news    chan struct{} // closed and made anew with each event
}

// stay starts a daemon and waits until it is online. It ends with the test.
func stay(t testing.TB, srv *testkit.Server, user string, change func(*daemon.Config)) *person {
	t.Helper()
	p := &person{t: t, jid: srv.Account(user), inbox: t.TempDir(), stateAt: t.TempDir(), news: make(chan struct{})}
	p.cable = testkit.NewCable(t, srv.Addr)
	cfg := daemon.Config{
		Loopback: true, Downloads: p.inbox, StateDir: p.stateAt, ReachTimeout: 5 * time.Second,
		Accounts: []daemon.Account{{
			JID: jid.JID(p.jid), Password: func() (string, error) { return "secret", nil }, Connect: p.cable.Addr(), RootCAs: srv.Pool(),
		}},
	}
	if os.Getenv("JINGLED_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&cfg)
	}
	d, err := daemon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Daemon = d
	sub, err := d.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var reading sync.WaitGroup
	go func() { ended <- d.Run(ctx) }()
	reading.Go(func() {
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			p.tell(e)
		}
	})
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: Run: %v", p.jid, err)
		}
		reading.Wait()
		sub.Close()
		if err := d.Close(); err != nil {
			t.Errorf("%s: Close: %v", p.jid, err)
		}
	})
	p.must(p.online(0))
	return p
}

func (p *person) must(_ *jingledv1.Event, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// maxSeen bounds what is kept of a long run.
const maxSeen = 20000

func (p *person) tell(e *jingledv1.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen = append(p.seen, e); len(p.seen) > cmp.Or(p.keep, maxSeen) {
		old := len(p.seen) / 2
		clear(p.seen[:old])
		p.seen = p.seen[old:]
	}
	close(p.news)
	p.news = make(chan struct{})
	if e.GetTransferOffered() != nil {
		go func() {
			ctx := context.Background()
			if _, err := p.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Sid: e.GetSid()}); err != nil {
				p.mu.Lock()
				p.refusal = err
				p.mu.Unlock()
				_, _ = p.EndTransfer(ctx, &jingledv1.EndTransferRequest{Sid: e.GetSid()}) // it may be over
			}
		}()
	}
}

// now is the number of the newest event.
func (p *person) now() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		return 0
	}
	return p.seen[len(p.seen)-1].GetSeq()
}

var errTimeout = errors.New("it did not happen in time")

// after waits for an event of a session, or of none if sid is empty, that is newer than since. The end of the session is an
// error if it is not what is waited for.
func (p *person) after(since uint64, sid, what string, is func(*jingledv1.Event) bool) (*jingledv1.Event, error) {
	return p.within(patience, since, sid, what, is)
}

// within is after for some time.
func (p *person) within(d time.Duration, since uint64, sid, what string, is func(*jingledv1.Event) bool) (*jingledv1.Event, error) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		p.mu.Lock()
		news := p.news
		for _, e := range p.seen {
			if e.GetSeq() <= since || e.GetSid() != sid {
				continue
			}
			if is(e) {
				p.mu.Unlock()
				return e, nil
			}
			if end := e.GetCallEnded(); end != nil && sid != "" {
				p.mu.Unlock()
				return nil, fmt.Errorf("%s waits for %s, but the call has ended: %v", p.jid, what, end)
			}
			if end := e.GetTransferFailed(); end != nil && sid != "" {
				p.mu.Unlock()
				return nil, fmt.Errorf("%s waits for %s, but the transfer has failed: %v", p.jid, what, end)
			}
		}
		p.mu.Unlock()
		select {
		case <-news:
		case <-limit.C:
			return nil, fmt.Errorf("%s waits for %s: %w", p.jid, what, errTimeout)
		}
	}
}

func (p *person) online(since uint64) (*jingledv1.Event, error) {
	return p.after(since, "", "being online", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
}

// heard waits until a second's worth of new sound has come.
func (p *person) heard(sid string) error {
	first := uint64(0)
	_, err := p.after(p.now(), sid, "sound", func(e *jingledv1.Event) bool {
		m := e.GetCallMeter()
		if m == nil {
			return false
		}
		n := m.GetStats().GetPacketsReceived()
		if first == 0 {
			first = max(n, 1)
		}
		return n >= first+50
	})
	return err
}

// call sets up a call.
func call(a, b *person) (sid string, err error) {
	since := b.now()
	res, err := a.StartCall(context.Background(), &jingledv1.StartCallRequest{Peer: b.jid, Media: &jingledv1.Media{AudioIn: "tone:440"}})
	if err != nil {
		return "", err
	}
	sid = res.GetSid()
	if _, err := b.within(cmp.Or(b.ring, patience), since, sid, "a call", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil }); err != nil {
		return sid, err
	}
	if _, err := b.AnswerCall(context.Background(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{AudioIn: "tone:1000"}}); err != nil {
		return sid, err
	}
	for _, p := range []*person{a, b} {
		if _, err := p.after(0, sid, "the connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil }); err != nil {
			return sid, err
		}
	}
	return sid, nil
}

func ended(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }

// hangUp ends a call at both sides.
func hangUp(a, b *person, sid string) error {
	if _, err := a.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid}); err != nil {
		return err
	}
	for _, p := range []*person{a, b} {
		if _, err := p.after(0, sid, "the end", ended); err != nil {
			return err
		}
	}
	return nil
}

// file makes a file of random bytes and returns its hash.
func file(t testing.TB, dir string, size int) (path, sum string) {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	path = filepath.Join(dir, rand.Text()+".bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(data)
	return path, hex.EncodeToString(h[:])
}

// sent waits until a file is at the other side and looks at it.
func sent(b *person, path, sum string) error {
	name := filepath.Base(path)
	var got *jingledv1.TransferDone
	limit := time.Now().Add(2 * patience)
	for got == nil {
		p := func() *jingledv1.TransferDone {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, e := range b.seen {
				if d := e.GetTransferDone(); d != nil && filepath.Base(d.GetPath()) == name {
					return d
				}
			}
			return nil
		}
		if got = p(); got == nil {
			b.mu.Lock()
			news := b.news
			b.mu.Unlock()
			select {
			case <-news:
			case <-time.After(time.Until(limit)):
				return fmt.Errorf("the file %s did not come: %w\n%s", name, errTimeout, b.transfers())
			}
		}
	}
	data, err := os.ReadFile(got.GetPath())
	if err != nil {
		return err
	}
	if h := sha256.Sum256(data); hex.EncodeToString(h[:]) != sum {
		return fmt.Errorf("the file %s is not what was sent: %d bytes", name, len(data))
	}
	return os.Remove(got.GetPath())
}

// transfers lists what was told of transfers.
func (p *person) transfers() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out strings.Builder
	for _, e := range p.seen {
		if e.GetTransferOffered() != nil || e.GetTransferStarted() != nil || e.GetTransferInterrupted() != nil || e.GetTransferFailed() != nil || e.GetAccountChanged() != nil {
			fmt.Fprintf(&out, "%s: %v\n", p.jid, e)
		}
	}
	return out.String()
}
