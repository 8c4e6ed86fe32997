package media

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/sdes"
	"github.com/jingled/jingled/media/video"
)

// part is one video of a call: a content beside that of audio, on the same transport if both are in a BUNDLE group, or on
// one of its own, as Dino has it.
type part struct {
	name    string
	group   *Group
	own     bool // the group is not that of the audio
	stream  *videoStream
	offered rtp.Description
	agreed  rtp.Description
	keys    []rtp.Crypto // ours, if SDES is accepted
	// categories are what the content shows (XEP-0507).
	categories []rtp.Category
	wanted     atomic.Bool // a Video was given
	fate       *VideoEnded // guarded by the call's lock

	mu      sync.Mutex
	senders jingle.Senders

	ctx    context.Context
	cancel context.CancelCauseFunc
}

// sends returns who may send, and allow changes it.
func (p *part) sends() jingle.Senders {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.senders
}

func (p *part) allow(senders jingle.Senders, us jingle.Role) {
	p.mu.Lock()
	p.senders = senders
	p.mu.Unlock()
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.stream.canSend = senders.Sends(us)
}

// newPart makes a video, on the audio's transport or its own, and has it run.
func (c *Call) newPart(name string, bundled bool, categories []rtp.Category) (*part, error) {
	p := &part{name: name, group: c.group, own: !bundled, categories: categories}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	if c.cfg.Encryption != DTLS {
		p.keys = sdes.Offer()
	}
	p.stream = newVideoStream(nil, c.stream.cname, c.cfg.Notify)
	p.stream.name, p.stream.categories = name, categories
	p.stream.described = func(bps int) { c.describeBandwidth(p, bps) }
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
	p.stream.out, p.stream.cc = p.group, p.group.cc
	c.enter(p)
	c.toRun <- p
	return p, nil
}

// adoptVideos makes what the offered contents of video need, before they are answered. Those that are too many are left out of
// the answer.
func (c *Call) adoptVideos(contents []jingle.Content, groups []jingle.Group) error {
	for _, content := range contents {
		d, _, ok := partsOf(content, "video")
		if !ok || len(c.videos()) >= maxVideos {
			continue
		}
		if _, err := c.newPart(content.Name, inGroup(groups, content.Name, c.Name()), d.Categories); err != nil {
			return err
		}
	}
	return nil
}

// dropVideo ends a video of a call that goes on. [VideoEnded] is told when what was seen is written.
func (c *Call) dropVideo(p *part, err error) {
	if c.leave(p, &VideoEnded{p.name, p.categories, err}) {
		p.cancel(errVideoOver)
	}
}

var errVideoOver = errors.New("there is no video any more")

// codecOf is how the pictures of a source are encoded, or nil.
func codecOf(s video.Source) *video.Codec {
	if s == nil {
		return nil
	}
	return s.Codec()
}

// offerVideo makes a content of video to offer, which takes v in any case.
func (c *Call) offerVideo(name string, bundled bool, v Video) (jingle.Content, error) {
	p, err := c.newPart(name, bundled, v.Categories())
	if err != nil {
		return jingle.Content{}, errors.Join(err, v.Close())
	}
	p.wanted.Store(true)
	p.stream.equip(v)
	p.allow(jingle.SendersBoth, c.cfg.Role)
	able := renumber(videoCapabilities(codecOf(v.Source), p.stream.ssrc, p.stream.cname, name), c.cfg.VideoTypes)
	p.offered = offerable(able, c.cfg.Encryption, p.keys).Offer()
	p.offered.Categories = p.categories
	return jingle.Content{
		Creator: jingle.Initiator, Name: name, Senders: jingle.SendersBoth, Description: p.offered, Transport: p.group.Offer().Payload(),
	}, nil
}

// answerVideo makes the answer to a content of video that was adopted. If it is not wanted, it is accepted all the
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
	v, wanted := c.claim(desc.Categories, slices.Index(c.videos(), p) == 0) // it may have ended meanwhile
	p.wanted.Store(wanted)
	p.stream.equip(v)
	able := videoCapabilities(codecOf(v.Source), p.stream.ssrc, p.stream.cname, offer.Name)
	senders := sendersOf(offer)
	if !wanted {
		able.SSRC, able.Sources = 0, nil
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
	c.agreeVideo(p, answer, desc, senders)
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

// agreeVideo takes what both have agreed on, and from the peer's own description which sources it has.
func (c *Call) agreeVideo(p *part, d, theirs rtp.Description, senders jingle.Senders) {
	p.agreed = d
	p.stream.agree(agreeVideo(d), sourcesIn(theirs), senders.Sends(c.cfg.Role))
	p.stream.describe(nil, bandwidth(theirs))
	p.allow(senders, c.cfg.Role)
	if err := p.stream.mismatch(); err != nil {
		c.cfg.Notify(VideoSourceEnded{p.name, err})
	}
}

// sourcesIn returns the SSRCs that a description tells, as far as they are remembered: each packet is looked up among them.
func sourcesIn(d rtp.Description) []uint32 {
	var out []uint32
	if d.SSRC != 0 {
		out = append(out, d.SSRC)
	}
	for _, s := range d.Sources[:min(len(d.Sources), maxSources)] {
		out = append(out, s.SSRC)
	}
	return out
}

// videoAccepted takes the answer to a content of video of ours.
func (c *Call) videoAccepted(p *part, answer jingle.Content, groups []jingle.Group) error {
	desc, transport, ok := partsOf(answer, "video")
	if !ok {
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
	able := videoCapabilities(nil, p.stream.ssrc, p.stream.cname, p.name)
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
	c.agreeVideo(p, agreed, desc, sendersOf(answer))
	return nil
}

// inGroup reports whether both contents are in one BUNDLE group.
func inGroup(groups []jingle.Group, a, b string) bool {
	return slices.ContainsFunc(groups, func(g jingle.Group) bool {
		return g.Semantics == bundle && slices.Contains(g.Contents, a) && slices.Contains(g.Contents, b)
	})
}

var (
	// ErrHasVideo says that a content of video that is there already is not taken again.
	ErrHasVideo = errors.New("there is such video in the call already")
	// ErrTooManyVideos says that no other content of video is taken.
	ErrTooManyVideos = errors.New("there is as much video in the call as can be")
)

// runParts carries videos until ctx ends.
func (c *Call) runParts(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case p := <-c.toRun:
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
				defer stop()
				err := p.run()
				if ctx.Err() == nil {
					c.partEnded(p, err)
				}
			})
		case <-ctx.Done():
			for {
				select {
				case p := <-c.toRun:
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
