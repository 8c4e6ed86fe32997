package sdp_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
)

// gen draws Jingle from strings of certain kinds: those that SDP can say, or any.
type gen struct{ token, word, phrase, value *rapid.Generator[string] }

var tame = gen{
	token:  rapid.StringMatching(`[A-Za-z0-9!#$&'*+.^_{|}~-]{1,12}`),
	word:   rapid.StringMatching(`[A-Za-z0-9+/=:;,.|-]{1,30}`),
	phrase: rapid.StringMatching(`[A-Za-z0-9=:]{1,10}( [A-Za-z0-9=:]{1,10}){0,2}`),
	value:  rapid.StringMatching(`[A-Za-z0-9+/=:,.-]{1,20}`),
}

// wild is one in three times something that cannot stand where it is put.
var wild = gen{token: spoilt(tame.token), word: spoilt(tame.word), phrase: spoilt(tame.phrase), value: spoilt(tame.value)}

func spoilt(g *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.OneOf(g, g, g, g, rapid.String(), rapid.StringMatching(`[ ;:=,%/{}a\r\n\x00]{0,6}`))
}

func (g gen) parameters(t *rapid.T, name *rapid.Generator[string]) rtp.Parameters {
	var out rtp.Parameters
	for _, n := range rapid.SliceOfNDistinct(name, 0, 3, rapid.ID).Draw(t, "parameters") {
		out = append(out, rtp.Parameter{Name: n, Value: g.value.Draw(t, "value")})
	}
	return out
}

// plain is a name that no "=" or ":" can be a part of.
func (g gen) plain(t *rapid.T, label string) string {
	return strings.Map(func(r rune) rune {
		if r == '=' || r == ':' {
			return '-'
		}
		return r
	}, g.token.Draw(t, label))
}

func (g gen) feedback(t *rapid.T) rtp.Feedback {
	var f rtp.Feedback
	for range rapid.IntRange(0, 2).Draw(t, "messages") {
		m := rtp.FeedbackMessage{Type: "x" + g.plain(t, "type")}
		if rapid.Bool().Draw(t, "sub") {
			m.Subtype = g.plain(t, "subtype")
			m.Parameters = g.parameters(t, g.token)
		}
		f.Messages = append(f.Messages, m)
	}
	if rapid.Bool().Draw(t, "interval") {
		ms := rapid.Uint32().Draw(t, "ms")
		f.TRRInt = &ms
	}
	return f
}

func (g gen) description(t *rapid.T) rtp.Description {
	d := rtp.Description{
		Media:            rapid.SampledFrom([]string{"audio", "video"}).Draw(t, "media"),
		RTCPMux:          rapid.Bool().Draw(t, "mux"),
		ExtmapAllowMixed: rapid.Bool().Draw(t, "mixed"),
		Feedback:         g.feedback(t),
	}
	ptime := rapid.Uint32Range(0, 100).Draw(t, "ptime")
	for _, id := range rapid.SliceOfNDistinct(rapid.Uint8Range(96, 127), 1, 4, rapid.ID).Draw(t, "ids") {
		p := rtp.PayloadType{
			ID: id, Name: g.token.Draw(t, "name"), Clockrate: rapid.Uint32Min(1).Draw(t, "clockrate"), PTime: ptime,
			Feedback: g.feedback(t), Parameters: g.parameters(t, g.token),
		}
		if rapid.Bool().Draw(t, "stereo") {
			p.Channels = rapid.Uint8Min(2).Draw(t, "channels")
		}
		if rapid.Bool().Draw(t, "odd") {
			p.Parameters = append(p.Parameters, rtp.Parameter{Value: rapid.StringMatching(`[0-9/-]{1,9}`).Draw(t, "odd value")})
		}
		d.PayloadTypes = append(d.PayloadTypes, p)
	}
	for _, b := range rapid.SliceOfN(g.token, 0, 2).Draw(t, "bandwidths") {
		d.Bandwidths = append(d.Bandwidths, rtp.Bandwidth{Type: b, Value: rapid.Uint64().Draw(t, "bandwidth")})
	}
	for _, c := range rapid.SliceOfN(g.token, 0, 2).Draw(t, "categories") {
		d.Categories = append(d.Categories, rtp.Category(c))
	}
	for _, u := range rapid.SliceOfN(g.word, 0, 3).Draw(t, "extensions") {
		d.HeaderExtensions = append(d.HeaderExtensions, rtp.HeaderExtension{
			ID: rapid.Uint16Min(1).Draw(t, "id"), URI: u, Parameters: g.parameters(t, g.token),
			Senders: rapid.SampledFrom([]jingle.Senders{"", jingle.SendersInitiator, jingle.SendersResponder, jingle.SendersNone}).Draw(t, "senders"),
		})
	}
	g.sources(t, &d)
	if rapid.Bool().Draw(t, "encryption") {
		d.Encryption = &rtp.Encryption{
			Cryptos: []rtp.Crypto{{
				Tag: fmt.Sprint(rapid.Uint8().Draw(t, "tag")), Suite: g.token.Draw(t, "suite"),
				KeyParams: g.word.Draw(t, "key"), SessionParams: g.phrase.Draw(t, "session"),
			}},
			ZRTPHashes: []rtp.ZRTPHash{{Version: g.word.Draw(t, "version"), Hash: g.word.Draw(t, "hash")}},
		}
	}
	return d
}

