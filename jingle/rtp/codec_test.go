package rtp

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return e
}

func description(t testing.TB, s string) Description {
	t.Helper()
	d, err := ParseDescription(parse(t, s))
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return d
}

func registry() *jingle.Registry {
	var r jingle.Registry
	Register(&r)
	return &r
}

// shared returns a path in the optional folder of reference material beside the project.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "..", "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no reference material: %v", err)
	}
	return path
}

var seeds = []string{
	`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' ssrc='7'>
	  <payload-type id='111' name='opus' clockrate='48000' channels='2' ptime='20' maxptime='60'>
	    <parameter name='useinbandfec' value='1'/><parameter name='0-15'/>
	    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/>
	  </payload-type>
	  <payload-type id='0'/>
	  <rtcp-mux/>
	  <encryption required='1'>
	    <crypto crypto-suite='AES_CM_128_HMAC_SHA1_80' key-params='inline:x' session-params='KDR=1' tag='1'/>
	    <zrtp-hash xmlns='urn:xmpp:jingle:apps:rtp:zrtp:1' version='1.10'>fe30</zrtp-hash>
	  </encryption>
	  <bandwidth type='AS'>128</bandwidth>
	</description>`,
	`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>
	  <category xmlns='urn:xmpp:jingle:apps:category:0' name='slides'/>
	  <payload-type id='96' name='VP8' clockrate='90000'>
	    <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'>
	      <parameter name='a' value='b'/></rtcp-fb>
	    <rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='100'/>
	  </payload-type>
	  <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>
	  <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='3' uri='urn:ietf:params:rtp-hdrext:sdes:mid' senders='initiator'/>
	  <extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>
	  <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'><parameter name='cname' value='c'/></source>
	  <ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='1'/><source ssrc='2'/></ssrc-group>
	  <stranger xmlns='urn:example:new' a='b'>text</stranger>
	</description>`,
}

// TestRoundTrip reads and writes back what peers write, in their order and with what nobody knows.
func TestRoundTrip(t *testing.T) {
	for _, in := range append([]string{
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`,
		// Children in another order than ours.
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'><rtcp-mux/>
		  <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/><payload-type id='98'>
		  <rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='0'/>
		  <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='ccm' subtype='fir'/><parameter name='a' value=''/>
		  </payload-type><stranger xmlns='x'/><payload-type id='99' name='rtx'/></description>`,
		// The same id twice, the same flag twice, a bandwidth that is no number.
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='96' name='speex'/>
		  <payload-type id='96' name='opus'/><rtcp-mux/><rtcp-mux/><bandwidth type='AS'>much</bandwidth>
		  <encryption required='false'/><encryption/></description>`,
		// A parameter without a name, a payload type over 127, a group with what is no source.
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='200' name='x'>
		  <parameter name='' value='0-15'/></payload-type>
		  <ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='SIM'><x xmlns='y'/></ssrc-group></description>`,
	}, seeds...) {
		e := parse(t, in)
		p, err := registry().Parse(e)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if _, ok := p.(Description); !ok {
			t.Errorf("%s read as %T", in, p)
		}
		if got := p.Element(); !got.Equal(e) {
			t.Errorf("read    %s\nwritten %s", e, got)
		}
	}
}

func TestFields(t *testing.T) {
	d := description(t, seeds[0])
	p := d.PayloadTypes[0]
	if p.ID != 111 || p.Name != "opus" || p.Clockrate != 48000 || p.Channels != 2 || p.PTime != 20 || p.MaxPTime != 60 {
		t.Errorf("payload type %+v", p)
	}
	if v, ok := p.Parameters.Get("useinbandfec"); v != "1" || !ok || !p.Parameters[1].NoValue {
		t.Errorf("parameters %+v", p.Parameters)
	}
	if x := d.Encryption; !x.Required || x.Cryptos[0].Suite != "AES_CM_128_HMAC_SHA1_80" || x.ZRTPHashes[0].Hash != "fe30" {
		t.Errorf("encryption %+v", x)
	}
	if d.SSRC != 7 || !d.RTCPMux || d.Bandwidths[0] != (Bandwidth{"AS", 128}) {
		t.Errorf("description %+v", d)
	}
	v := description(t, seeds[1])
	if v.Categories[0] != CategorySlides || *v.PayloadTypes[0].Feedback.TRRInt != 100 || !v.ExtmapAllowMixed ||
		v.HeaderExtensions[0].Senders != jingle.SendersInitiator || v.SSRCGroups[0].SSRCs[1] != 2 || len(v.Extra) != 1 {
		t.Errorf("description %+v", v)
	}
}

