package media

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/video"
)

// maxVideos bounds the contents of video in a call: each costs the memory of what may be sent again, and maybe a transport.
const maxVideos = 4

// Video is where the pictures of one content come from and go to. Source and Sink may be nil.
type Video struct {
	// Category is told to the peer (XEP-0507); "" says nothing, and stands for a camera as speaker and main do.
	Category rtp.Category
	Source   video.Source
	Sink     video.Sink
}

// Categories are what the peer is told of it.
func (v *Video) Categories() []rtp.Category {
	if v.Category == "" {
		return nil
	}
	return []rtp.Category{v.Category}
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

// VideoContent is one content of video, offered or agreed.
type VideoContent struct {
	Name       string
	Categories []rtp.Category
	// Wanted is set if it was given a [Video]. What only the peer wants is accepted, but goes nowhere.
	Wanted bool
}

// Is reports whether the content shows what a category names. One that says nothing of itself is a camera's.
func (v VideoContent) Is(c rtp.Category) bool { return shows(v.Categories, c) }

// shows reports whether one of the categories of a content is such.
func shows(categories []rtp.Category, c rtp.Category) bool {
	if len(categories) == 0 {
		return camera(c)
	}
	return slices.ContainsFunc(categories, func(o rtp.Category) bool { return o == c || camera(o) && camera(c) })
}

func camera(c rtp.Category) bool {
	return c == "" || c == rtp.CategorySpeaker || c == rtp.CategoryMain
}

// SetVideo says that video is wanted. Each of vs waits for a content: of the offer or the answer, or one that the peer adds
// later. The call closes them.
func (c *Call) SetVideo(vs ...Video) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wantVideo, c.waiting = true, append(c.waiting, vs...)
}

// WantsVideo reports whether [Call.SetVideo] was called.
func (c *Call) WantsVideo() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantVideo
}

// Videos returns the contents of video, in the order in which they came.
func (c *Call) Videos() []VideoContent {
	var out []VideoContent
	for _, p := range c.videos() {
		out = append(out, VideoContent{Name: p.name, Categories: p.categories, Wanted: p.wanted.Load()})
	}
	return out
}

// Unplaced returns the sources that still wait for a content, if there is video at all, and leaves them to the caller.
func (c *Call) Unplaced() []Video {
	if len(c.videos()) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Video
	c.waiting = slices.DeleteFunc(c.waiting, func(v Video) bool {
		if v.Source == nil {
			return false
		}
		out = append(out, v)
		return true
	})
	return out
}

// claim takes the Video that waits for a content of these categories. The first content takes a camera's, whatever it shows:
// who wants to see the peer takes what there is. Another one that says nothing of itself, as most clients' do, takes what is left.
func (c *Call) claim(categories []rtp.Category, first bool) (Video, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.waiting, func(v Video) bool { return shows(categories, v.Category) })
	if i < 0 && first {
		i = slices.IndexFunc(c.waiting, func(v Video) bool { return v.Category == "" })
	}
	if i < 0 && !first && len(categories) == 0 && len(c.waiting) > 0 {
		i = 0
	}
	if i < 0 {
		return Video{}, false
	}
	v := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return v, true
}

// closeWaiting closes what no content has taken.
func (c *Call) closeWaiting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for i := range c.waiting {
		errs = append(errs, c.waiting[i].Close())
	}
	c.waiting = nil
	return errors.Join(errs...)
}

// videos returns the parts; the slice is not changed any more.
func (c *Call) videos() []*part {
	if ps := c.parts.Load(); ps != nil {
		return *ps
	}
	return nil
}

// part returns the video of this name, or nil.
func (c *Call) part(name string) *part {
	for _, p := range c.videos() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// enter adds a part to the list.
func (c *Call) enter(p *part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := append(slices.Clip(c.videos()), p)
	c.parts.Store(&ps)
	c.past.Store(nil) // a source may come back
}

// leave takes a part off the list, and reports whether it was on it. fate is told when all of it has ended, unless it is nil.
func (c *Call) leave(p *part, fate *VideoEnded) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.videos()
	i := slices.Index(old, p)
	if i < 0 {
		return false
	}
	ps := slices.Delete(slices.Clone(old), i, i+1)
	c.parts.Store(&ps)
	p.fate = fate
	past := p.stream.theirSources()
	if before := c.past.Load(); before != nil {
		past = append(past, *before...)
	}
	past = past[:min(len(past), maxSources)]
	c.past.Store(&past)
	return true
}

// maxSources bounds the sources that are remembered of a content, and of contents that are no more.
const maxSources = 32

// isPast reports whether a source belongs to a content that is no more: the peer may go on for a moment.
func (c *Call) isPast(ssrc uint32) bool {
	past := c.past.Load()
	return past != nil && slices.Contains(*past, ssrc)
}

// partEnded tells what has become of a part.
func (c *Call) partEnded(p *part, err error) {
	c.leave(p, &VideoEnded{p.name, p.categories, err})
	c.mu.Lock()
	fate := p.fate
	c.mu.Unlock()
	if fate != nil {
		c.cfg.Notify(*fate)
	}
}

// freeName returns a name for another content of video: short and plain, as Conversations maps names to SDP.
func (c *Call) freeName(category rtp.Category) string {
	base := VideoName
	if !camera(category) && len(category) <= 16 {
		base = string(category)
	}
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprint(base, n)
		}
		if name != c.Name() && c.part(name) == nil {
			return name
		}
	}
}

