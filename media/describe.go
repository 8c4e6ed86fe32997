package media

import (
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// Described says that our description of a content has changed. The peer should learn it by description-info.
type Described struct{ Content jingle.Content }

func (Described) mediaEvent() {}

// Describe takes a description-info: advice on what to send (XEP-0167 section 9), and which sources the peer has. It never fails.
func (c *Call) Describe(content jingle.Content) {
	d, ok := content.Description.(rtp.Description)
	if !ok {
		return
	}
	if p := c.part(content.Name); p != nil && p.agreed.Media != "" {
		p.stream.describe(sourcesIn(d), bandwidth(d))
		return
	}
	if content.Name != c.Name() || c.agreed.Media == "" {
		return
	}
	merged, _ := rtp.Merge(c.agreed, d)
	if a, ok := agree(merged, c.cfg.Codecs); ok {
		c.agreed = merged
		c.stream.mu.Lock()
		c.stream.agreed = a
		c.stream.mu.Unlock()
	}
}

// describeSource tells the peer of the source that a content has got.
func (c *Call) describeSource(p *part) {
	able := videoCapabilities(nil, p.stream.ssrc, p.stream.cname, p.name)
	c.cfg.Notify(Described{jingle.Content{Creator: jingle.Initiator, Name: p.name, Description: rtp.Description{
		Media: "video", SSRC: able.SSRC, Sources: able.Sources,
	}}})
}

// describeBandwidth tells the peer how much is taken of a content; it is for peers that take no REMB.
func (c *Call) describeBandwidth(p *part, bps int) {
	c.cfg.Notify(Described{jingle.Content{Creator: jingle.Initiator, Name: p.name, Description: rtp.Description{
		Media: "video", Bandwidths: []rtp.Bandwidth{{Type: "AS", Value: uint64(max(bps, minBitrate) / 1000)}},
	}}})
}

// describe takes what the peer has told anew.
func (s *videoStream) describe(sources []uint32, bandwidth int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(sources) > 0 {
		s.sources = sources
	}
	if bandwidth > 0 {
		s.bandwidth = bandwidth
		s.adapt()
	}
}
