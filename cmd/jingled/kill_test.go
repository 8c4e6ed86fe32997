package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// killRuns is the environment variable that says how often a transfer is killed; `make soak` sets 50.
const killRuns = "JINGLED_TEST_KILLS"

// home is the place of a jingled with one account, which is killed and started again.
type home struct {
	place
	t      *testing.T
	jid    string
	config string
	inbox  string
	child  *child
	api    *client.Client
}

func newHome(t *testing.T, srv *xmppserver.Server, user string) *home {
	t.Helper()
	h := &home{place: newPlace(t), t: t, jid: user + "@" + srv.Domain()}
	h.inbox, h.config = filepath.Join(h.home, "inbox"), filepath.Join(h.home, "config.toml")
	if err := os.Mkdir(h.inbox, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("loopback = true\ndownloads = \"inbox\"\nstate = \"state\"\n[[account]]\njid = %q\npassword_file = \"pw\"\nconnect = %q\nca = \"ca.pem\"\n",
		h.jid, srv.Addr())
	for name, b := range map[string][]byte{h.config: []byte(text), h.home + "/pw": []byte("pw\n"), h.home + "/ca.pem": srv.CA()} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.start()
	t.Cleanup(h.kill)
	return h
}

func (h *home) start() {
	h.t.Helper()
	h.child = h.place.child(h.t, "--config", h.config)
	h.api = client.DialToken(h.child.hello.Socket, h.child.hello.Token)
}

// kill is kill -9.
func (h *home) kill() {
	if h.api != nil {
		h.api.Close()
	}
	_ = h.child.cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, h.child.out)
	_ = h.child.cmd.Wait()
}

// accept takes whatever is offered.
func (h *home) accept(ctx context.Context) error {
	res, err := h.api.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{})
	if err != nil {
		return err
	}
	for _, x := range res.GetTransfers() {
		if x.GetIncoming() && x.GetState() == jingledv1.TransferState_TRANSFER_STATE_OFFERED {
			_, err = h.api.Transfers.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Sid: x.GetSid()})
		}
	}
	return err
}

// isAnswered tells whether no offer waits for its answer.
func (h *home) isAnswered(ctx context.Context) (bool, error) {
	res, err := h.api.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{})
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(res.GetTransfers(), func(x *jingledv1.Transfer) bool {
		return x.GetState() == jingledv1.TransferState_TRANSFER_STATE_OFFERED
	}), nil
}

// finished tells whether the history has the name of a file as complete, as often as said, and nothing is under way.
func (h *home) finished(ctx context.Context, name string) (bool, error) {
	res, err := h.api.History.ListHistory(ctx, &jingledv1.ListHistoryRequest{Limit: 10})
	if err != nil {
		return false, err
	}
	done := false
	for _, e := range res.GetEntries() {
		if e.GetTransfer().GetName() != name {
			continue
		}
		if !e.GetTransfer().GetComplete() {
			return false, fmt.Errorf("%s: the transfer has ended: %v", h.jid, e.GetTransfer())
		}
		done = true
	}
	return done, nil
}

// until polls until done or two minutes have gone. What fails meanwhile may be a daemon that was killed.
func until(t *testing.T, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		ok, err := done(ctx)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: it does not come to it: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kills is how often to kill: as usual, or as the environment says.
func kills(t *testing.T, usual int) int {
	t.Helper()
	v := os.Getenv(killRuns)
	if v == "" {
		return usual
	}
	runs, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestKill9 kills the sender or the receiver at a random moment of a transfer, again and again. Each time the file must
// arrive whole, without anybody's help.
func TestKill9(t *testing.T) {
	const usual = 6
	runs := kills(t, usual)
	long := runs > usual
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "pw", "bob": "pw"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	alice, bob := newHome(t, srv, "alice"), newHome(t, srv, "bob")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	caught := 0
	for run := range runs {
		// In-band bytestreams are slow enough to be caught in the middle; a direct one takes as long by its size.
		via, size, within := jingledv1.Via_VIA_IBB, 3<<20, 300*time.Millisecond
		if run%3 == 2 {
			via, size, within = jingledv1.Via_VIA_S5B, 24<<20, 100*time.Millisecond
		}
		if run%4 == 3 {
			via, size, within = jingledv1.Via_VIA_SI, 24<<20, 100*time.Millisecond
		}
		if long {
			size, within = 4*size, 4*within
		}
		victim := []*home{alice, bob}[random.IntN(2)]
		if run < 2 {
			victim = []*home{alice, bob}[run] // each at least once
		}
		if via == jingledv1.Via_VIA_SI {
			// Its receivers have no word but the end of the stream, which the kernel says for one that dies with the last bytes.
			victim = alice
		}
		after := time.Duration(random.Int64N(int64(within)))
		what := fmt.Sprintf("run %d: %s is killed after %v by %s", run, victim.jid, after, via)
		name := fmt.Sprintf("run-%d.bin", run)
		path := filepath.Join(alice.home, name)
		sum := write(t, path, size, random)
		until(t, what+", the offer", func(ctx context.Context) (bool, error) {
			_, err := alice.api.Transfers.SendFile(ctx, &jingledv1.SendFileRequest{Peer: bob.jid, Path: path, Via: via})
			return err == nil, err
		})
		// Until the sender has heard that it is accepted, the end of the receiver is that of its offer.
		until(t, what+", the answer", func(ctx context.Context) (bool, error) {
			if err := bob.accept(ctx); err != nil {
				return false, err
			}
			return alice.isAnswered(ctx)
		})
		time.Sleep(after) // the moment is what is tested
		victim.kill()
		victim.start()
		res, err := victim.api.Transfers.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range res.GetTransfers() {
			caught++
			what += fmt.Sprintf(", with %d of %d bytes", x.GetBytes(), x.GetSize())
		}
		until(t, what, func(ctx context.Context) (bool, error) {
			sent, err1 := alice.finished(ctx, name)
			got, err2 := bob.finished(ctx, name)
			return sent && got, errors.Join(err1, err2)
		})
		if got := hash(t, filepath.Join(bob.inbox, name)); !bytes.Equal(got, sum) {
			t.Errorf("%s: another file has come", what)
		}
		left, err := filepath.Glob(filepath.Join(bob.inbox, "*.part"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", what, left, err)
		}
		if again, err := filepath.Glob(filepath.Join(bob.inbox, fmt.Sprintf("run-%d (*", run))); err != nil || len(again) > 0 {
			t.Errorf("%s: it has come twice: %v, %v", what, again, err)
		}
		if h, err := bob.api.History.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{Limit: 10}); err != nil {
			t.Fatal(err)
		} else if slices.ContainsFunc(h.GetEntries(), func(e *jingledv1.HistoryEntry) bool {
			return e.GetTransfer().GetName() == name && !strings.Contains(e.GetTransfer().GetHash(), fmt.Sprintf("%x", sum)) && e.GetTransfer().GetHash() != ""
		}) {
			t.Errorf("%s: the history has another hash", what)
		}
		for _, f := range []string{path, filepath.Join(bob.inbox, name)} {
			if err := os.Remove(f); err != nil {
				t.Error(err)
			}
		}
		t.Log(what)
	}
	t.Logf("%d runs, in %d of them the transfer was under way", runs, caught)
	if long && caught < runs/2 {
		t.Error("most transfers were never interrupted")
	}
}

// write fills a file with noise and returns its hash.
func write(t *testing.T, path string, size int, random *rand.Rand) []byte {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	var key [32]byte
	for i := range key {
		key[i] = byte(random.Uint32())
	}
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(key), int64(size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}

func hash(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return h.Sum(nil)
}
