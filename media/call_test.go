package media

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/dtmf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// party is one side of a call, on a virtual network or on the loopback.
type party struct {
	t testing.TB
	*Call
	other  *party
	signal sync.Mutex // stands for the session's goroutine
	mu     sync.Mutex
	events []Event
	seen   chan struct{} // a new event

	withoutEvents bool // it offers no telephone events
	cancel        context.CancelCauseFunc
	ended         chan error
}

func newParty(t testing.TB, w *wide, role jingle.Role, change func(*Config)) *party {
	t.Helper()
	cert, err := dtlssrtp.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	p := &party{t: t, seen: make(chan struct{}, 1000), ended: make(chan error, 1)}
	cfg := Config{Role: role, Certificate: cert, Bundle: true, Notify: p.notify}
	if w != nil {
		cfg.ICE.Net = w.host("")
	} else {
		cfg.ICE.LoopbackOnly = true
	}
	if change != nil {
		change(&cfg)
	}
	if p.Call, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) notify(e Event) {
	if c, ok := e.(Candidate); ok && p.other != nil {
		// As an XMPP stream does it: in XML, and before or after the session-accept.
		x := jingle.Content{Name: c.Content, Transport: reread(p.t, c.Transport)}
		p.other.signal.Lock()
		if err := p.other.Info(x); err != nil {
			p.t.Error(err)
		}
		p.other.signal.Unlock()
	}
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	p.seen <- struct{}{}
}

func reread(t testing.TB, tr ice.Transport) jingle.Payload {
	out, err := ice.ParseTransport(tr.Element())
	if err != nil {
		t.Error(err)
	}
	return out
}

// answer and accepted are the session's steps.
func (p *party) answer(contents []jingle.Content, groups []jingle.Group) ([]jingle.Content, []jingle.Group, error) {
	p.signal.Lock()
	defer p.signal.Unlock()
	return p.Answer(contents, groups)
}

func (p *party) accepted(contents []jingle.Content, groups []jingle.Group) error {
	p.signal.Lock()
	defer p.signal.Unlock()
	return p.Accepted(contents, groups)
}

// transported has contents go through XML.
func transported(t testing.TB, cs []jingle.Content, gs []jingle.Group) ([]jingle.Content, []jingle.Group) {
	t.Helper()
	var reg jingle.Registry
	rtp.Register(&reg)
	ice.Register(&reg)
	m := &jingle.Message{Action: jingle.SessionInitiate, SID: "x", Contents: cs, Groups: gs}
	out, err := jingle.ParseMessage(m.Element(), &reg)
	if err != nil {
		t.Fatal(err)
	}
	return out.Contents, out.Groups
}

func (p *party) run() {
	ctx, cancel := context.WithCancelCause(context.Background())
	p.cancel = cancel
	go func() { p.ended <- p.Run(ctx) }()
}

// await waits until an event satisfies is.
func await[E Event](t testing.TB, p *party, what string, is func(E) bool) E {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		p.mu.Lock()
		for _, e := range p.events {
			if e, ok := e.(E); ok && (is == nil || is(e)) {
				p.mu.Unlock()
				return e
			}
		}
		p.mu.Unlock()
		select {
		case <-p.seen:
		case err := <-p.ended:
			t.Fatalf("waiting for %s: the call has ended: %v", what, err)
		case <-deadline:
			t.Fatalf("waiting for %s: %v", what, p.events)
		}
	}
}

var errHangUp = errors.New("hung up")

// dial connects two parties and returns what ends both.
func dial(t *testing.T, a, b *party) (hangUp func()) {
	t.Helper()
	a.other, b.other = b, a
	contents, groups := transported2(t, a.Offer)
	if a.withoutEvents {
		contents = eventless(contents)
	}
	if err := b.Adopt(contents, groups); err != nil {
		t.Fatal(err)
	}
	a.run()
	b.run()
	answer, groups, err := b.answer(contents, groups)
	if err != nil {
		t.Fatal(err)
	}
	answer, groups = transported(t, answer, groups)
	if err := a.accepted(answer, groups); err != nil {
		t.Fatal(err)
	}
	return func() {
		a.cancel(errHangUp)
		if err := <-a.ended; !errors.Is(err, errHangUp) {
			t.Errorf("who hangs up: %v", err)
		}
		if err := <-b.ended; err != nil {
			t.Errorf("who is hung up on: %v", err)
		}
	}
}

