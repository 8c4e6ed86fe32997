package call

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
)

// Video says where the pictures of one content come from and go to, and what they show.
type Video = media.Video

// Places says for how many contents of video the client of the peer has a place.
type Places uint8

const (
	// OneAtFirst is for clients that do not say: an offer has one, and the others are added when the call is connected. Who has
	// no place for them refuses.
	OneAtFirst Places = iota
	// Several are all offered at once: to clients with [rtp.NSCategory].
	Several
	// One is never more than that, as some clients mistake a second one for a change of the first, or do not answer.
	One
)

// ErrOneVideo says that no other video is added.
var ErrOneVideo = errors.New("the peer's client shows one video only")

// AddVideo adds video to a running call by content-add (XEP-0166 section 7.2.1). What the peer makes of it is told by
// [Media] with [media.VideoSeen] or [media.VideoEnded].
func (c *Call) AddVideo(v Video) {
	c.post(func() {
		if !c.answered {
			c.notAdded(v, errors.Join(errUnanswered, v.Close()))
			return
		}
		c.addVideo(v)
	}, func() { _ = v.Close() })
}

var errUnanswered = errors.New("the call is not answered yet")

func (c *Call) addVideo(v Video) {
	if c.cfg.Places == One && len(c.media.Videos()) > 0 {
		c.notAdded(v, errors.Join(ErrOneVideo, v.Close()))
		return
	}
	contents, groups, err := c.media.AddVideo(v)
	if err != nil { // v is closed
		c.notAdded(v, err)
		return
	}
	if err := c.s.Do(&jingle.Message{Action: jingle.ContentAdd, Contents: contents, Groups: groups}); err != nil {
		c.media.RemoveVideo(contents[0].Name, err)
	}
}

// notAdded tells why a video is not shown.
func (c *Call) notAdded(v Video, err error) {
	c.log.Info("video cannot be added", "category", v.Category, "err", err)
	c.cfg.Notify(Media{media.VideoEnded{Categories: v.Categories(), Err: err}})
}

// placeRest finds a place for the videos that have none yet: in a content that only the peer wanted, or in one of their own.
func (c *Call) placeRest() {
	if c.s.State() == jingle.Done {
		return
	}
next:
	for _, v := range c.media.Unplaced() {
		for _, theirs := range c.media.Videos() {
			if !theirs.Wanted && theirs.Is(v.Category) {
				c.join(theirs.Name, v)
				continue next
			}
		}
		c.addVideo(v)
	}
}

// EquipVideo gives a content that only the peer wanted up to now its Video. Our side begins to send by content-modify.
func (c *Call) EquipVideo(name string, v Video) {
	c.post(func() { c.join(name, v) }, func() { _ = v.Close() })
}

func (c *Call) join(name string, v Video) {
	if err := c.media.Equip(name, v); err != nil {
		c.log.Info("video cannot be joined", "content", name, "err", err)
		return
	}
	c.sendVideo(v.Source != nil, name)
}

// RemoveVideo ends videos of a call that goes on, by content-remove: those of these names, or without names all. Without video
// it does nothing.
func (c *Call) RemoveVideo(names ...string) {
	c.s.Post(func() {
		for _, name := range c.named(names) {
			if content, ok := c.media.RemoveVideo(name, nil); ok {
				c.do(&jingle.Message{Action: jingle.ContentRemove, Contents: []jingle.Content{content}})
			}
		}
	})
}

// named returns the names, or those of all videos.
func (c *Call) named(names []string) []string {
	if len(names) > 0 {
		return names
	}
	for _, v := range c.media.Videos() {
		names = append(names, v.Name)
	}
	return names
}

// SendVideo stops sending our videos, or sends them again, by content-modify (XEP-0166 section 7.2.3); those of the peer go on.
// Names are as for [Call.RemoveVideo]. Without video it does nothing.
func (c *Call) SendVideo(on bool, names ...string) {
	c.s.Post(func() {
		for _, name := range c.named(names) {
			c.sendVideo(on, name)
		}
	})
}

func (c *Call) sendVideo(on bool, name string) {
	senders, ok := c.media.VideoSenders(name)
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
			c.after(crossedAgain, func() { c.sendVideo(on, content.Name) })
		}
	}
}

// added answers a content-add: video is taken if it is wanted, and all else is refused. XEP-0166
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
	if d, ok := content.Description.(rtp.Description); !ok || d.Media != "video" || !c.wantsAdded(d.Categories) {
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
func (c *Call) wantsAdded(categories []rtp.Category) bool {
	if c.cfg.VideoAdded != nil {
		if v, decided := c.cfg.VideoAdded(categories); decided {
			if v != nil {
				c.media.SetVideo(*v)
			}
			return v != nil
		}
	}
	return c.media.WantsVideo()
}

// Videos returns the contents of video, offered or agreed.
func (c *Call) Videos() []media.VideoContent { return c.media.Videos() }

// videoAccepted follows a content-accept, and Movim's session-accept, which the session makes one of.
func (c *Call) videoAccepted(m *jingle.Message) {
	for _, content := range m.Contents {
		if err := c.media.VideoAccepted(content, m.Groups); err != nil {
			c.do(&jingle.Message{Action: jingle.ContentRemove, Contents: bare([]jingle.Content{content}), Reason: media.Reason(err)})
		}
	}
}

func (c *Call) videoRemoved(m *jingle.Message) {
	var why error
	if m.Reason != nil && m.Reason.Condition != jingle.Success && m.Reason.Text != "" {
		why = errors.New(m.Reason.Text)
	}
	for _, content := range m.Contents {
		c.media.RemoveVideo(content.Name, why)
	}
}

// addRefused follows an error to our content-add. What has crossed an equivalent one of the peer (XEP-0166 section 7.2.16) joins
// that, or is added again beside it.
func (c *Call) addRefused(ev jingle.RequestFailed) {
	var se *jingle.StanzaError
	crossed := errors.As(ev.Err, &se) && se.HasApp("tie-break")
	for _, content := range ev.Message.Contents {
		if !crossed {
			c.media.RemoveVideo(content.Name, media.ErrVideoRefused)
			continue
		}
		c.media.Withdraw(content.Name)
		c.after(crossedAgain, c.placeRest)
	}
}

// withdraw keeps the Videos of contents that one of the peer has taken the place of.
func (c *Call) withdraw(contents []jingle.Content) {
	for _, content := range contents {
		c.media.Withdraw(content.Name)
	}
}
