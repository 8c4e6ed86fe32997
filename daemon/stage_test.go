package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

// newServer has alice and bob, who are friends, and carol and dave, whom nobody knows.
func newServer(t *testing.T) *xmppserver.Server {
	t.Helper()
	return newServerWith(t, nil)
}

// newServerWith is newServer with a tap.
func newServerWith(t *testing.T, tap func(jid.JID, *xmltree.Element) *xmltree.Element) *xmppserver.Server {
	t.Helper()
	accounts := map[string]string{}
	for _, u := range []string{"alice", "bob", "carol", "dave"} {
		accounts[u] = "secret of " + u
	}
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: accounts, Tap: tap})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	return srv
}

// actor is a daemon with one account, and what it tells.
type actor struct {
	*Daemon
	t    *testing.T
	jid  jid.JID
	sub  *Subscription
	seen []*jingledv1.Event
	quit context.CancelFunc
	done chan error
	// patience is for each event; 0 stands for 20 s.
	patience time.Duration
}

// act starts a daemon for a user and waits until it is online. It ends with the test.
func act(t *testing.T, srv *xmppserver.Server, user string, change func(*Config)) *actor {
	t.Helper()
	return perform(t, partOf(t, srv, user, change))
}

// partOf is the configuration of act.
func partOf(t *testing.T, srv *xmppserver.Server, user string, change func(*Config)) Config {
	t.Helper()
	roots, err := xmpp.ParseCA(srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Loopback: true, RingTimeout: 20 * time.Second, ReachTimeout: 2 * time.Second, Accounts: []Account{{
		JID: jid.JID(user + "@" + srv.Domain()), Password: func() (string, error) { return "secret of " + user, nil },
		Connect: srv.Addr(), TLS: xmpp.TLSStart, RootCAs: roots,
	}}}
	if os.Getenv("JINGLED_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// perform is act with a whole configuration.
func perform(t *testing.T, cfg Config) *actor {
	t.Helper()
	a := begin(t, cfg)
	a.online()
	return a
}

// begin is perform for who may not be online at once.
func begin(t *testing.T, cfg Config) *actor {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{Daemon: d, t: t, jid: cfg.Accounts[0].JID, done: make(chan error, 1)}
	if a.sub, err = d.Subscribe(0); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, a.quit = context.WithCancel(context.Background())
	go func() { a.done <- d.Run(ctx) }()
	t.Cleanup(a.stop)
	return a
}

func (a *actor) online() {
	a.t.Helper()
	a.await("online", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
}

// stop ends the daemon and checks that it leaves nothing behind.
func (a *actor) stop() {
	if a.quit == nil {
		return
	}
	a.quit()
	a.quit = nil
	if err := <-a.done; err != nil {
		a.t.Errorf("%s: Run: %v", a.jid, err)
	}
	a.sub.Close()
	a.idle()
}

// idle checks that no call and no transfer is left anywhere.
func (a *actor) idle() {
	a.t.Helper()
	for _, acc := range a.accounts {
		acc.mu.Lock()
		if len(acc.calls) > 0 || len(acc.transfers) > 0 || len(acc.waiting) > 0 || len(acc.groups) > 0 {
			a.t.Errorf("%s: left are %d calls, %d transfers, %d who wait, %d rooms", a.jid, len(acc.calls), len(acc.transfers),
				len(acc.waiting), len(acc.groups))
		}
		acc.mu.Unlock()
		acc.media.Wait() // the last event comes before the last goroutine has returned
		// What has ended for people may have a stanza to read yet.
		for end := time.Now().Add(20 * time.Second); acc.engine.Len()+len(acc.files.manager.Active()) > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if n := acc.engine.Len(); n > 0 {
			a.t.Errorf("%s: %d sessions are left", a.jid, n)
		}
		if n := len(acc.files.manager.Active()); n > 0 {
			a.t.Errorf("%s: %d transfers are left in their manager", a.jid, n)
		}
	}
}

// await returns the next event that is wanted; what comes before stays in seen.
func (a *actor) await(what string, want func(*jingledv1.Event) bool) *jingledv1.Event {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(a.patience, 20*time.Second))
	defer cancel()
	for {
		e, err := a.sub.Next(ctx)
		if err != nil {
			a.t.Fatalf("%s waits for %s: %v\nseen: %v", a.jid, what, err, a.seen)
		}
		a.seen = append(a.seen, e)
		if want(e) {
			return e
		}
	}
}

func (a *actor) call(peer jid.JID) string {
	a.t.Helper()
	res, err := a.StartCall(a.t.Context(), &jingledv1.StartCallRequest{Peer: peer.String()})
	if err != nil {
		a.t.Fatalf("%s calls %s: %v", a.jid, peer, err)
	}
	return res.GetSid()
}

func (a *actor) incoming() *jingledv1.Event {
	a.t.Helper()
	return a.await("a call", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
}

func (a *actor) connected(sid string) *jingledv1.CallConnected {
	a.t.Helper()
	return a.await("the connection", func(e *jingledv1.Event) bool {
		return e.GetCallConnected() != nil && e.GetSid() == sid
	}).GetCallConnected()
}

func (a *actor) ended(sid string) *jingledv1.CallEnded {
	a.t.Helper()
	return a.await("the end", func(e *jingledv1.Event) bool {
		return e.GetCallEnded() != nil && e.GetSid() == sid
	}).GetCallEnded()
}

func (a *actor) answer(sid string) {
	a.t.Helper()
	if _, err := a.AnswerCall(a.t.Context(), &jingledv1.AnswerCallRequest{Sid: sid}); err != nil {
		a.t.Fatal(err)
	}
}

func (a *actor) hangUp(sid, reason string) {
	a.t.Helper()
	if _, err := a.EndCall(a.t.Context(), &jingledv1.EndCallRequest{Sid: sid, Reason: reason}); err != nil {
		a.t.Fatal(err)
	}
}
