package rtp

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func audio() Capabilities {
	return Capabilities{
		Media: "audio",
		PayloadTypes: []PayloadType{
			{ID: 111, Name: "opus", Clockrate: 48000, Channels: 2, Parameters: Parameters{{Name: "useinbandfec", Value: "1"}}},
			{ID: 0, Name: "PCMU", Clockrate: 8000},
			{ID: 101, Name: "telephone-event", Clockrate: 48000},
			{ID: 102, Name: "telephone-event", Clockrate: 8000},
		},
		RTCPMux: true,
	}
}

func video() Capabilities {
	return Capabilities{
		Media: "video",
		PayloadTypes: []PayloadType{
			{ID: 96, Name: "VP8", Clockrate: 90000, Feedback: Feedback{Messages: []FeedbackMessage{
				{Type: "nack"}, {Type: "nack", Subtype: "pli"}, {Type: "goog-remb"}}}},
			{ID: 97, Name: "rtx", Clockrate: 90000, Parameters: Parameters{{Name: "apt", Value: "96"}}},
			{ID: 98, Name: "H264", Clockrate: 90000, Parameters: Parameters{
				{Name: "profile-level-id", Value: "42e01f"}, {Name: "packetization-mode", Value: "1"}}},
			{ID: 99, Name: "rtx", Clockrate: 90000, Parameters: Parameters{{Name: "apt", Value: "98"}}},
		},
		RTCPMux:          true,
		HeaderExtensions: []HeaderExtension{{ID: 1, URI: "urn:a"}, {ID: 2, URI: "urn:b", Senders: jingle.SendersInitiator}},
	}
}

// body is a description of the media with these children.
func body(t testing.TB, media, children string) Description {
	t.Helper()
	return description(t, `<description xmlns='urn:xmpp:jingle:apps:rtp:1' xmlns:fb='urn:xmpp:jingle:apps:rtp:rtcp-fb:0'
	  xmlns:ext='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' media='`+media+`'>`+children+`</description>`)
}

func ids(d Description) []uint8 {
	var out []uint8
	for _, p := range d.PayloadTypes {
		out = append(out, p.ID)
	}
	return out
}

func TestAnswerPayloadTypes(t *testing.T) {
	for _, c := range []struct {
		name, offer string
		local       Capabilities
		want        []uint8
	}{
		{"the ids are those of the offer, the order is ours",
			`<payload-type id='0'/><payload-type id='120' name='OPUS' clockrate='48000' channels='2'/>`, audio(), []uint8{120, 0}},
		{"a static id needs neither name nor clock rate", `<payload-type id='8'/><payload-type id='0'/>`, audio(), []uint8{0}},
		{"a missing clock rate matches", `<payload-type id='96' name='opus' channels='2'/>`, audio(), []uint8{96}},
		{"channels make another codec", `<payload-type id='96' name='opus' clockrate='48000'/><payload-type id='0'/>`, audio(), []uint8{0}},
		{"channels of zero are one", `<payload-type id='0' name='PCMU' channels='0' clockrate='8000'/>`, audio(), []uint8{0}},
		{"the first of one id counts",
			`<payload-type id='96' name='speex' clockrate='8000'/><payload-type id='96' name='opus' clockrate='48000' channels='2'/>
			 <payload-type id='0'/>`, audio(), []uint8{0}},
		{"the first of several names counts",
			`<payload-type id='97' name='opus' clockrate='48000' channels='2'/><payload-type id='96' name='opus' clockrate='48000' channels='2'/>`,
			audio(), []uint8{97}},
		{"ids over 127 and nameless dynamic ones are passed over",
			`<payload-type id='128' name='opus' clockrate='48000' channels='2'/><payload-type id='99'/><payload-type id='0'/>`, audio(), []uint8{0}},
		{"telephone events come last, by clock rate",
			`<payload-type id='110' name='telephone-event' clockrate='8000'/><payload-type id='0'/>
			 <payload-type id='109' name='telephone-event' clockrate='16000'/>`, audio(), []uint8{0, 110}},
		{"rtx goes with what it repairs",
			`<payload-type id='100' name='rtx' clockrate='90000'><parameter name='apt' value='96'/></payload-type>
			 <payload-type id='96' name='VP8' clockrate='90000'/>
			 <payload-type id='97' name='VP9' clockrate='90000'/>
			 <payload-type id='98' name='rtx' clockrate='90000'><parameter name='apt' value='97'/></payload-type>
			 <payload-type id='99' name='rtx' clockrate='90000'/>`, video(), []uint8{96, 100}},
		{"profiles and packetization of H264 are told apart",
			`<payload-type id='100' name='H264' clockrate='90000'><parameter name='profile-level-id' value='42001f'/></payload-type>
			 <payload-type id='101' name='H264' clockrate='90000'><parameter name='profile-level-id' value='640c1f'/>
			   <parameter name='packetization-mode' value='1'/></payload-type>
			 <payload-type id='102' name='H264' clockrate='90000'><parameter name='profile-level-id' value='42001f'/>
			   <parameter name='packetization-mode' value='1'/></payload-type>`, video(), []uint8{102}},
	} {
		got, err := Answer(body(t, c.local.Media, c.offer), c.local)
		if err != nil || !slices.Equal(ids(got), c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.name, ids(got), err, c.want)
		}
	}
}

