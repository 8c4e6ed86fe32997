package media

import (
	"errors"
	"slices"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// Answer takes the contents and groups of a session-initiate, starts to connect, and returns those for the
// session-accept. Video that is not wanted is accepted, but not used; contents of other kinds are left out, which is to refuse them. The error is
// [ErrUnsupported], one of [Group.Answer], or one of [rtp.Answer]; see [Reason].
func (c *Call) Answer(contents []jingle.Content, groups []jingle.Group) ([]jingle.Content, []jingle.Group, error) {
	c.adopt(contents)
	for _, offer := range contents {
		desc, transport, ok := parts(offer)
		if !ok {
			continue
		}
		if err := secured(transport); err != nil {
			return nil, nil, err
		}
		if err := muxable(&desc, offer.Name, groups); err != nil {
			return nil, nil, err
		}
		answer, err := rtp.Answer(desc, c.capabilities())
		if err != nil {
			return nil, nil, err
		}
		if err := c.agree(answer, offer.Senders); err != nil {
			return nil, nil, err
		}
		t, err := c.group.Answer(transport)
		if err != nil {
			return nil, nil, err
		}
		out := jingle.Content{
			Creator: offer.Creator, Name: offer.Name, Senders: sendersOf(offer), Description: answer, Transport: t,
		}
		c.bundled = answerGroups(groups, offer.Name) != nil
		answers := []jingle.Content{out}
		names := []string{offer.Name}
		if v, ok := c.answerVideos(contents, groups); ok {
			answers = append(answers, v)
			names = append(names, v.Name)
		}
		return inOrder(answers, contents), answerGroups(groups, names...), nil
	}
	return nil, nil, ErrUnsupported
}

// answerVideos answers the content of video that was adopted.
func (c *Call) answerVideos(contents []jingle.Content, groups []jingle.Group) (jingle.Content, bool) {
	p := c.video.Load()
	i := slices.IndexFunc(contents, func(o jingle.Content) bool { return p != nil && o.Name == p.name })
	if i < 0 {
		return jingle.Content{}, false
	}
	v, err := c.answerVideo(p, contents[i], groups)
	if err != nil {
		c.cfg.Log.Info("video is not taken", "err", err)
		c.dropVideo(err)
		return v, false
	}
	return v, true
}

// inOrder gives answers the order of the offer, which is that of SDP's media for those who make it from them.
func inOrder(answers, offers []jingle.Content) []jingle.Content {
	place := func(c jingle.Content) int {
		return slices.IndexFunc(offers, func(o jingle.Content) bool { return o.Name == c.Name })
	}
	slices.SortStableFunc(answers, func(a, b jingle.Content) int { return place(a) - place(b) })
	return answers
}

func sendersOf(c jingle.Content) jingle.Senders {
	if c.Senders == "" {
		return jingle.SendersBoth
	}
	return c.Senders
}

// answerGroups keeps of the BUNDLE group that the first of the accepted contents is in those that were accepted (RFC 9143
// section 7.3).
func answerGroups(offered []jingle.Group, accepted ...string) []jingle.Group {
	for _, g := range offered {
		if g.Semantics != bundle || !slices.Contains(g.Contents, accepted[0]) {
			continue
		}
		out := jingle.Group{Semantics: bundle}
		for _, name := range accepted {
			if slices.Contains(g.Contents, name) {
				out.Contents = append(out.Contents, name)
			}
		}
		return []jingle.Group{out}
	}
	return nil
}

// ErrMux says that the peer wants RTCP on a port of its own, which nobody does any more.
var ErrMux = errors.New("the peer does not multiplex RTP and RTCP on one port (rtcp-mux, RFC 5761), which is required here")

// muxable checks that the peer multiplexes. Being in a BUNDLE group means so (RFC 9143 section 9.3), and Conversations
// reads it out of one.
func muxable(d *rtp.Description, name string, groups []jingle.Group) error {
	if answerGroups(groups, name) != nil {
		d.RTCPMux = true
	}
	if !d.RTCPMux {
		return ErrMux
	}
	return nil
}

// secured checks that the peer has a fingerprint, before anything else: clients that have none differ in more, but this
// is what their users need to hear.
func secured(t ice.Transport) error { return dtlssrtp.CheckFingerprints(t.Fingerprints) }

func (c *Call) agree(d rtp.Description, senders jingle.Senders) error {
	a, ok := agree(d, c.cfg.Codecs)
	if !ok {
		return &rtp.NoCommonCodecError{Media: "audio", Theirs: d.PayloadTypes, Ours: c.capabilities().PayloadTypes}
	}
	c.agreed = d
	c.stream.agree(a, senders.Sends(c.cfg.Role))
	return nil
}

// Accepted takes the contents and groups of a session-accept, and starts to connect. The errors are those of
// [Call.Answer].
func (c *Call) Accepted(contents []jingle.Content, groups []jingle.Group) error {
	for _, answer := range contents {
		if answer.Name != c.Name() {
			continue
		}
		desc, transport, ok := parts(answer)
		if !ok {
			break
		}
		if err := secured(transport); err != nil {
			return err
		}
		if err := muxable(&desc, answer.Name, groups); err != nil {
			return err
		}
		agreed, err := rtp.Complete(c.offered, desc, c.capabilities())
		if err != nil {
			return err
		}
		if err := c.agree(agreed, answer.Senders); err != nil {
			return err
		}
		if err := c.group.Accepted(transport); err != nil {
			return err
		}
		c.bundled = answerGroups(groups, answer.Name) != nil
		c.videosAccepted(contents, groups)
		return nil
	}
	return ErrUnsupported
}

// videosAccepted follows what the session-accept says of our video.
func (c *Call) videosAccepted(contents []jingle.Content, groups []jingle.Group) {
	p := c.video.Load()
	if p == nil {
		return
	}
	i := slices.IndexFunc(contents, func(a jingle.Content) bool { return a.Name == p.name })
	switch {
	case i < 0:
		c.dropVideo(ErrVideoRefused)
	case !p.own && !inGroup(groups, p.name, c.Name()):
		// It would need a transport of its own, which was not offered.
		c.dropVideo(ErrVideoRefused)
	default:
		if err := c.videoAccepted(contents[i], groups); err != nil {
			c.dropVideo(err)
		}
	}
}

// ErrVideoRefused says that the peer does not take the video.
var ErrVideoRefused = errors.New("the peer does not take the video")

// Check reports what would keep an offer from being answered, without answering it. The errors are those of
// [Call.Answer].
func Check(contents []jingle.Content, groups []jingle.Group, codecs []*audio.Codec) error {
	if codecs == nil {
		codecs = audio.Codecs()
	}
	for _, offer := range contents {
		desc, transport, ok := parts(offer)
		if !ok {
			continue
		}
		if err := secured(transport); err != nil {
			return err
		}
		if err := muxable(&desc, offer.Name, groups); err != nil {
			return err
		}
		if _, err := rtp.Answer(desc, capabilities(codecs, 0, "")); err != nil {
			return err
		}
		if _, _, err := dtlssrtp.Answer(setupOf(transport)); err != nil {
			return err
		}
		return transport.ValidateCredentials()
	}
	return ErrUnsupported
}