// sources have an msid each or none: SDP says it once for all, too.
func (g gen) sources(t *rapid.T, d *rtp.Description) {
	msid := rapid.Bool().Draw(t, "msid")
	for _, n := range rapid.SliceOfNDistinct(rapid.Uint32(), 0, 3, rapid.ID).Draw(t, "ssrcs") {
		s := rtp.Source{SSRC: n, Parameters: rtp.Parameters{{Name: "cname", Value: g.word.Draw(t, "cname")}}}
		if msid {
			s.Parameters = append(s.Parameters, rtp.Parameter{Name: "msid", Value: "stream track" + fmt.Sprint(n)})
		}
		d.Sources = append(d.Sources, s)
	}
	if len(d.Sources) > 1 {
		d.SSRCGroups = []rtp.SSRCGroup{{Semantics: g.token.Draw(t, "semantics"), SSRCs: []uint32{d.Sources[0].SSRC, d.Sources[1].SSRC}}}
	}
}

func (g gen) transport(t *rapid.T, ns string, components uint16) ice.Transport {
	x := ice.Transport{
		NS: ns, Trickle: true, Renomination: rapid.Bool().Draw(t, "renomination"),
		Ufrag: tame.word.Draw(t, "ufrag"), Pwd: tame.word.Draw(t, "pwd"),
	}
	if rapid.Bool().Draw(t, "dtls") {
		x.Fingerprints = []ice.Fingerprint{ice.NewFingerprint("sha-256",
			rapid.SampledFrom([]ice.Setup{"", ice.SetupActive, ice.SetupPassive, ice.SetupActpass}).Draw(t, "setup"),
			rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum"))}
	}
	protocols := []string{"udp"}
	if ns == ice.NSICE {
		x.ICE2 = rapid.Bool().Draw(t, "ice2")
		x.GatheringComplete = rapid.Bool().Draw(t, "complete")
		protocols = append(protocols, "tcp")
	}
	for range rapid.IntRange(0, 3).Draw(t, "candidates") {
		c := ice.Candidate{
			Component: rapid.Uint16Range(1, components).Draw(t, "component"), Foundation: g.token.Draw(t, "foundation"),
			Generation: rapid.IntRange(0, 5).Draw(t, "generation"), Network: rapid.IntRange(0, 3).Draw(t, "network"),
			IP:   rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1", "f3a2-11.local"}).Draw(t, "ip"),
			Port: rapid.Uint16Min(1).Draw(t, "port"), Priority: rapid.Uint32Min(1).Draw(t, "priority"),
			Protocol: rapid.SampledFrom(protocols).Draw(t, "protocol"), Type: ice.Host,
		}
		if c.Protocol == "tcp" {
			c.TCPType = rapid.SampledFrom([]string{"active", "passive", "so"}).Draw(t, "tcptype")
		}
		if rapid.Bool().Draw(t, "derived") {
			c.Type, c.RelAddr, c.RelPort = ice.ServerReflexive, "10.0.0.1", rapid.Uint16().Draw(t, "rport")
		}
		x.Candidates = append(x.Candidates, c)
	}
	return x
}

// session draws contents and groups.
func (g gen) session(t *rapid.T, o sdp.Options) ([]jingle.Content, []jingle.Group) {
	bundle := rapid.Bool().Draw(t, "bundle")
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z %é]{1,8}`), 1, 3, rapid.ID).Draw(t, "names")
	var cs []jingle.Content
	for _, n := range names {
		c := jingle.Content{Creator: jingle.Initiator, Name: n, Disposition: jingle.DispositionSession, Senders: jingle.SendersBoth}
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			tr := g.transport(t, o.Transport, 1)
			port := rapid.Uint16Min(1).Draw(t, "sctp port")
			if o.Channel == ice.NSSCTP {
				tr.SCTPMap = &ice.SCTPMap{Number: port, Protocol: "webrtc-datachannel"}
				c.Transport = tr
			} else {
				c.Transport = ice.DataChannel{SCTPPort: port, ICE: &tr, MaxMessageSize: rapid.Uint64Range(0, 1<<20).Draw(t, "size")}
			}
		} else {
			d := g.description(t)
			d.RTCPMux = d.RTCPMux || bundle
			components := uint16(2)
			if d.RTCPMux {
				components = 1
			}
			c.Description, c.Transport = d, g.transport(t, o.Transport, components)
			c.Senders = rapid.SampledFrom([]jingle.Senders{
				jingle.SendersBoth, jingle.SendersInitiator, jingle.SendersResponder, jingle.SendersNone}).Draw(t, "senders")
		}
		cs = append(cs, c)
	}
	if !bundle {
		return cs, nil
	}
	return cs, []jingle.Group{{Semantics: "BUNDLE", Contents: names}}
}

func options(t *rapid.T) sdp.Options {
	return sdp.Options{
		Transport: rapid.SampledFrom([]string{ice.NSUDP, ice.NSICE}).Draw(t, "transport"),
		Channel:   rapid.SampledFrom([]string{"", ice.NSSCTP}).Draw(t, "channel"),
	}
}

// withoutIDs takes away the ids of candidates, which SDP has not.
func withoutIDs(cs []jingle.Content) []jingle.Content {
	strip := func(t ice.Transport) ice.Transport {
		for i := range t.Candidates {
			t.Candidates[i].ID = ""
		}
		return t
	}
	for i := range cs {
		switch t := cs[i].Transport.(type) {
		case ice.Transport:
			cs[i].Transport = strip(t)
		case ice.DataChannel:
			x := strip(*t.ICE)
			t.ICE = &x
			cs[i].Transport = t
		}
	}
	return cs
}

// TestJingleSurvives translates Jingle to SDP and back.
func TestJingleSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := options(t)
		from := rapid.SampledFrom([]jingle.Role{jingle.Initiator, jingle.Responder}).Draw(t, "role")
		cs, gs := tame.session(t, o)
		s, err := sdp.FromJingle(cs, gs, from)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := sdp.Parse(s.String())
		if err != nil {
			t.Fatal(err)
		}
		back, groups, err := sdp.ToJingle(parsed, from, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := contentXML(withoutIDs(back), groups), contentXML(cs, gs); !got.Equal(want) {
			t.Fatalf("comes back as\n%s\nwas\n%s\nby way of\n%s", got, want, s)
		}
	})
}

// TestSDPSurvives translates SDP to Jingle and back.
func TestSDPSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := options(t)
		from := rapid.SampledFrom([]jingle.Role{jingle.Initiator, jingle.Responder}).Draw(t, "role")
		cs, gs := tame.session(t, o)
		s, err := sdp.FromJingle(cs, gs, from)
		if err != nil {
			t.Fatal(err)
		}
		text := s.String()
		if again := roundTrip(t, text, from, o); again != text {
			t.Fatalf("comes back as\n%s\nwas\n%s", again, text)
		}
	})
}

func roundTrip(t *rapid.T, text string, from jingle.Role, o sdp.Options) string {
	s, err := sdp.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	cs, gs, err := sdp.ToJingle(s, from, o)
	if err != nil {
		t.Fatalf("%v for\n%s", err, text)
	}
	again, err := sdp.FromJingle(cs, gs, from)
	if err != nil {
		t.Fatalf("%v for\n%s", err, text)
	}
	return again.String()
}

// TestNothingBreaksOut puts any strings into Jingle: what SDP cannot say is left out or refused, and every line of the
// text is one that we meant.
func TestNothingBreaksOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := options(t)
		cs, gs := wild.session(t, o)
		s, err := sdp.FromJingle(cs, gs, jingle.Initiator)
		if err != nil {
			return
		}
		text := s.String()
		media := 0
		for _, l := range lines(text) {
			if len(l) < 2 || l[1] != '=' || !strings.ContainsRune("vostcbam", rune(l[0])) {
				t.Fatalf("line %q in\n%s", l, text)
			}
			if l[0] == 'm' {
				media++
			}
		}
		if media != len(cs) {
			t.Fatalf("%d contents became %d media descriptions in\n%s", len(cs), media, text)
		}
		// What is left is stable.
		text = roundTrip(t, text, jingle.Initiator, o)
		if again := roundTrip(t, text, jingle.Initiator, o); again != text {
			t.Fatalf("comes back as\n%s\nwas\n%s", again, text)
		}
	})
}
