package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/xmpp"
)

// TestManySessions makes many sessions, some at a time: calls that are taken, declined and given up, and files by all roads,
// while connections are cut, held and unplugged. In the end nothing is held that was not there after the first ones.
// JINGLED_SESSIONS is how many; `make soak` makes ten thousand.
func TestManySessions(t *testing.T) {
	sessions := 60
	if n, err := strconv.Atoi(os.Getenv("JINGLED_SESSIONS")); err == nil {
		sessions = n
	}
	const pairs = 3
	accounts := make(map[string]string)
	for i := range 2 * pairs {
		accounts[fmt.Sprint("person-", i)] = "secret"
	}
	// Not a real server, as those take most of the time, and store what they are sent. It does not resume streams: each cut is a
	// new login, and what was under way is lost.
	srv := testkit.Embedded(t, xmppserver.Config{AllowPlain: true, Accounts: accounts})
	at := &testkit.Server{Domain: srv.Domain(), Addr: srv.Addr(), CA: srv.CA()}
	plain := func(c *daemon.Config) { c.Accounts[0].TLS, c.RingTimeout = xmpp.TLSPlainLoopback, 10*time.Second }
	var people []*person // in pairs: two who call each other several times at once have one call (XEP-0353)
	for i := range pairs {
		one, two := fmt.Sprint("person-", 2*i), fmt.Sprint("person-", 2*i+1)
		if err := srv.Befriend(one, two); err != nil {
			t.Fatal(err)
		}
		people = append(people, stay(t, at, one, plain), stay(t, at, two, plain))
	}
	for _, p := range people {
		p.mu.Lock()
		p.keep, p.ring = 6000, 12*time.Second // what is lost with a stream is lost
		p.mu.Unlock()
	}
	dir := t.TempDir()
	var calls, files tally
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// run makes some sessions, and returns when none is under way any more.
	run := func(n int) {
		var moreCalls, moreFiles atomic.Int64
		var work sync.WaitGroup
		for k := 0; k < len(people); k += 2 {
			two := people[k : k+2]
			work.Go(func() {
				for i := int(moreCalls.Add(1)); i <= n*7/10 && !t.Failed(); i = int(moreCalls.Add(1)) {
					callSomehow(t, &calls, two[i%2], two[(i+1)%2], i/2%7)
				}
			})
			work.Go(func() {
				for i := int(moreFiles.Add(1)); i <= n*3/10 && !t.Failed(); i = int(moreFiles.Add(1)) {
					fileSomehow(t, &files, two[i%2], two[(i+1)%2], dir, i/2%3)
				}
			})
		}
		over, end := context.WithCancel(ctx)
		var faults sync.WaitGroup
		faults.Go(func() { breakThings(over, people) })
		work.Wait()
		end()
		faults.Wait()
		for _, p := range people {
			work.Go(func() { p.rest(t) })
		}
		work.Wait()
	}
	run(max(sessions/5, 20)) // each daemon keeps its last 4096 events: they are there now, if there are many sessions
	before, began := settle(t, steady), time.Now()
	run(sessions)
	took := time.Since(began)
	after := settle(t, noMore(before))
	t.Logf("%d sessions in %v: %d calls (%d broke), %d files (%d could not be offered); before: %v; after: %v", sessions, took.Round(time.Second),
		calls.done.Load(), calls.failed.Load(), files.done.Load(), files.failed.Load(), before, after)
	const breath = 6 << 20
	if after.heap > before.heap+before.heap/10+breath {
		t.Errorf("the heap has grown from %v to %v", before, after)
	}
	if after.goroutines > before.goroutines+2 || after.files > before.files+4*len(people) { // a database opens more handles when it is busy
		t.Errorf("left behind: %v, now %v", before, after)
	}
	if done := calls.done.Load() + files.done.Load(); done < int64(sessions)/2 {
		t.Errorf("only %d of %d sessions came to a good end", done, sessions)
	}
}

