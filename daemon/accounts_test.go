package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// bare starts a daemon without a server of its own.
func bare(t *testing.T, cfg Config) *actor {
	t.Helper()
	cfg.Loopback, cfg.RingTimeout, cfg.ReachTimeout = true, 20*time.Second, 2*time.Second
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{Daemon: d, t: t, done: make(chan error, 1)}
	if a.sub, err = d.Subscribe(0); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, a.quit = context.WithCancel(context.Background())
	go func() { a.done <- d.Run(ctx) }()
	for d.mayAddNow("x@example.test") != nil {
		time.Sleep(time.Millisecond) // Run has not begun
	}
	t.Cleanup(a.shut)
	return a
}

// shut stops the daemon and lets go of its state.
func (a *actor) shut() {
	if a.quit == nil {
		return
	}
	a.stop()
	if err := a.Close(); err != nil {
		a.t.Error(err)
	}
}

func (d *Daemon) mayAddNow(j jid.JID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mayAdd(j)
}

func (a *actor) account(name string) *jingledv1.Account {
	a.t.Helper()
	res, err := a.ListAccounts(a.t.Context(), &jingledv1.ListAccountsRequest{})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, acc := range res.GetAccounts() {
		if acc.GetJid() == name {
			return acc
		}
	}
	return nil
}

func (a *actor) stopped() *jingledv1.Account {
	a.t.Helper()
	return a.await("the end of the account", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_STOPPED
	}).GetAccountChanged()
}

func settingsFor(srv *xmppserver.Server) *jingledv1.AccountSettings {
	return &jingledv1.AccountSettings{Connect: srv.Addr(), Tls: "starttls", Certificates: string(srv.CA())}
}

// An account is added, works, is there after a restart, and is removed without a trace of its password.
func TestAddAccount(t *testing.T) {
	srv := newServer(t)
	bob := act(t, srv, "bob", nil)
	dir := t.TempDir()
	cfg := Config{StateDir: dir, Secrets: secrets.New(secrets.Config{Dir: dir, NoKeyring: true})}
	alice := bare(t, cfg)
	alice.jid = jid.JID("alice@" + srv.Domain())
	ctx := t.Context()
	req := &jingledv1.AddAccountRequest{Jid: alice.jid.String() + "/desk", Password: "secret of alice", Settings: settingsFor(srv)}
	if _, err := alice.AddAccount(ctx, req); err != nil {
		t.Fatal(err)
	}
	alice.online()
	got := alice.account(alice.jid.String())
	if got.GetPasswordPlace() != "file" || got.GetOrigin() != jingledv1.AccountOrigin_ACCOUNT_ORIGIN_ADDED || got.GetBoundJid() != alice.jid.String()+"/desk" {
		t.Errorf("the account: %v", got)
	}
	if c := code(ctx, alice.AddAccount, req); c != connect.CodeAlreadyExists {
		t.Errorf("the same again: %v", c)
	}
	sid := bob.call(alice.jid)
	alice.incoming()
	bob.hangUp(sid, "")
	alice.ended(sid)
	alice.shut()

	again := bare(t, Config{StateDir: dir, Secrets: secrets.New(secrets.Config{Dir: dir, NoKeyring: true})})
	again.jid = alice.jid
	again.online()
	if c := code(ctx, again.RemoveAccount, &jingledv1.RemoveAccountRequest{}); c != connect.CodeInvalidArgument {
		t.Errorf("removed without a name: %v", c)
	}
	if _, err := again.RemoveAccount(ctx, &jingledv1.RemoveAccountRequest{Account: alice.jid.String()}); err != nil {
		t.Fatal(err)
	}
	again.await("that it is gone", func(e *jingledv1.Event) bool {
		return e.GetAccountRemoved() != nil && e.GetAccount() == alice.jid.String()
	})
	if acc := again.account(alice.jid.String()); acc != nil {
		t.Errorf("it is there: %v", acc)
	}
	if c := code(ctx, again.RemoveAccount, &jingledv1.RemoveAccountRequest{Account: alice.jid.String()}); c != connect.CodeNotFound {
		t.Errorf("removed twice: %v", c)
	}
	again.shut()
	third := bare(t, cfg)
	if acc := third.account(alice.jid.String()); acc != nil {
		t.Errorf("it came back: %v", acc)
	}
	third.shut()
	noSecretIn(t, dir, "secret of alice")
}

