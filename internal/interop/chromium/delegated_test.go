package chromium

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
)

//go:embed web/delegated.js
var delegatedPage []byte

const tunnelEnv = "JINGLED_TEST_TUNNEL"

// TestDelegated has a page whose own WebRTC is the media of calls, by the script of examples/delegated-page: to a daemon with
// media of its own, to another such page, and from a daemon whose stream another program owns. Signalling goes through a
// server of other people.
func TestDelegated(t *testing.T) {
	if os.Getenv(tunnelEnv) == "" {
		testkit.Installed(t, testkit.Chosen(t))
		testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
		program := filepath.Join(t.TempDir(), "tunnel-go")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../examples/tunnel-go").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		testkit.InNetwork(t, tunnelEnv+"="+program)
		return
	}
	if !testkit.InNetwork(t) {
		return
	}
	example, err := os.ReadFile("../../../examples/delegated-page/delegated.js")
	if err != nil {
		t.Fatal(err)
	}
	srv := testkit.Start(t, testkit.Chosen(t), testkit.Options{Address: testkit.NetworkAddress})
	for _, user := range []string{"juliet", "romeo", "nurse"} {
		srv.AddUser(t, user, "secret")
	}
	srv.Befriend(t, "juliet", "romeo")
	srv.Befriend(t, "nurse", "romeo")
	mux := http.NewServeMux()
	side := map[string]*ours.Side{}
	for _, user := range []string{"juliet", "romeo"} {
		side[user] = ours.Run(t, daemon.Config{Accounts: []daemon.Account{{
			JID: jid.JID(user + "@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
			Resource: "daemon", Connect: srv.Addr, RootCAs: srv.Pool(), FailFast: true,
		}}})
		socket := serveSocket(t, side[user].D)
		mux.Handle("/"+user+"/", http.StripPrefix("/"+user, proxy(t, socket)))
	}
	lent := lend(t, srv, mux)

	// Two pages need their addresses to find each other. A page that may use the microphone for good knows all; the permission
	// that the test's Chromium gives is not of that kind, and without it there is only that of the default route.
	if out, err := exec.CommandContext(t.Context(), testkit.Binary(t, "ip", "iproute2"), "route", "add", "default", "dev", "lan").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := openWith(t, mux, slices.Concat(example, []byte("\n"), bridgePage, []byte("\n"), delegatedPage),
		"--disable-features=LocalNetworkAccessChecks,WebRtcHideLocalIpsWithMdns")
	ends := map[string]map[string]any{
		"juliet": {"hz": 1000, "color": "red", "width": 320, "height": 240},
		"romeo":  {"hz": 600, "color": "blue", "width": 160, "height": 120},
		"nurse":  {"hz": 1000, "color": "red", "width": 320, "height": 240},
	}
	for name, how := range ends {
		how["name"], how["base"] = name, "/"+name
		do[any](b, "host", how)
	}
	juliet, romeo := side["juliet"], side["romeo"]

	t.Run("to a daemon with media of its own", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "heard.wav")
		sid := do[string](b, "call", map[string]any{"name": "juliet", "peer": romeo.JID(t)})
		romeo.Incoming(t, sid)
		if _, err := romeo.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
			AudioIn: "tone:440", Record: record, Video: true,
		}}); err != nil {
			t.Fatal(err)
		}
		romeo.Connected(t, sid)
		juliet.Connected(t, sid)
		if !endHears(b, "juliet", ours.Tone) {
			t.Error("the page does not hear the daemon")
		}
		do[any](b, "addVideo", map[string]any{"name": "juliet"})
		romeo.Await(t, sid, "video", func(e *jingledv1.Event) bool { return e.GetCallVideo().GetOn() })
		before := do[[]string](b, "ufrags", map[string]any{"name": "juliet"})
		do[any](b, "restart", map[string]any{"name": "juliet"})
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			now := do[[]string](b, "ufrags", map[string]any{"name": "juliet"})
			if now[0] != before[0] && now[1] != before[1] && now[2] == "stable" && now[3] == "connected" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("ICE is not restarted: %v, %v", before, now)
			}
		}
		if !endHears(b, "juliet", ours.Tone) {
			t.Error("the page does not hear the daemon after a restart of ICE")
		}
		ours.Hears(t, record, 1000)
		do[any](b, "hangUp", map[string]any{"name": "juliet"})
		romeo.WantEnd(t, sid, "success", true)
		ours.WantTone(t, record, 1000)
	})
	t.Run("both add video at once", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"name": "juliet", "peer": romeo.JID(t)})
		b.await(sid, "incoming")
		do[any](b, "answer", map[string]any{"name": "romeo", "sid": sid, "sound": true})
		romeo.Connected(t, sid)
		juliet.Connected(t, sid)
		do[any](b, "addVideoToBoth", map[string]any{"names": []string{"juliet", "romeo"}})
		sees(t, b, "juliet", 2, 160, 120)
		sees(t, b, "romeo", 0, 320, 240)
		do[any](b, "hangUp", map[string]any{"name": "juliet"})
		romeo.WantEnd(t, sid, "success", true)
	})
	for name, caller := range map[string]string{"to another page": "juliet", "through a tunnel": "nurse"} {
		t.Run(name, func(t *testing.T) {
			sid := do[string](b, "call", map[string]any{"name": caller, "peer": romeo.JID(t), "video": true})
			b.await(sid, "incoming")
			do[any](b, "answer", map[string]any{"name": "romeo", "sid": sid})
			romeo.Connected(t, sid)
			sees(t, b, caller, 2, 160, 120)
			sees(t, b, "romeo", 0, 320, 240)
			if !endHears(b, caller, 600) || !endHears(b, "romeo", 1000) {
				t.Error("the pages do not hear each other")
			}
			do[any](b, "hangUp", map[string]any{"name": "romeo"})
			if caller == "nurse" {
				lent.WantEnd(t, sid, "success", true)
			}
			romeo.WantEnd(t, sid, "success", false)
		})
	}
}

// lend runs a daemon that has the stream of examples/tunnel-go, which is nurse's.
func lend(t *testing.T, srv *testkit.Server, mux *http.ServeMux) *ours.Side {
	t.Helper()
	lent := ours.RunIdle(t, daemon.Config{})
	socket := serveSocket(t, lent.D)
	mux.Handle("/nurse/", http.StripPrefix("/nurse", proxy(t, socket)))
	cmd := exec.Command(os.Getenv(tunnelEnv), "nurse@"+srv.Domain, t.TempDir(), srv.Addr, srv.CAFile)
	cmd.Env = append(os.Environ(), "JINGLED_SOCKET="+socket)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := io.WriteString(in, "secret\n"); err != nil {
		t.Fatal(err)
	}
	lent.Await(t, "", "account online", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return lent
}

// serveSocket serves a daemon's API on a socket until the test ends.
func serveSocket(t *testing.T, d *daemon.Daemon) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "jc") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := apiserver.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- apiserver.Serve(ctx, l, d, nil) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return socket
}

// proxy hands requests on to a socket.
func proxy(t *testing.T, socket string) http.Handler {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "jingled"}) },
		Transport:     tr,
		FlushInterval: -1,
	}
}
