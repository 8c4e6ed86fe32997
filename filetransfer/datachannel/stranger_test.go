package datachannel_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/filetransfer/datachannel"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
)

// loopbackAPI makes PeerConnections that use the loopback only.
func loopbackAPI() *webrtc.API {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
	s.DetachDataChannels()
	return webrtc.NewAPI(webrtc.WithSettingEngine(s))
}

func newPeerConnection(t testing.TB, api *webrtc.API) *webrtc.PeerConnection {
	t.Helper()
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

// toSDP writes a transport as a browser would have it.
func toSDP(d ice.DataChannel) string {
	var b strings.Builder
	fp := d.ICE.Fingerprints[0]
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"+
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"+
		"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:%s %s\r\na=setup:%s\r\na=sctp-port:%d\r\na=max-message-size:%d\r\n",
		d.ICE.Ufrag, d.ICE.Pwd, fp.Hash, fp.Value, fp.Setup, d.SCTPPort, d.MaxMessageSize)
	for _, c := range d.ICE.Candidates {
		fmt.Fprintf(&b, "a=%s\r\n", candidateSDP(c))
	}
	return b.String()
}

func candidateSDP(c ice.Candidate) string {
	return fmt.Sprintf("candidate:%s %d udp %d %s %d typ %s", c.Foundation, c.Component, c.Priority, c.IP, c.Port, c.Type)
}

// fromSDP reads what a PeerConnection says, candidates included.
func fromSDP(t testing.TB, sdp string) ice.DataChannel {
	t.Helper()
	d := ice.DataChannel{SCTPPort: 5000, ICE: &ice.Transport{}}
	var f ice.Fingerprint
	for line := range strings.Lines(sdp) {
		line = strings.TrimSpace(line)
		v := func(name string) (string, bool) { return strings.CutPrefix(line, "a="+name+":") }
		if s, ok := v("ice-ufrag"); ok {
			d.ICE.Ufrag = s
		}
		if s, ok := v("ice-pwd"); ok {
			d.ICE.Pwd = s
		}
		if s, ok := v("fingerprint"); ok {
			f.Hash, f.Value, _ = strings.Cut(s, " ")
		}
		if s, ok := v("setup"); ok {
			f.Setup = ice.Setup(s)
		}
		if s, ok := v("max-message-size"); ok {
			fmt.Sscan(s, &d.MaxMessageSize)
		}
		if s, ok := v("candidate"); ok {
			c := ice.Candidate{Protocol: "udp", ID: "c", Type: ice.Host}
			var typ, kind string
			if _, err := fmt.Sscan(s, &c.Foundation, &c.Component, &c.Protocol, &c.Priority, &c.IP, &c.Port, &typ, &kind); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if c.Component == 1 {
				d.ICE.Candidates = append(d.ICE.Candidates, c)
			}
		}
	}
	d.ICE.Fingerprints = []ice.Fingerprint{f}
	return d
}

// stranger is a PeerConnection with a channel of its own and that of the other side, as Conversations has them.
type stranger struct {
	out, in chan io.ReadWriteCloser
}

func watch(t testing.TB, pc *webrtc.PeerConnection) *stranger {
	s := &stranger{make(chan io.ReadWriteCloser, 1), make(chan io.ReadWriteCloser, 1)}
	name := "xmpp-jingle"
	own, err := pc.CreateDataChannel("test", &webrtc.DataChannelInit{Protocol: &name})
	if err != nil {
		t.Fatal(err)
	}
	detach := func(dc *webrtc.DataChannel, to chan io.ReadWriteCloser) {
		dc.OnOpen(func() {
			if raw, err := dc.Detach(); err == nil {
				to <- raw
			}
		})
	}
	detach(own, s.out)
	pc.OnDataChannel(func(dc *webrtc.DataChannel) {
		if dc.Label() != "test" || dc.Protocol() != name || !dc.Ordered() {
			t.Errorf("channel %q of %q", dc.Label(), dc.Protocol())
		}
		detach(dc, s.in)
	})
	return s
}

func await(t testing.TB, c chan io.ReadWriteCloser) io.ReadWriteCloser {
	t.Helper()
	select {
	case rw := <-c:
		return rw
	case <-time.After(20 * time.Second):
		t.Fatal("no channel in 20 s")
	}
	return nil
}

// meet connects a transport of ours with a PeerConnection.
func meet(t testing.TB, role jingle.Role) (ours io.ReadWriteCloser, theirs *stranger) {
	t.Helper()
	h := newHost(t, factory(t, datachannel.Own, nil), role)
	pc := newPeerConnection(t, loopbackAPI())
	s := watch(t, pc)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	trickle := make(chan ice.Candidate, 32)
	h.peer = func(p jingle.Payload) {
		for _, c := range wire(t, p).(ice.DataChannel).ICE.Candidates {
			trickle <- c
		}
	}
	feed := func() {
		go func() {
			for {
				select {
				case c := <-trickle:
					_ = pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: candidateSDP(c)})
				case <-h.quit:
					return
				}
			}
		}()
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	var p jingle.Payload
	if role == jingle.Initiator {
		h.do(func() (err error) { p, err = h.tr.Offer(); return err })
		must(pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: toSDP(wire(t, p).(ice.DataChannel))}))
		answer, err := pc.CreateAnswer(nil)
		must(err)
		must(pc.SetLocalDescription(answer))
		<-gathered
		h.do(func() error { return h.tr.Accepted(fromSDP(t, pc.LocalDescription().SDP)) })
	} else {
		offer, err := pc.CreateOffer(nil)
		must(err)
		must(pc.SetLocalDescription(offer))
		<-gathered
		h.do(func() (err error) { p, err = h.tr.Answer(fromSDP(t, pc.LocalDescription().SDP)); return err })
		must(pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: toSDP(wire(t, p).(ice.DataChannel))}))
	}
	feed()
	h.do(func() error { h.tr.Start(); return nil })
	return h.conn(), s
}

func TestPeerConnection(t *testing.T) {
	for _, role := range []jingle.Role{jingle.Initiator, jingle.Responder} {
		t.Run(role.String(), func(t *testing.T) {
			ours, s := meet(t, role)
			data := make([]byte, 1<<20+5)
			_, _ = rand.Read(data)

			// To the stranger, in whatever messages we choose.
			go func() { _, _ = ours.Write(data) }()
			in := await(t, s.in)
			var got []byte
			for b := make([]byte, 1<<16); len(got) < len(data); {
				n, err := in.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b[:n]...)
			}
			if !bytes.Equal(got, data) {
				t.Error("the stranger has got something else")
			}

			// From the stranger, in messages of 4096 bytes on its own channel.
			out := await(t, s.out)
			go func() {
				for b := data; len(b) > 0; b = b[min(4096, len(b)):] {
					if _, err := out.Write(b[:min(4096, len(b))]); err != nil {
						return
					}
				}
			}()
			got = make([]byte, len(data))
			if _, err := io.ReadFull(ours, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("from the stranger: %v, equal: %v", err, bytes.Equal(got, data))
			}
		})
	}
}
