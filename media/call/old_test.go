package call_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
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

// talk has the two hear each other and the call end.
func (sc *scene) talk(t *testing.T, want media.Encryption) {
	t.Helper()
	in := sc.answer(t)
	for _, u := range []*user{sc.romeo, sc.juliet} {
		c := await[call.Connected](u)
		if c.Encryption != want || c.Setup == 0 {
			t.Errorf("connected: %+v", c)
		}
		// RTCP goes both ways.
		awaitThat(u, func(m call.Meter) bool { return m.Stats.RoundTrip > 0 && m.Stats.Encryption == want })
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
	}{
		{"less is accepted, but both have DTLS", media.Plain, "", nil, media.DTLS},
		{"SDES", media.SDES, "", []string{"dtls"}, media.SDES},
		{"SDES, RTCP on its own", media.Plain, "", []string{"dtls", "mux"}, media.SDES},
		{"plain", media.Plain, "", []string{"dtls", "sdes"}, media.Plain},
		{"plain, RTCP on its own", media.Plain, "", []string{"dtls", "sdes", "mux"}, media.Plain},
		{"XEP-0371", media.DTLS, ice.NSICE, nil, media.DTLS},
		{"XEP-0371, plain", media.Plain, ice.NSICE, []string{"dtls", "sdes", "mux"}, media.Plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := ring(t, least(c.least, c.transport), least(c.least, ""), lacks(c.lacks...))
				sc.talk(t, c.want)
			})
		})
	}
	for _, c := range []struct {
		name  string
		least media.Encryption
		lacks []string
		want  media.Encryption
	}{
		{"raw UDP, SDES", media.SDES, nil, media.SDES},
		{"raw UDP, plain, RTCP on its own", media.Plain, []string{"sdes", "mux"}, media.Plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := ring(t, onLoopback(c.least), onLoopback(c.least), lacks(c.lacks...))
			sc.talk(t, c.want)
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