// TestExample3 is the negotiation of XEP-0167 section 5.
func TestExample3(t *testing.T) {
	offer := body(t, "audio", `<payload-type id='96' name='speex' clockrate='16000'/><payload-type id='97' name='speex' clockrate='8000'/>
	  <payload-type id='18' name='G729'/><payload-type id='0' name='PCMU'/>
	  <payload-type id='103' name='L16' clockrate='16000' channels='2'/><payload-type id='98' name='x-ISAC' clockrate='8000'/>`)
	got, err := Answer(offer, Capabilities{Media: "audio", PayloadTypes: []PayloadType{
		{ID: 96, Name: "speex", Clockrate: 8000}, {ID: 18, Name: "G729", Clockrate: 8000}, {ID: 8, Name: "PCMA", Clockrate: 8000},
	}})
	want := body(t, "audio", `<payload-type id='97' name='speex' clockrate='8000'/><payload-type id='18' name='G729' clockrate='8000'/>`)
	if err != nil || !got.Element().Equal(want.Element()) {
		t.Errorf("got %s, %v", got.Element(), err)
	}
}

func TestAnswerParameters(t *testing.T) {
	h264 := func(level, extra string) string {
		return `<payload-type id='102' name='H264' clockrate='90000'><parameter name='profile-level-id' value='` + level + `'/>
		  <parameter name='packetization-mode' value='1'/>` + extra + `</payload-type>`
	}
	local := video()
	for _, c := range []struct{ offer, want string }{
		{h264("42e01f", ""), "42e01f"},
		{h264("42000d", ""), "42000d"}, // their profile, the lower level
		{h264("420034", ""), "42001f"},
		{h264("42000d", `<parameter name='level-asymmetry-allowed' value='1'/>`), "42000d"}, // we do not allow it
	} {
		got, err := Answer(body(t, "video", c.offer), local)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := got.PayloadTypes[0].Parameters.Get("profile-level-id"); v != c.want {
			t.Errorf("%s answered with %s, want %s", c.offer, v, c.want)
		}
	}
	got, err := Answer(body(t, "audio", `<payload-type id='97' name='opus' clockrate='48000' channels='2'>
	  <parameter name='stereo' value='1'/></payload-type>`), audio())
	if err != nil {
		t.Fatal(err)
	}
	if ps := got.PayloadTypes[0].Parameters; len(ps) != 1 || ps[0].Name != "useinbandfec" {
		t.Errorf("parameters %v: an answer says what we can, not what they can", ps)
	}
}

