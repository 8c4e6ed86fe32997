package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func TestRulesFit(t *testing.T) {
	n := func(i int64) *int64 { return &i }
	for _, c := range []struct {
		rule      AcceptRule
		peer      jid.JID
		contact   bool
		name      string
		mediaType string
		size      *int64
		encrypted bool
		want      bool
	}{
		{AcceptRule{}, "b@x/1", true, "a", "", nil, false, true},
		{AcceptRule{}, "b@x/1", false, "a", "", nil, false, false},
		{AcceptRule{Policy: Policy{From: Everyone}}, "b@x/1", false, "a", "", nil, false, true},
		{AcceptRule{Policy: Policy{From: Listed, List: []jid.JID{"b@x"}}}, "b@x/1", false, "a", "", nil, false, true},
		{AcceptRule{Policy: Policy{From: Listed, List: []jid.JID{"c@x"}}}, "b@x/1", true, "a", "", nil, false, false},
		{AcceptRule{MaxSize: 5}, "b@x/1", true, "a", "", n(5), false, true},
		{AcceptRule{MaxSize: 5}, "b@x/1", true, "a", "", n(6), false, false},
		{AcceptRule{MaxSize: 5}, "b@x/1", true, "a", "", nil, false, false},
		{AcceptRule{Types: []string{"image/*"}}, "b@x/1", true, "a.png", "IMAGE/png; x=y", nil, false, true},
		{AcceptRule{Types: []string{"image/png"}}, "b@x/1", true, "a", "image/jpeg", nil, false, false},
		{AcceptRule{Types: []string{"image/*"}}, "b@x/1", true, "a.html", "image/png", nil, false, false},
		{AcceptRule{Types: []string{"image/*"}}, "b@x/1", true, "a.png", "", nil, false, false},
		{AcceptRule{Encrypted: true}, "b@x/1", true, "a", "", nil, false, false},
		{AcceptRule{Encrypted: true}, "b@x/1", true, "a", "", nil, true, true},
	} {
		if got := c.rule.fits(c.peer, c.contact, c.name, c.mediaType, c.size, c.encrypted); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for _, bad := range []AcceptRule{{MaxSize: -1}, {Types: []string{"image"}}, {Types: []string{"*/*"}}, {Dir: "here"}, {Policy: Policy{From: "x"}}} {
		if bad.validate("/in") == nil {
			t.Errorf("%+v is fine", bad)
		}
	}
	if (AcceptRule{}).validate("") == nil {
		t.Error("files go nowhere")
	}
}

func TestHooks(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	h := Hook{Command: []string{sh, "-c", `echo "$0:$JINGLED_NAME"; exit 3`, "zero"}}
	if err := h.validate(); err != nil || h.Timeout != defaultHookTime {
		t.Fatal(err)
	}
	if out, err := h.run(t.Context(), []string{"JINGLED_NAME=a b"}); string(out) != "zero:a b\n" || err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("%q, %v", out, err)
	}
	h = Hook{Command: []string{sh, "-c", "yes | head -c 1000000; exec sleep 1000"}, Timeout: 500 * time.Millisecond}
	begin := time.Now()
	if out, err := h.run(t.Context(), nil); len(out) != maxHookOutput || err == nil || !strings.Contains(err.Error(), "longer than") || time.Since(begin) > 20*time.Second {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	for _, bad := range []Hook{{Command: []string{"sh"}}, {Command: []string{"/none/such"}}, {Command: []string{t.TempDir()}}} {
		if bad.validate() == nil {
			t.Errorf("%v is fine", bad.Command)
		}
	}
}

// TestByThemselves takes files by a rule, and tells a command of them.
func TestByThemselves(t *testing.T) {
	srv := newServer(t)
	pictures, said := t.TempDir(), filepath.Join(t.TempDir(), "said")
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	bob := act(t, srv, "bob", func(c *Config) {
		c.Accept = []AcceptRule{{MaxSize: 1 << 20, Types: []string{"text/*"}, Dir: pictures}}
		c.Completed = Hook{Command: []string{sh, "-c", `echo "$JINGLED_DIRECTION $JINGLED_PEER $JINGLED_SIZE $JINGLED_TRANSPORT $JINGLED_ENCRYPTION" > "$0.new" && mv "$0.new" "$0"`, said}}
	})
	alice := act(t, srv, "alice", nil)
	path := file(t)
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path}); err != nil {
		t.Fatal(err)
	}
	offer := bob.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil }).GetTransferOffered()
	if offer.GetAcceptedInto() != pictures || offer.GetModified() == nil {
		t.Errorf("%v", offer)
	}
	done := bob.await("the file", isEnd).GetTransferDone()
	if filepath.Dir(done.GetPath()) != pictures {
		t.Errorf("%v", done)
	}
	alice.await("the end", isEnd)
	bob.accounts[0].journals.tasks.Wait() // the command is awaited
	if b, err := os.ReadFile(said); err != nil || !strings.HasPrefix(string(b), "in "+alice.jid.String()+"/") || !strings.HasSuffix(string(b), " 75000 s5b none\n") {
		t.Errorf("%q, %v", b, err)
	}
	// What fits no rule waits.
	big := filepath.Join(t.TempDir(), "big.txt")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: big}); err != nil {
		t.Fatal(err)
	}
	e := bob.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if e.GetTransferOffered().GetAcceptedInto() != "" {
		t.Errorf("%v", e)
	}
	if _, err := bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: e.GetSid()}); err != nil {
		t.Fatal(err)
	}
	alice.await("the end", isEnd)
}

// TestFolders sends a folder, encrypted, which is unpacked at the other end, or not.
func TestFolders(t *testing.T) {
	srv := newServer(t)
	alice, bob := keeper(t, srv, "alice", t.TempDir()), keeper(t, srv, "bob", t.TempDir())
	dir := filepath.Join(t.TempDir(), "photos")
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "A", "deep/b": strings.Repeat("B", 100_000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, keep := range []bool{false, true} {
		if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: dir, RequireEncryption: true}); err != nil {
			t.Fatal(err)
		}
		e := bob.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
		if o := e.GetTransferOffered(); o.GetFolderFiles() != 2 || o.GetName() != "photos.tar" {
			t.Errorf("%v", o)
		}
		if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: e.GetSid(), KeepArchive: keep}); err != nil {
			t.Fatal(err)
		}
		done := bob.await("the folder", isEnd).GetTransferDone()
		alice.await("the end", isEnd)
		if keep {
			if st, err := os.Stat(done.GetPath()); err != nil || st.IsDir() || filepath.Base(done.GetPath()) != "photos.tar" {
				t.Errorf("%v, %v", done, err)
			}
			continue
		}
		b, err := os.ReadFile(filepath.Join(done.GetPath(), "deep", "b"))
		if err != nil || len(b) != 100_000 || done.GetFolderFiles() != 2 || filepath.Base(done.GetPath()) != "photos" {
			t.Errorf("%v, %d bytes, %v", done, len(b), err)
		}
		if left, _ := os.ReadDir(filepath.Dir(done.GetPath())); len(left) != 1 {
			t.Errorf("%v", left)
		}
	}
}
