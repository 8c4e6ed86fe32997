package chromium

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
)

// filmFrames is how many a film has, of 15 a second.
const filmFrames = 75

// films plays a film of each codec to a browser, made by the encoders of other people, with one key frame and a little noise.
func films(t *testing.T, us *ours.Side, b *browser) {
	ffmpeg := testkit.Binary(t, "ffmpeg", "ffmpeg")
	dir := t.TempDir()
	for _, c := range []struct{ codec, file, encoder string }{
		{"VP8", "vp8.ivf", "libvpx"},
		{"VP9", "vp9.ivf", "libvpx-vp9"},
		{"H264", "h264.h264", "libx264"},
		{"AV1", "av1.ivf", "libsvtav1"},
	} {
		t.Run(c.codec, func(t *testing.T) {
			path := filepath.Join(dir, c.file)
			args := []string{
				"-loglevel", "error", "-f", "lavfi", "-i", "color=c=" + camera.Color + ":s=320x240:r=15,noise=alls=8:allf=t",
				"-frames:v", strconv.Itoa(filmFrames), "-pix_fmt", "yuv420p", "-c:v", c.encoder, "-g", "1000", "-b:v", "300k",
			}
			switch c.codec {
			case "VP8", "VP9":
				args = append(args, "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0", "-lag-in-frames", "0")
			case "H264":
				args = append(args, "-profile:v", "baseline", "-level", "3.1", "-preset", "veryfast", "-tune", "zerolatency")
			case "AV1":
				args = append(args, "-preset", "12", "-svtav1-params", "pred-struct=1")
			}
			if out, err := exec.CommandContext(t.Context(), ffmpeg, append(args, path)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			do[any](b, "forget", nil)
			sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "film-" + c.codec, "pictures": []picture{camera}})
			us.Incoming(t, sid)
			if _, err := us.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{
				Sid: sid, Media: &jingledv1.Media{Video: true, VideoIn: path},
			}); err != nil {
				t.Fatal(err)
			}
			us.Connected(t, sid)
			awaitSight(t, b, sid, camera)
			got, _ := awaitCounts(t, b, sid, func(got, _ map[string]float64) bool { return got["decoded"] > filmFrames*2/3 })
			t.Logf("%v", got)
			do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
			if st := us.Ended(t, sid).GetStats().GetVideos(); len(st) != 1 || st[0].GetCodec() != c.codec {
				t.Errorf("the video was %v", st)
			}
		})
	}
}

// cameraAgain has ffmpeg be the camera, by RTP, and begin again: the picture goes on moving. It counts packets and time from 0 each
// time.
func cameraAgain(t *testing.T, us *ours.Side, b *browser) {
	ffmpeg := testkit.Binary(t, "ffmpeg", "ffmpeg")
	port := strconv.Itoa(testkit.FreePorts(t, 1)[0])
	begin := func() (end func()) {
		cmd := exec.Command(ffmpeg, "-loglevel", "error", "-re", "-f", "lavfi", "-i", "color=c="+camera.Color+":s=320x240:r=15,noise=alls=8:allf=t",
			"-pix_fmt", "yuv420p", "-c:v", "libvpx", "-deadline", "realtime", "-g", "15", "-b:v", "300k",
			"-flags", "+bitexact", "-fflags", "+bitexact", "-f", "rtp", "rtp://127.0.0.1:"+port+"?pkt_size=1200")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return sync.OnceFunc(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	do[any](b, "forget", nil)
	sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "camera-again", "pictures": []picture{camera}})
	us.Incoming(t, sid)
	if _, err := us.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{
		Sid: sid, Media: &jingledv1.Media{Video: true, VideoIn: "rtp:" + port},
	}); err != nil {
		t.Fatal(err)
	}
	us.Connected(t, sid)
	var before map[string]float64
	most := 0.0 // packets for so many frames
	for range 3 {
		end := begin()
		t.Cleanup(end)
		got, _ := awaitCounts(t, b, sid, func(got, _ map[string]float64) bool { return got["decoded"] > before["decoded"]+25 })
		t.Logf("%v", got)
		end()
		if packets := got["packets"] - before["packets"]; most == 0 {
			most = packets * 3 / 2
		} else if packets > most {
			t.Errorf("after %v: %v, the picture stood still", before, got)
		}
		before = got
	}
	awaitSight(t, b, sid, camera)
	do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
	us.WantEnd(t, sid, "success", true)
}