func TestNoCommonCodec(t *testing.T) {
	_, err := Answer(body(t, "audio", "<payload-type id='97' name='spe&#10;ex' clockrate='8000'/><payload-type id='13'/>"), audio())
	e, ok := errors.AsType[*NoCommonCodecError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"spe?ex/8000 (97)", "CN/8000 (13)", "opus/48000/2 (111)", "PCMU/8000 (0)", "audio"} {
		if !strings.Contains(e.Error(), part) {
			t.Errorf("%q does not say %q", e, part)
		}
	}
	if r := e.Reason(); r.Condition != jingle.FailedApplication || r.Text == "" {
		t.Errorf("reason %v", r)
	}
	if d := e.Supported(); d.Media != "audio" || !slices.Equal(ids(d), []uint8{111, 0, 101, 102}) {
		t.Errorf("supported %s", d.Element())
	}
	// What only goes along with others is no common codec.
	if _, err := Answer(body(t, "audio", `<payload-type id='97' name='telephone-event' clockrate='8000'/>`), audio()); err == nil {
		t.Error("telephone events alone were accepted")
	}
	if _, err := Answer(body(t, "audio", ``), audio()); err == nil {
		t.Error("an empty offer was accepted")
	}
	if _, err := Answer(body(t, "video", `<payload-type id='0'/>`), audio()); err == nil {
		t.Error("audio codecs were accepted for video")
	}
}

func TestAnswerFeedback(t *testing.T) {
	offer := body(t, "video", `<fb:rtcp-fb type='nack'/><fb:rtcp-fb type='x-strange'/>
	  <payload-type id='100' name='VP8' clockrate='90000'><fb:rtcp-fb type='ccm' subtype='fir'/>
	  <fb:rtcp-fb type='nack' subtype='pli'><parameter name='p' value='v'/></fb:rtcp-fb><fb:rtcp-fb-trr-int value='100'/></payload-type>`)
	got, err := Answer(offer, video())
	if err != nil {
		t.Fatal(err)
	}
	want := body(t, "video", `<payload-type id='100' name='VP8' clockrate='90000'><fb:rtcp-fb type='nack' subtype='pli'>
	  <parameter xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' name='p' value='v'/></fb:rtcp-fb></payload-type><fb:rtcp-fb type='nack'/>`)
	if !got.Element().Equal(want.Element()) {
		t.Errorf("got %s\nwant %s", got.Element(), want.Element())
	}
	// XEP-0293 section 4: an interval keeps RTP/AVPF when nothing else is left.
	local := audio()
	local.AVPF = true
	plain := body(t, "audio", `<payload-type id='0'/><fb:rtcp-fb type='nack'/>`)
	if got, _ = Answer(plain, local); got.Feedback.TRRInt == nil || *got.Feedback.TRRInt != 0 || len(got.Feedback.Messages) != 0 {
		t.Errorf("got %s", got.Element())
	}
	timed := body(t, "audio", `<payload-type id='0'><fb:rtcp-fb-trr-int value='70'/></payload-type>`)
	if got, _ = Answer(timed, local); got.Feedback.TRRInt == nil || *got.Feedback.TRRInt != 70 {
		t.Errorf("got %s", got.Element())
	}
	if got, _ = Answer(body(t, "audio", `<payload-type id='0'/>`), local); got.avpf() {
		t.Errorf("feedback that was not offered: %s", got.Element())
	}
}

func TestAnswerExtensions(t *testing.T) {
	pt := `<payload-type id='96' name='VP8' clockrate='90000'/>`
	for _, c := range []struct{ offer, want string }{
		{`<ext:rtp-hdrext id='7' uri='urn:a'/>`, `7 urn:a `},
		{`<ext:rtp-hdrext id='7' uri='urn:unknown'/>`, ``},
		{`<ext:rtp-hdrext id='7' uri='urn:a' senders='responder'/>`, `7 urn:a responder`},
		{`<ext:rtp-hdrext id='7' uri='urn:a' senders='none'/>`, ``},
		{`<ext:rtp-hdrext id='7' uri='urn:b' senders='both'/>`, `7 urn:b initiator`},
		{`<ext:rtp-hdrext id='7' uri='urn:b' senders='responder'/>`, ``},
		{`<ext:rtp-hdrext id='0' uri='urn:a'/>`, ``},
		// Example 2 of XEP-0294: an id of its own for one of the alternatives.
		{`<ext:rtp-hdrext id='1' uri='urn:a'/><ext:rtp-hdrext id='4907' uri='urn:x'/><ext:rtp-hdrext id='4907' uri='urn:b'/>`, `1 urn:a |2 urn:b initiator`},
		{`<ext:rtp-hdrext id='4907' uri='urn:a'/><ext:rtp-hdrext id='4907' uri='urn:b'/>`, `1 urn:a `},
	} {
		got, err := Answer(body(t, "video", pt+c.offer), video())
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, h := range got.HeaderExtensions {
			list = append(list, strings.Join([]string{h.element().Attr("id"), h.URI, string(h.Senders)}, " "))
		}
		if s := strings.Join(list, "|"); s != c.want {
			t.Errorf("%s answered %q, want %q", c.offer, s, c.want)
		}
	}
}

