package webphone_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/webphone"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// upload sends a body as the page does.
func (v *visitor) upload(name string, body io.Reader, size int64) *http.Response {
	v.t.Helper()
	q := url.Values{"peer": {"bob@example.test"}, "name": {name}}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.base+"/upload?"+q.Encode(), body)
	if err != nil {
		v.t.Fatal(err)
	}
	for k, x := range v.headers("Content-Type", "application/octet-stream") {
		req.Header.Set(k, x)
	}
	req.ContentLength = size
	res, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// empty waits until nothing is left in a folder.
func empty(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left in the folder: %v", files)
		}
	}
}

func TestUploadsAreBounded(t *testing.T) {
	dir := t.TempDir()
	v := serve(t, func(c *webphone.Config) { c.Uploads, c.MaxUpload, c.MaxUploads = dir, 1000, 1 }).signIn()
	want(t, "too large", v.upload("a", strings.NewReader(strings.Repeat("x", 1001)), 1001), 429)
	want(t, "of unknown size", v.upload("a", io.MultiReader(strings.NewReader("x")), -1), 400)
	want(t, "to nobody's account", v.upload("a", strings.NewReader("x"), 1), 400) // the daemon has no account
	empty(t, dir)

	// One that stands still takes the room of all, until it breaks off.
	c, err := net.Dial("tcp", strings.TrimPrefix(v.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /upload?peer=a@b&name=c HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: %s\r\n%s: %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
		strings.TrimPrefix(v.base, "http://"), v.base, v.cookie, webphone.KeyHeader, v.key)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") { // its body is waited for
		t.Fatalf("%q, %v", line, err)
	}
	want(t, "one too many", v.upload("a", strings.NewReader("x"), 1), 429)
	fmt.Fprint(c, "half of it")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	empty(t, dir)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		res := v.upload("a", strings.NewReader("x"), 1)
		if res.StatusCode == http.StatusBadRequest {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no room again: %s", res.Status)
		}
	}
}

// TestUpload sends a file with a dangerous name from a page to another daemon, and takes one that comes in.
func TestUpload(t *testing.T) {
	srv := testkit.Embedded(t, xmppserver.Config{Domain: "example.test", Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	inbox, dir := t.TempDir(), t.TempDir()
	alice, _ := online(t, srv, "alice")
	bob, events := online(t, srv, "bob")
	v := serve(t, func(c *webphone.Config) { c.Daemon, c.Uploads = alice, dir }).signIn()
	theirs := serve(t, func(c *webphone.Config) { c.Daemon, c.Downloads = bob, inbox }).signIn()

	content := strings.Repeat("what is in the file\n", 5000)
	want(t, "the upload", v.upload("../../etc/\x00pass\nwd", strings.NewReader(content), int64(len(content))), 201)
	offered := await(t, events, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if n := offered.GetTransferOffered().GetName(); n != "passwd" {
		t.Errorf("it is called %q", n)
	}
	elsewhere := t.TempDir()
	body := fmt.Sprintf(`{"sid":%q,"dir":%q}`, offered.GetSid(), elsewhere)
	want(t, "accepting", theirs.request("POST", theirs.base+"/jingled.v1.TransferService/AcceptFile", body, theirs.headers()), 200)
	done := await(t, events, func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil }).GetTransferDone()
	if filepath.Dir(done.GetPath()) != inbox {
		t.Errorf("the page chose the folder: %s", done.GetPath())
	}
	got, err := os.ReadFile(done.GetPath())
	if err != nil || sha256.Sum256(got) != sha256.Sum256([]byte(content)) {
		t.Errorf("another file: %d bytes, %v", len(got), err)
	}
	empty(t, dir)
}

// TestUploadsOutliveTheDaemon keeps what a transfer may still need, and not forever.
func TestUploadsOutliveTheDaemon(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"jingle-upload-new": time.Hour, "jingle-upload-old": 8 * 24 * time.Hour, "not-ours": 8 * 24 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, func(c *webphone.Config) { c.Uploads = dir }).open()
	for name, want := range map[string]bool{"jingle-upload-new": true, "jingle-upload-old": false, "not-ours": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// online runs a daemon and returns its events.
func online(t *testing.T, srv *xmppserver.Server, user string) (*daemon.Daemon, *daemon.Subscription) {
	t.Helper()
	roots, err := xmpp.ParseCA(srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(daemon.Config{Loopback: true, Accounts: []daemon.Account{{
		JID: jid.JID(user + "@example.test"), Password: func() (string, error) { return "secret", nil },
		Connect: srv.Addr(), TLS: xmpp.TLSStart, RootCAs: roots,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := d.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		sub.Close()
	})
	await(t, sub, func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return d, sub
}

func await(t *testing.T, sub *daemon.Subscription, is func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if is(e) {
			return e
		}
	}
}
