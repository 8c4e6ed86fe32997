package ice

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

const (
	host   = `<candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='10.0.1.1' network='1' port='8998' priority='2130706431' protocol='udp' type='host'/>`
	srflx  = `<candidate component='1' foundation='2' generation='0' id='y3s2b30v3r' ip='192.0.2.3' network='1' port='45664' priority='1694498815' protocol='udp' rel-addr='10.0.1.1' rel-port='8998' type='srflx'/>`
	sha    = `02:1A:CC:54:27:AB:EB:9C:53:3F:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1:7A:03:A2:7D:F9:B0:7F:46:19:B2`
	finger = `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>` + sha + `</fingerprint>`
	udp    = `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='asd88fgpdd777uzjYhagZg' ufrag='8hhy'>`
)

var suite = codectest.Suite{
	Parse: codectest.Registered(Register),
	Same: []string{
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>`,
		udp + host + srflx + `</transport>`,
		udp + finger + host + `</transport>`,
		udp + `<remote-candidate component='1' ip='10.0.1.2' port='9001'/><remote-candidate component='2' ip='10.0.1.2' port='9002'/></transport>`,
		// As stanza.js and browsers write candidates.
		udp + `<candidate component='1' foundation='819546521' ip='fd77::1' port='38459' priority='2122265343' protocol='udp' type='host'/></transport>`,
		udp + `<candidate component='1' foundation='1' ip='2f5b1c1e-0a47.local' port='9' priority='1' protocol='tcp' tcptype='active' type='host' generation='0' network-cost='10'/></transport>`,
		udp + `<candidate component='1' foundation='1' ip='203.0.113.1' port='5' priority='1' protocol='udp' rel-addr='0.0.0.0' rel-port='0' type='relay'/></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ice:0' ufrag='u' pwd='p' ice2='true'><gathering-complete/><x xmlns='y'>z</x></transport>`,
		// Conversations' options.
		udp + `<trickle xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/><renomination xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>` + finger + `</transport>`,
		// XEP-0343.
		udp + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/>
		  <channel xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:0' id='1' negotiated='true'/>
		  <channel xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:0' id='0' maxPacketLifeTime='1' maxRetransmits='0' ordered='false' protocol='x'/>` + finger + `</transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='262144'>` + udp + finger + host + `</transport></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' other='1'><x xmlns='y'/></transport>`,
		// A candidate that makes no sense is as it was, and those beside it are none the worse.
		udp + `<candidate component='1' foundation='1' generation='0' id='m3110wc4nd' ip='10.0.1.2' network='0' port='9001' priority='21149780477' protocol='udp' type='host'/>` + host + `</transport>`,
		udp + `<candidate port='-1' component='first'/></transport>`,
		// Old fingerprints.
		udp + `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' required='false' setup='active'>` + sha + `</fingerprint></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate component='1' generation='0' id='a9j3mnbtu1' ip='10.1.1.104' port='13540'/><candidate component='2' generation='0' id='b' ip='10.1.1.104' port='13541' type='host'/></transport>`,
	},
	Liberal: []string{
		// Monal's spelling.
		udp + `<candidate component='1' foundation='1' ip='203.0.113.1' port='5' priority='1' protocol='udp' rel-addr='10.0.0.1' rel_port='7' type='relay'/></transport>`,
		udp + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' port='5000' protocol='webrtc-datachannel'/></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate id='a' ip='10.1.1.104' port='13540'/></transport>`,
	},
	Refused: []string{
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:0'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ice:0' ice2='maybe'/>`,
		udp + strings.Repeat(`<candidate/>`, MaxCandidates+1) + `</transport>`,
		udp + `<remote-candidate component='1' ip='10.0.1.2'/></transport>`,
		udp + `<remote-candidate component='257' ip='10.0.1.2' port='1'/></transport>`,
		udp + `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0'>00</fingerprint></transport>`,
		udp + `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='both'>00</fingerprint></transport>`,
		udp + `<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>` + strings.Repeat("0", 1025) + `</fingerprint></transport>`,
		udp + `<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' protocol='webrtc-datachannel'/></transport>`,
		udp + `<channel xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:0' id='70000'/></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='65536'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' max-message-size='-1'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1'>` + udp + `<remote-candidate/></transport></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate component='1' generation='0' id='a' ip='10.1.1.104'/></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate component='1' generation='0' ip='10.1.1.104' port='1'/></transport>`,
		`<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'><candidate id='a' ip='10.1.1.104' port='1' type='wild'/></transport>`,
	},
}

func TestCodec(t *testing.T)     { suite.Run(t) }
func FuzzTransport(f *testing.F) { suite.Fuzz(f) }

