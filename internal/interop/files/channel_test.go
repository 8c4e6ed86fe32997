package files

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/jingle"
)

// channels is the WebRTC of a client that has data channels in Conversations' form: each side opens one, writes on its own and
// reads from the other's.
type channels struct {
	t       *testing.T
	pc      *webrtc.PeerConnection
	out, in chan io.ReadWriteCloser
}

func newChannels(t *testing.T) *channels {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	s.DetachDataChannels()
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	c := &channels{t, pc, make(chan io.ReadWriteCloser, 1), make(chan io.ReadWriteCloser, 1)}
	name := "xmpp-jingle"
	own, err := pc.CreateDataChannel("test", &webrtc.DataChannelInit{Protocol: &name})
	if err != nil {
		t.Fatal(err)
	}
	open := func(dc *webrtc.DataChannel, to chan io.ReadWriteCloser) {
		dc.OnOpen(func() {
			if raw, err := dc.Detach(); err == nil {
				to <- raw
			}
		})
	}
	open(own, c.out)
	pc.OnDataChannel(func(dc *webrtc.DataChannel) {
		if dc.Label() != "test" || dc.Protocol() != name || !dc.Ordered() || dc.MaxRetransmits() != nil {
			t.Errorf("Conversations knows no channel %q of %q", dc.Label(), dc.Protocol())
		}
		open(dc, c.in)
	})
	return c
}

func (c *channels) await(ch chan io.ReadWriteCloser) io.ReadWriteCloser {
	c.t.Helper()
	select {
	case rw := <-ch:
		return rw
	case <-time.After(ours.Patience):
		c.t.Fatal("no channel")
	}
	return nil
}

func (c *channels) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// remote takes our transport. Conversations puts it into SDP and drops what has no credentials, port or size.
func (c *channels) remote(kind webrtc.SDPType, d ice.DataChannel) {
	c.t.Helper()
	if d.SCTPPort == 0 || d.MaxMessageSize == 0 || d.ICE == nil || d.ICE.Ufrag == "" || len(d.ICE.Fingerprints) != 1 {
		c.t.Fatalf("Conversations cannot read %s", d.Element())
	}
	fp := d.ICE.Fingerprints[0]
	if want := map[webrtc.SDPType]ice.Setup{webrtc.SDPTypeOffer: ice.SetupActpass, webrtc.SDPTypeAnswer: ice.SetupActive}[kind]; fp.Setup != want {
		c.t.Errorf("Conversations wants setup %s, not %s", want, fp.Setup)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"+
		"c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:%s %s\r\na=setup:%s\r\na=sctp-port:%d\r\n"+
		"a=max-message-size:%d\r\n", d.ICE.Ufrag, d.ICE.Pwd, fp.Hash, fp.Value, fp.Setup, d.SCTPPort, d.MaxMessageSize)
	c.must(c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: b.String()}))
	c.candidates(d)
}

func (c *channels) candidates(d ice.DataChannel) {
	if d.ICE == nil {
		return
	}
	for _, x := range d.ICE.Candidates {
		// An error is for a candidate that comes when all is over.
		_ = c.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: fmt.Sprintf("candidate:%s %d udp %d %s %d typ %s",
			x.Foundation, x.Component, x.Priority, x.IP, x.Port, x.Type)})
	}
}

// local returns the peer's own transport, and its candidates apart, as Conversations trickles them.
func (c *channels) local(kind webrtc.SDPType) (transport string, trickled []string) {
	c.t.Helper()
	gathered := webrtc.GatheringCompletePromise(c.pc)
	var sd webrtc.SessionDescription
	var err error
	if kind == webrtc.SDPTypeOffer {
		sd, err = c.pc.CreateOffer(nil)
	} else {
		sd, err = c.pc.CreateAnswer(nil)
	}
	c.must(err)
	c.must(c.pc.SetLocalDescription(sd))
	<-gathered
	value := map[string]string{}
	var lines []string
	for line := range strings.Lines(c.pc.LocalDescription().SDP) {
		if name, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "a="), ":"); ok {
			if value[name] = v; name == "candidate" {
				lines = append(lines, v)
			}
		}
	}
	hash, fp, _ := strings.Cut(value["fingerprint"], " ")
	wrap := func(inner string) string {
		return fmt.Sprintf("<transport xmlns='%s' sctp-port='5000' max-message-size='262144'><transport xmlns='%s' ufrag='%s' pwd='%s'>%s</transport></transport>",
			ice.NSDataChannel, ice.NSUDP, value["ice-ufrag"], value["ice-pwd"], inner)
	}
	for i, line := range lines {
		var foundation, component, proto, priority, ip, port, typ, kind string
		if _, err := fmt.Sscan(line, &foundation, &component, &proto, &priority, &ip, &port, &typ, &kind); err != nil {
			c.t.Fatalf("%s: %v", line, err)
		}
		if component == "1" {
			trickled = append(trickled, wrap(fmt.Sprintf("<candidate foundation='%s' component='%s' protocol='%s' priority='%s' ip='%s' port='%s' type='%s' "+
				"generation='0' id='c%d' network='0'/>", foundation, component, proto, priority, ip, port, kind, i)))
		}
	}
	return wrap(fmt.Sprintf("<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='%s' setup='%s'>%s</fingerprint>"+
		"<trickle xmlns='http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option'/>", hash, value["setup"], fp)), trickled
}

