package media

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/sdes"
	"github.com/jingled/jingled/media/video"
)

// part is the video of a call: a content beside that of audio, on the same transport if both are in a BUNDLE group, or on
// one of its own, as Dino has it.
type part struct {
	name    string
	group   *Group
	own     bool // the group is not that of the audio
	stream  *videoStream
	senders jingle.Senders
	offered rtp.Description
	agreed  rtp.Description
	keys    []rtp.Crypto // ours, if SDES is accepted
	// category is what the content shows (XEP-0507).
	categories []rtp.Category

	ctx    context.Context
	cancel context.CancelCauseFunc
}

// SetVideo says that video is wanted, before the call is offered or answered or before [Call.AddVideo] and
// [Call.AcceptVideo]. Source and sink may be nil; the call closes both.
func (c *Call) SetVideo(source video.Source, sink video.Sink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wantVideo, c.videoSource, c.videoSink = true, source, sink
}

// HasVideo reports whether there is a content of video, offered or agreed.
func (c *Call) HasVideo() bool { return c.video.Load() != nil }

// VideoSenders returns the content of video and who may send in it, and false if there is none.
func (c *Call) VideoSenders() (name string, senders jingle.Senders, ok bool) {
	p := c.video.Load()
	if p == nil {
		return "", "", false
	}
	return p.name, p.senders, true
}

// newPart makes the video, on the audio's transport or its own, and has it run.
func (c *Call) newPart(name string, bundled bool) (*part, error) {
	p := &part{name: name, group: c.group, own: !bundled}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	if c.cfg.Encryption != DTLS {
		p.keys = sdes.Offer()
	}
	p.stream = newVideoStream(nil, c.stream.cname, c.cfg.Notify)
	if p.own {
		var err error
		p.group, err = NewGroup(GroupConfig{
			ICE: c.cfg.ICE, Certificate: c.cfg.Certificate, Controlling: c.cfg.Role == jingle.Initiator, Log: c.cfg.Log,
			NS: c.cfg.Transport, RTCPComponent: c.cfg.RTCPComponent,
			Candidate: c.candidates(func() string { return name }),
			Gathered:  func() { c.cfg.Notify(Gathered{name}) },
			State:     func(agent.State) {}, // the audio's is told
			RTP:       p.stream.receive, RTCP: p.stream.receiveRTCP,
		})
		if err != nil {
			return nil, errors.Join(err, p.stream.close())
		}
	}
	p.stream.out = p.group
	c.video.Store(p)
	c.parts <- p
	return p, nil
}

// equip gives the video its source and its sink.
func (c *Call) equip(p *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.stream.source, p.stream.sink = c.videoSource, c.videoSink
	c.videoSource, c.videoSink = nil, nil
}

// adoptVideo makes what the first offered content of video needs, before it is answered.
func (c *Call) adoptVideo(contents []jingle.Content, groups []jingle.Group) error {
	for _, content := range contents {
		if _, _, ok := partsOf(content, "video"); ok {
			_, err := c.newPart(content.Name, inGroup(groups, content.Name, c.Name()))
			return err
		}
	}
	return nil
}

// dropVideo ends the video of a call that goes on.
func (c *Call) dropVideo(err error) {
	if p := c.video.Swap(nil); p != nil {
		p.cancel(errVideoOver)
		c.cfg.Notify(VideoEnded{err})
	}
}

var errVideoOver = errors.New("there is no video any more")

func (c *Call) codecToSend() *video.Codec {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.videoSource == nil {
		return nil
	}
	return c.videoSource.Codec()
}

// offerVideo makes a content of video to offer.
func (c *Call) offerVideo(name string, bundled bool) (jingle.Content, error) {
	first := c.codecToSend()
	p, err := c.newPart(name, bundled)
	if err != nil {
		return jingle.Content{}, err
	}
	c.equip(p)
	p.senders = jingle.SendersBoth
	p.offered = offerable(videoCapabilities(first, p.stream.ssrc, p.stream.cname), c.cfg.Encryption, p.keys).Offer()
	return jingle.Content{
		Creator: jingle.Initiator, Name: name, Senders: p.senders, Description: p.offered, Transport: p.group.Offer().Payload(),
	}, nil
}

