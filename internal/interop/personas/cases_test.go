package personas

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/xmpp"
)

// scene is one call between the daemon and a persona.
type scene struct {
	*peer
	t      *testing.T
	us     *ours.Side
	srv    *xmppserver.Server
	record string
	offer  *jingle.Message // ours
	video  uint8           // VP8 in our answer
	// allowed is set if the configuration lets calls with the client be.
	allowed bool
}

// newScene is one for which calls with the client are allowed.
func newScene(t *testing.T, p *persona) *scene {
	t.Helper()
	return newSceneWith(t, p, p.least())
}

func newSceneWith(t *testing.T, p *persona, least media.Encryption) *scene {
	t.Helper()
	w := newWire()
	w.old = p.old()
	srv := testkit.Embedded(t, xmppserver.Config{
		Accounts: map[string]string{ourUser: "secret", "romeo": "secret"}, AllowPlain: true, Tap: w.tap,
	})
	if err := srv.Befriend(ourUser, "romeo"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, problem := range w.problems {
			t.Errorf("on the wire: %s", problem)
		}
		if t.Failed() {
			t.Logf("stanzas:\n%s", strings.Join(w.log, "\n"))
		}
	})
	account := daemon.Account{JID: jid.JID(ourUser + "@" + srv.Domain()), Password: func() (string, error) { return "secret", nil },
		Resource: ourDevice, Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback, FailFast: true}
	s := &scene{t: t, srv: srv, allowed: least == p.least(), record: filepath.Join(t.TempDir(), "heard.wav")}
	s.us = ours.Run(t, daemon.Config{Accounts: []daemon.Account{account}, Loopback: true, CallEncryption: least})
	s.peer = login(t, p, srv, "romeo", "phone")
	s.peer.us = jid.JID(s.us.JID(t))
	s.peer.eventually("sees us", func() bool { return len(s.client.Resources(s.peer.us.Bare())) > 0 })
	s.us.Meets(t, s.client.Account().String())
	return s
}

// callOut calls the persona, up to what rings there.
func (s *scene) callOut() {
	s.t.Helper()
	s.sid = s.us.Call(s.t, s.client.Account().String(), s.record)
	if !s.p.jmi {
		s.offer = s.await("session-initiate").jingle
		s.send("ringing-info")
		return
	}
	m := s.await("propose")
	s.send("receipt", func(d *script) { d.ReceiptFor = m.stanza.Attr("id") })
	s.send("ringing")
}

// pickUp answers at the persona.
func (s *scene) pickUp() {
	s.t.Helper()
	if s.p.jmi {
		s.send("own-accept")
		s.send("proceed")
		s.offer = s.await("session-initiate").jingle
	}
	s.prepare(s.offer)
	s.send("session-accept")
	s.trickle()
}

// callIn calls us, up to what rings here.
func (s *scene) callIn(kinds ...string) {
	s.t.Helper()
	s.sid = "5e3fc2a1-9d0a-4f0c-8a55-" + fmt.Sprintf("%012x", s.ids+1)
	s.ids++
	s.prepare(nil, kinds...)
	if s.p.jmi {
		s.send("propose")
		if s.us.Incoming(s.t, s.sid).GetVideo() != (len(kinds) > 1) {
			s.t.Error("the wish for video is not told")
		}
		s.await("ringing")
		return
	}
	s.send("session-initiate")
	if s.allowed {
		s.us.Incoming(s.t, s.sid)
		s.await("session-info") // ringing
	}
}

// answer takes its call here.
func (s *scene) answer() {
	s.t.Helper()
	s.us.Answer(s.t, s.sid, s.record)
	if s.p.jmi {
		s.await("proceed")
		s.send("session-initiate")
	}
	m := s.await("session-accept").jingle
	if c := picturesOf(m); c != nil && s.us.Film != "" {
		s.video = vp8(s.t, c.Description)
	}
	s.accepted(m)
	s.trickle()
}

// talk waits until both hear each other.
func (s *scene) talk() {
	s.t.Helper()
	s.us.Connected(s.t, s.sid)
	s.heard.Store(0)
	s.wantTone()
	ours.Hears(s.t, s.record, theirTone)
}

// bye lets the persona hang up.
func (s *scene) bye() {
	s.t.Helper()
	s.send("terminate")
	s.send("finish")
	s.us.WantEnd(s.t, s.sid, "success", true)
	ours.WantTone(s.t, s.record, theirTone)
}

// hangUp ends the call here.
func (s *scene) hangUp(reason string) {
	s.t.Helper()
	s.us.End(s.t, s.sid, reason)
	s.us.Ended(s.t, s.sid)
}

// wantTerminate waits for our session-terminate, and finish if the call was proposed.
func (s *scene) wantTerminate(reason jingle.Condition) {
	s.t.Helper()
	if m := s.await("session-terminate").jingle; m.Reason.Condition != reason {
		s.t.Errorf("terminated: %v", m.Reason)
	}
	if s.p.jmi {
		s.await("finish")
	}
}

// verdict is what stands in the table.
type verdict string

const (
	works   verdict = "yes"
	allowed verdict = "if allowed" // by call_encryption
	failed  verdict = "no"
	absent  verdict = "–" // the client has no such thing
)

