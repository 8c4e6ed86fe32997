package media

import (
	"maps"
	"slices"
	"strconv"

	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
)

const telephoneEvent = "telephone-event"

// The payload types that we offer telephone events with, by clock rate. RFC 4733 section 2.1 wants the clock of the
// audio beside it; browsers offer both. Which events is left to the default, 0 to 15 (section 2.4.1): SDP's form of it has
// no name, which <parameter/> cannot say well.
var eventTypes = []rtp.PayloadType{
	{ID: 110, Name: telephoneEvent, Clockrate: 48000},
	{ID: 126, Name: telephoneEvent, Clockrate: 8000},
}

// capabilities are what an audio content of ours can do.
func capabilities(codecs []*audio.Codec, ssrc uint32, cname string) rtp.Capabilities {
	c := rtp.Capabilities{
		Media: "audio", RTCPMux: true, DTLS: true, SSRC: ssrc,
		// Without a stream's name in msid browsers show a track that belongs to nothing, and play none of it.
		Sources: []rtp.Source{{SSRC: ssrc, Parameters: rtp.Parameters{
			{Name: "cname", Value: cname}, {Name: "msid", Value: cname + " " + ContentName},
		}}},
	}
	for _, codec := range codecs {
		p := rtp.PayloadType{
			ID: codec.PayloadType, Name: codec.Name, Clockrate: uint32(codec.ClockRate),
		}
		if codec.Channels > 1 {
			p.Channels = uint8(codec.Channels)
		}
		for _, name := range slices.Sorted(maps.Keys(codec.Parameters)) {
			p.Parameters = append(p.Parameters, rtp.Parameter{Name: name, Value: codec.Parameters[name]})
		}
		c.PayloadTypes = append(c.PayloadTypes, p)
	}
	c.PayloadTypes = append(c.PayloadTypes, eventTypes...)
	return c
}

// agreement is what two descriptions mean for a stream: by payload type how to read what comes, and what to send.
type agreement struct {
	codecs map[uint8]*audio.Codec
	events map[uint8]int // clock rates
	// send is the codec to send with its payload type.
	send   *audio.Codec
	sendPT uint8
	config audio.EncoderConfig
	// eventPT is the payload type for DTMF with its clock; hasEvents is false if the peer has none.
	eventPT    uint8
	eventClock int
	hasEvents  bool
}

// agree reads an agreed description: the first encoding in it that can stand on its own is sent (XEP-0167 section 5).
// ok is false if there is none that we have.
func agree(d rtp.Description, codecs []*audio.Codec) (a agreement, ok bool) {
	a.codecs, a.events = make(map[uint8]*audio.Codec), make(map[uint8]int)
	for _, p := range d.PayloadTypes {
		p, known := p.Normal()
		if !known {
			continue
		}
		if p.Name == telephoneEvent {
			a.events[p.ID] = int(p.Clockrate)
			continue
		}
		i := slices.IndexFunc(codecs, func(c *audio.Codec) bool { return c.Is(p.Name, int(p.Clockrate), int(p.Channels)) })
		if i < 0 {
			continue
		}
		a.codecs[p.ID] = codecs[i]
		if a.send == nil {
			a.send, a.sendPT, a.config = codecs[i], p.ID, encoderConfig(p.Parameters)
		}
	}
	if a.send == nil {
		return a, false
	}
	a.config.MaxBitrate = least(a.config.MaxBitrate, bandwidth(d))
	for _, id := range slices.Sorted(maps.Keys(a.events)) {
		clock := a.events[id]
		// RFC 4733 section 2.1: the audio's clock; another one is better than none.
		if clock > 0 && (!a.hasEvents || clock == a.send.ClockRate) {
			a.eventPT, a.eventClock, a.hasEvents = id, clock, true
		}
	}
	return a, true
}

// bandwidth is how many bits a second the peer takes of a content, or 0 if it does not say (XEP-0167 section 4, RFC 4566 section 5.8,
// RFC 3890).
func bandwidth(d rtp.Description) int {
	limit := 0
	for _, b := range d.Bandwidths {
		bps := uint64(0)
		switch b.Type {
		case "AS":
			bps = min(b.Value, maxBandwidth/1000) * 1000
		case "TIAS":
			bps = min(b.Value, maxBandwidth)
		}
		limit = least(limit, int(bps))
	}
	return limit
}

// least is the lower one of two limits, of which 0 is none.
func least(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// maxBandwidth is more than is ever sent, in bit/s.
const maxBandwidth = 1_000_000_000

// encoderConfig reads the parameters by which the peer says what it wants to receive (RFC 7587 section 6.1).
func encoderConfig(ps rtp.Parameters) audio.EncoderConfig {
	var c audio.EncoderConfig
	if v, ok := ps.Get("maxaveragebitrate"); ok {
		c.MaxBitrate, _ = strconv.Atoi(v)
	}
	fec, _ := ps.Get("useinbandfec")
	c.FEC = fec == "1"
	return c
}
