package media

import (
	"sync"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/congestion"
)

const (
	// countEvery is how often we tell which packets have arrived.
	countEvery = 100 * time.Millisecond
	// idleSender is how long a stream may be quiet until the others get its share.
	idleSender = 2 * time.Second
)

// counter counts the packets of video on one transport, of all streams together (transport-wide congestion control): which of
// the peer's have arrived, for it to estimate, and by its reports how much the path takes of ours.
type counter struct {
	mu      sync.Mutex
	origin  time.Time
	id      uint8 // of the header extension, 0 while it is not agreed
	arrived *twcc.Recorder
	told    time.Duration
	sender  *congestion.Sender
	active  map[uint32]time.Duration // when each of our streams has sent
}

func newCounter() *counter {
	return &counter{origin: time.Now(), active: make(map[uint32]time.Duration), told: -countEvery}
}

// agree begins to count under this header extension; ssrc is ours.
func (t *counter) agree(id uint8, ssrc uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id == 0 {
		return
	}
	t.id = id // the same in all contents of a BUNDLE group (RFC 9143 section 14)
	if t.sender != nil {
		return
	}
	t.arrived = twcc.NewRecorder(ssrc)
	t.sender = congestion.NewSender(congestion.Config{Start: maxBitrate / 4, Min: minBitrate, Max: maxBitrate})
}

// received takes a packet of the peer.
func (t *counter) received(h *rtp.Header, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.id == 0 {
		return
	}
	var ext rtp.TransportCCExtension
	if b := h.GetExtension(t.id); b != nil && ext.Unmarshal(b) == nil {
		t.arrived.Record(h.SSRC, ext.TransportSequence, at.UnixMicro())
	}
}

// report returns what is to be told to the peer, if it is time.
func (t *counter) report() []rtcp.Packet {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.origin)
	if t.id == 0 || now-t.told < countEvery {
		return nil
	}
	t.told = now
	return t.arrived.BuildFeedbackPacket()
}

// number gives a packet that goes out now its number, under an id that its content has agreed to. The header must have none yet.
func (t *counter) number(id uint8, h *rtp.Header, payload int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id == 0 || id != t.id || id > 14 { // RFC 8285 section 4.2: longer ones take another form, which nobody offers
		return
	}
	now := time.Since(t.origin)
	t.active[h.SSRC] = now
	b, err := rtp.TransportCCExtension{TransportSequence: t.sender.Sent(now, h.MarshalSize()+8+payload)}.Marshal()
	if err == nil {
		_ = h.SetExtension(t.id, b) // the id is a valid one
	}
}

// reported takes what the peer tells of our packets.
func (t *counter) reported(packets []rtcp.Packet, at time.Time) {
	for _, p := range packets {
		f, ok := p.(*rtcp.TransportLayerCC)
		if !ok {
			continue
		}
		t.mu.Lock()
		if t.sender != nil {
			t.sender.Feedback(at.Sub(t.origin), f)
		}
		t.mu.Unlock()
	}
}

// share returns how much of the path one stream of ours may take, in bit/s, and 0 while nothing is known.
func (t *counter) share(ssrc uint32) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sender == nil {
		return 0
	}
	bps, known := t.sender.Bitrate()
	if !known {
		return 0
	}
	n, now := 1, time.Since(t.origin)
	for other, at := range t.active {
		switch {
		case now-at > idleSender:
			delete(t.active, other)
		case other != ssrc:
			n++
		}
	}
	return max(bps/n, minBitrate)
}
