package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/video"
)

// A client that vanishes without a word is given up after both times.
const (
	disconnectedAfter = 5 * time.Second
	failedAfter       = 10 * time.Second
	keepAlive         = 2 * time.Second
)

// OfferError says what is wrong with an offer.
type OfferError struct{ Problem string }

func (e *OfferError) Error() string { return "the offer " + e.Problem }

// Client is one WebRTC client of a [Line].
type Client struct {
	line  *Line
	role  Role
	id    string
	order uint64
	up    atomic.Bool // connected
	media offered

	pc    *webrtc.PeerConnection
	audio *outlet // nil if the client does not play sound
	video *outlet
	wg    sync.WaitGroup // readers
	mu    sync.Mutex
	over  bool // no reader may begin

	pictures atomic.Uint32 // the SSRC of what the client sends, or 0
	canTake  atomic.Int64  // bit/s of pictures, or 0

	closing sync.Once
	done    chan struct{} // to be closed
	ended   chan struct{}
}

// offered is what an offer has.
type offered struct {
	sendsAudio, playsAudio bool
	sendsVideo, playsVideo bool
	hosts                  []net.IP // where it says that it is
}

// ID names the client within its line.
func (c *Client) ID() string { return c.id }

// Role returns what the client was attached as.
func (c *Client) Role() Role { return c.role }

// HasVideo reports whether the client sends or plays pictures.
func (c *Client) HasVideo() bool { return c.media.sendsVideo || c.media.playsVideo }

// SendsVideo reports whether the client sends pictures. One that only plays them takes those that the peer has.
func (c *Client) SendsVideo() bool { return c.media.sendsVideo }

// Done is closed when the client has gone or was closed, and all that it ran has ended.
func (c *Client) Done() <-chan struct{} { return c.ended }

// Close ends the client; [Client.Done] says when it has ended.
func (c *Client) Close() { c.closing.Do(func() { close(c.done) }) }

// look reads what an offer wants, by the first description of each kind. Descriptions beyond are answered, but not used.
func (c *Client) look(offer string) error {
	if len(offer) > maxOffer {
		return &OfferError{fmt.Sprintf("is longer than %d bytes", maxOffer)}
	}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(offer); err != nil {
		return &OfferError{"is no SDP: " + err.Error()}
	}
	var audio, video bool
	for _, m := range s.MediaDescriptions {
		_, bundleOnly := m.Attribute("bundle-only")
		if m.MediaName.Port.Value == 0 && !bundleOnly {
			continue
		}
		sends, plays := directions(&s, m)
		switch {
		case m.MediaName.Media == "audio" && !audio:
			audio, c.media.sendsAudio, c.media.playsAudio = true, sends, plays
		case m.MediaName.Media == "video" && !video:
			video, c.media.sendsVideo, c.media.playsVideo = true, sends, plays
		}
	}
	if !audio && !video {
		return &OfferError{"has neither audio nor video"}
	}
	c.media.hosts = hosts(&s)
	if c.role == Source {
		c.media.playsAudio, c.media.playsVideo = false, false
		if !c.media.sendsAudio && !c.media.sendsVideo {
			return &OfferError{"sends nothing"}
		}
	}
	if c.role == Player {
		c.media.sendsAudio, c.media.sendsVideo = false, false
		if !c.media.playsAudio && !c.media.playsVideo {
			return &OfferError{"takes nothing"}
		}
	}
	return nil
}

// hosts returns the addresses of the host candidates; names, as browsers have them, are passed over.
func hosts(s *sdp.SessionDescription) []net.IP {
	var ips []net.IP
	for _, m := range s.MediaDescriptions {
		for _, a := range m.Attributes {
			// RFC 8839 section 5.1: foundation, component, transport, priority, address, port, "typ", type.
			f := strings.Fields(a.Value)
			if a.Key != "candidate" || len(f) < 8 || f[7] != "host" || len(ips) == maxHosts {
				continue
			}
			if ip := net.ParseIP(f[4]); ip != nil {
				ips = append(ips, ip)
			}
		}
	}
	return ips
}

const maxHosts = 64

func directions(s *sdp.SessionDescription, m *sdp.MediaDescription) (sends, plays bool) {
	for _, as := range [][]sdp.Attribute{m.Attributes, s.Attributes} {
		for _, a := range as {
			switch a.Key {
			case "sendrecv":
				return true, true
			case "sendonly":
				return true, false
			case "recvonly":
				return false, true
			case "inactive":
				return false, false
			}
		}
	}
	return true, true
}

// connect answers the offer. Then run has to be called, also after an error.
func (c *Client) connect(ctx context.Context, offer string) (answer string, err error) {
	if err := c.look(offer); err != nil {
		return "", err
	}
	if c.pc, err = c.newPeerConnection(); err != nil {
		return "", err
	}
	c.pc.OnTrack(c.receive)
	c.pc.OnConnectionStateChange(c.state)
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", &OfferError{"cannot be answered: " + err.Error()}
	}
	if err := c.addOutlets(); err != nil {
		return "", err
	}
	a, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", &OfferError{"cannot be answered: " + err.Error()}
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(a); err != nil {
		return "", &OfferError{"cannot be answered: " + err.Error()}
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return c.pc.LocalDescription().SDP, nil
}