// noSecretIn looks at every file of a folder.
func noSecretIn(t *testing.T, dir, secret string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(secret)) {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWrongPasswordIsMended(t *testing.T) {
	srv := newServer(t)
	a := bare(t, Config{})
	ctx := t.Context()
	name := "carol@" + srv.Domain()
	if _, err := a.AddAccount(ctx, &jingledv1.AddAccountRequest{Jid: name, Password: "wrong", Settings: settingsFor(srv)}); err != nil {
		t.Fatal(err)
	}
	if acc := a.stopped(); acc.GetError() == "" || acc.GetPasswordPlace() != "memory" {
		t.Errorf("stopped: %v", acc)
	}
	if c := code(ctx, a.SetPassword, &jingledv1.SetPasswordRequest{Account: name}); c != connect.CodeInvalidArgument {
		t.Errorf("an empty one: %v", c)
	}
	if _, err := a.SetPassword(ctx, &jingledv1.SetPasswordRequest{Account: name, Password: "secret of carol"}); err != nil {
		t.Fatal(err)
	}
	a.online()
}

// A certificate that nobody vouches for is shown by its fingerprint and can be trusted, for an account that was added and
// for one of the configuration.
func TestTrustCertificate(t *testing.T) {
	srv := newServer(t)
	ctx := t.Context()
	dir := t.TempDir()
	for _, added := range []bool{true, false} {
		cfg := Config{StateDir: filepath.Join(dir, map[bool]string{true: "a", false: "c"}[added])}
		cfg.Secrets = secrets.New(secrets.Config{Dir: cfg.StateDir, NoKeyring: true})
		name := "carol@" + srv.Domain()
		if !added {
			cfg.Accounts = []Account{{JID: jid.JID(name), Password: func() (string, error) { return "secret of carol", nil },
				Connect: srv.Addr(), TLS: xmpp.TLSStart}}
		}
		a := bare(t, cfg)
		if added {
			if _, err := a.AddAccount(ctx, &jingledv1.AddAccountRequest{Jid: name, Password: "secret of carol",
				Settings: &jingledv1.AccountSettings{Connect: srv.Addr(), Tls: "starttls"}}); err != nil {
				t.Fatal(err)
			}
		}
		shown := a.stopped().GetUntrustedSha256()
		if len(strings.ReplaceAll(shown, ":", "")) != 64 {
			t.Fatalf("the fingerprint: %q", shown)
		}
		other := "00" + shown[2:]
		if strings.HasPrefix(shown, "00") {
			other = "01" + shown[2:]
		}
		if _, err := a.TrustCertificate(ctx, &jingledv1.TrustCertificateRequest{Account: name, Sha256: other}); err != nil {
			t.Fatal(err)
		}
		if acc := a.stopped(); acc.GetUntrustedSha256() != shown {
			t.Errorf("with another one pinned: %v", acc)
		}
		if _, err := a.TrustCertificate(ctx, &jingledv1.TrustCertificateRequest{Account: name, Sha256: shown}); err != nil {
			t.Fatal(err)
		}
		a.online()
		if acc := a.account(name); acc.GetPinnedSha256() == "" || acc.GetUntrustedSha256() != "" {
			t.Errorf("trusted: %v", acc)
		}
		a.shut()
		again := bare(t, cfg) // the pin holds
		again.online()
		if !added {
			if c := code(ctx, again.RemoveAccount, &jingledv1.RemoveAccountRequest{Account: name}); c != connect.CodeFailedPrecondition {
				t.Errorf("one of the configuration was removed: %v", c)
			}
			if c := code(ctx, again.SetPassword, &jingledv1.SetPasswordRequest{Account: name, Password: "x"}); c != connect.CodeFailedPrecondition {
				t.Errorf("its password was changed: %v", c)
			}
		}
		again.shut()
	}
}

func TestAccountErrors(t *testing.T) {
	a := bare(t, Config{})
	ctx := t.Context()
	add := func(jid string, s *jingledv1.AccountSettings) connect.Code {
		return code(ctx, a.AddAccount, &jingledv1.AddAccountRequest{Jid: jid, Password: "x", Settings: s})
	}
	const carol = "carol@example.test"
	for name, got := range map[string]connect.Code{
		"no address":        add("", nil),
		"a domain":          add("example.test", nil),
		"TLS":               add(carol, &jingledv1.AccountSettings{Tls: "perhaps"}),
		"certificates":      add(carol, &jingledv1.AccountSettings{Certificates: "x"}),
		"many certificates": add(carol, &jingledv1.AccountSettings{Certificates: strings.Repeat("x", maxCertificate+1)}),
		"fingerprint":       add(carol, &jingledv1.AccountSettings{PinnedSha256: "x"}),
		"policy":            add(carol, &jingledv1.AccountSettings{CallsFrom: "nobody"}),
		"list":              add(carol, &jingledv1.AccountSettings{FilesFrom: "list"}),
		"proxy":             add(carol, &jingledv1.AccountSettings{Proxy: "http://user:password@proxy.test"}),
		"connect":           add(carol, &jingledv1.AccountSettings{Connect: "ftp://x"}),
		"no password":       code(ctx, a.AddAccount, &jingledv1.AddAccountRequest{Jid: carol}),
		"trust":             code(ctx, a.TrustCertificate, &jingledv1.TrustCertificateRequest{Account: carol, Sha256: "xyz"}),
	} {
		if got != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, got)
		}
	}
	if c := code(ctx, a.TrustCertificate, &jingledv1.TrustCertificateRequest{Account: carol}); c != connect.CodeNotFound {
		t.Errorf("trust of no account: %v", c)
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("%d accounts are left", n)
	}
	a.shut()
	if c := add(carol, nil); c != connect.CodeUnavailable {
		t.Errorf("after the end: %v", c)
	}
}

