//go:build linux

package programs

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

// examples are the indented lines of a document; one that ends in a backslash goes on in the next.
func examples(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	goesOn := false
	for line := range strings.Lines(string(b)) {
		text, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !indented {
			goesOn = false
			continue
		}
		text, more := strings.CutSuffix(text, "\\")
		if goesOn {
			out[len(out)-1] += text
		} else {
			out = append(out, text)
		}
		goesOn = more
	}
	return out
}

// example is the one that holds all of these words.
func example(t *testing.T, words ...string) string {
	t.Helper()
next:
	for _, e := range examples(t, "../../../docs/media.md") {
		for _, w := range words {
			if !strings.Contains(e, w) {
				continue next
			}
		}
		return e
	}
	t.Fatalf("docs/media.md has no line with %q", words)
	return ""
}

// begin runs a line in a shell until the test ends.
func begin(t *testing.T, dir, line string) *testkit.Program {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "exec "+line)
	cmd.Dir = dir
	return testkit.Run(t, cmd)
}

// awaitEnd waits until a program has ended, and returns how.
func awaitEnd(t *testing.T, p *testkit.Program) error {
	t.Helper()
	select {
	case <-p.Done():
		return p.Err()
	case <-time.After(ours.Patience):
		t.Fatal("it does not end")
		return nil
	}
}

// freePort returns an even port with a free one after it.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		port := c.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			next, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + 1})
			if err == nil {
				_, _ = c.Close(), next.Close()
				return strconv.Itoa(port)
			}
		}
		_ = c.Close()
	}
	t.Fatal("there is no free port")
	return ""
}

func side(t *testing.T, srv *xmppserver.Server, user string) *ours.Side {
	t.Helper()
	return ours.Run(t, daemon.Config{Loopback: true, Accounts: []daemon.Account{{
		JID: jid.JID(user + "@" + srv.Domain()), Password: func() (string, error) { return "secret", nil },
		Resource: "daemon", Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback, FailFast: true,
	}}})
}

// TestLinesOfTheManual has each pair of lines send pictures into a call and take them out at its other end.
func TestLinesOfTheManual(t *testing.T) {
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		testkit.Binary(t, name, "ffmpeg")
	}
	testkit.Binary(t, "gst-launch-1.0", "gstreamer1.0-tools")
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}, AllowPlain: true})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	alice, bob := side(t, srv, "alice"), side(t, srv, "bob")
	// call has alice send what comes in at a port, and bob keep it or send it on. It returns the end of it.
	call := func(t *testing.T, in, record string) (hangUp func()) {
		t.Helper()
		res, err := alice.D.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.JID(t), Media: &jingledv1.Media{Video: true, VideoIn: in}})
		if err != nil {
			t.Fatal(err)
		}
		sid := res.GetSid()
		bob.Incoming(t, sid)
		if _, err := bob.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
			Video: true, RecordVideo: record,
		}}); err != nil {
			t.Fatal(err)
		}
		bob.Await(t, sid, "video", func(e *jingledv1.Event) bool { return e.GetCallVideo().GetOn() })
		return func() {
			alice.End(t, sid, "")
			bob.Ended(t, sid)
			alice.Ended(t, sid)
			alice.Forget()
			bob.Forget()
		}
	}
	t.Run("ffmpeg to ffmpeg, VP8", func(t *testing.T) {
		dir, in, out := t.TempDir(), freePort(t), freePort(t)
		var sdp []string
		for _, e := range examples(t, "../../../docs/media.md") {
			if regexp.MustCompile(`^[a-z]=`).MatchString(e) {
				sdp = append(sdp, strings.ReplaceAll(e, "5006", out))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "bob.sdp"), []byte(strings.Join(sdp, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		keeps := begin(t, dir, example(t, "ffmpeg", "bob.sdp", "bob.webm"))
		begin(t, dir, strings.ReplaceAll(example(t, "ffmpeg", "libvpx"), "5004", in))
		hangUp := call(t, "rtp:"+in, "rtp:"+out)
		awaitFrames(t, keeps, 50)
		if err := keeps.Interrupt(); err != nil {
			t.Fatal(err)
		}
		_ = awaitEnd(t, keeps) // it says that it was interrupted
		hangUp()
		wantFilm(t, filepath.Join(dir, "bob.webm"), "vp8")
	})
	t.Run("ffmpeg to a file, H264", func(t *testing.T) {
		dir, in := t.TempDir(), freePort(t)
		begin(t, dir, strings.ReplaceAll(example(t, "ffmpeg", "libx264"), "5004", in))
		hangUp := call(t, "rtp:"+in+"/H264", filepath.Join(dir, "bob.h264"))
		for deadline := time.Now().Add(ours.Patience); ; time.Sleep(20 * time.Millisecond) {
			if fi, err := os.Stat(filepath.Join(dir, "bob.h264.part")); err == nil && fi.Size() > 128<<10 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("hardly anything is recorded")
			}
		}
		hangUp()
		wantFilm(t, filepath.Join(dir, "bob.h264"), "h264")
	})
	t.Run("GStreamer to GStreamer", func(t *testing.T) {
		dir, in, out := t.TempDir(), freePort(t), freePort(t)
		// There is no screen here: the pictures are decoded and counted.
		shows := begin(t, dir, strings.NewReplacer("5006", out, "autovideosink", "fakesink num-buffers=50").Replace(example(t, "gst-launch", "udpsrc")))
		begin(t, dir, strings.ReplaceAll(example(t, "gst-launch", "udpsink"), "5004", in))
		hangUp := call(t, "rtp:"+in, "rtp:"+out)
		if err := awaitEnd(t, shows); err != nil { // after 50 pictures
			t.Errorf("GStreamer ends with %v", err)
		}
		hangUp()
	})
}

var frameCount = regexp.MustCompile(`frame= *([0-9]+)`)

// awaitFrames waits until ffmpeg says that it has so many frames.
func awaitFrames(t *testing.T, p *testkit.Program, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * ours.Patience); ; time.Sleep(20 * time.Millisecond) {
		if all := frameCount.FindAllStringSubmatch(p.Output(), -1); len(all) > 0 {
			if got, _ := strconv.Atoi(all[len(all)-1][1]); got >= n {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("ffmpeg has not got %d frames", n)
		}
	}
}

// wantFilm has ffprobe decode a file.
func wantFilm(t *testing.T, path, codec string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testkit.Binary(t, "ffprobe", "ffmpeg"), "-v", "error", "-count_frames", "-select_streams", "v",
		"-show_entries", "stream=codec_name,width,height,nb_read_frames", "-of", "csv=p=0", path)
	out, err := cmd.CombinedOutput()
	var w, h, n int
	text := strings.ReplaceAll(strings.TrimSpace(string(out)), ",", " ")
	_, scanned := fmt.Sscanf(text, codec+" %d %d %d", &w, &h, &n)
	if err != nil || scanned != nil || w != 640 || h != 480 || n < 40 {
		t.Errorf("ffprobe: %q (%v, %v)", out, err, scanned)
	}
}