// TestChanged changes a value that was read in a foreign order: what is new must be written too.
func TestChanged(t *testing.T) {
	d := description(t, `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><rtcp-mux/><payload-type id='0'/></description>`)
	d.PayloadTypes = append(d.PayloadTypes, PayloadType{ID: 8})
	d.Bandwidths = []Bandwidth{{"AS", 64}}
	d.RTCPMux = false
	again := description(t, d.Element().String())
	if len(again.PayloadTypes) != 2 || len(again.Bandwidths) != 1 || again.RTCPMux {
		t.Errorf("written as %s", d.Element())
	}
}

func TestInfo(t *testing.T) {
	for in, want := range map[string]Info{
		`<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                 {Kind: InfoRinging},
		`<active xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                  {Kind: InfoActive},
		`<hold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                    {Kind: InfoHold},
		`<unhold xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                  {Kind: InfoUnhold},
		`<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' name='0'/>`:                           {Kind: InfoMute, Name: "0"},
		`<unmute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='responder' name='voice'/>`: {Kind: InfoUnmute, Creator: jingle.Responder, Name: "voice"},
	} {
		e := parse(t, in)
		p, err := registry().Parse(e)
		got, ok := p.(Info)
		if err != nil || !ok || got.Kind != want.Kind || got.Creator != want.Creator || got.Name != want.Name {
			t.Errorf("%s read as %+v, %v", in, p, err)
			continue
		}
		if !got.Element().Equal(e) {
			t.Errorf("%s written as %s", in, got.Element())
		}
	}
	if m := (Info{Kind: InfoMute, Name: "v"}); m.Applies("a") || !m.Applies("v") || !(Info{Kind: InfoMute}).Applies("a") {
		t.Error("a mute without a name is for all contents, one with a name for that one")
	}
}

func TestRetracted(t *testing.T) {
	e := parse(t, `<description xmlns='urn:xmpp:tmp:jingle:apps:video-rtp'><payload-type id='96' name='theora'/></description>`)
	p, err := registry().Parse(e)
	if _, ok := p.(RetractedVideo); err != nil || !ok || !p.Element().Equal(e) {
		t.Errorf("read as %T, %v", p, err)
	}
	if x := ErrUnsupportedCodecs(); x.Condition != "not-acceptable" || !x.App.Is(NSRetractedVideoErrors, "unsupported-codecs") {
		t.Errorf("answer %v", x)
	}
}

// TestHostile gives what no peer may write, or too much of it.
func TestHostile(t *testing.T) {
	wrap := func(s string) string {
		return `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>` + s + `</description>`
	}
	long := strings.Repeat("x", maxValue+1)
	for _, in := range []string{
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1'/>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media=''/>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='` + long + `'/>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' ssrc='-1'/>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' ssrc='4294967296'/>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:0' media='audio'/>`,
		wrap(`<payload-type name='opus'/>`),
		wrap(`<payload-type id='256'/>`),
		wrap(`<payload-type id='-1'/>`),
		wrap(`<payload-type id='0x10'/>`),
		wrap(`<payload-type id='1' name='` + long + `'/>`),
		wrap(`<payload-type id='1' clockrate='4294967296'/>`),
		wrap(`<payload-type id='1' channels='256'/>`),
		wrap(`<payload-type id='1'><parameter/></payload-type>`),
		wrap(`<payload-type id='1'><parameter name='` + long + `'/></payload-type>`),
		wrap(`<payload-type id='1'><parameter name='a' value='` + long + `'/></payload-type>`),
		wrap(`<encryption required='maybe'/>`),
		wrap(`<encryption><crypto tag='1'/></encryption>`),
		wrap(`<encryption><crypto tag='1' crypto-suite='x' key-params='` + long + `'/></encryption>`),
		wrap(`<encryption><zrtp-hash xmlns='urn:xmpp:jingle:apps:rtp:zrtp:1'>aa</zrtp-hash></encryption>`),
		wrap(`<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0'/>`),
		wrap(`<rtcp-fb-trr-int xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' value='-5'/>`),
		wrap(`<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='65536' uri='u'/>`),
		wrap(`<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1'/>`),
		wrap(`<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='u' senders='all'/>`),
		wrap(`<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/>`),
		wrap(`<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0'/>`),
		wrap(`<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='x'/></ssrc-group>`),
		wrap(`<category xmlns='urn:xmpp:jingle:apps:category:0'/>`),
	} {
		_, err := ParseDescription(parse(t, in))
		if _, ok := errors.AsType[*xmltree.Error](err); !ok {
			t.Errorf("error %v, want an xmltree.Error, for %.200s", err, in)
		}
	}
	for _, in := range []string{
		`<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='nobody'/>`,
		`<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' name='` + long + `'/>`,
	} {
		_, err := registry().Parse(parse(t, in))
		if _, ok := errors.AsType[*xmltree.Error](err); !ok {
			t.Errorf("error %v, want an xmltree.Error, for %.200s", err, in)
		}
	}
	// What is nested deep and unknown is kept as it is.
	deep := wrap(strings.Repeat(`<x xmlns='y'>`, 30) + strings.Repeat(`</x>`, 30))
	if e := parse(t, deep); !description(t, deep).Element().Equal(e) {
		t.Error("deep nesting is not written back")
	}
}

