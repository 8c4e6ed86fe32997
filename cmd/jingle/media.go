package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/media/video"
)

// mediaFlags are those of call and answer.
type mediaFlags struct {
	webrtc          bool
	video           bool
	videoIn         string
	recordVideo     string
	slidesIn        string
	recordSlides    string
	audio, audioOut string
	audioIn, record string
	dtmf, ice       string
	duration        time.Duration
}

func (m *mediaFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&m.video, "video", false, "offer video too, or take it, though there may be nothing to show")
	f.StringVar(&m.videoIn, "video-in", "", "video to send: an IVF or H264 `FILE`, rtp:PORT or rtp:PORT/CODEC")
	f.StringVar(&m.recordVideo, "record-video", "", "record what is seen to this `FILE`, .ivf or .h264, or send it to rtp:PORT")
	f.StringVar(&m.slidesIn, "slides-in", "", "a screen to show beside the camera: a `FILE` or rtp:PORT, as for --video-in")
	f.StringVar(&m.recordSlides, "record-slides", "", "record the screen that the peer shows to this `FILE`, or send it to rtp:PORT, as for --record-video")
	f.BoolVar(&m.webrtc, "webrtc", false, "sound and pictures are those of programs that are joined to the call, see jingle whip")
	f.StringVar(&m.audio, "audio", "", "`WHERE` to speak and listen: pulse (PulseAudio or PipeWire) or none (default: pulse on the terminal of a desktop, unless another flag says where sound comes from or goes)")
	f.StringVar(&m.audioIn, "audio-in", "", "what to say: a WAV or Ogg/Opus `FILE`, tone:HZ, pulse, pulse:DEVICE or silence")
	f.StringVar(&m.audioOut, "audio-out", "", "where to listen: pulse or pulse:`DEVICE`")
	f.StringVar(&m.record, "record", "", "record what is heard to this `FILE`, .ogg or .wav")
	f.StringVar(&m.dtmf, "dtmf", "", "send these `DIGITS` (0-9 * # A-D, a comma pauses) when the call is connected")
	f.DurationVar(&m.duration, "duration", 0, "hang up after this time of conversation, e.g. 30s (default: never)")
	f.StringVar(&m.ice, "ice", "all", "`POLICY` for addresses: all, or relay to hide ours")
}

func (m *mediaFlags) media() (*jingledv1.Media, error) {
	out := &jingledv1.Media{Video: m.video || m.videoIn != "" || m.recordVideo != ""}
	switch m.ice {
	case "all":
		out.Ice = jingledv1.IcePolicy_ICE_POLICY_ALL
	case "relay":
		out.Ice = jingledv1.IcePolicy_ICE_POLICY_RELAY
	default:
		return nil, exitf(exitUsage, "--ice is all or relay, not %q", m.ice)
	}
	if m.duration < 0 {
		return nil, exitf(exitUsage, "--duration is negative")
	}
	if bad := notKeys(m.dtmf); bad != "" {
		return nil, exitf(exitUsage, "--dtmf: %q is no key of a telephone", bad)
	}
	if m.webrtc {
		if m.audio+m.audioIn+m.audioOut+m.record+m.videoIn+m.recordVideo+m.slidesIn+m.recordSlides != "" {
			return nil, exitf(exitUsage, "--webrtc does not go with other flags that say where sound and pictures come from or go")
		}
		out.Webrtc = true
		return out, nil
	}
	if err := m.sound(out); err != nil {
		return nil, err
	}
	if m.record != "" {
		if ext := strings.ToLower(filepath.Ext(m.record)); ext != ".wav" && ext != ".ogg" {
			return nil, exitf(exitUsage, "--record: %q ends in neither .wav nor .ogg", m.record)
		}
		if err := canBeMade("--record", m.record); err != nil {
			return nil, err
		}
	}
	var err error
	if out.Record, err = absolute(m.record); err != nil {
		return nil, err
	}
	return out, m.showing(out)
}

// showing adds what is to be seen.
func (m *mediaFlags) showing(out *jingledv1.Media) (err error) {
	if err := m.camera(out, "--video-in", "--record-video"); err != nil {
		return err
	}
	if m.slidesIn+m.recordSlides == "" {
		return nil
	}
	slides := &jingledv1.MediaVideo{Category: "slides"}
	if slides.In, err = pictures("--slides-in", m.slidesIn); err != nil {
		return err
	}
	out.MoreVideos = append(out.MoreVideos, slides)
	slides.Record, err = recording("--record-slides", m.recordSlides)
	return err
}

// camera adds the video that flags of these names ask for.
func (m *mediaFlags) camera(out *jingledv1.Media, in, record string) (err error) {
	if out.VideoIn, err = pictures(in, m.videoIn); err != nil {
		return err
	}
	out.RecordVideo, err = recording(record, m.recordVideo)
	return err
}

// pictures checks where pictures come from.
func pictures(flag, spec string) (string, error) {
	if spec == "" || strings.HasPrefix(spec, "rtp:") {
		return spec, checkRTP(flag, spec)
	}
	path, err := absolute(spec)
	if err != nil {
		return "", err
	}
	source, err := video.OpenFile(path)
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("%s: %w", flag, err)}
	}
	return path, source.Close()
}

// recording checks where pictures go.
func recording(flag, spec string) (string, error) {
	if spec == "" || strings.HasPrefix(spec, "rtp:") {
		return spec, checkRTP(flag, spec)
	}
	if ext := strings.ToLower(filepath.Ext(spec)); ext != ".ivf" && ext != ".h264" && ext != ".264" {
		return "", exitf(exitUsage, "%s: %q ends in neither .ivf nor .h264", flag, spec)
	}
	if err := canBeMade(flag, spec); err != nil {
		return "", err
	}
	return absolute(spec)
}

func checkRTP(flag, spec string) error {
	if spec == "" {
		return nil
	}
	if err := video.CheckRTP(spec); err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s: %w", flag, err)}
	}
	return nil
}

// canBeMade checks where a recording goes, before anybody is called. What is there already is written over when the recording is
// complete.
func canBeMade(flag, path string) error {
	if st, err := os.Stat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return exitf(exitUsage, "%s: there is no folder %s", flag, filepath.Dir(path))
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return exitf(exitUsage, "%s: %s is a folder", flag, path)
	}
	return nil
}

// endOfCall gives a Jingle reason its exit status. On a terminal the line of the event has said why already.
func endOfCall(e *jingledv1.CallEnded, connected, said bool) error {
	fail := func(code int) error {
		if said {
			return &exitError{code: code}
		}
		text := e.GetReason()
		if e.GetText() != "" {
			text = clean(e.GetText()) + " (" + text + ")"
		}
		return &exitError{code, fmt.Errorf("the call ended: %s", text)}
	}
	switch e.GetReason() {
	case "success":
		if connected {
			return nil
		}
		return fail(exitPeer)
	case "cancel":
		if connected {
			return nil
		}
		return fail(exitFailed)
	case "busy", "decline", "gone", "unsupported-applications", "unsupported-transports", "alternative-session", "expired",
		"connectivity-error":
		return fail(exitPeer)
	case "timeout":
		return fail(exitTimeout)
	}
	return fail(exitFailed)
}
