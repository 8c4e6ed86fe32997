package sdp_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
	"github.com/jingled/jingled/xmltree"
)

func sample(t testing.TB, name string) *sdp.Session {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sdp.Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestChromium reads an offer of Chromium.
func TestChromium(t *testing.T) {
	s := sample(t, "chromium-offer.sdp")
	if s.ID != 4611731400430051336 || s.Version != 2 || s.Name != "" || len(s.Media) != 3 {
		t.Errorf("session %d %d %q with %d media", s.ID, s.Version, s.Name, len(s.Media))
	}
	cs, gs, err := sdp.ToJingle(s, jingle.Initiator, sdp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(gs) != 1 || strings.Join(gs[0].Contents, " ") != "0 1 2" {
		t.Errorf("groups %v", gs)
	}
	audio := cs[0].Description.(rtp.Description)
	if p := audio.PayloadTypes[0]; p.Name != "opus" || p.Clockrate != 48000 || p.Channels != 2 || len(audio.PayloadTypes) != 8 ||
		!audio.ExtmapAllowMixed || !audio.RTCPMux {
		t.Errorf("audio %+v", audio)
	}
	if v, _ := audio.Sources[0].Parameters.Get("msid"); v != "7f0a4a1e 0b3c7e7a" {
		t.Errorf("msid %q", v)
	}
	if p := audio.PayloadTypes[1].Parameters; len(p) != 1 || p[0] != (rtp.Parameter{Value: "111/111"}) {
		t.Errorf("parameters of red: %+v", p)
	}
	tr := cs[0].Transport.(ice.Transport)
	if len(tr.Candidates) != 2 || tr.Candidates[0].Network != 0 || tr.Candidates[1].Network != 2 ||
		tr.Candidates[1].RelAddr != "0.0.0.0" || tr.Fingerprints[0].Setup != ice.SetupActpass || !tr.Trickle {
		t.Errorf("transport %+v", tr)
	}
	if len(tr.Candidates) == 2 && (tr.Candidates[0].ID == "" || tr.Candidates[0].ID == tr.Candidates[1].ID) {
		t.Error("candidates without ids of their own")
	}
	if cs[1].Senders != jingle.SendersResponder {
		t.Errorf("recvonly of the initiator became %s", cs[1].Senders)
	}
	if dc := cs[2].Transport.(ice.DataChannel); dc.SCTPPort != 5000 || dc.MaxMessageSize != 262144 || dc.ICE.Ufrag != "Yb3x" {
		t.Errorf("data channel %+v", dc)
	}
	again, err := sdp.FromJingle(cs, gs, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	checkStable(t, again, jingle.Initiator)
	// Nothing of what Jingle can say is lost.
	for _, l := range lines(s.String()) {
		lossy := false
		for _, p := range []string{"o=", "a=msid-semantic", "a=extmap-allow-mixed", "a=rtcp:", "a=rtcp-rsize", "a=candidate"} {
			lossy = lossy || strings.HasPrefix(l, p)
		}
		if !lossy && missing(again.String(), l) != nil {
			t.Errorf("lost %s", l)
		}
	}
}

// TestFirefox reads an answer of Firefox, which has much in the session and braces in the msid.
func TestFirefox(t *testing.T) {
	cs, gs, err := sdp.ToJingle(sample(t, "firefox-answer.sdp"), jingle.Responder, sdp.Options{Transport: ice.NSICE})
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) != 1 || len(gs) != 1 || cs[0].Senders != jingle.SendersInitiator {
		t.Fatalf("contents %+v, groups %v", cs, gs)
	}
	tr := cs[0].Transport.(ice.Transport)
	if tr.NS != ice.NSICE || len(tr.Fingerprints) != 1 || tr.Fingerprints[0].Setup != ice.SetupActive || !tr.Trickle {
		t.Errorf("transport %+v", tr)
	}
	d := cs[0].Description.(rtp.Description)
	if v, _ := d.Sources[0].Parameters.Get("msid"); v != "4c2e4d6e-8d0c-4e0f a1b2c3d4-0000-4e0f" {
		t.Errorf("msid %q", v)
	}
	if h := d.HeaderExtensions; h[0].Senders != jingle.SendersInitiator || h[1].Senders != "" {
		t.Errorf("header extensions %+v", h)
	}
	if p := d.PayloadTypes[1].Parameters; p[0].Value != "0-15" {
		t.Errorf("parameters %+v", p)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"",
		"o=- 1 1 IN IP4 0.0.0.0\r\nv=0\r\n",
		"v=1\r\n",
		"v=0\r\nfoo\r\n",
		"v=0\r\na=x\x00y\r\n",
		"v=0\r\na=x\ry\r\n",
		"v=0\r\nm=audio 9 RTP/AVP\r\n",
		"v=0\r\nm=audio -1 RTP/AVP 0\r\n",
		"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
		"v=0\r\na=" + strings.Repeat("x", 40<<10),
		"v=0\r\n" + strings.Repeat("a=x\r\n", 20000),
		"v=0\r\n" + strings.Repeat("m=audio 9 RTP/AVP 0\r\n", 200),
		strings.Repeat("v=0\r\n", 200000),
	} {
		_, err := sdp.Parse(in)
		if _, ok := errors.AsType[*sdp.ParseError](err); !ok {
			t.Errorf("error %v, want a ParseError, for %.60q", err, in)
		}
	}
}

func TestToJingleRefuses(t *testing.T) {
	for _, in := range []string{
		"v=0\r\nm=audio 9 RTP/AVP 0\r\na=mid:a\r\nm=audio 9 RTP/AVP 0\r\na=mid:a\r\n",
		"v=0\r\nm=image 9 udptl t38\r\n",
		"v=0\r\nm=message 9 TCP/MSRP *\r\n",
	} {
		s, err := sdp.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = sdp.ToJingle(s, jingle.Initiator, sdp.Options{})
		if _, ok := errors.AsType[*sdp.Error](err); !ok {
			t.Errorf("error %v, want an Error, for %q", err, in)
		}
	}
}

func TestFromJingleRefuses(t *testing.T) {
	const pt = `<rtp:description media='audio'><rtp:payload-type id='0'/></rtp:description>`
	for _, in := range []string{
		`<content name='a'>` + pt + `<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='x'/></content>`,
		`<content name='a'>` + pt + `</content><content name='a'>` + pt + `</content>`,
		`<content name='` + strings.Repeat("x", 300) + `'>` + pt + `</content>`,
		`<content name='a'><rtp:description media='au dio'><rtp:payload-type id='0'/></rtp:description></content>`,
		`<content name='a'><rtp:description media='audio'/></content>`,
		`<content name='a'><rtp:description media='audio'><rtp:payload-type id='200' name='x'/></rtp:description></content>`,
		`<content name='a'><ice:transport/></content>`,
		`<content name='a'><description xmlns='x'/><ice:transport/></content>`,
		`<content name='a'>` + pt + `<ice:transport ufrag='a b' pwd='c'/></content>`,
		`<content name='a'>` + pt + `<ice:transport ufrag='a&#10;a=evil' pwd='c'/></content>`,
		`<content name='a'>` + pt + `<ice:transport ufrag='a'/></content>`,
	} {
		m := message(t, in)
		s, err := sdp.FromJingle(m.Contents, m.Groups, jingle.Initiator)
		if _, ok := errors.AsType[*sdp.Error](err); !ok {
			t.Errorf("error %v, want an Error, for %s:\n%v", err, in, s)
		}
	}
}

func TestCandidates(t *testing.T) {
	for in, want := range map[string]string{
		"candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host":                                                     "candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host generation 0",
		"a=candidate:1 1 UDP 2130706431 2001:DB8::1 3478 typ srflx raddr 0.0.0.0 rport 0 generation 2 foo bar\r\n": "candidate:1 1 udp 2130706431 2001:db8::1 3478 typ srflx raddr 0.0.0.0 rport 0 generation 2",
		"1 1 tcp 1 192.0.2.1 9 typ host tcptype active network-id 3":                                               "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active generation 0 network 3",
		"candidate:1 1 udp 1 x.local 9 typ host generation":                                                        "candidate:1 1 udp 1 x.local 9 typ host generation 0",
	} {
		c, err := sdp.ParseCandidate(in)
		if err != nil || sdp.CandidateLine(c) != want {
			t.Errorf("%q becomes %q, %v", in, sdp.CandidateLine(c), err)
		}
	}
	for _, in := range []string{
		"", "candidate:", "candidate:1 1 udp 1 192.0.2.1 9 host", "candidate:1 0 udp 1 192.0.2.1 9 typ host",
		"candidate:1 1 udp 4294967296 192.0.2.1 9 typ host", "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
		"candidate:1 1 udp 1 192.0.2.1 9 typ guest", "candidate:1 1 sctp 1 192.0.2.1 9 typ host",
		"candidate:1 1 udp 1 999.0.2.1 9 typ host", "candidate:1 1 tcp 1 192.0.2.1 9 typ host",
		"candidate:1 1 udp 1 192.0.2.1 9 typ host x " + strings.Repeat("y", 2000),
	} {
		if c, err := sdp.ParseCandidate(in); err == nil {
			t.Errorf("%.80q is read as %+v", in, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"chromium-offer.sdp", "firefox-answer.sdp"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("v=0\nm=audio 9/2 RTP/AVP 0 0 300\nb=AS:1\na=mid:%20\na=rtcp-fb:* trr-int 5\na=extmap:1/sendonly u a=b\na=ssrc:1 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := sdp.Parse(text)
		if err != nil {
			return
		}
		cs, gs, err := sdp.ToJingle(s, jingle.Responder, sdp.Options{})
		if err != nil {
			return
		}
		s, err = sdp.FromJingle(cs, gs, jingle.Responder)
		if err != nil {
			return
		}
		// What Jingle can say is stable from here on.
		parsed, err := sdp.Parse(s.String())
		if err != nil {
			t.Fatalf("%v in our own\n%s", err, s)
		}
		cs, gs, err = sdp.ToJingle(parsed, jingle.Responder, sdp.Options{})
		if err != nil {
			t.Fatalf("%v for our own\n%s", err, s)
		}
		again, err := sdp.FromJingle(cs, gs, jingle.Responder)
		if err != nil || again.String() != s.String() {
			t.Fatalf("%v\n%s\ncomes back as\n%s", err, s, again)
		}
	})
}

func FuzzFromJingle(f *testing.F) {
	s := sample(f, "chromium-offer.sdp")
	cs, gs, err := sdp.ToJingle(s, jingle.Initiator, sdp.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(contentXML(cs, gs).String()))
	reg := registry()
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			return
		}
		m, err := jingle.ParseMessage(e, reg)
		if err != nil {
			return
		}
		s, err := sdp.FromJingle(m.Contents, m.Groups, jingle.Initiator)
		if err != nil {
			return
		}
		parsed, err := sdp.Parse(s.String())
		if err != nil || len(parsed.Media) != len(m.Contents) {
			t.Fatalf("%v, %d contents became\n%s", err, len(m.Contents), s)
		}
	})
}

func BenchmarkFromJingle(b *testing.B) {
	cs, gs, err := sdp.ToJingle(sample(b, "chromium-offer.sdp"), jingle.Initiator, sdp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdp.FromJingle(cs, gs, jingle.Initiator); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToJingle(b *testing.B) {
	text := sample(b, "chromium-offer.sdp").String()
	b.ReportAllocs()
	for b.Loop() {
		s, err := sdp.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := sdp.ToJingle(s, jingle.Initiator, sdp.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