func transported2(t testing.TB, offer func() ([]jingle.Content, []jingle.Group)) ([]jingle.Content, []jingle.Group) {
	t.Helper()
	c, g := offer()
	return transported(t, c, g)
}

func open(t *testing.T, spec string) audio.Source {
	t.Helper()
	s, err := audio.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, path string) audio.Sink {
	t.Helper()
	s, err := audio.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// toneIn returns the share of a tone in the middle of a recording and its length in seconds.
func toneIn(t *testing.T, path string, freq float64) (share, seconds float64) {
	t.Helper()
	src := open(t, path)
	defer src.Close()
	var pcm []float32
	buf := make([]float32, audio.FrameSize)
	for {
		n, err := src.Read(buf)
		pcm = append(pcm, buf[:n]...)
		if err != nil {
			break
		}
	}
	if len(pcm) < audio.SampleRate/2 {
		return 0, float64(len(pcm)) / audio.SampleRate
	}
	// The first moments have the playout buffer finding its delay.
	mid := pcm[len(pcm)/3:]
	best := 0.0
	for i := 0; i+4800 <= len(mid); i += 4800 {
		best = max(best, audio.Share(mid[i:i+4800], audio.SampleRate, freq))
	}
	return best, float64(len(pcm)) / audio.SampleRate
}

func TestCallWithToneDTMFAndRecording(t *testing.T) {
	for _, c := range []struct {
		name   string
		codecs []*audio.Codec // of the answerer
		file   string
	}{
		{"opus", nil, "opus.ogg"}, {"opus to wav", nil, "opus.wav"},
		{"PCMU", []*audio.Codec{audio.PCMU()}, "pcmu.ogg"}, {"G722", []*audio.Codec{audio.G722()}, "g722.wav"}, {"PCMA", []*audio.Codec{audio.PCMA()}, "pcma.wav"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, w *wide) {
				dir := t.TempDir()
				a := newParty(t, w, jingle.Initiator, nil)
				b := newParty(t, w, jingle.Responder, func(cfg *Config) { cfg.Codecs = c.codecs })
				fileA, fileB := filepath.Join(dir, "a.wav"), filepath.Join(dir, c.file)
				a.SetAudio(open(t, "tone:440"), create(t, fileA))
				b.SetAudio(open(t, "tone:1000"), create(t, fileB))
				start := time.Now()
				hangUp := dial(t, a, b)
				conn := await[Connected](t, a, "connection", nil)
				heard := await[Heard](t, a, "sound", nil)
				await[Heard](t, b, "sound", nil)
				t.Logf("connected after %v, heard after %v, by %v", conn.At.Sub(start), heard.At.Sub(start), conn.Pair)
				want := strings.Fields(c.name)[0]
				if heard.Codec != want {
					t.Errorf("heard %s, want %s", heard.Codec, want)
				}
				keys, err := dtmf.Parse("12#", 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.SendKeys(keys...); err != nil {
					t.Fatal(err)
				}
				if err := b.SendKeys(keys[2]); err != nil {
					t.Fatal(err)
				}
				await(t, a, "the key #", func(e KeyDown) bool { return e.Key.Digit == '#' })
				await(t, b, "the key #", func(e KeyUp) bool { return e.Key.Digit == '#' && e.Key.Duration == dtmf.DefaultDuration })
				time.Sleep(1500 * time.Millisecond)
				st := b.Stats()
				hangUp()
				var digits []byte
				for _, e := range b.events {
					if k, ok := e.(KeyDown); ok {
						digits = append(digits, k.Key.Digit)
					}
				}
				if string(digits) != "12#" {
					t.Errorf("the keys heard are %q", digits)
				}
				for path, freq := range map[string]float64{fileA: 1000, fileB: 440} {
					share, seconds := toneIn(t, path, freq)
					if share < 0.95 || seconds < 1.5 {
						t.Errorf("%s has %.1f s, and the tone has the share %.3f", filepath.Base(path), seconds, share)
					}
				}
				if st.Codec != want || st.PacketsReceived < 50 || st.PacketsSent < 50 || st.PacketsLost > 2 || st.MOS < 3.5 ||
					st.Path == "" || st.Relayed || st.Jitter > 20*time.Millisecond {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

func TestOnRealSockets(t *testing.T) {
	a, b := newParty(t, nil, jingle.Initiator, nil), newParty(t, nil, jingle.Responder, nil)
	hangUp := dial(t, a, b)
	await[Heard](t, a, "sound", nil)
	await[Heard](t, b, "sound", nil)
	if c := await[Connected](t, a, "connection", nil); !c.Pair.Local.Addr.Addr().IsLoopback() {
		t.Errorf("the path is %v", c.Pair)
	}
	hangUp()
}

func TestRoundTripAndRemoteLossAreReported(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		hangUp := dial(t, a, b)
		await[Heard](t, a, "sound", nil)
		deadline := time.Now().Add(12 * time.Second)
		for a.Stats().RoundTrip == 0 && b.Stats().RoundTrip == 0 {
			if time.Now().After(deadline) {
				t.Fatalf("no round trip is known: %+v", a.Stats())
			}
			time.Sleep(50 * time.Millisecond)
		}
		if rtt := max(a.Stats().RoundTrip, b.Stats().RoundTrip); rtt < 9*time.Millisecond || rtt > 12*time.Millisecond {
			t.Errorf("the round trip is %v, not 10 ms", rtt)
		}
		hangUp()
	})
}

func TestHoldAndMute(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		file := filepath.Join(t.TempDir(), "b.wav")
		a.SetAudio(open(t, "tone:440"), nil)
		b.SetAudio(nil, create(t, file))
		a.Mute(true)
		hangUp := dial(t, a, b)
		await[Heard](t, b, "sound", nil)
		time.Sleep(time.Second)
		a.Held(true)
		time.Sleep(100 * time.Millisecond)
		before := b.Stats().PacketsReceived
		time.Sleep(300 * time.Millisecond)
		if after := b.Stats().PacketsReceived; after > before+1 {
			t.Errorf("on hold %d packets came", after-before)
		}
		a.Held(false)
		time.Sleep(200 * time.Millisecond)
		if after := b.Stats().PacketsReceived; after < before+5 {
			t.Errorf("after hold only %d packets came", after-before)
		}
		hangUp()
		if share, _ := toneIn(t, file, 440); share > 0.1 {
			t.Errorf("the tone is heard though it is muted: %.3f", share)
		}
	})
}

func TestSourceEndsInSilence(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		dir := t.TempDir()
		short := filepath.Join(dir, "short.wav")
		s := create(t, short)
		pcm := make([]float32, audio.FrameSize)
		for range 5 {
			if err := s.WritePCM(pcm); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		a.SetAudio(open(t, short), nil)
		hangUp := dial(t, a, b)
		if e := await[SourceEnded](t, a, "the end of the source", nil); e.Err != nil {
			t.Error(e.Err)
		}
		hangUp()
	})
}

func TestBothSetups(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		// The answerer is active as a rule. A peer that answers passive makes us the client.
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		a.other, b.other = b, a
		contents, groups := transported2(t, a.Offer)
		offer := contents[0].Transport.(ice.Transport)
		offer.Fingerprints[0].Setup = ice.SetupActive
		contents[0].Transport = offer
		a.run()
		b.run()
		answer, groups, err := b.answer(contents, groups)
		if err != nil {
			t.Fatal(err)
		}
		if s := answer[0].Transport.(ice.Transport).Fingerprints[0].Setup; s != ice.SetupPassive {
			t.Errorf("the answer is %q", s)
		}
		if err := a.accepted(answer, groups); err != nil {
			t.Fatal(err)
		}
		await[Heard](t, b, "sound", nil)
		a.cancel(errHangUp)
		<-a.ended
		<-b.ended
	})
}