const bundle = "<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='%s'/></group>"

// follow gives a PeerConnection that has our transport our candidates from now on, and those that came before.
func (s *scene) follow(c *channels) {
	s.trickling.Lock()
	defer s.trickling.Unlock()
	s.trickle = func(d ice.DataChannel) {
		if d.ICE == nil || d.ICE.Ufrag == "" || d.ICE.Pwd == "" {
			s.t.Error("Conversations takes a transport-info without credentials for a restart")
		}
		c.candidates(d)
	}
	for len(s.inbox) > 0 {
		s.early = append(s.early, <-s.inbox)
	}
	s.early = slices.DeleteFunc(s.early, s.trickled)
}

// takeChannel takes our offer over data channels.
func (s *scene) takeChannel() {
	s.t.Helper()
	c, d := s.offeredChannel()
	pc := newChannels(s.t)
	pc.remote(webrtc.SDPTypeOffer, d)
	s.follow(pc)
	transport, trickled := pc.local(webrtc.SDPTypeAnswer)
	s.accept(c, transport, "")
	for _, one := range trickled {
		s.jingle("transport-info", content(c.Name, one))
	}
	in := pc.await(pc.in)
	got := make([]byte, 0, len(s.data))
	for b := make([]byte, 1<<18); len(got) < len(s.data); {
		n, err := in.Read(b)
		if err != nil {
			s.t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	s.took(got)
	s.finish(c)
	s.arrived("datachannel")
}

// offeredChannel reads our session-initiate.
func (s *scene) offeredChannel() (*jingle.Content, ice.DataChannel) {
	s.t.Helper()
	c, _ := s.offered()
	d, ok := c.Transport.(ice.DataChannel)
	if !ok {
		s.t.Fatalf("%s would rather have data channels than %s", s.d.name, c.Transport.Element())
	}
	return c, d
}

// giveChannel offers the peer's file over data channels and sends it.
func (s *scene) giveChannel() {
	s.t.Helper()
	pc, m := s.offerChannel()
	d, ok := m.Contents[0].Transport.(ice.DataChannel)
	if !ok || !slices.ContainsFunc(m.Groups, func(g jingle.Group) bool {
		return g.Semantics == "BUNDLE" && slices.Equal(g.Contents, []string{s.d.content})
	}) {
		s.t.Fatalf("Conversations cannot read the answer %s", m.Element())
	}
	pc.remote(webrtc.SDPTypeAnswer, d)
	s.follow(pc)
	out := pc.await(pc.out)
	for b := s.data; len(b) > 0; b = b[min(4096, len(b)):] {
		if _, err := out.Write(b[:min(4096, len(b))]); err != nil {
			s.t.Fatal(err)
		}
	}
	s.given("datachannel")
}

// offerChannel offers the peer's file, trickles, and returns our answer.
func (s *scene) offerChannel() (*channels, *jingle.Message) {
	s.t.Helper()
	s.sid, s.id = "their-"+s.d.content, "their-"+s.d.content
	pc := newChannels(s.t)
	transport, trickled := pc.local(webrtc.SDPTypeOffer)
	s.jingle("session-initiate", content(s.d.content, transport, fmt.Sprintf("<description xmlns='%s'><file>%s</file></description>",
		nsFT, s.d.offer(len(s.data), nil)))+fmt.Sprintf(bundle, s.d.content))
	for _, one := range trickled { // it does not wait for the answer
		s.jingle("transport-info", content(s.d.content, one))
	}
	s.side.Await(s.t, s.id, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := s.side.D.AcceptFile(s.t.Context(), &jingledv1.AcceptFileRequest{Sid: s.id}); err != nil {
		s.t.Fatal(err)
	}
	return pc, s.await(jingle.SessionAccept, nil)
}

// replaceChannel answers our data channels by some that nobody can reach, and then our way out.
func (s *scene) replaceChannel() {
	s.t.Helper()
	c, d := s.offeredChannel()
	pc := newChannels(s.t)
	pc.remote(webrtc.SDPTypeOffer, d)
	transport, _ := pc.local(webrtc.SDPTypeAnswer)
	s.accept(c, strings.Replace(transport, "</fingerprint>", "</fingerprint><candidate foundation='1' component='1' protocol='udp' priority='1' "+
		"ip='127.0.0.1' port='9' type='host' generation='0' id='c1' network='0'/>", 1), "")
	// As the responder it waits: the initiator has to offer something else, SOCKS5 before in-band.
	for {
		r := s.await(jingle.TransportReplace, nil)
		switch t := r.Contents[0].Transport.(type) {
		case ibb.Transport:
			s.d.block = min(s.d.block, int(t.BlockSize))
			s.jingle("transport-accept", content(c.Name, fmt.Sprintf("<transport xmlns='%s' block-size='%d' sid='%s'/>", ibb.NS, s.d.block, t.SID)))
			s.took(s.takeInBand(len(s.data)))
			s.finish(c)
			s.arrived("ibb")
			return
		case s5b.Transport:
			s.jingle("transport-accept", content(c.Name, s5bElement(t.SID, "")))
			s.jingle("transport-info", content(c.Name, s5bElement(t.SID, "<candidate-error/>")))
		default:
			s.t.Fatalf("Conversations knows no %s", r.Contents[0].Transport.Element())
		}
	}
}
