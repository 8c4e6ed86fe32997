package sdp_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
	"github.com/jingled/jingled/xmltree"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	rtp.Register(&r)
	ice.Register(&r)
	return &r
}

func parseXML(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return e
}

// message reads the inside of a <jingle/>, with short prefixes for the namespaces.
func message(t testing.TB, inside string) *jingle.Message {
	t.Helper()
	e := parseXML(t, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'
	  xmlns:rtp='urn:xmpp:jingle:apps:rtp:1' xmlns:fb='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' xmlns:cat='urn:xmpp:jingle:apps:category:0'
	  xmlns:ext='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' xmlns:ssma='urn:xmpp:jingle:apps:rtp:ssma:0' xmlns:z='urn:xmpp:jingle:apps:rtp:zrtp:1'
	  xmlns:ice='urn:xmpp:jingle:transports:ice-udp:1' xmlns:dtls='urn:xmpp:jingle:apps:dtls:0' xmlns:g='urn:xmpp:jingle:apps:grouping:0'
	  xmlns:dc='urn:xmpp:jingle:transports:webrtc-datachannel:1' xmlns:sctp='urn:xmpp:jingle:transports:dtls-sctp:1'>`+inside+`</jingle>`)
	m, err := jingle.ParseMessage(e, registry())
	if err != nil {
		t.Fatalf("%v in %s", err, inside)
	}
	return m
}

func lines(text string) []string {
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")), "\n")
}

// has reports those of the lines that text does not have.
func missing(text string, want ...string) []string {
	have := map[string]bool{}
	for _, l := range lines(text) {
		have[l] = true
	}
	var out []string
	for _, w := range want {
		if !have[w] {
			out = append(out, w)
		}
	}
	return out
}

// contentXML returns contents and groups as XML, to compare them by what they say.
func contentXML(cs []jingle.Content, gs []jingle.Group) *xmltree.Element {
	m := jingle.Message{Action: jingle.SessionInitiate, SID: "s", Contents: cs, Groups: gs}
	return m.Element()
}

// TestMapping holds the mappings that the texts give, both ways: one content in Jingle, and the lines of its media
// description.
func TestMapping(t *testing.T) {
	const tr = `<ice:transport/>`
	for _, c := range []struct {
		name, description string
		lines             []string
	}{
		{"XEP-0167 section 6, static", `<rtp:description media='audio'><rtp:payload-type id='13' name='CN' clockrate='8000'/></rtp:description>`,
			[]string{"m=audio 9 RTP/AVP 13", "a=rtpmap:13 CN/8000"}},
		{"XEP-0167 section 6, dynamic", `<rtp:description media='audio'><rtp:payload-type id='96' name='speex' clockrate='16000' ptime='40'>
			<rtp:parameter name='vbr' value='on'/><rtp:parameter name='cng' value='on'/></rtp:payload-type></rtp:description>`,
			[]string{"m=audio 9 RTP/AVP 96", "a=rtpmap:96 speex/16000", "a=ptime:40", "a=fmtp:96 vbr=on;cng=on"}},
		{"XEP-0167 section 6, video and bandwidth", `<rtp:description media='video'><rtp:payload-type id='98' name='theora' clockrate='90000'>
			<rtp:parameter name='height' value='600'/><rtp:parameter name='sampling' value='YCbCr-4:2:2'/></rtp:payload-type>
			<rtp:bandwidth type='AS'>128</rtp:bandwidth></rtp:description>`,
			[]string{"m=video 9 RTP/AVP 98", "b=AS:128", "a=rtpmap:98 theora/90000", "a=fmtp:98 height=600;sampling=YCbCr-4:2:2"}},
		{"XEP-0167 section 7", `<rtp:description media='audio'><rtp:payload-type id='0' name='PCMU' clockrate='8000'/><rtp:encryption>
			<rtp:crypto crypto-suite='AES_CM_128_HMAC_SHA1_80' key-params='inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32'
			session-params='KDR=1 UNENCRYPTED_SRTCP' tag='1'/></rtp:encryption></rtp:description>`,
			[]string{"m=audio 9 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32 KDR=1 UNENCRYPTED_SRTCP"}},
		{"channels, odd parameters and rtcp-mux", `<rtp:description media='audio'><rtp:payload-type id='111' name='opus' clockrate='48000' channels='2'/>
			<rtp:payload-type id='110' name='telephone-event' clockrate='48000'><rtp:parameter name='' value='0-15'/></rtp:payload-type>
			<rtp:payload-type id='63' name='red' clockrate='48000' channels='2'><rtp:parameter name='' value='111/111'/></rtp:payload-type>
			<rtp:rtcp-mux/></rtp:description>`,
			[]string{"m=audio 9 RTP/AVP 111 110 63", "a=rtpmap:111 opus/48000/2", "a=fmtp:110 0-15", "a=fmtp:63 111/111", "a=rtcp-mux"}},
		{"XEP-0262", `<rtp:description media='audio'><rtp:payload-type id='0' name='PCMU' clockrate='8000'/><rtp:encryption>
			<z:zrtp-hash version='1.10'>fe30efd0</z:zrtp-hash></rtp:encryption></rtp:description>`,
			[]string{"a=zrtp-hash:1.10 fe30efd0", "m=audio 9 RTP/AVP 0"}},
		{"XEP-0293 section 5", `<rtp:description media='video'><rtp:payload-type id='98' name='H263-1998' clockrate='90000'>
			<fb:rtcp-fb type='nack' subtype='rpsi'/><fb:rtcp-fb-trr-int value='100'/></rtp:payload-type>
			<rtp:payload-type id='99' name='H261' clockrate='90000'><fb:rtcp-fb type='ccm' subtype='tmmbr'><fb:parameter name='smaxpr' value='120'/></fb:rtcp-fb>
			</rtp:payload-type><fb:rtcp-fb type='nack'/></rtp:description>`,
			[]string{"m=video 9 RTP/AVPF 98 99", "a=rtcp-fb:* nack", "a=rtcp-fb:98 nack rpsi", "a=rtcp-fb:98 trr-int 100", "a=rtcp-fb:99 ccm tmmbr smaxpr=120"}},
		{"XEP-0294 section 5", `<rtp:description media='video'><rtp:payload-type id='96' name='VP8' clockrate='90000'/>
			<ext:rtp-hdrext id='1' uri='URI-toffset'/><ext:rtp-hdrext id='2' uri='URI-gps-string' senders='responder'/>
			<ext:rtp-hdrext id='3' uri='URI-frametype'><ext:parameter name='a' value='b'/><ext:parameter name='short' value=''/></ext:rtp-hdrext>
			<ext:rtp-hdrext id='4' uri='u:4' senders='initiator'/><ext:rtp-hdrext id='5' uri='u:5' senders='none'/>
			<ext:extmap-allow-mixed/></rtp:description>`,
			[]string{"a=extmap:1 URI-toffset", "a=extmap:2/recvonly URI-gps-string", "a=extmap:3 URI-frametype a=b short",
				"a=extmap:4/sendonly u:4", "a=extmap:5/inactive u:5", "a=extmap-allow-mixed"}},
		{"XEP-0339 section 3", `<rtp:description media='video'><rtp:payload-type id='100' name='VP8' clockrate='90000'/>
			<ssma:source ssrc='2301230316'><ssma:parameter name='cname' value='T5qvrIZj42v//eYQ'/><ssma:parameter name='msid' value='a b'/></ssma:source>
			<ssma:source ssrc='386328120'><ssma:parameter name='cname' value='x:y'/><ssma:parameter name='msid' value='a b'/></ssma:source>
			<ssma:ssrc-group semantics='FID'><ssma:source ssrc='2301230316'/><ssma:source ssrc='386328120'/></ssma:ssrc-group></rtp:description>`,
			[]string{"a=ssrc-group:FID 2301230316 386328120", "a=ssrc:2301230316 cname:T5qvrIZj42v//eYQ", "a=ssrc:2301230316 msid:a b",
				"a=ssrc:386328120 cname:x:y", "a=msid:a b"}},
		{"XEP-0507 section 3", `<rtp:description media='video'><cat:category name='slides'/><cat:category name='alt'/>
			<rtp:payload-type id='31' name='H261' clockrate='90000'/></rtp:description>`,
			[]string{"a=content:slides,alt"}},
	} {
		m := message(t, `<content creator='initiator' name='voice' senders='both'>`+c.description+tr+`</content>`)
		s, err := sdp.FromJingle(m.Contents, nil, jingle.Initiator)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text := s.String()
		if l := missing(text, append(c.lines, "a=mid:voice", "a=sendrecv")...); l != nil {
			t.Errorf("%s: no line %q in\n%s", c.name, l, text)
		}
		parsed, err := sdp.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cs, gs, err := sdp.ToJingle(parsed, jingle.Initiator, sdp.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		// Jingle always trickles, which SDP says and our sample does not.
		tr := m.Contents[0].Transport.(ice.Transport)
		tr.Trickle = true
		m.Contents[0].Transport = tr
		if got, want := contentXML(cs, gs), contentXML(m.Contents, nil); !got.Equal(want) {
			t.Errorf("%s: becomes\n%s\nwas\n%s", c.name, got, want)
		}
	}
}

// TestTransport holds XEP-0176 section 5.3, XEP-0320 section 1 and XEP-0338 section 2.
func TestTransport(t *testing.T) {
	m := message(t, `<content creator='initiator' name='audio' senders='both'><rtp:description media='audio'>
	  <rtp:payload-type id='0'/><rtp:rtcp-mux/></rtp:description>
	  <ice:transport pwd='asd88fgpdd777uzjYhagZg' ufrag='8hhy'>
	  <dtls:fingerprint hash='sha-256' setup='actpass'>02:1a:CC:54</dtls:fingerprint>
	  <ice:candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='10.0.1.1' network='1' port='8998'
	    priority='2130706431' protocol='udp' type='host'/>
	  <ice:candidate component='1' foundation='2' generation='0' id='y3s2b30v3r' ip='192.0.2.3' network='1' port='45664'
	    priority='1694498815' protocol='udp' rel-addr='10.0.1.1' rel_port='8998' type='srflx'/>
	  <ice:candidate component='2' foundation='2' id='z' ip='192.0.2.3' port='45665' priority='1694498814' protocol='udp' type='host'/>
	  <ice:candidate component='1' foundation='3' id='bad' ip='999.1.1.1' port='1' priority='1' protocol='udp' type='host'/>
	  </ice:transport></content>
	  <content creator='initiator' name='video'><rtp:description media='video'><rtp:payload-type id='96' name='VP8'/></rtp:description>
	  <ice:transport/></content>
	  <g:group semantics='BUNDLE'><g:content name='audio'/><g:content name='video'/><g:content name='gone'/></g:group>`)
	s, err := sdp.FromJingle(m.Contents, m.Groups, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	text := s.String()
	if l := missing(text, "a=group:BUNDLE audio video", "a=ice-ufrag:8hhy", "a=ice-pwd:asd88fgpdd777uzjYhagZg", "a=ice-options:trickle",
		"a=fingerprint:sha-256 02:1A:CC:54", "a=setup:actpass", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "m=video 9 UDP/TLS/RTP/SAVPF 96",
		"a=rtpmap:96 VP8/90000", "a=rtpmap:0 PCMU/8000",
		"a=candidate:1 1 udp 2130706431 10.0.1.1 8998 typ host generation 0 network 1",
		"a=candidate:2 1 udp 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998 generation 0 network 1"); l != nil {
		t.Errorf("no line %q in\n%s", l, text)
	}
	for what, n := range map[string]int{
		"a=candidate": 2, // not that of RTCP, nor the broken one
		"a=rtcp-mux":  2, // a bundle implies it
		"a=ice-ufrag": 2, // an empty transport goes along with the bundle
		"a=setup":     2,
	} {
		if got := strings.Count(text, what); got != n {
			t.Errorf("%d times %s, want %d, in\n%s", got, what, n, text)
		}
	}
	// Without rtcp-mux the candidates of RTCP are there.
	d := m.Contents[0].Description.(rtp.Description)
	d.RTCPMux = false
	m.Contents[0].Description = d
	s, err = sdp.FromJingle(m.Contents[:1], nil, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	if text := s.String(); strings.Count(text, "a=candidate") != 3 || strings.Contains(text, "a=group") {
		t.Errorf("want three candidates and no group in\n%s", text)
	}
}

func TestSenders(t *testing.T) {
	for _, c := range []struct {
		senders jingle.Senders
		from    jingle.Role
		want    string
	}{
		{"", jingle.Initiator, "sendrecv"},
		{jingle.SendersBoth, jingle.Responder, "sendrecv"},
		{jingle.SendersInitiator, jingle.Initiator, "sendonly"},
		{jingle.SendersInitiator, jingle.Responder, "recvonly"},
		{jingle.SendersResponder, jingle.Initiator, "recvonly"},
		{jingle.SendersResponder, jingle.Responder, "sendonly"},
		{jingle.SendersNone, jingle.Initiator, "inactive"},
	} {
		cs := []jingle.Content{{Name: "a", Senders: c.senders, Description: rtp.Description{Media: "audio", PayloadTypes: []rtp.PayloadType{{ID: 0}}}}}
		s, err := sdp.FromJingle(cs, nil, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if l := missing(s.String(), "a="+c.want); l != nil {
			t.Errorf("senders %q of the %s: no %q", c.senders, c.from, l)
		}
		back, _, err := sdp.ToJingle(s, c.from, sdp.Options{})
		if want := c.senders; err != nil || back[0].Senders != want && (want != "" || back[0].Senders != jingle.SendersBoth) {
			t.Errorf("senders %q of the %s come back as %q, %v", c.senders, c.from, back[0].Senders, err)
		}
	}
}

func TestDataChannel(t *testing.T) {
	const inner = `<ice:transport ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'><dtls:fingerprint hash='sha-256' setup='actpass'>02:1A</dtls:fingerprint>`
	for _, c := range []struct {
		name, transport string
		o               sdp.Options
		lines           []string
	}{
		{"a transport of its own", `<dc:transport sctp-port='5001' max-message-size='262144'>` + inner + `</ice:transport></dc:transport>`, sdp.Options{},
			[]string{"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5001", "a=max-message-size:262144", "a=mid:f", "a=ice-ufrag:8hhy"}},
		{"XEP-0343", inner + `<sctp:sctpmap number='5000' protocol='webrtc-datachannel'/></ice:transport>`, sdp.Options{Channel: ice.NSSCTP},
			[]string{"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000", "a=setup:actpass"}},
	} {
		m := message(t, `<content creator='initiator' name='f' senders='both'>`+c.transport+`</content>`)
		s, err := sdp.FromJingle(m.Contents, nil, jingle.Initiator)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if l := missing(s.String(), c.lines...); l != nil {
			t.Errorf("%s: no line %q in\n%s", c.name, l, s)
		}
		cs, _, err := sdp.ToJingle(s, jingle.Initiator, c.o)
		if err != nil || len(cs) != 1 || cs[0].Description != nil {
			t.Errorf("%s: %v, %+v", c.name, err, cs)
			continue
		}
		again, err := sdp.FromJingle(cs, nil, jingle.Initiator)
		if err != nil || again.String() != s.String() {
			t.Errorf("%s: %v\n%s", c.name, err, again)
		}
		if got := cs[0].Transport.Element().Name.Space; got != m.Contents[0].Transport.Element().Name.Space {
			t.Errorf("%s: namespace %s", c.name, got)
		}
	}
	// The form of old drafts.
	s, err := sdp.Parse("v=0\r\nm=application 9 DTLS/SCTP 5009\r\na=mid:d\r\na=sctpmap:5009 webrtc-datachannel 1024\r\n")
	if err != nil {
		t.Fatal(err)
	}
	cs, _, err := sdp.ToJingle(s, jingle.Initiator, sdp.Options{})
	if dc, ok := cs[0].Transport.(ice.DataChannel); err != nil || !ok || dc.SCTPPort != 5009 {
		t.Errorf("%+v, %v", cs, err)
	}
}

func TestReject(t *testing.T) {
	s, err := sdp.Parse("v=0\r\na=group:BUNDLE a b c\r\nm=audio 9 RTP/AVP 0\r\na=mid:a\r\nm=video 9 RTP/AVP 31\r\na=mid:b\r\n" +
		"m=video 0 RTP/AVP 31\r\na=mid:c\r\na=bundle-only\r\n")
	if err != nil {
		t.Fatal(err)
	}
	s.Media[1] = s.Media[1].Reject()
	if l := missing(s.String(), "m=video 0 RTP/AVP 31", "a=mid:b", "a=inactive"); l != nil {
		t.Errorf("no line %q in\n%s", l, s)
	}
	cs, gs, err := sdp.ToJingle(s, jingle.Initiator, sdp.Options{})
	if err != nil || len(cs) != 2 || cs[1].Name != "c" || len(gs) != 1 || strings.Join(gs[0].Contents, " ") != "a c" {
		t.Errorf("contents %+v, groups %v, %v", cs, gs, err)
	}
}

func TestAlign(t *testing.T) {
	read := func(mids string) *sdp.Session {
		text := "v=0\r\n"
		for mid := range strings.FieldsSeq(mids) {
			text += "m=audio 9 RTP/AVP 0\r\na=mid:" + mid + "\r\n"
		}
		s, err := sdp.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct{ now, before, want string }{
		{"a b", "a b", "a b"},
		{"b a", "a b", "a b"},
		{"b", "a b c", "-a b -c"},
		{"d b", "a b", "-a b d"},
		{"a", "", "a"},
		{"", "a", "-a"},
	} {
		var got []string
		for _, m := range read(c.now).Align(read(c.before)).Media {
			mid := m.MID()
			if m.Rejected() {
				mid = "-" + mid
			}
			got = append(got, mid)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%q after %q is %q, want %q", c.now, c.before, g, c.want)
		}
	}
}

// TestNames gives contents names that are no tokens.
func TestNames(t *testing.T) {
	for _, name := range []string{"audio", "0", "my voice", "a%20b", "50%", "ünïcode", "a:b\r\na=evil", "%zz", "a%41"} {
		cs := []jingle.Content{{Name: name, Description: rtp.Description{Media: "audio", PayloadTypes: []rtp.PayloadType{{ID: 0}}}}}
		s, err := sdp.FromJingle(cs, []jingle.Group{{Semantics: "BUNDLE", Contents: []string{name}}}, jingle.Initiator)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		parsed, err := sdp.Parse(s.String())
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		back, gs, err := sdp.ToJingle(parsed, jingle.Initiator, sdp.Options{})
		if err != nil || len(back) != 1 || back[0].Name != name || gs[0].Contents[0] != name {
			t.Errorf("%q comes back as %+v, %v, %v", name, back, gs, err)
		}
	}
}

var stanzaLine = regexp.MustCompile(`(?m)^\S+ [<>] (<.*>)$`)

// TestTranscripts translates the sessions that real clients set up, to SDP and back.
func TestTranscripts(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "transcripts")
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(files) == 0 {
		t.Skip("no transcripts of clients here")
	}
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range stanzaLine.FindAllSubmatch(b, -1) {
			e, err := xmltree.Parse(match[1], xmltree.Limits{})
			if err != nil {
				continue
			}
			j := e.Child(jingle.NS, "jingle")
			if j == nil {
				continue
			}
			m, err := jingle.ParseMessage(j, registry())
			if err != nil || m.Action != jingle.SessionInitiate && m.Action != jingle.SessionAccept {
				continue
			}
			from := jingle.Initiator
			if m.Action == jingle.SessionAccept {
				from = jingle.Responder
			}
			s, err := sdp.FromJingle(m.Contents, m.Groups, from)
			if err != nil {
				t.Logf("%s: %s: %v", filepath.Base(f), m.Action, err) // files by S5B and IBB
				continue
			}
			n++
			checkStable(t, s, from)
		}
	}
	t.Logf("%d descriptions", n)
	if n < 4 {
		t.Errorf("only %d descriptions found", n)
	}
}

// checkStable translates an SDP to Jingle and back: the text must stay the same.
func checkStable(t testing.TB, s *sdp.Session, from jingle.Role) {
	t.Helper()
	text := s.String()
	parsed, err := sdp.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	cs, gs, err := sdp.ToJingle(parsed, from, sdp.Options{})
	if err != nil {
		t.Fatalf("%v for\n%s", err, text)
	}
	// As it would travel.
	m, err := jingle.ParseMessage(parseXML(t, contentXML(cs, gs).String()), registry())
	if err != nil {
		t.Fatal(err)
	}
	again, err := sdp.FromJingle(m.Contents, m.Groups, from)
	if err != nil {
		t.Fatal(err)
	}
	got := again.String()
	if got == text {
		return
	}
	t.Fatalf("lost %q, new %q, by way of\n%s", missing(got, lines(text)...), missing(text, lines(got)...), contentXML(cs, gs))
}
