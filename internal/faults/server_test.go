package faults

import (
	"context"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
)

// pair is two friends on a server.
func pair(t testing.TB, srv *testkit.Server, others ...string) (a, b *person) {
	t.Helper()
	for _, o := range others { // who are friends of juliet
		srv.AddUser(t, o, "secret")
		srv.Befriend(t, o, "juliet")
	}
	srv.AddUser(t, "romeo", "secret")
	srv.AddUser(t, "juliet", "secret")
	srv.Befriend(t, "romeo", "juliet")
	return stay(t, srv, "romeo", nil), stay(t, srv, "juliet", nil)
}

// TestServerRestarts: a call goes on while its server is away, killed or restarted, and ends as usual when it is back; a file
// that went through the server goes on where it was.
func TestServerRestarts(t *testing.T) {
	t.Parallel() // most of it is waiting
	for name, away := range map[string]func(*testkit.Server, testing.TB){
		"restarted": (*testkit.Server).Restart, "killed": (*testkit.Server).Crash,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachWith(t, testkit.Options{}, func(t *testing.T, srv *testkit.Server) { isAway(t, srv, away) })
		})
	}
}

func isAway(t *testing.T, srv *testkit.Server, away func(*testkit.Server, testing.TB)) {
	a, b := pair(t, srv)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	path, sum := file(t, t.TempDir(), 3<<20)
	since := b.now()
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path, Via: jingledv1.Via_VIA_IBB}); err != nil {
		t.Fatal(err)
	}
	b.must(b.afterAny(since, "a part of the file", func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() > 0 }))
	marks := [2]uint64{a.now(), b.now()}
	away(srv, t)
	for i, p := range []*person{a, b} {
		p.must(p.online(marks[i]))
		if err := p.heard(sid); err != nil {
			t.Fatal(err)
		}
	}
	if err := sent(b, path, sum); err != nil {
		t.Errorf("%v\n%s", err, a.transfers())
	}
	if err := hangUp(a, b, sid); err != nil {
		t.Error(err)
	}
}

// afterAny is after for whatever session.
func (p *person) afterAny(since uint64, what string, is func(*jingledv1.Event) bool) (*jingledv1.Event, error) {
	for end := time.Now().Add(patience); ; {
		p.mu.Lock()
		news := p.news
		for _, e := range p.seen {
			if e.GetSeq() > since && is(e) {
				p.mu.Unlock()
				return e, nil
			}
		}
		p.mu.Unlock()
		select {
		case <-news:
		case <-time.After(time.Until(end)):
			return nil, errTimeout
		}
	}
}

// TestNetworkStalls: what goes through the server waits while nothing gets through, and a call is not touched.
func TestNetworkStalls(t *testing.T) {
	t.Parallel() // most of it is waiting
	testkit.Each(t, networkStalls)
}

func networkStalls(t *testing.T, srv *testkit.Server) {
	t.Parallel()
	a, b := pair(t, srv)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	a.cable.Hold(true)
	if err := b.heard(sid); err != nil {
		t.Error(err)
	}
	done := make(chan error, 1)
	go func() { // the other side's goodbye cannot be heard yet
		_, err := b.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid})
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.must(b.after(0, sid, "the end", ended))
	a.cable.Hold(false)
	e, err := a.after(0, sid, "the end", ended)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.GetCallEnded(); got.GetReason() != "success" || !got.GetByPeer() {
		t.Errorf("ended: %v", got)
	}
	sid, err = call(b, a)
	if err == nil {
		err = hangUp(a, b, sid)
	}
	if err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestUnplugged: without a way to the server nothing new can begin, and it is said why; what was begun goes on; all is well
// when the server can be reached again.
func TestUnplugged(t *testing.T) {
	t.Parallel() // most of it is waiting
	testkit.Each(t, unplugged)
}

func unplugged(t *testing.T, srv *testkit.Server) {
	t.Parallel()
	a, b := pair(t, srv)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	since := a.now()
	a.cable.Unplug(true)
	a.must(a.after(since, "", "being away", func(e *jingledv1.Event) bool {
		s := e.GetAccountChanged()
		return s != nil && s.GetState() != jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	}))
	if err := a.heard(sid); err != nil {
		t.Error(err)
	}
	path, sum := file(t, t.TempDir(), 100_000)
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path}); err == nil {
		t.Error("a file is offered without a connection")
	} else {
		t.Logf("who sends is told: %v", err)
	}
	since = a.now()
	a.cable.Unplug(false)
	a.must(a.online(since))
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path}); err != nil {
		t.Error(err)
	} else if err := sent(b, path, sum); err != nil {
		t.Error(err)
	}
	if err := hangUp(b, a, sid); err != nil {
		t.Error(err)
	}
}
