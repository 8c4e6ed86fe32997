package call_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/xmltree"
)

func TestCallFromRingToHangUp(t *testing.T) {
	for _, who := range []string{"caller", "callee"} {
		t.Run(who+" hangs up", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := ring(t, nil, nil, nil)
				await[call.Ringing](sc.romeo)
				in := sc.answer(t)
				c := await[call.Connected](sc.romeo)
				await[call.Connected](sc.juliet)
				if c.Setup <= 0 || c.Setup > 2*time.Second || c.Codec != "opus" || c.Pair.Relayed() {
					t.Errorf("connected: %+v", c)
				}
				t.Logf("set up in %v by %v", c.Setup, c.Pair)
				if err := sc.out.SendDTMF("123", 0); err != nil {
					t.Error(err)
				}
				if err := in.SendDTMF("#", 200*time.Millisecond); err != nil {
					t.Error(err)
				}
				awaitThat(sc.juliet, func(d call.DTMF) bool { return d.Digit == '3' })
				awaitThat(sc.romeo, func(d call.DTMF) bool { return d.Digit == '#' })
				in.Mute(true)
				awaitThat(sc.romeo, func(m call.PeerMuted) bool { return m.On })
				in.Mute(false)
				awaitThat(sc.romeo, func(m call.PeerMuted) bool { return !m.On })
				sc.out.Hold(true)
				awaitThat(sc.juliet, func(m call.PeerHeld) bool { return m.On })
				sc.out.Hold(false)
				awaitThat(sc.juliet, func(m call.PeerHeld) bool { return !m.On })
				m := await[call.Meter](sc.romeo)
				if m.Elapsed <= 0 || m.Stats.PacketsReceived == 0 {
					t.Errorf("meter: %+v", m)
				}
				time.Sleep(500 * time.Millisecond) // for some sound
				if who == "caller" {
					sc.out.HangUp(nil)
				} else {
					in.HangUp(nil)
				}
				for _, u := range []*user{sc.romeo, sc.juliet} {
					e := await[call.Ended](u)
					byPeer := (u == sc.juliet) == (who == "caller")
					if e.Reason.Condition != jingle.Success || e.ByPeer != byPeer || !e.WasConnected || e.Duration <= 0 ||
						e.Stats.PacketsSent < 20 || e.Stats.PacketsReceived < 20 {
						t.Errorf("ended: %+v", e)
					}
				}
				<-sc.out.Done()
				<-in.Done()
				heard(t, filepath.Join(sc.dir, "romeo.wav"), 1000)
				heard(t, filepath.Join(sc.dir, "juliet.ogg"), 440)
				var digits []byte
				for _, e := range sc.juliet.events {
					if d, ok := e.(call.DTMF); ok {
						digits = append(digits, d.Digit)
					}
				}
				if string(digits) != "123" {
					t.Errorf("juliet heard the keys %q", digits)
				}
				if left, _ := filepath.Glob(filepath.Join(sc.dir, "*"+audio.PartSuffix)); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

func TestEndsBeforeAnAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(out, in *call.Call)
		reason jingle.Condition
	}{
		{"decline", func(_, in *call.Call) { in.HangUp(nil) }, jingle.Decline},
		{"busy", func(_, in *call.Call) { in.HangUp(&jingle.Reason{Condition: jingle.Busy}) }, jingle.Busy},
		{"cancel", func(out, _ *call.Call) { out.HangUp(nil) }, jingle.Cancel},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := ring(t, nil, nil, nil)
				await[call.Ringing](sc.romeo)
				c.end(sc.out, <-sc.phone)
				for _, u := range []*user{sc.romeo, sc.juliet} {
					if e := await[call.Ended](u); e.Reason.Condition != c.reason || e.WasConnected {
						t.Errorf("ended: %+v", e)
					}
				}
			})
		})
	}
}

// tampered returns a ring whose session-initiate is changed on the way.
func tampered(f func(m *jingle.Message) *jingle.Message) func(jid.JID, *jingle.Message) *jingle.Message {
	return func(_ jid.JID, m *jingle.Message) *jingle.Message {
		if m.Action != jingle.SessionInitiate {
			return m
		}
		changed := *m
		changed.Contents = append([]jingle.Content(nil), m.Contents...)
		return f(&changed)
	}
}

