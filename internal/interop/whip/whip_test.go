//go:build linux

package whip

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/whip"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// TestStrangers has GStreamer bring sound and pictures into a call that aiortc plays at the other end.
func TestStrangers(t *testing.T) {
	gst := testkit.Python(t, gstreamer, "python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-good gstreamer1.0-nice")
	python := testkit.Python(t, "aiortc", "python3-aiortc")
	if !testkit.InNetwork(t) {
		return
	}
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}, AllowPlain: true})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	alice, alices := run(t, srv, "alice")
	bob, bobs := run(t, srv, "bob")
	webrtc := &jingledv1.Media{Webrtc: true, Video: true}
	res, err := alice.D.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.JID(t), Media: webrtc})
	if err != nil {
		t.Fatal(err)
	}
	sid := res.GetSid()
	bob.Incoming(t, sid)
	if _, err := bob.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: webrtc}); err != nil {
		t.Fatal(err)
	}
	alice.Connected(t, sid)

	source := exec.Command(gst, "testdata/whip.py", alices.GetUrl()+"active/whip", alices.GetToken())
	sourceIn, err := source.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, source, "GStreamer")
	clients := func(n uint32) func(*jingledv1.Event) bool {
		return func(e *jingledv1.Event) bool {
			return e.GetCallClients() != nil && e.GetCallClients().GetClients() == n
		}
	}
	alice.Await(t, sid, "source", clients(1))
	// The player comes late, so it needs a key frame that it has to ask for: GStreamer makes none by itself.
	player := exec.Command(python, "testdata/whep.py", bobs.GetUrl()+sid+"/whep", bobs.GetToken())
	in, err := player.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	playerLog := begin(t, player, "aiortc")
	bob.Await(t, sid, "player", clients(1))
	type line struct {
		Color         []int
		Width, Height int
		Hz            int
		Level         float64
	}
	red, tone := 0, 0
	playerLog.until(t, func(text string) bool {
		var l line
		if json.Unmarshal([]byte(text), &l) != nil {
			return false
		}
		if len(l.Color) == 3 && l.Color[0] > 180 && l.Color[1] < 80 && l.Color[2] < 80 && l.Width == 320 {
			red++
		}
		if math.Abs(float64(l.Hz-1000)) <= 10 && l.Level > 1000 {
			tone++
		}
		return red >= 10 && tone >= 5
	})
	t.Logf("%d red frames, %d tones", red, tone)

	// Both leave by DELETE.
	for _, x := range []struct {
		in   io.Closer
		side *ours.Side
	}{{in, bob}, {sourceIn, alice}} {
		x.side.Forget()
		if err := x.in.Close(); err != nil {
			t.Fatal(err)
		}
		x.side.Await(t, sid, "end of the client", clients(0))
	}
	alice.End(t, sid, "")
	bob.WantEnd(t, sid, "success", true)
}

// gstreamer is what a python3 must be able to import, and the parts of GStreamer that must be there.
const gstreamer = `gi
gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstWebRTC
Gst.init(None)
for name in ("webrtcbin", "nicesrc", "vp8enc", "opusenc", "rtpvp8pay", "dtlssrtpenc"):
    assert Gst.ElementFactory.find(name)
`

// run runs a daemon with WHIP.
func run(t *testing.T, srv *xmppserver.Server, user string) (*ours.Side, *jingledv1.OpenWhipResponse) {
	t.Helper()
	side := ours.Run(t, daemon.Config{Loopback: true, Accounts: []daemon.Account{{
		JID: jid.JID(user + "@" + srv.Domain()), Password: func() (string, error) { return "secret", nil },
		Resource: "daemon", Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback, FailFast: true,
	}}})
	w, err := whip.New(whip.Config{Daemon: side.D, Listen: "127.0.0.1:0", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for {
		res, err := w.OpenWhip(t.Context(), &jingledv1.OpenWhipRequest{})
		if err == nil {
			return side, res
		}
		time.Sleep(time.Millisecond) // Run has not begun
	}
}

// output is what a stranger prints, line by line.
type output struct {
	mu    sync.Mutex
	lines []string
	news  chan struct{}
}

// begin runs a stranger until the test ends.
func begin(t *testing.T, cmd *exec.Cmd, name string) *output {
	t.Helper()
	o := &output{news: make(chan struct{}, 1)}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			o.mu.Lock()
			o.lines = append(o.lines, s.Text())
			o.mu.Unlock()
			select {
			case o.news <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, o)
		}
	})
	return o
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// until gives each line to is, which must say yes in time.
func (o *output) until(t *testing.T, is func(string) bool) {
	t.Helper()
	deadline := time.After(ours.Patience)
	for n := 0; ; {
		o.mu.Lock()
		more := o.lines[n:]
		n = len(o.lines)
		o.mu.Unlock()
		if slices.ContainsFunc(more, is) {
			return
		}
		select {
		case <-o.news:
		case <-deadline:
			t.Fatal("what is waited for is not printed")
		}
	}
}
