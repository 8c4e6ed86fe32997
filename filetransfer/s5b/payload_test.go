package s5b_test

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	s5b.Register(&r)
	return &r
}

var seeds = []string{
	`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' dstaddr='972b7bf47291ca609517f67f86b5081086052dad' mode='tcp' sid='vj3hs98y'><candidate cid='a' host='192.168.4.1' jid='romeo@montague.lit/orchard' port='5086' priority='8257636' type='direct'/><candidate cid='b' host='fe80::1%lan1' jid='p.lit' priority='4294967295'/></transport>`,
	`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'><candidate-used cid='a'/></transport>`,
	`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'><candidate-error/><x xmlns='y'/></transport>`,
	`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'><activated cid='a'/></transport>`,
	`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'><proxy-error/></transport>`,
	`<query xmlns='http://jabber.org/protocol/bytestreams'/>`,
	`<query xmlns='http://jabber.org/protocol/bytestreams' sid='s' mode='udp'><streamhost host='a.lit' jid='p.lit'/><streamhost host='::1' jid='p.lit' port='1'/></query>`,
	`<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate>target@example.org/bar</activate></query>`,
	`<query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><streamhost-used jid='p.lit'/></query>`,
}

func TestSameBack(t *testing.T) { codectest.SameBack(t, registry().Parse, seeds...) }

func TestCorpus(t *testing.T) {
	codectest.Corpus(t, registry(), 28, "xep-0260", "xep-0065", "xep-0234", "old-xep-0234-v0.15-ns3")
}

func FuzzPayload(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0260", "xep-0065"}, seeds...)
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 300)
	in := func(inner string) string {
		return `<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s'>` + inner + `</transport>`
	}
	codectest.Refused(t, s5b.Parse,
		`<transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:s5b:1'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='`+long+`'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s' mode='sctp'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='s' dstaddr='`+long+`'/>`,
		in(`<candidate host='a' port='1'/>`), in(`<candidate cid='a' port='1'/>`),
		in(`<candidate cid='a' host='h' port='65536'/>`), in(`<candidate cid='a' host='h' port='-1'/>`),
		in(`<candidate cid='a' host='h' priority='4294967296'/>`), in(`<candidate cid='`+long+`' host='h'/>`),
		in(`<candidate cid='a' host='`+long+`'/>`), in(`<candidate-used/>`), in(`<activated cid=''/>`),
		in(strings.Repeat(`<candidate cid='a' host='h' port='1'/>`, 65)))
	codectest.Refused(t, s5b.ParseQuery,
		`<query xmlns='jabber:iq:roster'/>`,
		`<query xmlns='http://jabber.org/protocol/bytestreams' mode='x'/>`,
		`<query xmlns='http://jabber.org/protocol/bytestreams'><streamhost host='a'/></query>`,
		`<query xmlns='http://jabber.org/protocol/bytestreams'><streamhost jid='a' host='b' port='70000'/></query>`,
		`<query xmlns='http://jabber.org/protocol/bytestreams'><streamhost-used/></query>`,
		`<query xmlns='http://jabber.org/protocol/bytestreams'><activate/></query>`)
}

// TestDstAddr has the two values of XEP-0260 examples 1 and 3.
func TestDstAddr(t *testing.T) {
	romeo, juliet := jid.MustParse("romeo@montague.lit/orchard"), jid.MustParse("juliet@capulet.lit/balcony")
	if got := s5b.DstAddr("vj3hs98y", romeo, juliet); got != "972b7bf47291ca609517f67f86b5081086052dad" {
		t.Errorf("of the initiator's candidates: %s", got)
	}
	if got := s5b.DstAddr("vj3hs98y", juliet, romeo); got != "1a12fb7bc625e55f3ed5b29a53dbe0e4aa7d80ba" {
		t.Errorf("of the responder's candidates: %s", got)
	}
}

// TestPriority has two priorities of XEP-0260's examples; its others do not follow its formula.
func TestPriority(t *testing.T) {
	for _, c := range []struct{ got, want uint32 }{
		{s5b.Direct.Priority(100), 8257636},
		{s5b.Direct.Priority(70), 8257606},
		{s5b.Type("").Priority(0), 126 << 16},
		{s5b.Assisted.Priority(1), 120<<16 + 1},
		{s5b.Tunnel.Priority(0), 110 << 16},
		{s5b.Proxy.Priority(10), 655370},
		{s5b.Type("pigeon").Priority(65535), 65535},
	} {
		if c.got != c.want {
			t.Errorf("%d, want %d", c.got, c.want)
		}
	}
}