// answerVideo makes the answer to the content of video that was adopted. If video is not wanted, it is accepted all the
// same, but nothing is sent, and what comes is dropped: Conversations and Monal end a session whose answer leaves out a
// medium of theirs. The error is one of [rtp.Answer] or [Group.Answer].
func (c *Call) answerVideo(p *part, offer jingle.Content, groups []jingle.Group) (jingle.Content, error) {
	desc, transport, _ := partsOf(offer, "video")
	how, err := c.encryptionOf(p, desc, transport)
	if err != nil {
		return jingle.Content{}, err
	}
	if err := muxable(&desc, offer.Name, groups, how); err != nil {
		return jingle.Content{}, err
	}
	wanted := c.WantsVideo()
	able := videoCapabilities(c.codecToSend(), p.stream.ssrc, p.stream.cname)
	senders := sendersOf(offer)
	if !wanted {
		able = withoutFeedback(able)
		senders = theyOnly(offer.Senders, c.cfg.Role)
	}
	answer, err := rtp.Answer(usableOnly(desc), secure(able, how, p.keys))
	if err != nil {
		return jingle.Content{}, err
	}
	answer.Categories = desc.Categories
	t := c.group.reply
	if t.Ufrag == "" {
		t = c.group.link().local // added to a running bundle
		if c.group.old == nil {
			t.Fingerprints = c.group.fingerprints()
		}
	}
	if p.own {
		if err := settle(p.group, how, answer, desc.Encryption, p.keys); err != nil {
			return jingle.Content{}, err
		}
		if t, err = p.group.Answer(transport); err != nil {
			return jingle.Content{}, err
		}
	}
	c.equip(p)
	p.categories = desc.Categories
	c.agreeVideo(p, answer, senders)
	return jingle.Content{
		Creator: offer.Creator, Name: offer.Name, Senders: senders, Description: answer, Transport: t.Payload(),
	}, nil
}

// encryptionOf is how the video is secured: as the audio if they share a transport.
func (c *Call) encryptionOf(p *part, d rtp.Description, t ice.Transport) (Encryption, error) {
	if !p.own {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.secret.Encryption, nil
	}
	return encryptionOf(d, t, c.cfg.Encryption)
}

// withoutFeedback promises none, as nothing is done with the pictures.
func withoutFeedback(c rtp.Capabilities) rtp.Capabilities {
	for i := range c.PayloadTypes {
		c.PayloadTypes[i].Feedback = rtp.Feedback{}
	}
	c.SSRC, c.Sources, c.HeaderExtensions = 0, nil, nil
	return c
}

// theyOnly narrows who sends to the peer. Monal cannot read "none".
func theyOnly(offered jingle.Senders, us jingle.Role) jingle.Senders {
	if offered != "" && !offered.Sends(us.Peer()) {
		return jingle.SendersNone
	}
	if us == jingle.Responder {
		return jingle.SendersInitiator
	}
	return jingle.SendersResponder
}

func (c *Call) agreeVideo(p *part, d rtp.Description, senders jingle.Senders) {
	p.agreed, p.senders = d, senders
	p.stream.agree(agreeVideo(d), senders.Sends(c.cfg.Role))
	if err := p.stream.mismatch(); err != nil {
		c.cfg.Notify(VideoSourceEnded{err})
	}
}

// videoAccepted takes the answer to our content of video.
func (c *Call) videoAccepted(answer jingle.Content, groups []jingle.Group) error {
	p := c.video.Load()
	desc, transport, ok := partsOf(answer, "video")
	if p == nil || !ok {
		return ErrUnsupported
	}
	if !p.own {
		desc.RTCPMux = true
	}
	how, err := c.encryptionOf(p, desc, transport)
	if err != nil {
		return err
	}
	if err := muxable(&desc, answer.Name, groups, how); err != nil {
		return err
	}
	able := videoCapabilities(nil, p.stream.ssrc, p.stream.cname)
	agreed, err := rtp.Complete(p.offered, usableOnly(desc), secure(able, how, p.keys))
	if err != nil {
		return err
	}
	if p.own {
		if err := settle(p.group, how, agreed, desc.Encryption, p.keys); err != nil {
			return err
		}
		if err := p.group.Accepted(transport); err != nil {
			return err
		}
	}
	c.agreeVideo(p, agreed, sendersOf(answer))
	return nil
}

// inGroup reports whether both contents are in one BUNDLE group.
func inGroup(groups []jingle.Group, a, b string) bool {
	return slices.ContainsFunc(groups, func(g jingle.Group) bool {
		return g.Semantics == bundle && slices.Contains(g.Contents, a) && slices.Contains(g.Contents, b)
	})
}