// TestNoKeyInLogs prints an encryption in the ways that logs do.
func TestNoKeyInLogs(t *testing.T) {
	d := description(t, `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><encryption>
	  <crypto crypto-suite='S' key-params='inline:SECRET' tag='1'/></encryption></description>`)
	c := d.Encryption.Cryptos[0]
	if s := c.String() + c.GoString(); strings.Contains(s, "SECRET") || !strings.Contains(s, "S") {
		t.Errorf("printed as %s", s)
	}
}

// payloads returns the elements in e, itself included, that this package has codecs for.
func payloads(e *xmltree.Element) []*xmltree.Element {
	if e.Name.Space == NS && e.Name.Local == "description" || e.Name.Space == NSInfo || e.Is(NSRetractedVideo, "description") {
		return []*xmltree.Element{e}
	}
	var out []*xmltree.Element
	for c := range e.Elements() {
		out = append(out, payloads(c)...)
	}
	return out
}

// TestCorpus writes back every description and session-info payload in the examples of all XEPs.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t, "corpus"), "*", "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	reg, n := registry(), 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			continue // not well-formed, or a fragment
		}
		for _, x := range payloads(e) {
			n++
			p, err := reg.Parse(x)
			if err != nil {
				t.Errorf("%s: %v", f, err)
			} else if !p.Element().Equal(x) {
				t.Errorf("%s:\nread    %s\nwritten %s", f, x, p.Element())
			}
		}
	}
	t.Logf("%d payloads in %d files", n, len(files))
	if n < 80 {
		t.Errorf("only %d payloads found", n)
	}
}

// TestTranscripts does the same with stanzas that clients sent.
func TestTranscripts(t *testing.T) {
	reg, n := registry(), 0
	for _, e := range transcripts(t) {
		for _, x := range payloads(e) {
			n++
			p, err := reg.Parse(x)
			if err != nil {
				t.Errorf("%v: %s", err, x)
			} else if !p.Element().Equal(x) {
				t.Errorf("read    %s\nwritten %s", x, p.Element())
			}
		}
	}
	t.Logf("%d payloads", n)
	if n < 10 {
		t.Errorf("only %d payloads found", n)
	}
}

var stanzaLine = regexp.MustCompile(`(?m)^\S+ [<>] (<.*>)$`)

// transcripts returns the stanzas that were captured between clients.
func transcripts(t testing.TB) []*xmltree.Element {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t, "transcripts"), "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*xmltree.Element
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range stanzaLine.FindAllSubmatch(b, -1) {
			if e, err := xmltree.Parse(m[1], xmltree.Limits{}); err == nil {
				out = append(out, e)
			}
		}
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(`<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1' creator='responder' name='voice'/>`))
	reg := registry()
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			return
		}
		p, err := reg.Parse(e)
		if err != nil {
			if _, ok := errors.AsType[*xmltree.Error](err); !ok {
				t.Fatalf("error %T: %v", err, err)
			}
			return
		}
		again, err := reg.Parse(p.Element())
		if err != nil || !again.Element().Equal(p.Element()) {
			t.Fatalf("%s does not survive: %v", p.Element(), err)
		}
		if d, ok := p.(Description); ok {
			// Negotiation takes whatever a peer sends.
			_, _ = Answer(d, audio())
			_, _ = Complete(audio().Offer(), d, audio())
			_, _ = Merge(d, d)
		}
	})
}