// testCase is a column of the table.
type testCase struct {
	name string
	// what happens, for the document
	what string
	// needs is a stanza that a client must have for the case to be there.
	needs string
	run   func(s *scene)
}

var cases = slices.Concat(callCases, videoCases)

var callCases = []testCase{
	{"we call", "we call, they answer, we hear each other, they hang up", "", func(s *scene) {
		s.callOut()
		s.pickUp()
		s.talk()
		s.bye()
	}},
	{"they call", "they call, we answer, we hear each other, we hang up", "", func(s *scene) {
		s.callIn("audio")
		s.answer()
		s.talk()
		s.hangUp("")
		s.wantTerminate(jingle.Success)
		ours.WantTone(s.t, s.record, theirTone)
	}},
	{"we cancel", "we give up while it rings", "", func(s *scene) {
		s.callOut()
		s.hangUp("")
		if s.p.jmi {
			s.await("retract")
			return
		}
		s.wantTerminate(jingle.Cancel)
	}},
	{"they cancel", "they give up while it rings", "", func(s *scene) {
		s.callIn("audio")
		if !s.send("retract") {
			s.send("terminate", because("cancel"))
		}
		s.us.WantEnd(s.t, s.sid, "cancel", true)
	}},
	{"we decline", "we decline", "", func(s *scene) {
		s.callIn("audio")
		s.hangUp("")
		if s.p.jmi {
			s.await("reject")
			return
		}
		s.wantTerminate(jingle.Decline)
	}},
	{"they decline", "they decline", "", func(s *scene) {
		s.callOut()
		reason := "busy" // XEP-0353 section 3.5: what a reject without a reason means
		if s.send("own-reject"); !s.send("reject") {
			reason = "decline"
			s.send("terminate", because(reason))
		}
		s.us.WantEnd(s.t, s.sid, reason, true)
	}},
	{"we are busy", "we say busy", "", func(s *scene) {
		s.callIn("audio")
		s.hangUp("busy")
		if !s.p.jmi {
			s.wantTerminate(jingle.Busy)
			return
		}
		if r := s.await("reject").jmi.Reason; r.Condition != jingle.Busy {
			s.t.Errorf("rejected: %v", r)
		}
	}},
	{"mute", "they mute, and we know", "mute", func(s *scene) {
		s.callOut()
		s.pickUp()
		s.talk()
		s.send("mute", func(d *script) { d.medium = s.media[0] })
		s.us.Await(s.t, s.sid, "mute", func(e *jingledv1.Event) bool { return e.GetCallPeerState().GetMuted() })
		s.bye()
	}},
	{"a call with video", "they call with video: it goes on with sound, and we send none", "", func(s *scene) {
		s.callIn("audio", "video")
		s.answer()
		s.talk()
		// Where video has a transport of its own, that connects as well.
		want := int32(1)
		if !s.p.bundle {
			want = 2
		}
		s.eventually("connects everything", func() bool { return s.ready.Load() == want })
		s.bye()
	}},
	{"video added", "they add video to a call: it is refused, and the sound goes on", "content-add", func(s *scene) {
		s.callOut()
		s.pickUp()
		s.talk()
		s.send("content-add", func(d *script) { d.medium = s.media[0] })
		if m := s.await("content-reject").jingle; m.Reason == nil || m.Reason.Text == "" {
			s.t.Errorf("rejected without a word: %v", m.Element())
		}
		s.talk()
		s.bye()
	}},
	{"ICE restart", "they restart ICE: the path changes, the sound goes on", "restart", func(s *scene) {
		s.callIn("audio")
		s.answer()
		s.talk()
		s.restart()
		s.talk()
		s.bye()
	}},
	{"odd end", "they end with a reason that is none", "broken", func(s *scene) {
		s.callOut()
		s.pickUp()
		s.talk()
		s.send("broken")
		if e := s.us.Ended(s.t, s.sid); !e.GetByPeer() {
			s.t.Errorf("ended: %v", e)
		}
	}},
}

func (s *scene) wantRefusal() {
	s.t.Helper()
	m := s.await("session-terminate").jingle
	if m.Reason.Condition != jingle.SecurityError || !strings.Contains(m.Reason.Text, "encrypt") {
		s.t.Errorf("refused: %v", m.Reason)
	}
	s.t.Logf("refused: %v", m.Reason)
}

func TestCalls(t *testing.T) {
	all := personas(t)
	var mu sync.Mutex
	table := make(map[string]map[string]verdict)
	t.Run("clients", func(t *testing.T) {
		for _, p := range all {
			table[p.name] = make(map[string]verdict)
			for _, c := range cases {
				run, v := c.run, works
				if p.old() {
					v = allowed
				}
				if c.needs != "" && p.stanzas[c.needs] == nil || isVideoCase(c.name) && p.old() {
					table[p.name][c.name] = absent
					continue
				}
				t.Run(p.name+", "+c.name, func(t *testing.T) {
					t.Parallel()
					t.Cleanup(func() {
						mu.Lock()
						defer mu.Unlock()
						if table[p.name][c.name] = v; t.Failed() {
							table[p.name][c.name] = failed
						}
					})
					run(newScene(t, p))
				})
			}
		}
	})
	checkDocument(t, all, table)
}