// ErrHasVideo says that a second content of video is not taken.
var ErrHasVideo = errors.New("there is video in the call already")

// AddVideo returns the contents and groups of a content-add, after [Call.SetVideo]. It goes on the transport of the audio
// if that was in a BUNDLE group, which is given in full, as Movim wants it. Then comes [Call.VideoAccepted] or
// [Call.RemoveVideo].
func (c *Call) AddVideo() ([]jingle.Content, []jingle.Group, error) {
	if c.HasVideo() {
		return nil, nil, ErrHasVideo
	}
	name := VideoName
	if name == c.Name() {
		name += "1"
	}
	content, err := c.offerVideo(name, c.bundled)
	if err != nil {
		return nil, nil, err
	}
	if !c.bundled {
		return []jingle.Content{content}, nil, nil
	}
	return []jingle.Content{content}, []jingle.Group{{Semantics: bundle, Contents: []string{c.Name(), name}}}, nil
}

// AcceptVideo takes a content that the peer adds and returns the one for the content-accept. An empty transport stands for
// that of the audio (Conversations).
func (c *Call) AcceptVideo(content jingle.Content, groups []jingle.Group) (jingle.Content, []jingle.Group, error) {
	if c.HasVideo() {
		return jingle.Content{}, nil, ErrHasVideo
	}
	desc, transport, ok := partsOf(content, "video")
	if !ok {
		return jingle.Content{}, nil, ErrUnsupported
	}
	// Added to a bundle, or with credentials that are those of the bundle.
	shares := c.bundled && (transport.Ufrag == "" || c.group.remote != nil && transport.Ufrag == c.group.link().remote.Ufrag)
	if shares && !inGroup(groups, content.Name, c.Name()) {
		groups = []jingle.Group{{Semantics: bundle, Contents: []string{c.Name(), content.Name}}}
		desc.RTCPMux = true
		content.Description = desc
	}
	p, err := c.newPart(content.Name, inGroup(groups, content.Name, c.Name()))
	if err != nil {
		return jingle.Content{}, nil, err
	}
	out, err := c.answerVideo(p, content, groups)
	if err != nil {
		c.dropVideo(err)
		return out, nil, err
	}
	if !inGroup(groups, content.Name, c.Name()) {
		return out, nil, nil
	}
	return out, []jingle.Group{{Semantics: bundle, Contents: []string{c.Name(), content.Name}}}, nil
}

// VideoAccepted takes the content of a content-accept.
func (c *Call) VideoAccepted(content jingle.Content, groups []jingle.Group) error {
	p := c.video.Load()
	if p == nil || p.name != content.Name {
		return nil
	}
	err := c.videoAccepted(content, groups)
	if err != nil {
		c.dropVideo(err)
	}
	return err
}

// RemoveVideo ends the video, if the content of this name is it; empty stands for any. It returns the content for a
// content-remove, and false if there is none.
func (c *Call) RemoveVideo(name string) (jingle.Content, bool) {
	p := c.video.Load()
	if p == nil || name != "" && p.name != name {
		return jingle.Content{}, false
	}
	c.dropVideo(nil)
	return jingle.Content{Creator: jingle.Initiator, Name: p.name, Senders: p.senders}, true
}

// runParts carries the video until ctx ends.
func (c *Call) runParts(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case p := <-c.parts:
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
				defer stop()
				err := p.run()
				if c.video.CompareAndSwap(p, nil) && ctx.Err() == nil {
					c.cfg.Notify(VideoEnded{err})
				}
			})
		case <-ctx.Done():
			for {
				select {
				case p := <-c.parts:
					p.free()
				default:
					return
				}
			}
		}
	}
}

// free ends a part that never ran.
func (p *part) free() {
	p.cancel(errVideoOver)
	if p.own {
		_ = p.group.Close()
	}
	_ = p.stream.close()
}

// run carries one part until it is over.
func (p *part) run() error {
	var wg sync.WaitGroup
	var groupErr error
	gctx, endGroup := context.WithCancelCause(context.Background())
	defer endGroup(nil)
	if p.own {
		wg.Go(func() {
			groupErr = p.group.Run(gctx)
			p.cancel(errGroupEnded)
		})
	}
	err := func() error {
		select {
		case <-p.group.Ready():
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		return p.stream.run(p.ctx)
	}()
	endGroup(err)
	wg.Wait()
	if errors.Is(err, errGroupEnded) {
		err = groupErr
	}
	return errors.Join(err, p.stream.close())
}
