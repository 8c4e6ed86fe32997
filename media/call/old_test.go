package call_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
)

// lacks makes both sides clients that lack something: their descriptions go without it.
func lacks(what ...string) func(jid.JID, *jingle.Message) *jingle.Message {
	return func(_ jid.JID, m *jingle.Message) *jingle.Message {
		if m.Action != jingle.SessionInitiate && m.Action != jingle.SessionAccept {
			return m
		}
		out := *m
		out.Contents = slices.Clone(m.Contents)
		for i := range out.Contents {
			d := out.Contents[i].Description.(rtp.Description)
			t, _ := ice.TransportOf(out.Contents[i].Transport)
			for _, w := range what {
				switch w {
				case "dtls":
					t.Fingerprints = nil
				case "sdes":
					d.Encryption = nil
				case "mux":
					d.RTCPMux = false
				case "zrtp":
					d.Encryption = &rtp.Encryption{ZRTPHashes: []rtp.ZRTPHash{{Version: "1.10", Hash: "abcd"}}}
				}
			}
			out.Contents[i].Description, out.Contents[i].Transport = d, t.Payload()
		}
		return &out
	}
}

func least(e media.Encryption, transport string) func(*call.Config) {
	return func(c *call.Config) { c.Encryption, c.Transport = e, transport }
}

// onLoopback is for raw UDP, whose sockets are real.
func onLoopback(e media.Encryption) func(*call.Config) {
	return func(c *call.Config) {
		c.Encryption, c.Transport, c.ICE = e, ice.NSRawUDP, agent.Config{LoopbackOnly: true}
	}
}

// cheap is the codec that takes the least time.
func cheap(c *call.Config) { c.Codecs = []*audio.Codec{audio.PCMU()} }

// talk has the two hear each other and the call end. With reports it waits for RTCP to have gone both ways.
func (sc *scene) talk(t *testing.T, want media.Encryption, reports bool) {
	t.Helper()
	in := sc.answer(t)
	for _, u := range []*user{sc.romeo, sc.juliet} {
		c := await[call.Connected](u)
		if c.Encryption != want || c.Setup == 0 {
			t.Errorf("connected: %+v", c)
		}
		awaitThat(u, func(m call.Meter) bool { return (m.Stats.RoundTrip > 0 || !reports) && m.Stats.Encryption == want })
	}
	if err := in.SendDTMF("7", 0); err != nil {
		t.Error(err)
	}
	awaitThat(sc.romeo, func(d call.DTMF) bool { return d.Digit == '7' })
	sc.out.HangUp(nil)
	<-sc.out.Done()
	<-in.Done()
	heard(t, filepath.Join(sc.dir, "romeo.wav"), 1000)
	heard(t, filepath.Join(sc.dir, "juliet.ogg"), 440)
}

func TestOldClients(t *testing.T) {
	for _, c := range []struct {
		name      string
		least     media.Encryption
		transport string
		lacks     []string
		want      media.Encryption
		reports   bool
	}{
		{"less is accepted, but both have DTLS", media.Plain, "", nil, media.DTLS, false},
		{"SDES", media.SDES, "", []string{"dtls"}, media.SDES, false},
		{"SDES, RTCP on its own", media.Plain, "", []string{"dtls", "mux"}, media.SDES, true},
		{"plain", media.Plain, "", []string{"dtls", "sdes"}, media.Plain, true},
		{"plain, RTCP on its own", media.Plain, "", []string{"dtls", "sdes", "mux"}, media.Plain, true},
		{"XEP-0371", media.DTLS, ice.NSICE, nil, media.DTLS, false},
		{"XEP-0371, plain", media.Plain, ice.NSICE, []string{"dtls", "sdes", "mux"}, media.Plain, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change := func(transport string) func(*call.Config) {
					return func(cfg *call.Config) {
						cheap(cfg)
						least(c.least, transport)(cfg)
					}
				}
				sc := ring(t, change(c.transport), change(""), lacks(c.lacks...))
				sc.talk(t, c.want, c.reports)
			})
		})
	}
}

// ear waits for a tone.
type ear struct {
	hz    float64
	pcm   []float32
	found chan struct{}
	done  bool
}