func TestFailuresSayWhy(t *testing.T) {
	noFingerprint := tampered(func(m *jingle.Message) *jingle.Message {
		x := m.Contents[0].Transport.Element()
		var rest []xmltree.Node
		for e := range x.Elements() {
			if e.Name.Local != "fingerprint" {
				rest = append(rest, e)
			}
		}
		x.Children = rest
		m.Contents[0].Transport = jingle.Opaque{XML: x}
		return m
	})
	onlyG711 := func(c *call.Config) { c.Codecs = []*audio.Codec{audio.PCMA()} }
	onlyOpus := func(c *call.Config) { c.Codecs = []*audio.Codec{audio.Opus()} }
	for _, c := range []struct {
		name          string
		romeo, juliet func(*call.Config)
		tamper        func(jid.JID, *jingle.Message) *jingle.Message
		reason        jingle.Condition
		text          []string
	}{
		{"no common codec", onlyG711, onlyOpus, nil, jingle.FailedApplication, []string{"PCMA", "opus"}},
		{"no fingerprint", nil, nil, noFingerprint, jingle.SecurityError, []string{"fingerprint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := ring(t, c.romeo, c.juliet, c.tamper)
				e := await[call.Ended](sc.romeo)
				if e.Reason.Condition != c.reason || !e.ByPeer {
					t.Errorf("ended: %+v", e)
				}
				for _, text := range c.text {
					if !strings.Contains(e.Reason.Text, text) {
						t.Errorf("%q does not say %q", e.Reason.Text, text)
					}
				}
			})
		})
	}
}

func TestNoPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// No candidate gets through.
		short := func(c *call.Config) {
			c.ICE.ConnectTimeout, c.ICE.DisconnectAfter = 1500*time.Millisecond, 500*time.Millisecond
		}
		sc := ring(t, short, nil, func(_ jid.JID, m *jingle.Message) *jingle.Message {
			if m.Action == jingle.TransportInfo {
				return nil
			}
			changed := *m
			changed.Contents = append([]jingle.Content(nil), m.Contents...)
			for i := range changed.Contents {
				if tr := changed.Contents[i].Transport; tr != nil {
					x := tr.Element()
					var rest []xmltree.Node
					for e := range x.Elements() {
						if e.Name.Local != "candidate" {
							rest = append(rest, e)
						}
					}
					x.Children = rest
					changed.Contents[i].Transport = jingle.Opaque{XML: x}
				}
			}
			return &changed
		})
		sc.answer(t)
		for _, u := range []*user{sc.romeo, sc.juliet} {
			e := await[call.Ended](u)
			if e.Reason.Condition != jingle.ConnectivityError || !strings.Contains(e.Reason.Text, "No path") {
				t.Errorf("ended: %+v", e)
			}
		}
		if _, err := os.Stat(filepath.Join(sc.dir, "romeo.wav")); err != nil {
			t.Error(err)
		}
	})
}

// The video of an offer is taken in without using it, and one that is added later refused.
func TestVideoIsNotUsedAndAudioGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		video := jingle.Content{
			Creator: jingle.Initiator, Name: "video", Senders: jingle.SendersBoth,
			Description: rtp.Description{Media: "video", RTCPMux: true, PayloadTypes: []rtp.PayloadType{{ID: 96, Name: "VP8", Clockrate: 90000}}},
		}
		addVideo := tampered(func(m *jingle.Message) *jingle.Message {
			v := video
			v.Transport = m.Contents[0].Transport
			m.Contents = append(m.Contents, v)
			return m
		})
		sc := ring(t, nil, nil, func(from jid.JID, m *jingle.Message) *jingle.Message {
			changed := *addVideo(from, m)
			switch changed.Action {
			case jingle.SessionAccept:
				if len(m.Contents) != 2 || m.Contents[1].Senders != jingle.SendersInitiator {
					t.Errorf("answered: %s", m.Element())
				}
				fallthrough
			case jingle.TransportInfo: // romeo has offered no such thing
				changed.Contents = changed.Contents[:1]
				if changed.Contents[0].Name == video.Name {
					return nil
				}
			}
			return &changed
		})
		in := sc.answer(t)
		await[call.Connected](sc.romeo)
		await[call.Connected](sc.juliet)
		// And once more in the call.
		s := sc.out.Session()
		s.Post(func() {
			v := video
			v.Name = "video2"
			v.Transport = jingle.Opaque{XML: xmltree.New("urn:xmpp:jingle:transports:ice-udp:1", "transport")}
			if err := s.Do(&jingle.Message{Action: jingle.ContentAdd, Contents: []jingle.Content{v}}); err != nil {
				t.Error(err)
			}
		})
		deadline := time.Now().Add(5 * time.Second)
		for !sc.sent("juliet content-reject") {
			if time.Now().After(deadline) {
				t.Fatalf("no content-reject in %q", sc.log)
			}
			time.Sleep(5 * time.Millisecond)
		}
		before := sc.out.Stats().PacketsReceived
		time.Sleep(200 * time.Millisecond)
		if after := sc.out.Stats().PacketsReceived; after <= before {
			t.Error("the sound has stopped")
		}
		in.HangUp(nil)
		await[call.Ended](sc.romeo)
	})
}

