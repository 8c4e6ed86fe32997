package jingle_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/xmltree"
)

// offerXML is a session-initiate with audio and video as browsers and Conversations write it: codecs with their
// parameters and feedback, header extensions, ICE credentials, a fingerprint and candidates.
var offerXML = func() []byte {
	const (
		audio = `<payload-type id='111' name='opus' clockrate='48000' channels='2'><parameter name='minptime' value='10'/><parameter name='useinbandfec' value='1'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/></payload-type><payload-type id='0' name='PCMU' clockrate='8000'/><payload-type id='8' name='PCMA' clockrate='8000'/><payload-type id='110' name='telephone-event' clockrate='48000'/>`
		video = `<payload-type id='96' name='VP8' clockrate='90000'><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='goog-remb'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='ccm' subtype='fir'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/></payload-type><payload-type id='97' name='rtx' clockrate='90000'><parameter name='apt' value='96'/></payload-type>`
		rest  = `<rtcp-mux/><rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='3' uri='urn:ietf:params:rtp-hdrext:sdes:mid'/></description><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8hhy' pwd='asd88fgpdd777uzjYhagZg'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>02:1A:CC:54:27:AB:EB:9C:53:3F:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1:7A:03:A2:7D:F9:B0:7F:46:19:B2</fingerprint><candidate component='1' foundation='1' generation='0' id='el0747fg11' ip='192.0.2.3' network='1' port='8998' priority='2130706431' protocol='udp' type='host'/><candidate component='1' foundation='2' generation='0' id='y3s2b30v3r' ip='198.51.100.7' network='1' port='45664' priority='1694498815' protocol='udp' rel-addr='192.0.2.3' rel-port='8998' type='srflx'/></transport></content>`
	)
	return fmt.Appendf(nil, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@montague.lit/orchard' sid='a73s'>`+
		`<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>%s%s`+
		`<content creator='initiator' name='1'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>%s%s`+
		`<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='0'/><content name='1'/></group></jingle>`,
		audio, rest, video, rest)
}()

func callRegistry() *jingle.Registry {
	var r jingle.Registry
	rtp.Register(&r)
	ice.Register(&r)
	return &r
}

func decode(b *testing.B, r *jingle.Registry) *jingle.Message {
	x, err := xmltree.Parse(offerXML, xmltree.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	m, err := jingle.ParseMessage(x, r)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkInitiate decodes a session-initiate with audio and video, steps the machine and encodes the message again.
func BenchmarkInitiate(b *testing.B) {
	r := callRegistry()
	now := time.Unix(0, 0)
	b.SetBytes(int64(len(offerXML)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		m := decode(b, r)
		s := jingle.NewSession(jingle.SessionConfig{SID: m.SID, Role: jingle.Responder, Local: "j@c/b", Peer: "r@m/o"})
		if n := len(s.Receive(now, "1", m)); n != 2 {
			b.Fatalf("%d effects", n)
		}
		out = m.Element().AppendXML(out[:0], "jabber:client")
	}
}

// BenchmarkDecode is the part of BenchmarkInitiate that reads.
func BenchmarkDecode(b *testing.B) {
	r := callRegistry()
	b.SetBytes(int64(len(offerXML)))
	for b.Loop() {
		decode(b, r)
	}
}

// BenchmarkSession runs whole sessions through the machine, from session-initiate to session-terminate and its reply, and
// reports sessions per second.
func BenchmarkSession(b *testing.B) {
	r := callRegistry()
	offer := decode(b, r)
	accept := &jingle.Message{Action: jingle.SessionAccept, SID: offer.SID, Contents: offer.Contents}
	info := &jingle.Message{Action: jingle.TransportInfo, SID: offer.SID, Contents: offer.Contents[:1]}
	bye := &jingle.Message{Action: jingle.SessionTerminate, SID: offer.SID}
	now := time.Unix(0, 0)
	for b.Loop() {
		s := jingle.NewSession(jingle.SessionConfig{SID: offer.SID, Role: jingle.Responder, Local: "j@c/b", Peer: "r@m/o"})
		s.Receive(now, "1", offer)
		s.Receive(now, "2", info)
		if _, err := s.Do(now, accept); err != nil {
			b.Fatal(err)
		}
		s.Replied(now, 1, nil)
		s.Receive(now, "3", bye)
		if s.State() != jingle.Done {
			b.Fatal("the session lives on")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
}

// BenchmarkIdleSessions reports what an active session that nothing happens to holds in memory.
func BenchmarkIdleSessions(b *testing.B) {
	const n = 10000
	r := callRegistry()
	offer := decode(b, r)
	now := time.Unix(0, 0)
	for b.Loop() {
		before := heap()
		sessions := make([]*jingle.Session, n)
		for i := range sessions {
			s := jingle.NewSession(jingle.SessionConfig{SID: offer.SID, Role: jingle.Responder, Local: "j@c/b", Peer: "r@m/o"})
			s.Receive(now, "1", offer)
			if _, err := s.Do(now, &jingle.Message{Action: jingle.SessionAccept, Contents: offer.Contents}); err != nil {
				b.Fatal(err)
			}
			s.Replied(now, 1, nil)
			sessions[i] = s
		}
		b.ReportMetric(float64(heap()-before)/n, "B/session")
		runtime.KeepAlive(sessions)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