func (e *ear) WritePCM(pcm []float32) error {
	if e.pcm = append(e.pcm, pcm...); len(e.pcm) >= 5*audio.FrameSize {
		if !e.done && audio.Share(e.pcm, audio.SampleRate, e.hz) > 0.9 {
			e.done = true
			close(e.found)
		}
		e.pcm = e.pcm[:0]
	}
	return nil
}

func (e *ear) Close() error { return nil }

// Raw UDP has real sockets, and so real time.
func TestRawUDP(t *testing.T) {
	for _, c := range []struct {
		name  string
		least media.Encryption
		lacks []string
		want  media.Encryption
	}{
		{"SDES", media.SDES, nil, media.SDES},
		{"plain, RTCP on its own", media.Plain, []string{"sdes", "mux"}, media.Plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			onRaw := func(cfg *call.Config) {
				onLoopback(c.least)(cfg)
				cheap(cfg)
			}
			sc := ring(t, onRaw, onRaw, lacks(c.lacks...))
			in := <-sc.phone
			hears := &ear{hz: 440, found: make(chan struct{})}
			in.Answer(audio.NewTone(1000, 0.5), hears)
			select {
			case <-hears.found:
			case <-time.After(20 * time.Second):
				t.Error("the tone is not heard")
			}
			for _, u := range []*user{sc.romeo, sc.juliet} {
				if got := await[call.Connected](u); got.Encryption != c.want {
					t.Errorf("connected: %+v", got)
				}
			}
			if got := in.Stats().Encryption; got != c.want {
				t.Errorf("encryption: %s", got)
			}
			in.HangUp(nil)
			<-sc.out.Done()
			<-in.Done()
		})
	}
}

// Who answers at once, before the candidate is there, tells it all the same.
func TestRawAnswerHasTheCandidate(t *testing.T) {
	seen := make(chan ice.RawUDP, 1)
	sc := ring(t, onLoopback(media.Plain), onLoopback(media.Plain), func(_ jid.JID, m *jingle.Message) *jingle.Message {
		if m.Action == jingle.SessionAccept {
			seen <- m.Contents[0].Transport.(ice.RawUDP)
		}
		return m
	})
	in := sc.answer(t)
	await[call.Accepted](sc.romeo)
	got := <-seen
	if len(got.Candidates) == 0 || got.Candidates[0].Component != 1 || got.Candidates[0].Port == 0 {
		t.Errorf("candidates: %+v", got.Candidates)
	}
	in.HangUp(nil)
	<-in.Done()
	<-sc.out.Done()
}

// What is not allowed is refused with what it would take.
func TestRefusesWeakCalls(t *testing.T) {
	for _, c := range []struct {
		name      string
		callee    media.Encryption
		transport string
		lacks     []string
		says      []string
	}{
		{"SDES where DTLS is asked for", media.DTLS, "", []string{"dtls"}, []string{"SDES", "DTLS-SRTP", `"sdes"`}},
		{"plain where DTLS is asked for", media.DTLS, "", []string{"dtls", "sdes"}, []string{"fingerprint", "unencrypted"}},
		{"plain where SDES is asked for", media.SDES, "", []string{"dtls", "sdes"}, []string{"does not encrypt", `"none"`}},
		{"raw UDP where DTLS is asked for", media.DTLS, ice.NSRawUDP, nil, []string{"raw UDP", "XEP-0320", `"sdes"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller := least(media.Plain, "")
			if c.transport != "" {
				caller = onLoopback(media.Plain)
			}
			sc := ring(t, caller, least(c.callee, ""), lacks(c.lacks...))
			e := await[call.Ended](sc.romeo)
			if !e.ByPeer || e.Reason.Condition != jingle.SecurityError {
				t.Fatalf("ended: %+v", e.Reason)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Reason.Text, s) {
					t.Errorf("%q does not say %q", e.Reason.Text, s)
				}
			}
			<-sc.out.Done()
		})
	}
}

// The hash that ZRTP needs is kept for the users (XEP-0262).
func TestZRTPHashIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, least(media.Plain, ""), least(media.Plain, ""), lacks("dtls", "zrtp"))
		in := sc.answer(t)
		if c := await[call.Connected](sc.juliet); c.ZRTPHash != "1.10 abcd" || c.Encryption != media.Plain {
			t.Errorf("connected: %+v", c)
		}
		in.HangUp(nil)
		<-in.Done()
		<-sc.out.Done()
	})
}
