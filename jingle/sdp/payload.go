package sdp

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/jingle/rtp"
)

// writePayloadTypes adds formats, rtpmap, rtcp-fb, fmtp and the packet times (XEP-0167 section 6, XEP-0293 section 5).
// A payload type that RTP or SDP cannot have is left out, and so is a second one of the same id.
func writePayloadTypes(m *Media, d rtp.Description) {
	m.Attributes.addFeedback("*", d.Feedback)
	var ptime, maxptime uint32
	for _, p := range d.PayloadTypes {
		id := decimal(p.ID)
		p, ok := p.Normal()
		if !ok || !token(p.Name) || slices.Contains(m.Formats, id) {
			continue
		}
		if p.Clockrate == 0 {
			p.Clockrate = defaultClockrate(d.Media)
		}
		m.Formats = append(m.Formats, id)
		encoding := id + " " + p.Name + "/" + decimal(p.Clockrate)
		if p.Channels > 1 {
			encoding += "/" + decimal(p.Channels)
		}
		m.Attributes.add(attrRTPMap, encoding)
		m.Attributes.addFeedback(id, p.Feedback)
		if v := formatParameters(p.Parameters); v != "" {
			m.Attributes.add(attrFmtp, id+" "+v)
		}
		if ptime == 0 {
			ptime = p.PTime
		}
		if maxptime == 0 {
			maxptime = p.MaxPTime
		}
	}
	// These are of the media description in SDP, so the preferred payload type has its way.
	if ptime != 0 {
		m.Attributes.add(attrPTime, decimal(ptime))
	}
	if maxptime != 0 {
		m.Attributes.add(attrMaxPTime, decimal(maxptime))
	}
}

// defaultClockrate is what a peer means who does not tell (XEP-0167 section 4 only recommends it).
func defaultClockrate(media string) uint32 {
	if media == "video" {
		return 90000
	}
	return 8000
}

// readPayloadTypes is the inverse of writePayloadTypes.
func readPayloadTypes(m *Media, d *rtp.Description) {
	ptime := firstNumber(m.Attributes, attrPTime)
	maxptime := firstNumber(m.Attributes, attrMaxPTime)
	index := map[string]int{}
	for _, f := range m.Formats {
		id, ok := number(f, 7)
		if _, dup := index[f]; !ok || dup {
			continue
		}
		index[f] = len(d.PayloadTypes)
		d.PayloadTypes = append(d.PayloadTypes, rtp.PayloadType{ID: uint8(id), PTime: ptime, MaxPTime: maxptime})
	}
	each := func(key string, read func(p *rtp.PayloadType, v string)) {
		for _, v := range m.Attributes.All(key) {
			f, v, _ := strings.Cut(v, " ")
			if i, ok := index[f]; ok {
				read(&d.PayloadTypes[i], strings.TrimSpace(v))
			}
		}
	}
	each(attrRTPMap, readRTPMap)
	each(attrFmtp, func(p *rtp.PayloadType, v string) {
		p.Parameters = append(p.Parameters, parseParameters(v)...)
	})
	each(attrRTCPFeedback, func(p *rtp.PayloadType, v string) { readFeedback(&p.Feedback, v) })
	for _, v := range m.Attributes.All(attrRTCPFeedback) {
		if v, ok := strings.CutPrefix(v, "* "); ok {
			readFeedback(&d.Feedback, v)
		}
	}
	for i, p := range d.PayloadTypes {
		d.PayloadTypes[i], _ = p.Normal()
	}
}

func firstNumber(as Attributes, key string) uint32 {
	v, _ := as.Get(key)
	n, _ := number(v, 32)
	return uint32(n)
}

// readRTPMap reads e.g. "opus/48000/2".
func readRTPMap(p *rtp.PayloadType, v string) {
	parts := strings.Split(v, "/")
	p.Name = parts[0]
	if len(parts) > 1 {
		n, _ := number(parts[1], 32)
		p.Clockrate = uint32(n)
	}
	if len(parts) > 2 {
		if n, _ := number(parts[2], 8); n > 1 {
			p.Channels = uint8(n)
		}
	}
}

// formatParameters writes the value of an fmtp attribute. A parameter without a name or without a value is the other of
// the two alone, e.g. "0-15".
func formatParameters(ps rtp.Parameters) string {
	var out []string
	for _, p := range ps {
		name, value := strings.TrimSpace(p.Name), strings.TrimSpace(p.Value)
		s := name + "=" + value
		if name == "" || value == "" {
			s = name + value
		}
		if phrase(s) && !strings.Contains(s, ";") && !strings.Contains(name, "=") {
			out = append(out, s)
		}
	}
	return strings.Join(out, ";")
}

// parseParameters is the inverse of formatParameters. What has no "=" becomes a value without a name: Conversations ends
// a call over a parameter without a value.
func parseParameters(v string) rtp.Parameters {
	var out rtp.Parameters
	for s := range strings.SplitSeq(v, ";") {
		s = strings.TrimSpace(s)
		name, value, found := strings.Cut(s, "=")
		switch {
		case s == "":
		case found && name != "":
			out = append(out, rtp.Parameter{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
		default:
			out = append(out, rtp.Parameter{Value: s})
		}
	}
	return out
}