func TestMux(t *testing.T) {
	without := audio()
	without.RTCPMux = false
	for _, c := range []struct {
		offer string
		local Capabilities
		want  bool
	}{
		{`<payload-type id='0'/><rtcp-mux/>`, audio(), true},
		{`<payload-type id='0'/>`, audio(), false},
		{`<payload-type id='0'/><rtcp-mux/>`, without, false},
	} {
		if got, err := Answer(body(t, "audio", c.offer), c.local); err != nil || got.RTCPMux != c.want {
			t.Errorf("%s: mux %t, %v", c.offer, got.RTCPMux, err)
		}
	}
}

func TestEncryption(t *testing.T) {
	const pt = `<payload-type id='0'/>`
	const suite = `<crypto crypto-suite='S80' key-params='inline:theirs' tag='5'/><crypto crypto-suite='S32' key-params='inline:t' tag='6'/>`
	with := func(p EncryptionPolicy, dtls bool) Capabilities {
		c := audio()
		c.Encryption, c.DTLS = p, dtls
		c.Cryptos = []Crypto{{Tag: "1", Suite: "S80", KeyParams: "inline:ours"}}
		return c
	}
	for _, c := range []struct {
		name, offer string
		local       Capabilities
		condition   string // of the error
		crypto      bool
	}{
		{"plain", pt, with(EncryptionOptional, false), "", false},
		{"offered and wanted", pt + `<encryption>` + suite + `</encryption>`, with(EncryptionOptional, false), "", true},
		{"offered, required, wanted", pt + `<encryption required='1'>` + suite + `</encryption>`, with(EncryptionRequired, false), "", true},
		{"offered and turned off", pt + `<encryption>` + suite + `</encryption>`, with(EncryptionOff, false), "", false},
		{"required and turned off", pt + `<encryption required='1'>` + suite + `</encryption>`, with(EncryptionOff, false), InvalidCrypto, false},
		{"required here and not offered", pt, with(EncryptionRequired, false), CryptoRequired, false},
		{"required here and a strange suite", pt + `<encryption><crypto crypto-suite='X' key-params='k' tag='1'/></encryption>`, with(EncryptionRequired, false), InvalidCrypto, false},
		{"a strange suite", pt + `<encryption><crypto crypto-suite='X' key-params='k' tag='1'/></encryption>`, with(EncryptionOptional, false), "", false},
		{"DTLS makes it needless", pt + `<encryption>` + suite + `</encryption>`, with(EncryptionRequired, true), "", false},
	} {
		got, err := Answer(body(t, "audio", c.offer), c.local)
		ce, _ := errors.AsType[*CryptoError](err)
		switch {
		case c.condition != "":
			if ce == nil || ce.Condition != c.condition || ce.Reason().Condition != jingle.SecurityError || !ce.Reason().App.Is(NSErrors, c.condition) {
				t.Errorf("%s: error %v, want %s", c.name, err, c.condition)
			}
		case err != nil || (got.Encryption != nil) != c.crypto:
			t.Errorf("%s: %v, %v", c.name, got.Encryption, err)
		case c.crypto && (len(got.Encryption.Cryptos) != 1 || got.Encryption.Cryptos[0] != Crypto{Tag: "5", Suite: "S80", KeyParams: "inline:ours"}):
			t.Errorf("%s: answered %s", c.name, got.Element())
		}
	}
}

