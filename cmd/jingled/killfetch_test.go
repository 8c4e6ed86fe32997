package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/internal/xmpptest"
)

// trust lets the daemon trust one more certificate when it starts again.
func (h *home) trust(der []byte) {
	h.t.Helper()
	name := filepath.Join(h.home, "ca.pem")
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// journaled returns how much of what is under way the journal has as flushed.
func (h *home) journaled(ctx context.Context) (n int, err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.home, "state", "jingled.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(bytes), 0) FROM unfinished").Scan(&n)
	return n, errors.Join(err, db.Close())
}

// online tells whether the account is, so that messages reach it.
func (h *home) online(ctx context.Context) (bool, error) {
	res, err := h.api.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
	return err == nil && len(res.GetAccounts()) == 1 && res.GetAccounts()[0].GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE, err
}

// TestKill9Fetch kills a receiver that fetches from the web, where nobody offers anything again: it has to ask the server for
// the rest itself.
func TestKill9Fetch(t *testing.T) {
	runs := kills(t, 2)
	const size = 3 << 20
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "pw", "bob": "pw"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	site := testkit.NewFileSite(t, data)
	bob := newHome(t, srv, "bob")
	bob.kill()
	bob.trust(site.Certificate().Raw)
	bob.start()
	alice := xmpptest.Login(t, xmpptest.AtEmbedded(srv, "alice", "pw"))
	for run := range runs {
		name := fmt.Sprintf("run-%d.bin", run)
		at := 1 + random.IntN(size-1)
		what := fmt.Sprintf("run %d, stopped at %d", run, at)
		site.Let(at)
		share := httpupload.Share{Disposition: "attachment", File: filetransfer.File{Name: name, Size: new(int64(size))}, URL: site.URL + "/" + name}
		until(t, what+", the login", bob.online)
		if err := alice.Send(httpupload.Message(bob.jid, name, share)); err != nil {
			t.Fatal(err)
		}
		until(t, what+", the journal", func(ctx context.Context) (bool, error) {
			if n, err := bob.journaled(ctx); n == at || err != nil {
				return n == at, err
			}
			return false, bob.accept(ctx)
		})
		if run > 0 { // the rest comes while it is killed
			site.Let(-1)
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond)))) // the moment is what is tested
		}
		bob.kill()
		site.Asked()
		site.Let(-1)
		bob.start()
		until(t, what, func(ctx context.Context) (bool, error) { return bob.finished(ctx, name) })
		path := filepath.Join(bob.inbox, name)
		if got, want := hash(t, path), sha256.Sum256(data); !bytes.Equal(got, want[:]) {
			t.Errorf("%s: another file has come", what)
		}
		if left, err := os.ReadDir(bob.inbox); err != nil || len(left) != 1 {
			t.Errorf("%s: left behind: %v, %v", what, left, err)
		}
		asked := site.Asked()
		t.Logf("%s: asked for %q", what, asked)
		first := slices.Concat(asked, []string{"nothing, it was complete"})[0]
		switch {
		case run == 0 && first != fmt.Sprintf("bytes=%d-", at):
			t.Errorf("%s: the server is asked for %q", what, first)
		case !strings.HasPrefix(first, "bytes=") && !strings.HasPrefix(first, "nothing"):
			t.Errorf("%s: it begins anew", what)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