// bundleWith is the BUNDLE group of the call in full (Movim wants it so) with one more content.
func (c *Call) bundleWith(name string) []jingle.Group {
	names := []string{c.Name()}
	for _, p := range c.videos() {
		if !p.own {
			names = append(names, p.name)
		}
	}
	if !slices.Contains(names, name) {
		names = append(names, name)
	}
	return []jingle.Group{{Semantics: bundle, Contents: names}}
}

// AddVideo returns the contents and groups of a content-add, which has this Video from then on. It goes on the transport of the
// audio if that was in a BUNDLE group. Then comes [Call.VideoAccepted] or [Call.RemoveVideo].
func (c *Call) AddVideo(v Video) ([]jingle.Content, []jingle.Group, error) {
	if len(c.videos()) >= maxVideos {
		return nil, nil, errors.Join(ErrTooManyVideos, v.Close())
	}
	c.SetVideo()
	content, err := c.offerVideo(c.freeName(v.Category), c.bundled, v)
	if err != nil {
		return nil, nil, err
	}
	if !c.bundled {
		return []jingle.Content{content}, nil, nil
	}
	return []jingle.Content{content}, c.bundleWith(content.Name), nil
}

// Equip gives a content that only the peer wanted its Video, so that we may send in it, too.
func (c *Call) Equip(name string, v Video) error {
	p := c.part(name)
	if p == nil || !p.wanted.CompareAndSwap(false, true) {
		return errors.Join(ErrHasVideo, v.Close())
	}
	c.SetVideo()
	p.stream.equip(v)
	c.describeSource(p) // which the answer did not have
	if err := p.stream.mismatch(); err != nil {
		c.cfg.Notify(VideoSourceEnded{p.name, err})
	}
	return nil
}

// Withdraw takes back a content of ours that has not been answered, and has its Video wait for another one. [VideoEnded] is not
// told.
func (c *Call) Withdraw(name string) {
	p := c.part(name)
	if p == nil || p.agreed.Media != "" || !c.leave(p, nil) {
		return
	}
	v := p.stream.unequip()
	if len(p.categories) > 0 {
		v.Category = p.categories[0]
	}
	p.cancel(errVideoOver)
	c.SetVideo(v)
}

// AcceptVideo takes a content that the peer adds and returns the one for the content-accept. An empty transport stands for
// that of the audio (Conversations).
func (c *Call) AcceptVideo(content jingle.Content, groups []jingle.Group) (jingle.Content, []jingle.Group, error) {
	desc, transport, ok := partsOf(content, "video")
	switch {
	case !ok:
		return jingle.Content{}, nil, ErrUnsupported
	case content.Name == c.Name() || c.part(content.Name) != nil:
		return jingle.Content{}, nil, ErrHasVideo
	case len(c.videos()) >= maxVideos:
		return jingle.Content{}, nil, ErrTooManyVideos
	}
	// Added to a bundle, or with credentials that are those of the bundle.
	shares := c.bundled && (transport.Ufrag == "" || c.group.remote != nil && transport.Ufrag == c.group.link().remote.Ufrag)
	if shares && !inGroup(groups, content.Name, c.Name()) {
		groups = c.bundleWith(content.Name)
		desc.RTCPMux = true
		content.Description = desc
	}
	p, err := c.newPart(content.Name, inGroup(groups, content.Name, c.Name()), desc.Categories)
	if err != nil {
		return jingle.Content{}, nil, err
	}
	out, err := c.answerVideo(p, content, groups)
	if err != nil {
		c.dropVideo(p, err)
		return out, nil, err
	}
	if p.own {
		return out, nil, nil
	}
	return out, c.bundleWith(content.Name), nil
}

// VideoAccepted takes the content of a content-accept.
func (c *Call) VideoAccepted(content jingle.Content, groups []jingle.Group) error {
	p := c.part(content.Name)
	if p == nil || p.agreed.Media != "" {
		return nil // Movim repeats the whole session
	}
	err := c.videoAccepted(p, content, groups)
	if err != nil {
		c.dropVideo(p, err)
	}
	return err
}

// RemoveVideo ends the video of this name. It returns the content for a content-remove, and false if there is none. err is what
// [VideoEnded] tells.
func (c *Call) RemoveVideo(name string, err error) (jingle.Content, bool) {
	p := c.part(name)
	if p == nil {
		return jingle.Content{}, false
	}
	c.dropVideo(p, err)
	return jingle.Content{Creator: jingle.Initiator, Name: p.name, Senders: p.sends()}, true
}

// VideoSenders returns who may send in a content of video, and false if there is none of this name.
func (c *Call) VideoSenders(name string) (jingle.Senders, bool) {
	p := c.part(name)
	if p == nil {
		return "", false
	}
	return p.sends(), true
}

// videoFor returns the part that a packet on a shared transport belongs to, or nil for the audio's. The type tells sound from
// pictures, as it is unique to a kind in a BUNDLE group; between two contents of video it is the SSRC that the peer has told
// (XEP-0339), or had before (RFC 9143 section 9.2). Peers with one video need not tell theirs.
func (c *Call) videoFor(payloadType uint8, ssrc uint32) *part {
	var first, free *part
	for _, p := range c.videos() {
		if p.own {
			continue
		}
		takes, known, silent := p.stream.match(payloadType, ssrc)
		if !takes {
			continue
		}
		if known {
			return p
		}
		first = cmp.Or(first, p)
		if silent {
			free = cmp.Or(free, p)
		}
	}
	return cmp.Or(free, first)
}