// refused offers something and expects an answer to fail for this reason.
func refused(t *testing.T, change func(*jingle.Content), condition jingle.Condition, text string) {
	t.Helper()
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		defer func() {
			if err := errors.Join(a.Close(), b.Close()); err != nil {
				t.Error(err)
			}
		}()
		contents, _ := a.Offer()
		change(&contents[0])
		contents, _ = transported(t, contents, nil)
		_, _, err := b.Answer(contents, nil)
		if err == nil {
			t.Error("it is answered")
			return
		}
		r := Reason(err)
		if r.Condition != condition || !strings.Contains(r.Text, text) {
			t.Errorf("the reason is %v; want %s with %q", r, condition, text)
		}
	})
}

func TestRefusals(t *testing.T) {
	desc := func(c *jingle.Content, f func(*rtp.Description)) {
		d := c.Description.(rtp.Description)
		f(&d)
		c.Description = d
	}
	transport := func(c *jingle.Content, f func(*ice.Transport)) {
		d := c.Transport.(ice.Transport)
		f(&d)
		c.Transport = d
	}
	t.Run("no common codec", func(t *testing.T) {
		refused(t, func(c *jingle.Content) {
			desc(c, func(d *rtp.Description) {
				d.PayloadTypes = []rtp.PayloadType{{ID: 96, Name: "speex", Clockrate: 16000}}
			})
		}, jingle.FailedApplication, "speex")
	})
	t.Run("no fingerprint", func(t *testing.T) {
		refused(t, func(c *jingle.Content) { transport(c, func(t *ice.Transport) { t.Fingerprints = nil }) },
			jingle.SecurityError, "fingerprint")
	})
	t.Run("no mux", func(t *testing.T) {
		refused(t, func(c *jingle.Content) { desc(c, func(d *rtp.Description) { d.RTCPMux = false }) },
			jingle.IncompatibleParameters, "rtcp-mux")
	})
	t.Run("video only", func(t *testing.T) {
		refused(t, func(c *jingle.Content) { desc(c, func(d *rtp.Description) { d.Media = "video" }) },
			jingle.UnsupportedApplications, "audio")
	})
}

func TestVideoIsLeftOutOfTheAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		defer a.Close()
		defer b.Close()
		contents, _ := a.Offer()
		video := contents[0]
		video.Name = "1"
		video.Description = rtp.Description{Media: "video", RTCPMux: true, PayloadTypes: []rtp.PayloadType{{ID: 96, Name: "VP8", Clockrate: 90000}}}
		groups := []jingle.Group{{Semantics: "BUNDLE", Contents: []string{"1", "audio"}}}
		contents, groups = transported(t, []jingle.Content{video, contents[0]}, groups)
		answer, groups, err := b.answer(contents, groups)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) != 1 || answer[0].Name != "audio" || len(groups) != 1 || strings.Join(groups[0].Contents, " ") != "audio" {
			t.Errorf("the answer is %+v, %+v", answer, groups)
		}
	})
}

func TestWrongCertificateEndsInSecurityError(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		stranger, err := dtlssrtp.NewCertificate()
		if err != nil {
			t.Fatal(err)
		}
		a.other, b.other = b, a
		contents, groups := transported2(t, a.Offer)
		tr := contents[0].Transport.(ice.Transport)
		tr.Fingerprints[0] = stranger.Fingerprint(ice.SetupActpass)
		contents[0].Transport = tr
		a.run()
		b.run()
		answer, groups, err := b.answer(contents, groups)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.accepted(answer, groups); err != nil {
			t.Fatal(err)
		}
		if err := <-b.ended; Reason(err).Condition != jingle.SecurityError {
			t.Errorf("b ended with %v", err)
		}
		a.cancel(errHangUp)
		<-a.ended
	})
}

func TestNoPathEndsInConnectivityError(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		short := func(c *Config) {
			c.ICE.ConnectTimeout, c.ICE.DisconnectAfter = 1500*time.Millisecond, 500*time.Millisecond
		}
		a, b := newParty(t, w, jingle.Initiator, short), newParty(t, w, jingle.Responder, nil)
		contents, groups := transported2(t, a.Offer)
		a.run() // no candidates are passed on
		answer, groups, err := b.answer(contents, groups)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.accepted(answer, groups); err != nil {
			t.Fatal(err)
		}
		err = <-a.ended
		if r := Reason(err); r.Condition != jingle.ConnectivityError || !strings.Contains(r.Text, "host") {
			t.Errorf("a ended with %v", r)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOtherCredentialsAreRefused(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, nil), newParty(t, w, jingle.Responder, nil)
		hangUp := dial(t, a, b)
		b.signal.Lock()
		err := b.Info(jingle.Content{Name: "audio", Transport: ice.Transport{Ufrag: "other", Pwd: strings.Repeat("x", 22)}})
		b.signal.Unlock()
		if !errors.Is(err, ErrRestart) {
			t.Errorf("%v", err)
		}
		await[Heard](t, a, "sound", nil)
		hangUp()
	})
}
