package media

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/video"
)

// transportCC is the header extension that counts packets for congestion control at the sender.
const transportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// videoCapabilities are what a content of video can do: the codec that we have to send goes first.
func videoCapabilities(first *video.Codec, ssrc uint32, cname, content string) rtp.Capabilities {
	c := rtp.Capabilities{
		Media: "video", RTCPMux: true, DTLS: true, SSRC: ssrc,
		HeaderExtensions: []rtp.HeaderExtension{{ID: 3, URI: transportCC}},
		Sources: []rtp.Source{{SSRC: ssrc, Parameters: rtp.Parameters{
			{Name: "cname", Value: cname}, {Name: "msid", Value: cname + " " + content},
		}}},
	}
	add := func(codec *video.Codec) {
		p := rtp.PayloadType{ID: codec.PayloadType, Name: codec.Name, Clockrate: video.ClockRate}
		for _, kv := range codec.Parameters {
			p.Parameters = append(p.Parameters, rtp.Parameter{Name: kv[0], Value: kv[1]})
		}
		p.Feedback.Messages = []rtp.FeedbackMessage{
			{Type: "goog-remb"}, {Type: "transport-cc"}, {Type: "ccm", Subtype: "fir"}, {Type: "nack"}, {Type: "nack", Subtype: "pli"},
		}
		c.PayloadTypes = append(c.PayloadTypes, p)
	}
	if first != nil {
		add(first)
	}
	for _, codec := range video.Codecs() {
		if codec != first {
			add(codec)
		}
	}
	return c
}

// renumber gives the payload types these numbers, and leaves out those that have none; nil changes nothing.
func renumber(c rtp.Capabilities, types map[string]uint8) rtp.Capabilities {
	if types == nil {
		return c
	}
	c.PayloadTypes = slices.DeleteFunc(c.PayloadTypes, func(p rtp.PayloadType) bool { _, ok := types[p.Name]; return !ok })
	for i := range c.PayloadTypes {
		c.PayloadTypes[i].ID = types[c.PayloadTypes[i].Name]
	}
	return c
}

// videoAgreement is what two descriptions mean for a video stream.
type videoAgreement struct {
	codecs map[uint8]*video.Codec
	order  []uint8
	send   *video.Codec // nil if we have nothing that the peer takes
	sendPT uint8
	ccID   uint8 // of the header extension for transport-cc, 0 for none

	nack, pli, fir, remb bool
}

// takes returns the codecs, the peer's best first.
func (a *videoAgreement) takes() []*video.Codec {
	var out []*video.Codec
	for _, pt := range a.order {
		if !slices.Contains(out, a.codecs[pt]) {
			out = append(out, a.codecs[pt])
		}
	}
	return out
}

// typeOf returns the first payload type of a codec, or 0 if there is none: no dynamic one is 0.
func (a *videoAgreement) typeOf(c *video.Codec) uint8 {
	for _, pt := range a.order {
		if a.codecs[pt] == c {
			return pt
		}
	}
	return 0
}

func agreeVideo(d rtp.Description) videoAgreement {
	a := videoAgreement{codecs: make(map[uint8]*video.Codec)}
	cc := false
	feedback := func(ms []rtp.FeedbackMessage) {
		for _, m := range ms {
			switch m.Type + " " + m.Subtype {
			case "nack ":
				a.nack = true
			case "nack pli":
				a.pli = true
			case "ccm fir":
				a.fir = true
			case "goog-remb ":
				a.remb = true
			case "transport-cc ":
				cc = true
			}
		}
	}
	feedback(d.Feedback.Messages)
	for _, p := range d.PayloadTypes {
		p, ok := p.Normal()
		if !ok || p.Clockrate != video.ClockRate {
			continue
		}
		codec, err := video.ByName(p.Name)
		if err != nil {
			continue // rtx, red and ulpfec
		}
		// Without packetization-mode 1 there are no fragments (RFC 6184 section 6.2).
		if mode, _ := p.Parameters.Get("packetization-mode"); codec.Name == "H264" && strings.TrimSpace(mode) != "1" {
			continue
		}
		a.codecs[p.ID] = codec
		a.order = append(a.order, p.ID)
		feedback(p.Feedback.Messages)
		if a.send == nil {
			a.send, a.sendPT = codec, p.ID
		}
	}
	for _, h := range d.HeaderExtensions {
		if h.URI == transportCC && cc && h.ID > 0 && h.ID <= 255 {
			a.ccID = uint8(h.ID)
		}
	}
	return a
}
