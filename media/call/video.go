package call

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/video"
)

// Video says where pictures come from and go to. Either may be nil. The call closes both.
type Video struct {
	Source video.Source
	Sink   video.Sink
}

// Close closes both; nil has none. It is for what no call was given.
func (v *Video) Close() error {
	var errs []error
	if v != nil && v.Source != nil {
		errs = append(errs, v.Source.Close())
	}
	if v != nil && v.Sink != nil {
		errs = append(errs, v.Sink.Close())
	}
	return errors.Join(errs...)
}

// AddVideo adds video to a running call by content-add (XEP-0166 section 7.2.1). What the peer makes of it is told by
// [Media] with [media.VideoSeen] or [media.VideoEnded].
func (c *Call) AddVideo(v Video) {
	c.post(func() {
		if !c.answered || c.media.HasVideo() {
			_ = v.Close()
			c.cfg.Notify(Media{media.VideoEnded{Err: media.ErrHasVideo}})
			return
		}
		c.media.SetVideo(v.Source, v.Sink)
		contents, groups, err := c.media.AddVideo()
		if err == nil {
			err = c.s.Do(&jingle.Message{Action: jingle.ContentAdd, Contents: contents, Groups: groups})
		}
		if err != nil {
			c.log.Info("video cannot be added", "err", err)
			c.media.RemoveVideo("")
		}
	}, func() { _ = v.Close() })
}

// RemoveVideo ends the video of a call that goes on, by content-remove. Without video it does nothing.
func (c *Call) RemoveVideo() {
	c.s.Post(func() {
		if content, ok := c.media.RemoveVideo(""); ok {
			c.do(&jingle.Message{Action: jingle.ContentRemove, Contents: []jingle.Content{content}})
		}
	})
}

// SendVideo stops sending our video, or sends it again, by content-modify (XEP-0166 section 7.2.3); that of the peer goes on.
// Without video it does nothing.
func (c *Call) SendVideo(on bool) { c.s.Post(func() { c.sendVideo(on) }) }

func (c *Call) sendVideo(on bool) {
	name, senders, ok := c.media.VideoSenders()
	want := senders.With(c.s.Role(), on)
	if !ok || want == senders || !c.answered || c.s.State() == jingle.Done {
		return
	}
	c.media.Modify(name, want)
	c.do(&jingle.Message{Action: jingle.ContentModify, Contents: []jingle.Content{{Creator: jingle.Initiator, Name: name, Senders: want}}})
}

// crossedAgain is how long after a content-modify that has crossed one of the peer ours is tried once more.
const crossedAgain = 200 * time.Millisecond

// modifyRefused goes back to what holds when the peer does not take a content-modify of ours. One that has crossed the
// peer's is sent again on top of that (XEP-0166 section 7.2.16).
func (c *Call) modifyRefused(ev jingle.RequestFailed) {
	for _, content := range ev.Message.Contents {
		senders, _, ok := c.s.Machine().Content(content.ID())
		if !ok {
			continue
		}
		c.media.Modify(content.Name, senders)
		var se *jingle.StanzaError
		if errors.As(ev.Err, &se) && se.HasApp("tie-break") {
			on := content.Senders.Sends(c.s.Role())
			c.after(crossedAgain, func() { c.sendVideo(on) })
		}
	}
}

// added answers a content-add: video is taken if it is wanted and there is none, and all else is refused. XEP-0166
// section 7.2.2 wants an answer.
func (c *Call) added(m *jingle.Message) {
	for _, content := range m.Contents {
		if err := c.addedOne(content, m.Groups); err != nil {
			c.do(&jingle.Message{Action: jingle.ContentReject, Contents: bare([]jingle.Content{content}), Reason: media.Reason(err)})
		}
	}
}

// errNotWanted is for what the user has not asked for: nobody is to be seen, or to see, by surprise.
var errNotWanted = &refusal{jingle.UnsupportedApplications, "Only sound is wanted here."}

type refusal struct {
	condition jingle.Condition
	text      string
}

func (r *refusal) Error() string { return r.text }

// Reason is what the peer is told.
func (r *refusal) Reason() *jingle.Reason {
	return &jingle.Reason{Condition: r.condition, Text: r.text}
}

func (c *Call) addedOne(content jingle.Content, groups []jingle.Group) error {
	if d, ok := content.Description.(rtp.Description); !ok || d.Media != "video" || !c.wantsAdded() {
		return errNotWanted
	}
	answer, groups, err := c.media.AcceptVideo(content, groups)
	if err != nil {
		return err
	}
	c.do(&jingle.Message{Action: jingle.ContentAccept, Contents: []jingle.Content{answer}, Groups: groups})
	return nil
}

// wantsAdded reports whether video that the peer adds is wanted, and has got its source and sink.
func (c *Call) wantsAdded() bool {
	if c.cfg.VideoAdded != nil && !c.media.HasVideo() {
		if v, decided := c.cfg.VideoAdded(); decided {
			if v != nil {
				c.media.SetVideo(v.Source, v.Sink)
			}
			return v != nil
		}
	}
	return c.media.WantsVideo()
}

// Video reports whether the call has video, offered or agreed, and whether it was wanted here: what only the peer wants is
// accepted, but goes nowhere.
func (c *Call) Video() (has, wanted bool) { return c.media.HasVideo(), c.media.WantsVideo() }

// videoAccepted follows a content-accept, and Movim's session-accept, which the session makes one of.
func (c *Call) videoAccepted(m *jingle.Message) {
	for _, content := range m.Contents {
		if err := c.media.VideoAccepted(content, m.Groups); err != nil {
			c.do(&jingle.Message{Action: jingle.ContentRemove, Contents: bare([]jingle.Content{content}), Reason: media.Reason(err)})
		}
	}
}

func (c *Call) videoRemoved(m *jingle.Message) {
	for _, content := range m.Contents {
		c.media.RemoveVideo(content.Name)
	}
}