// lockedBuffer is a log that several write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A password is in no log and no event, whether the login succeeds or not.
func TestNoPasswordIsTold(t *testing.T) {
	right, wrong := rand.Text(), rand.Text()
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"eve": right}})
	var log lockedBuffer
	a := bare(t, Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ctx := t.Context()
	name := "eve@" + srv.Domain()
	add := &jingledv1.AddAccountRequest{Jid: name, Password: wrong, Settings: settingsFor(srv)}
	if _, err := a.AddAccount(ctx, add); err != nil {
		t.Fatal(err)
	}
	a.stopped()
	if _, err := a.SetPassword(ctx, &jingledv1.SetPasswordRequest{Account: name, Password: right}); err != nil {
		t.Fatal(err)
	}
	a.online()
	a.shut()
	var told strings.Builder
	for _, e := range a.seen {
		b, err := protojson.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		told.Write(b)
	}
	if !strings.Contains(log.String(), "logged in") || !strings.Contains(told.String(), "ONLINE") {
		t.Fatal("nothing was logged or told")
	}
	for _, secret := range []string{right, wrong} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("\x00eve\x00" + secret)), hex.EncodeToString([]byte(secret))} {
			if strings.Contains(log.String(), form) {
				t.Errorf("in the log: %s", form)
			}
			if strings.Contains(told.String(), form) {
				t.Errorf("in the events: %s", form)
			}
		}
	}
}
