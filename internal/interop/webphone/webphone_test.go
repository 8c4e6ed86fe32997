package webphone

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/webphone"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
)

// modulesEnv is where the packages of npm are; they are fetched before the network is closed.
const modulesEnv = "JINGLED_TEST_MODULES"

// shots is where pictures of the page go.
const shots = "../../../dist/webphone"

func TestTypes(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), testkit.Binary(t, "node", "nodejs"), filepath.Join(testkit.Npm(t, "web"), "node_modules/typescript/bin/tsc"),
		"-p", "../../../web/src/tsconfig.json")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPure runs the tests of what in the page neither asks nor shows.
func TestPure(t *testing.T) {
	modules := filepath.Join(testkit.Npm(t, "web"), "node_modules")
	out := t.TempDir()
	node := testkit.Binary(t, "node", "nodejs")
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(t.Context(), node, filepath.Join(modules, "typescript/bin/tsc"), "-p", "../../../web/src/tsconfig.json",
			"--noEmit", "false", "--module", "nodenext", "--moduleResolution", "nodenext", "--outDir", out),
		exec.CommandContext(t.Context(), node, "--test", "web/pure.test.mjs"),
	} {
		cmd.Env = append(os.Environ(), "PAGE="+out)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
}

func TestPhone(t *testing.T) {
	if os.Getenv(modulesEnv) == "" {
		testkit.Installed(t, testkit.Chosen(t))
		testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
		testkit.InNetwork(t, modulesEnv+"="+testkit.Npm(t, "web"))
		return
	}
	if !testkit.InNetwork(t) {
		return
	}
	srv := testkit.Start(t, testkit.Chosen(t), testkit.Options{Address: testkit.NetworkAddress, NoProxy: true})
	names := []string{"alice", "bob", "carol", "dave", "erin"}
	for _, name := range names {
		srv.AddUser(t, name, "secret")
	}
	for _, name := range names[1:] {
		srv.Befriend(t, "alice", name)
	}
	alice, bob := open(t, srv, "alice"), open(t, srv, "bob")
	for name, called := range map[string]string{"bob": "Bob Miller", "carol": "Carol Diaz", "dave": "Dave Okafor", "erin": "Erin Sato"} {
		if _, err := alice.D.UpdateContact(t.Context(), &jingledv1.UpdateContactRequest{Jid: name + "@" + srv.Domain, Name: &called}); err != nil {
			t.Fatal(err)
		}
	}
	carols := away(t, srv, "carol", jingledv1.Availability_AVAILABILITY_AWAY, "Back at three")
	// Pictures for the documentation take longer.
	cameras, pretty, width := t.TempDir(), os.Getenv("JINGLED_TEST_PRETTY") != "", 320
	if pretty {
		width = 640
	}
	writeCamera(t, cameras+"/alice.y4m", width, [3]float64{214, 196, 178}, [3]float64{46, 92, 110})
	writeCamera(t, cameras+"/bob.y4m", width, [3]float64{150, 178, 184}, [3]float64{150, 78, 60})
	drive(t, map[string]any{
		"chromium": testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell"),
		"modules":  filepath.Join(os.Getenv(modulesEnv), "node_modules"), "shots": absolute(t, shots),
		"alice": alice.page(t, cameras), "bob": bob.page(t, cameras), "carol": carols, "large": 2 << 20, "pretty": pretty,
	})
}

// side is a daemon that serves a phone.
type side struct {
	*ours.Side
	phone     *webphone.Server
	downloads string
	user      string
}

func open(t *testing.T, srv *testkit.Server, user string) *side {
	t.Helper()
	downloads := t.TempDir()
	cfg := account(srv, user)
	cfg.StateDir, cfg.Downloads = t.TempDir(), downloads
	s := &side{Side: ours.Run(t, cfg), downloads: downloads, user: user}
	var err error
	if s.phone, err = webphone.New(webphone.Config{Daemon: s.D, Listen: "127.0.0.1:0", Uploads: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.phone.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func account(srv *testkit.Server, user string) daemon.Config {
	return daemon.Config{Version: "1.0", Accounts: []daemon.Account{{
		JID: jid.JID(user + "@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
		Resource: "desk", Connect: srv.Addr, RootCAs: srv.Pool(), FailFast: true,
	}}}
}

// away has somebody online without a page, who takes all files, through the server only and slowly enough for somebody to
// press a button meanwhile. It returns the folder they go to.
func away(t *testing.T, srv *testkit.Server, user string, a jingledv1.Availability, status string) string {
	t.Helper()
	cfg := account(srv, user)
	cfg.Downloads, cfg.RelayOnly, cfg.DownloadLimit = t.TempDir(), true, 400_000
	s := ours.Run(t, cfg)
	if _, err := s.D.SetPresence(t.Context(), &jingledv1.SetPresenceRequest{Availability: a, Status: status}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.D.Watch(ctx, &jingledv1.WatchRequest{}, func(e *jingledv1.Event) error {
			if e.GetTransferOffered() == nil {
				return nil
			}
			_, err := s.D.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Sid: e.GetSid()})
			return err
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return cfg.Downloads
}

// page is what the script has to know of a side.
func (s *side) page(t *testing.T, cameras string) map[string]any {
	t.Helper()
	deadline := time.Now().Add(ours.Patience)
	for {
		res, err := s.phone.OpenPhone(t.Context(), &jingledv1.OpenPhoneRequest{})
		if err == nil {
			return map[string]any{"url": res.GetUrl(), "downloads": s.downloads, "user": s.user,
				"camera": filepath.Join(cameras, s.user+".y4m")}
		}
		if time.Now().After(deadline) { // it has only just begun
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// step is a line that the script prints: one test.
type step struct {
	Name, Error, Note string
}

// drive runs the script and makes a test of each of its steps.
func drive(t *testing.T, what map[string]any) {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testkit.Binary(t, "node", "nodejs"), "web/drive.mjs")
	cmd.Stdin = strings.NewReader(string(text))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, steps := bufio.NewScanner(out), 0
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Errorf("the script said %q", lines.Text())
			continue
		}
		steps++
		t.Run(s.Name, func(t *testing.T) {
			if s.Note != "" {
				t.Log(s.Note)
			}
			if s.Error != "" {
				t.Error(s.Error)
			}
		})
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil || steps == 0 {
		t.Errorf("the script ended with %v after %d steps\n%s", err, steps, stderr.String())
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