// addOutlets makes tracks for what the client plays, and sets which codec it should send.
func (c *Client) addOutlets() error {
	for _, t := range c.pc.GetTransceivers() {
		types := c.line.soundTypes()
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			types = c.line.pictureTypes()
		}
		if t.Receiver() == nil {
			continue
		}
		// The client sends the first of the answer, so the order is ours; the payload types are the offer's.
		place := func(p webrtc.RTPCodecParameters) int {
			return slices.IndexFunc(types, func(t webrtc.RTPCodecParameters) bool { return kindOf(t) == kindOf(p) })
		}
		agreed := t.Receiver().GetParameters().Codecs
		slices.SortStableFunc(agreed, func(a, b webrtc.RTPCodecParameters) int { return place(a) - place(b) })
		if err := t.SetCodecPreferences(agreed); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
	}
	for kind, o := range map[webrtc.RTPCodecType]**outlet{webrtc.RTPCodecTypeAudio: &c.audio, webrtc.RTPCodecTypeVideo: &c.video} {
		if kind == webrtc.RTPCodecTypeAudio && !c.media.playsAudio || kind == webrtc.RTPCodecTypeVideo && !c.media.playsVideo {
			continue
		}
		out := newOutlet(kind)
		// The line knows the client already, and may have packets for it.
		c.line.mu.Lock()
		*o = out
		c.line.mu.Unlock()
		sender, err := c.pc.AddTrack(out)
		if err != nil {
			return &OfferError{"cannot be answered: " + err.Error()}
		}
		c.wg.Go(func() { c.readFeedback(sender, kind) })
	}
	return nil
}

// run waits for the client's end and cleans up.
func (c *Client) run() {
	defer close(c.ended)
	late := time.NewTimer(connectTime)
	defer late.Stop()
	for open := true; open; {
		select {
		case <-c.done:
			open = false
		case <-late.C:
			open = c.up.Load()
		}
	}
	was := c.up.Swap(false)
	if c.pc != nil {
		if err := c.pc.GracefulClose(); err != nil {
			c.line.log.Debug("closing a WebRTC client", "err", err)
		}
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.wg.Wait()
	c.line.leave(c)
	if was {
		c.line.changed()
	}
}

func (c *Client) state(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		if !c.up.Swap(true) {
			c.line.connected(c)
		}
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		c.Close()
	}
}

// receive reads one track of the client until it ends.
func (c *Client) receive(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	isVideo := t.Kind() == webrtc.RTPCodecTypeVideo
	if isVideo && !c.media.sendsVideo || !isVideo && !c.media.sendsAudio {
		return
	}
	if isVideo && !c.pictures.CompareAndSwap(0, uint32(t.SSRC())) {
		return // a second camera
	}
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.wg.Add(1)
	c.mu.Unlock()
	defer c.wg.Done()
	types := map[uint8]kindOfPacket{}
	for _, p := range r.GetParameters().Codecs {
		types[uint8(p.PayloadType)] = kindOf(p)
	}
	source := c.line.newSource()
	keys := map[uint8]*dtmf.Receiver{}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := t.Read(buf)
		if err != nil && n == 0 {
			return // with a packet it is about its type only
		}
		var p rtp.Packet
		if p.Unmarshal(buf[:n]) != nil || len(p.Payload) == 0 {
			continue
		}
		kind, ok := types[p.PayloadType]
		pkt := packet{p.Payload, source, p.SequenceNumber, p.Timestamp, p.Marker}
		switch {
		case !ok:
		case isVideo:
			if codec, err := video.ByName(kind.codec); err == nil {
				c.line.show(c, codec, pkt)
			}
		case kind.codec == telephoneEvent:
			if keys[p.PayloadType] == nil {
				keys[p.PayloadType] = dtmf.NewReceiver(kind.clock)
			}
			c.pressed(keys[p.PayloadType].Receive(p.Timestamp, p.Payload))
		default:
			if codec := c.line.codec(kind.codec); codec != nil {
				c.line.speak(c, codec, audio.Packet{
					Payload: p.Payload, Source: source, Seq: p.SequenceNumber, Timestamp: p.Timestamp, Marker: p.Marker,
				})
			}
		}
	}
}

// pressed tells a key once its duration is known: Chromium sends the end of an event only.
func (c *Client) pressed(k dtmf.Key, change dtmf.Change) {
	if change == dtmf.Nothing || change == dtmf.Down && k.Duration == 0 || c.line.cfg.Keys == nil {
		return
	}
	c.line.cfg.Keys(k)
}

// readFeedback takes the client's wishes about what it plays.
func (c *Client) readFeedback(s *webrtc.RTPSender, kind webrtc.RTPCodecType) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		if kind != webrtc.RTPCodecTypeVideo {
			continue
		}
		key, told := false, false
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				key = true
			case *rtcp.ReceiverEstimatedMaximumBitrate:
				told = true
				c.canTake.Store(int64(min(p.Bitrate, 1e9)))
			}
		}
		if key || told {
			c.line.wished(key)
		}
	}
}

// requestKeyFrame asks the client for one.
func (c *Client) requestKeyFrame() {
	if ssrc := c.pictures.Load(); ssrc != 0 {
		c.write(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	}
}

// requestBitrate tells the client what the peer can take.
func (c *Client) requestBitrate(bps int) {
	if ssrc := c.pictures.Load(); ssrc != 0 {
		c.write(&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(bps), SSRCs: []uint32{ssrc}})
	}
}

func (c *Client) write(p rtcp.Packet) {
	if err := c.pc.WriteRTCP([]rtcp.Packet{p}); err != nil && !errors.Is(err, webrtc.ErrConnectionClosed) {
		c.line.log.Debug("feedback to a WebRTC client", "err", err)
	}
}