func TestInformation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, nil)
		await[call.Ringing](sc.romeo)
		sc.answer(t)
		await[call.Connected](sc.juliet)
		ask := func(m *jingle.Message) *jingle.StanzaError {
			t.Helper()
			m.SID = sc.out.Session().SID()
			answer := make(chan *jingle.StanzaError, 1)
			sc.engines[juliet].Receive(romeo, m.Element(), func(se *jingle.StanzaError) { answer <- se })
			return <-answer
		}
		info := func(p ...jingle.Payload) *jingle.Message {
			return &jingle.Message{Action: jingle.SessionInfo, Info: p}
		}
		if se := ask(info()); se != nil {
			t.Errorf("a ping: %v", se)
		}
		if se := ask(info(jingle.Opaque{XML: xmltree.New("urn:x", "dance")})); !se.HasApp("unsupported-info") {
			t.Errorf("an unknown payload: %v", se)
		}
		if se := ask(info(sigdtmf.New('1', 100))); se == nil || se.Condition != "not-acceptable" {
			t.Errorf("DTMF in the signalling beside events in RTP: %v", se)
		}
		if se := ask(info(rtp.Info{Kind: rtp.InfoActive})); se != nil {
			t.Errorf("active: %v", se)
		}
		awaitThat(sc.juliet, func(h call.PeerHeld) bool { return !h.On })
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
	})
}

func TestKeysInTheSignallingForThoseWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drop := tampered(func(m *jingle.Message) *jingle.Message {
			d := m.Contents[0].Description.(rtp.Description)
			var rest []rtp.PayloadType
			for _, p := range d.PayloadTypes {
				if p.Name != "telephone-event" {
					rest = append(rest, p)
				}
			}
			d.PayloadTypes = rest
			m.Contents[0].Description = d
			return m
		})
		sc := ring(t, nil, nil, drop)
		sc.answer(t)
		await[call.Connected](sc.romeo)
		if err := sc.out.SendDTMF("42", 0); err != nil {
			t.Fatal(err)
		}
		awaitThat(sc.juliet, func(d call.DTMF) bool { return d.Digit == '4' && d.Duration == 100*time.Millisecond })
		awaitThat(sc.juliet, func(d call.DTMF) bool { return d.Digit == '2' })
		if !sc.sent("romeo session-info:dtmf") {
			t.Errorf("sent: %q", sc.log)
		}
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
	})
}

func TestCandidatesTrickleOneByOneWithCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var problems []string
		infos := 0
		sc := ring(t, nil, nil, func(from jid.JID, m *jingle.Message) *jingle.Message {
			if m.Action != jingle.TransportInfo {
				return m
			}
			mu.Lock()
			defer mu.Unlock()
			infos++
			if len(m.Contents) != 1 {
				problems = append(problems, fmt.Sprintf("%d contents", len(m.Contents)))
				return m
			}
			x := m.Contents[0].Transport.Element()
			candidates := 0
			for e := range x.Elements() {
				if e.Name.Local == "candidate" {
					candidates++
				}
			}
			if candidates != 1 || x.Attr("ufrag") == "" || x.Attr("pwd") == "" {
				problems = append(problems, x.String())
			}
			return m
		})
		sc.answer(t)
		await[call.Connected](sc.romeo)
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
		mu.Lock()
		defer mu.Unlock()
		if len(problems) > 0 || infos == 0 {
			t.Errorf("%d transport-infos: %q", infos, problems)
		}
	})
}

func TestGatherFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first *jingle.Message
		sc := ring(t, func(c *call.Config) { c.GatherFirst = true }, nil, func(from jid.JID, m *jingle.Message) *jingle.Message {
			if m.Action == jingle.SessionInitiate {
				first = m
			}
			return m
		})
		sc.answer(t)
		await[call.Connected](sc.romeo)
		if !strings.Contains(first.Element().String(), "<candidate") {
			t.Error("the session-initiate has no candidates")
		}
		if sc.sent("romeo transport-info") {
			t.Errorf("sent: %q", sc.log)
		}
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
	})
}

func TestDialWithoutRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(*engine.Session, *jingle.Message) (engine.Application, error) {
			return nil, jingle.ErrServiceUnavailable()
		})
		u := newUser(t)
		path := filepath.Join(t.TempDir(), "x.wav")
		sink, err := audio.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = call.Dial(s.engines[romeo], juliet, "", u.config(s, func(c *call.Config) { c.ICE.Policy = agent.RelayOnly }), nil, sink)
		if !errors.Is(err, agent.ErrNoRelay) {
			t.Errorf("%v", err)
		}
	})
}

func TestAnswerAfterTheCallerHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, nil)
		in := <-sc.phone
		sc.out.HangUp(nil)
		<-in.Done()
		sink, err := audio.Create(filepath.Join(sc.dir, "late.wav"))
		if err != nil {
			t.Fatal(err)
		}
		in.Answer(audio.Silence{}, sink)
		sc.calls.Wait()
		if _, err := os.Stat(filepath.Join(sc.dir, "late.wav")); err != nil {
			t.Errorf("the recording was not closed: %v", err)
		}
	})
}

func TestTheEngineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, nil)
		sc.answer(t)
		await[call.Connected](sc.romeo)
		// The cleanup stops both engines and waits for all goroutines; goleak looks after it.
	})
}

// fullDisk takes one second of sound.
type fullDisk struct{ frames int }

func (f *fullDisk) WritePCM([]float32) error {
	if f.frames++; f.frames > 50 {
		return errors.New("no space left on device")
	}
	return nil
}

func (f *fullDisk) Close() error { return nil }

func TestRecordingThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, nil)
		in := <-sc.phone
		in.Answer(nil, &fullDisk{})
		await[call.Connected](sc.romeo)
		awaitThat(sc.juliet, func(m call.Media) bool { _, ok := m.Event.(media.SinkFailed); return ok })
		before := in.Stats().PacketsReceived
		time.Sleep(time.Second)
		if in.Stats().PacketsReceived < before+40 {
			t.Error("the call did not go on")
		}
		in.HangUp(nil)
		if e := await[call.Ended](sc.juliet); e.AudioErr == nil || !strings.Contains(e.AudioErr.Error(), "no space") {
			t.Errorf("ended: %+v", e)
		}
		if e := await[call.Ended](sc.romeo); e.AudioErr != nil {
			t.Errorf("romeo's sound: %v", e.AudioErr)
		}
	})
}

func TestHangUpBeforeAnythingWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(c *call.Config) {
			c.GatherFirst = true
			c.ICE.Servers = []agent.Server{{URI: "stun:192.0.2.200:3478"}} // nobody is there
		}
		sc := ring(t, slow, nil, nil)
		sc.out.HangUp(nil)
		if e := await[call.Ended](sc.romeo); e.Reason.Condition != jingle.Cancel || e.WasConnected {
			t.Errorf("ended: %+v", e)
		}
		if len(sc.log) != 0 {
			t.Errorf("sent: %q", sc.log)
		}
	})
}

func TestGatheringIsNotWaitedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		sc := ring(t, func(c *call.Config) {
			c.GatherFirst = true
			c.ICE.Servers = []agent.Server{{URI: "stun:192.0.2.200:3478"}}
		}, nil, nil)
		await[call.Ringing](sc.romeo)
		if d := time.Since(start); d > 2100*time.Millisecond {
			t.Errorf("it rang after %v", d)
		}
		sc.answer(t)
		await[call.Connected](sc.romeo)
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
	})
}

func TestManyCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		var s *stage
		callees := make(chan *user, n)
		s = newStage(t, func(es *engine.Session, m *jingle.Message) (engine.Application, error) {
			u := newUser(t)
			c, err := call.PickUp(es, m, u.config(s, nil))
			if err != nil {
				return nil, err
			}
			c.Answer(nil, nil) // before the session-initiate is acknowledged
			callees <- u
			return c, nil
		})
		var callers []*user
		var calls []*call.Call
		for range n {
			u := newUser(t)
			c, err := call.Dial(s.engines[romeo], juliet, "", u.config(s, nil), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			callers, calls = append(callers, u), append(calls, c)
		}
		for _, u := range callers {
			await[call.Connected](u)
		}
		for range n {
			await[call.Connected](<-callees)
		}
		for i, c := range calls {
			c.HangUp(nil)
			await[call.Ended](callers[i])
			<-c.Done()
		}
		time.Sleep(time.Second)
		if a, b := s.engines[romeo].Len(), s.engines[juliet].Len(); a != 0 || b != 0 {
			t.Errorf("%d and %d sessions are left", a, b)
		}
	})
}