func transport(t *testing.T, s string) Transport {
	t.Helper()
	tr, err := ParseTransport(codectest.Element(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestValidate(t *testing.T) {
	good := Candidate{
		Component: 1, Foundation: "1", ID: "a", IP: "192.0.2.1", Port: 1, Priority: 1, Protocol: "udp", Type: Host,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Candidate){
		"ipv6":     func(c *Candidate) { c.IP = "2001:db8::1" },
		"brackets": func(c *Candidate) { c.IP = "[2001:db8::1]" },
		"mdns":     func(c *Candidate) { c.IP = "2f5b1c1e.local" },
		"tcp":      func(c *Candidate) { c.Protocol, c.TCPType = "TCP", "so" },
		"hidden":   func(c *Candidate) { c.RelAddr = "0.0.0.0" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Candidate){
		"component 0":     func(c *Candidate) { c.Component = 0 },
		"component 257":   func(c *Candidate) { c.Component = 257 },
		"foundation":      func(c *Candidate) { c.Foundation = "" },
		"long foundation": func(c *Candidate) { c.Foundation = strings.Repeat("1", 33) },
		"foundation line": func(c *Candidate) { c.Foundation = "1\r\na=x" },
		"port":            func(c *Candidate) { c.Port = 0 },
		"priority":        func(c *Candidate) { c.Priority = 0 },
		"address":         func(c *Candidate) { c.IP = "" },
		"bad address":     func(c *Candidate) { c.IP = "123.456.7.8" },
		"address line":    func(c *Candidate) { c.IP = "a.example\r\nb" },
		"related":         func(c *Candidate) { c.RelAddr = "1 2" },
		"type":            func(c *Candidate) { c.Type = "local" },
		"protocol":        func(c *Candidate) { c.Protocol = "sctp" },
		"tcptype":         func(c *Candidate) { c.Protocol = "tcp" },
		"id":              func(c *Candidate) { c.ID = strings.Repeat("x", 257) },
	} {
		c := good
		change(&c)
		if _, ok := errors.AsType[*xmltree.Error](c.Validate()); !ok {
			t.Errorf("%s: no complaint", name)
		}
	}
	tr := transport(t, udp+host+`<candidate component='1'/><candidate port='many'/>`+srflx+`</transport>`)
	if ok, bad := tr.ValidCandidates(); len(ok) != 2 || len(bad) != 2 || len(tr.Candidates) != 4 {
		t.Errorf("%d good, bad: %v", len(ok), bad)
	}
}

func TestCredentials(t *testing.T) {
	for s, ok := range map[string]bool{
		udp + `</transport>`: true,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy'/>`:                                     false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='8hhy'/>`:                                       false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' pwd='a b' ufrag='x'/>`:                              false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='x' pwd='` + strings.Repeat("x", 257) + `'/>`: false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='x' pwd='x&#10;a=candidate'/>`:                false,
	} {
		if err := transport(t, s).ValidateCredentials(); (err == nil) != ok {
			t.Errorf("%.120s: %v", s, err)
		}
	}
}

func TestAddr(t *testing.T) {
	for s, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "[2001:db8::1]": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1",
	} {
		c := Candidate{IP: s, Port: 7}
		if got, ok := c.AddrPort(); !ok || got != netip.AddrPortFrom(netip.MustParseAddr(want), 7) {
			t.Errorf("%s is read as %v", s, got)
		}
	}
	c := Candidate{IP: "x.local"}
	if _, ok := c.Addr(); ok {
		t.Error("a name is read as an address")
	}
}

// Figures of XEP-0176 and RFC 8445.
func TestPriority(t *testing.T) {
	for _, c := range []struct {
		typ       CandidateType
		local     uint16
		component uint16
		want      uint32
	}{
		{Host, 65535, 1, 2130706431},
		{ServerReflexive, 65535, 1, 1694498815},
		{PeerReflexive, 65535, 1, 1862270975},
		{Relayed, 65535, 2, 16777214},
		{Relayed, 0, 256, 0},
	} {
		if got := Priority(c.typ, c.local, c.component); got != c.want {
			t.Errorf("%s: %d, want %d", c.typ, got, c.want)
		}
	}
}

func TestFoundation(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	first := Foundation(Host, a, "udp", "")
	if first != Foundation(Host, a, "udp", "") {
		t.Error("the same candidate has two foundations")
	}
	for _, other := range []string{
		Foundation(Host, b, "udp", ""), Foundation(Host, a, "tcp", ""),
		Foundation(ServerReflexive, a, "udp", "stun.example"), Foundation(ServerReflexive, a, "udp", "stun2.example"),
	} {
		if other == first {
			t.Error("different candidates have one foundation")
		}
	}
	if c := (Candidate{Component: 1, Foundation: first, IP: "192.0.2.1", Port: 1, Priority: 1, Protocol: "udp", Type: Host}); c.Validate() != nil {
		t.Error(c.Validate())
	}
}

func TestWithCandidates(t *testing.T) {
	offer := transport(t, udp+finger+host+`</transport>`)
	got := offer.WithCandidates(offer.Candidates[0]).Element()
	if want := codectest.Element(t, udp+host+`</transport>`); !got.Equal(want) {
		t.Errorf("got %s", got)
	}
	d := DataChannel{SCTPPort: 5000, MaxMessageSize: 9, ICE: &offer}
	want := codectest.Element(t, `<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='9'>`+udp+host+`</transport></transport>`)
	if got := d.WithCandidates(offer.Candidates[0]).Element(); !got.Equal(want) {
		t.Errorf("got %s", got)
	}
}

func TestRestartAndMerge(t *testing.T) {
	offer := transport(t, udp+finger+host+`</transport>`)
	for s, restarts := range map[string]bool{
		udp + srflx + `</transport>`: false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy'/>`:           false, // stanza.js leaves out pwd
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/>`:                        false,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='new'/>`:            true,
		`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='new'/>`: true,
	} {
		if got := transport(t, s).Restarts(offer); got != restarts {
			t.Errorf("%s: restart %t", s, got)
		}
	}
	more := offer.Merge(transport(t, udp+srflx+`<gathering-complete/></transport>`))
	if len(more.Candidates) != 2 || len(more.Fingerprints) != 1 || !more.GatheringComplete {
		t.Errorf("merged into %s", more.Element())
	}
	if len(offer.Candidates) != 1 {
		t.Error("merging changed the offer")
	}
	again := more.Merge(Transport{Ufrag: "new", Pwd: "newer"})
	if len(again.Candidates) != 0 || again.Ufrag != "new" || len(again.Fingerprints) != 1 || again.GatheringComplete {
		t.Errorf("after a restart: %s", again.Element())
	}
	for range 1000 {
		more = more.Merge(offer)
	}
	if len(more.Candidates) != MaxCandidates {
		t.Errorf("a peer can make us hold %d candidates", len(more.Candidates))
	}
}

func TestFingerprint(t *testing.T) {
	f := transport(t, udp+finger+`</transport>`).Fingerprints[0]
	sum, err := f.Bytes()
	if err != nil || len(sum) != 32 {
		t.Fatalf("%x, %v", sum, err)
	}
	if got := NewFingerprint("sha-256", SetupActpass, sum); got.Value != f.Value || !got.Same(f) {
		t.Errorf("got %s", got.Value)
	}
	lower := Fingerprint{Hash: "SHA-256", Value: " " + strings.ToLower(sha) + "\n"}
	if !lower.Same(f) {
		t.Error("case or white space makes a difference")
	}
	for _, bad := range []Fingerprint{
		{Hash: "sha-256", Value: ""}, {Hash: "sha-256", Value: "00:11"}, {Hash: "sha-1", Value: sha},
		{Hash: "sha-256", Value: strings.Replace(sha, "A", "G", 1)}, {Hash: "sha-512", Value: f.Value},
	} {
		if _, err := bad.Bytes(); err == nil || bad.Same(f) || bad.Same(bad) {
			t.Errorf("%+v is taken", bad)
		}
	}
	other := NewFingerprint("sha-256", "", append([]byte{1}, sum[1:]...))
	if other.Same(f) {
		t.Error("different hashes are the same")
	}
}

func TestPayloadsAreValues(t *testing.T) {
	var reg jingle.Registry
	Register(&reg)
	p, err := reg.Parse(codectest.Element(t, udp+host+`</transport>`))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.(Transport); !ok || jingle.NSOf(p) != NSUDP {
		t.Errorf("got %T of %s", p, jingle.NSOf(p))
	}
}

// What carries packets sees one shape of transport.
func TestTransportOf(t *testing.T) {
	raw := RawUDP{Candidates: []RawCandidate{
		{Component: 1, Generation: 1, ID: "a", IP: "192.0.2.1", Port: 4, Type: ServerReflexive},
		{Component: 2, ID: "b", IP: "192.0.2.1", Port: 5},
	}}
	got, ok := TransportOf(raw)
	if !ok || got.NS != NSRawUDP || len(got.Candidates) != 2 || got.Candidates[0].Port != 4 {
		t.Fatalf("%+v", got)
	}
	if back := got.Payload().(RawUDP); !slices.Equal(back.Candidates, raw.Candidates) {
		t.Errorf("%+v", back)
	}
	if c := (RawUDP{Candidates: []RawCandidate{{}}}).AsICE().Candidates[0]; c.Component != 1 {
		t.Errorf("component %d", c.Component)
	}
	for _, tr := range []Transport{{Ufrag: "u"}, {NS: NSICE}} {
		if got, ok := TransportOf(tr.Payload()); !ok || got.NS != tr.NS || got.Ufrag != tr.Ufrag {
			t.Errorf("%+v", got)
		}
	}
	if _, ok := TransportOf(nil); ok {
		t.Error("nothing is a transport")
	}
}