// rest waits until a person is online and has nothing under way, and forgets what was seen.
func (p *person) rest(t *testing.T) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		cs, err := p.ListCalls(context.Background(), &jingledv1.ListCallsRequest{})
		if err != nil {
			t.Error(err)
			return
		}
		ts, err := p.ListTransfers(context.Background(), &jingledv1.ListTransfersRequest{})
		if err != nil {
			t.Error(err)
			return
		}
		if len(cs.GetCalls()) == 0 && len(ts.GetTransfers()) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%s still has %v and %v", p.jid, cs.GetCalls(), ts.GetTransfers())
			break
		}
	}
	p.mu.Lock()
	p.seen = slices.Clone(p.seen[len(p.seen)-1:]) // now needs the last one
	p.mu.Unlock()
}

// breakThings cuts, holds and unplugs one connection after the other, until ctx ends.
func breakThings(ctx context.Context, people []*person) {
	tick := time.NewTicker(faultEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		cable := people[(i+i/4)%len(people)].cable // everybody has every fault
		switch i % 4 {
		case 0, 1:
			cable.Cut()
		case 2:
			cable.Hold(true)
			time.Sleep(time.Second)
			cable.Hold(false)
		case 3:
			cable.Unplug(true)
			time.Sleep(500 * time.Millisecond)
			cable.Unplug(false)
		}
	}
}

// callSomehow makes a call that is taken, declined or given up.
func callSomehow(t *testing.T, n *tally, a, b *person, way int) {
	t.Helper()
	var sid string
	var err error
	switch way {
	case 5, 6:
		sid, err = refusedCall(a, b, way == 5)
	default:
		sid, err = briefly(a, b)
	}
	if err == nil {
		n.done.Add(1)
		return
	}
	n.failed.Add(1)
	if sid == "" {
		time.Sleep(100 * time.Millisecond) // who is away comes back
		return
	}
	if connect.CodeOf(err) == connect.CodeFailedPrecondition {
		// The callee has not heard of the last call's end, so this one goes on in its place and rings nowhere.
		_, _ = a.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid}) // it may be over
	}
	// What was said with a stream that the server forgot may be lost. Then a call ends, but it must not stay.
	if _, over := a.after(0, sid, "the end", ended); over != nil {
		_, _ = a.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid}) // it may be over
		if errors.Is(over, errTimeout) {
			t.Errorf("a call hangs: %v", err)
		}
	}
}

// refusedCall rings, and ends there.
func refusedCall(a, b *person, declined bool) (sid string, err error) {
	since := b.now()
	res, err := a.StartCall(context.Background(), &jingledv1.StartCallRequest{Peer: b.jid, Media: &jingledv1.Media{AudioIn: "tone:440"}})
	if err != nil {
		return "", err
	}
	sid = res.GetSid()
	if _, err := b.within(b.ring, since, sid, "a call", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil }); err != nil {
		return sid, err
	}
	who := a
	if declined {
		who = b
	}
	if _, err := who.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid}); err != nil {
		return sid, err
	}
	for _, p := range []*person{a, b} {
		if _, err := p.after(0, sid, "the end", ended); err != nil {
			return sid, err
		}
	}
	return sid, nil
}

// fileSomehow sends a small file by some road, however often it is interrupted.
func fileSomehow(t *testing.T, n *tally, a, b *person, dir string, way int) {
	t.Helper()
	via := []jingledv1.Via{jingledv1.Via_VIA_UNSPECIFIED, jingledv1.Via_VIA_IBB, jingledv1.Via_VIA_DATACHANNEL}[way]
	path, sum := file(t, dir, 1+rand.IntN(50_000))
	switch err := oneFile(a, b, path, sum, via); {
	case err == nil:
		n.done.Add(1)
		_ = os.Remove(path)
	case errors.Is(err, errNotOffered):
		n.failed.Add(1)
		_ = os.Remove(path)
		time.Sleep(100 * time.Millisecond)
	default:
		t.Errorf("a file by %v: %v\n%s", via, err, a.transfers())
	}
}