func TestComplete(t *testing.T) {
	local := audio()
	offer := local.Offer()
	// Dino answers with one payload type and no telephone events.
	got, err := Complete(offer, body(t, "audio", `<payload-type id='0' name='PCMU'/><rtcp-mux/>`), local)
	if err != nil || !slices.Equal(ids(got), []uint8{0}) || !got.RTCPMux || got.PayloadTypes[0].Clockrate != 8000 {
		t.Errorf("got %s, %v", got.Element(), err)
	}
	// Other ids, an encoding that was not offered, an id that means something else here.
	got, err = Complete(offer, body(t, "audio", `<payload-type id='8' name='PCMA'/>
	  <payload-type id='98' name='opus' clockrate='48000' channels='2'/><payload-type id='111' name='speex' clockrate='8000'/>`), local)
	if err != nil || !slices.Equal(ids(got), []uint8{98}) {
		t.Errorf("got %s, %v", got.Element(), err)
	}
	if _, err = Complete(offer, body(t, "audio", `<payload-type id='8'/>`), local); err == nil {
		t.Error("an answer with nothing that was offered is complete")
	}
	if _, err = Complete(offer, body(t, "video", `<payload-type id='0'/>`), local); err == nil {
		t.Error("an answer of another media is complete")
	}
	// What was not offered is not there.
	offer = video().Offer()
	got, err = Complete(offer, body(t, "video", `<payload-type id='96' name='VP8' clockrate='90000'><fb:rtcp-fb type='nack'/>
	  <fb:rtcp-fb type='ccm' subtype='fir'/></payload-type><fb:rtcp-fb type='x'/><ext:rtp-hdrext id='1' uri='urn:a' senders='responder'/>
	  <ext:rtp-hdrext id='5' uri='urn:b'/><ext:rtp-hdrext id='6' uri='urn:c'/><ext:extmap-allow-mixed/>`), video())
	want := body(t, "video", `<payload-type id='96' name='VP8' clockrate='90000'><fb:rtcp-fb type='nack'/></payload-type>
	  <ext:rtp-hdrext id='1' uri='urn:a' senders='responder'/>`)
	if err != nil || !got.Element().Equal(want.Element()) {
		t.Errorf("got %s, %v", got.Element(), err)
	}
}

func TestCompleteEncryption(t *testing.T) {
	local := audio()
	local.Encryption = EncryptionRequired
	local.Cryptos = []Crypto{{Tag: "1", Suite: "S80", KeyParams: "inline:ours"}}
	offer := local.Offer()
	if !offer.Encryption.Required {
		t.Fatal("the offer does not require encryption")
	}
	for answer, want := range map[string]string{
		`<payload-type id='0'/>`: CryptoRequired,
		`<payload-type id='0'/><encryption><crypto crypto-suite='S80' key-params='k' tag='1'/></encryption>`: "",
		`<payload-type id='0'/><encryption><crypto crypto-suite='S80' key-params='k' tag='2'/></encryption>`: InvalidCrypto,
		`<payload-type id='0'/><encryption><crypto crypto-suite='S32' key-params='k' tag='1'/></encryption>`: InvalidCrypto,
	} {
		got, err := Complete(offer, body(t, "audio", answer), local)
		ce, _ := errors.AsType[*CryptoError](err)
		if want == "" && (err != nil || got.Encryption.Cryptos[0].KeyParams != "k") || want != "" && (ce == nil || ce.Condition != want) {
			t.Errorf("%s: %v, want %q", answer, err, want)
		}
	}
	local.DTLS = true
	if _, err := Complete(local.Offer(), body(t, "audio", `<payload-type id='0'/>`), local); err != nil {
		t.Errorf("with DTLS: %v", err)
	}
}

