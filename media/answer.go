package media

import (
	"errors"
	"slices"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/sdes"
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
		how, err := encryptionOf(desc, transport, c.cfg.Encryption)
		if err != nil {
			return nil, nil, err
		}
		if err := muxable(&desc, offer.Name, groups, how); err != nil {
			return nil, nil, err
		}
		answer, err := rtp.Answer(usableOnly(desc), secure(c.capabilities(), how, c.keys))
		if err != nil {
			return nil, nil, err
		}
		if err := c.agree(answer, offer.Senders); err != nil {
			return nil, nil, err
		}
		if err := settle(c.group, how, answer, desc.Encryption, c.keys); err != nil {
			return nil, nil, err
		}
		t, err := c.group.Answer(transport)
		if err != nil {
			return nil, nil, err
		}
		out := jingle.Content{
			Creator: offer.Creator, Name: offer.Name, Senders: sendersOf(offer), Description: answer, Transport: t.Payload(),
		}
		c.secrecy(how, desc)
		c.bundled = answerGroups(groups, offer.Name) != nil
		answers := []jingle.Content{out}
		names := []string{offer.Name}
		for _, v := range c.answerVideos(contents, groups) {
			answers, names = append(answers, v), append(names, v.Name)
		}
		return inOrder(answers, contents), answerGroups(groups, names...), nil
	}
	return nil, nil, ErrUnsupported
}

// answerVideos answers the contents of video that were adopted.
func (c *Call) answerVideos(contents []jingle.Content, groups []jingle.Group) (answers []jingle.Content) {
	for _, p := range c.videos() {
		i := slices.IndexFunc(contents, func(o jingle.Content) bool { return o.Name == p.name })
		if i < 0 {
			continue
		}
		v, err := c.answerVideo(p, contents[i], groups)
		if err != nil {
			c.cfg.Log.Info("video is not taken", "content", p.name, "err", err)
			c.dropVideo(p, err)
			continue
		}
		answers = append(answers, v)
	}
	return answers
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

// muxable checks that the peer multiplexes, unless it is of those that have no DTLS. Being in a BUNDLE group means so (RFC 9143 section 9.3), and Conversations
// reads it out of one.
func muxable(d *rtp.Description, name string, groups []jingle.Group, how Encryption) error {
	if answerGroups(groups, name) != nil {
		d.RTCPMux = true
	}
	if !d.RTCPMux && how == DTLS {
		return ErrMux
	}
	return nil
}

// settle says to a group how it is secured.
func settle(g *Group, how Encryption, agreed rtp.Description, theirs *rtp.Encryption, ours []rtp.Crypto) error {
	if how == DTLS {
		return nil
	}
	var send, receive *sdes.Keys
	if how == SDES {
		var err error
		if send, receive, err = keysOf(agreed.Encryption, theirs.Cryptos, ours); err != nil {
			return err
		}
	}
	g.WithoutDTLS(send, receive, agreed.RTCPMux)
	return nil
}

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
		how, err := encryptionOf(desc, transport, c.cfg.Encryption)
		if err != nil {
			return err
		}
		if err := muxable(&desc, answer.Name, groups, how); err != nil {
			return err
		}
		agreed, err := rtp.Complete(c.offered, usableOnly(desc), secure(c.capabilities(), how, c.keys))
		if err != nil {
			return err
		}
		if err := c.agree(agreed, answer.Senders); err != nil {
			return err
		}
		if err := settle(c.group, how, agreed, desc.Encryption, c.keys); err != nil {
			return err
		}
		c.secrecy(how, desc)
		if err := c.group.Accepted(transport); err != nil {
			return err
		}
		c.bundled = answerGroups(groups, answer.Name) != nil
		c.videosAccepted(contents, groups)
		return nil
	}
	return ErrUnsupported
}

// videosAccepted follows what the session-accept says of our videos.
func (c *Call) videosAccepted(contents []jingle.Content, groups []jingle.Group) {
	for _, p := range c.videos() {
		i := slices.IndexFunc(contents, func(a jingle.Content) bool { return a.Name == p.name })
		switch {
		case i < 0:
			c.dropVideo(p, ErrVideoRefused)
		case !p.own && !inGroup(groups, p.name, c.Name()):
			// It would need a transport of its own, which was not offered.
			c.dropVideo(p, ErrVideoRefused)
		default:
			if err := c.videoAccepted(p, contents[i], groups); err != nil {
				c.dropVideo(p, err)
			}
		}
	}
}

// ErrVideoRefused says that the peer does not take the video.
var ErrVideoRefused = errors.New("the peer does not take the video")

// Check reports what would keep an offer from being answered, without answering it; least is as in [Config]. The errors are those of
// [Call.Answer].
func Check(contents []jingle.Content, groups []jingle.Group, codecs []*audio.Codec, least Encryption) error {
	if codecs == nil {
		codecs = audio.Codecs()
	}
	for _, offer := range contents {
		desc, transport, ok := parts(offer)
		if !ok {
			continue
		}
		how, err := encryptionOf(desc, transport, least)
		if err != nil {
			return err
		}
		if err := muxable(&desc, offer.Name, groups, how); err != nil {
			return err
		}
		if _, err := rtp.Answer(usableOnly(desc), secure(capabilities(codecs, 0, ""), how, sdes.Offer())); err != nil {
			return err
		}
		if transport.NS == ice.NSRawUDP {
			return nil
		}
		if how != DTLS {
			return transport.ValidateCredentials()
		}
		if _, _, err := dtlssrtp.Answer(setupOf(transport)); err != nil {
			return err
		}
		return transport.ValidateCredentials()
	}
	return ErrUnsupported
}