// TestOfferAnswer negotiates both ways with ourselves: nothing may get lost.
func TestOfferAnswer(t *testing.T) {
	for _, c := range []Capabilities{audio(), video()} {
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		offer := description(t, c.Offer().Element().String())
		answer, err := Answer(offer, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Complete(offer, answer, c); err != nil || !slices.Equal(ids(got), ids(answer)) || len(ids(got)) != len(c.PayloadTypes) {
			t.Errorf("%s becomes %s, %v", offer.Element(), got.Element(), err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []Capabilities{
		{}, {Media: "audio"},
		{Media: "audio", PayloadTypes: []PayloadType{{ID: 96}}},
		{Media: "audio", PayloadTypes: []PayloadType{{ID: 96, Name: "opus"}}},
		{Media: "audio", PayloadTypes: []PayloadType{{ID: 0}, {ID: 0}}},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}

// TestMerge sends the description-info of XEP-0167 examples 14 and 52.
func TestMerge(t *testing.T) {
	current := body(t, "video", `<payload-type id='98' name='theora' clockrate='90000'><parameter name='height' value='600'/>
	  <parameter name='width' value='800'/><parameter name='delivery-method' value='inline'/></payload-type>
	  <payload-type id='28' name='nv'/><bandwidth type='AS'>128</bandwidth>`)
	info := body(t, "video", `<payload-type id='98' name='theora' clockrate='90000' ptime='40'><parameter name='height' value='768'/>
	  <parameter name='width' value='1024'/></payload-type><payload-type id='99' name='H264'/><payload-type id='28' name='H261'/>
	  <bandwidth type='AS'>256</bandwidth><bandwidth type='TIAS'>1000</bandwidth><rtcp-mux/>`)
	got, changed := Merge(current, info)
	want := body(t, "video", `<payload-type id='98' name='theora' clockrate='90000' ptime='40'><parameter name='height' value='768'/>
	  <parameter name='width' value='1024'/><parameter name='delivery-method' value='inline'/></payload-type>
	  <payload-type id='28' name='nv'/><bandwidth type='AS'>256</bandwidth><bandwidth type='TIAS'>1000</bandwidth>`)
	if !got.Element().Equal(want.Element()) || !slices.Equal(changed, []uint8{98}) {
		t.Errorf("changed %v: %s", changed, got.Element())
	}
	if v, _ := current.PayloadTypes[0].Parameters.Get("height"); v != "600" {
		t.Error("the current description was changed in place")
	}
	if _, changed = Merge(got, info); len(changed) != 0 {
		t.Errorf("the same again changes %v", changed)
	}
	if _, changed = Merge(current, body(t, "audio", `<payload-type id='98' name='theora'><parameter name='height' value='1'/></payload-type>`)); changed != nil {
		t.Error("advice for another media was taken")
	}
	var many strings.Builder
	for i := range 500 {
		many.WriteString("<parameter name='x" + strings.Repeat("y", i%200) + string(rune('a'+i%26)) + "' value='1'/>")
	}
	got, _ = Merge(current, body(t, "video", `<payload-type id='98' name='theora'>`+many.String()+`</payload-type>`))
	if n := len(got.PayloadTypes[0].Parameters); n > maxParameters {
		t.Errorf("%d parameters were taken", n)
	}
}

// TestTranscriptOffers answers the offers of real clients.
func TestTranscriptOffers(t *testing.T) {
	n := 0
	for _, e := range transcripts(t) {
		j := e.Child(jingle.NS, "jingle")
		if j == nil || j.Attr("action") != string(jingle.SessionInitiate) {
			continue
		}
		m, err := jingle.ParseMessage(j, registry())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range m.Contents {
			d, ok := c.Description.(Description)
			if !ok {
				continue
			}
			n++
			local := audio()
			if d.Media == "video" {
				local = video()
			}
			local.DTLS = true
			a, err := Answer(d, local)
			if err != nil || !a.RTCPMux {
				t.Errorf("%v: %s", err, d.Element())
			}
			if _, err := Complete(d, a, local); err != nil {
				t.Error(err)
			}
			if _, err := xmltree.Parse([]byte(a.Element().String()), xmltree.Limits{}); err != nil {
				t.Error(err)
			}
		}
	}
	if n == 0 {
		t.Error("no offers found")
	}
}

func BenchmarkAnswer(b *testing.B) {
	offer := video().Offer()
	local := video()
	for b.Loop() {
		if _, err := Answer(offer, local); err != nil {
			b.Fatal(err)
		}
	}
}
