package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/video"
)

// maxVideos is how many contents of video a call can be begun with.
const maxVideos = 4

// checkVideos is checkMedia for pictures.
func checkVideos(m *jingledv1.Media) error {
	if err := checkVideo(m.GetVideoIn(), m.GetRecordVideo()); err != nil {
		return err
	}
	more := m.GetMoreVideos()
	if len(more) >= maxVideos {
		return fmt.Errorf("more_videos: a call has %d videos at most", maxVideos)
	}
	for _, v := range more {
		if _, err := category(v.GetCategory()); err != nil {
			return err
		}
		if err := checkVideo(v.GetIn(), v.GetRecord()); err != nil {
			return fmt.Errorf("more_videos: %w", err)
		}
	}
	return nil
}

// checkVideo looks at one. Whether ports are free is seen when they are used.
func checkVideo(in, record string) error {
	if strings.HasPrefix(in, "rtp:") {
		if err := video.CheckRTP(in); err != nil {
			return fmt.Errorf("video_in: %w", err)
		}
	} else if in != "" {
		source, err := video.OpenFile(in)
		if err != nil {
			return fmt.Errorf("video_in: %w", err)
		}
		if err := source.Close(); err != nil {
			return err
		}
	}
	if strings.HasPrefix(record, "rtp:") {
		if err := video.CheckRTP(record); err != nil {
			return fmt.Errorf("record_video: %w", err)
		}
		return nil
	}
	switch r := strings.ToLower(record); {
	case r == "", strings.HasSuffix(r, ".ivf"), strings.HasSuffix(r, ".h264"), strings.HasSuffix(r, ".264"):
		if err := canRecord(record); err != nil {
			return fmt.Errorf("record_video: %w", err)
		}
		return nil
	}
	return fmt.Errorf("record_video: %q ends in neither .ivf nor .h264", record)
}

// canRecord looks at where a recording would go, if to a file, so that nobody is called in vain.
func canRecord(path string) error {
	if path == "" {
		return nil
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return fmt.Errorf("there is no folder %s", filepath.Dir(path))
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return fmt.Errorf("%s is a folder", path)
	}
	return nil
}

// categories are those of XEP-0507.
var categories = []rtp.Category{
	rtp.CategorySlides, rtp.CategorySpeaker, rtp.CategorySignLanguage, rtp.CategoryMain, rtp.CategoryAlternative,
}

// category reads what a request says that a video shows.
func category(s string) (rtp.Category, error) {
	c := rtp.Category(s)
	switch {
	case s == "", slices.Contains(categories, c):
		return c, nil
	case s == "camera":
		return rtp.CategorySpeaker, nil
	}
	return "", fmt.Errorf("category: %q is none of camera, slides, speaker, main, alt, sl (XEP-0507)", s)
}

// openVideos opens what checkVideos has looked at. Where there are several, each says what it shows.
func openVideos(m *jingledv1.Media) ([]mediacall.Video, error) {
	var out []mediacall.Video
	if m.GetVideo() {
		var shows rtp.Category
		if len(m.GetMoreVideos()) > 0 {
			shows = rtp.CategorySpeaker
		}
		v, err := openVideo(shows, m.GetVideoIn(), m.GetRecordVideo())
		if err != nil {
			return nil, err
		}
		out = append(out, *v)
	}
	for _, more := range m.GetMoreVideos() {
		shows, err := category(more.GetCategory())
		if err != nil {
			return nil, errors.Join(err, closeVideos(out))
		}
		v, err := openVideo(shows, more.GetIn(), more.GetRecord())
		if err != nil {
			return nil, errors.Join(err, closeVideos(out))
		}
		out = append(out, *v)
	}
	return out, nil
}

// openVideo opens what checkVideo has looked at.
func openVideo(shows rtp.Category, in, record string) (*mediacall.Video, error) {
	v := &mediacall.Video{Category: shows}
	if in != "" {
		source, err := video.Open(in)
		if err != nil {
			return nil, err
		}
		v.Source = source
	}
	if record != "" {
		sink, err := video.OpenSink(record)
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		v.Sink = sink
	}
	return v, nil
}

func closeVideos(videos []mediacall.Video) error {
	var errs []error
	for i := range videos {
		errs = append(errs, videos[i].Close())
	}
	return errors.Join(errs...)
}

// videoPlaces is how many videos a device's client takes. Some that take one are known by their name: they mistake a second one for
// a change of the first (Dino), do not answer (Monal) or refuse it (Conversations).
func (a *account) videoPlaces(device jid.JID) mediacall.Places {
	r, ok := a.client.Resource(device)
	if !ok {
		return mediacall.OneAtFirst
	}
	if info := a.caps.Get(r.Caps); info != nil && info.Has(rtp.NSCategory) {
		return mediacall.Several
	}
	for _, name := range []string{"dino.im", "monal", "conversations.im"} {
		if strings.Contains(r.Caps.Node, name) {
			return mediacall.One
		}
	}
	return mediacall.OneAtFirst
}

// withVideo reports whether a request asks for pictures.
func withVideo(m *jingledv1.Media) bool { return m.GetVideo() || len(m.GetMoreVideos()) > 0 }

// hasVideo reports whether there is video in the call.
func (c *call) hasVideo() bool {
	c.account.mu.Lock()
	p := c.phone
	c.account.mu.Unlock()
	return p != nil && len(p.media.Videos()) > 0
}

// meant returns the videos of a call that a request means: by the content's name, by what they show, or all.
func (p *phone) meant(req *jingledv1.ControlCallRequest) ([]media.VideoContent, error) {
	shows, err := category(req.GetVideoCategory())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	var out []media.VideoContent
	for _, v := range p.media.Videos() {
		if name := req.GetVideoContent(); name != "" && v.Name != name || req.GetVideoCategory() != "" && !v.Is(shows) {
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

func namesOf(videos []media.VideoContent) (names []string) {
	for _, v := range videos {
		names = append(names, v.Name)
	}
	return names
}

var errNoSuchVideo = connect.NewError(connect.CodeNotFound, errors.New("there is no such video in the call"))

// sendVideo stops to send our video, or sends it again.
func (p *phone) sendVideo(req *jingledv1.ControlCallRequest) error {
	videos, err := p.meant(req)
	switch {
	case err != nil:
		return err
	case len(videos) > 0:
		p.media.SendVideo(req.GetSendVideo(), namesOf(videos)...)
	case req.GetVideoCategory() != "" || req.GetVideoContent() != "":
		return errNoSuchVideo
	}
	return nil
}

// setVideo adds video to the call or drops it.
func (p *phone) setVideo(req *jingledv1.ControlCallRequest) error {
	if p.call.answerWith().GetDelegated() {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("the host adds and drops video by SetDescription"))
	}
	if req.GetVideo() {
		return p.addVideo(req)
	}
	videos, err := p.meant(req)
	switch {
	case err != nil:
		return err
	case len(videos) == 0 && (req.GetVideoCategory() != "" || req.GetVideoContent() != ""):
		return errNoSuchVideo
	case len(videos) == 0:
	case p.call.keepsContents():
		p.media.SendVideo(false, namesOf(videos)...)
	default:
		p.media.RemoveVideo(namesOf(videos)...)
	}
	return nil
}

// addVideo adds a video, joins that of the peer, or sends again what was paused.
func (p *phone) addVideo(req *jingledv1.ControlCallRequest) error {
	in, record := req.GetVideoIn(), req.GetRecordVideo()
	shows, err := category(req.GetVideoCategory())
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	videos := p.media.Videos()
	i := slices.IndexFunc(videos, func(v media.VideoContent) bool { return v.Is(shows) })
	if i >= 0 && videos[i].Wanted && (in == "" && record == "" || p.call.keepsContents()) {
		p.media.SendVideo(true, videos[i].Name)
		return nil
	}
	if p.call.answerWith().GetWebrtc() {
		return p.bridgeVideo(in, record)
	}
	if i >= 0 && videos[i].Wanted {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%w: end it first, or add one of another category", media.ErrHasVideo))
	}
	if err := checkVideo(in, record); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	v, err := openVideo(shows, in, record)
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	if i >= 0 {
		p.media.EquipVideo(videos[i].Name, *v)
		return nil
	}
	p.media.AddVideo(*v)
	return nil
}

// videoEvent tells clients what becomes of the peer's video.
func (c *call) videoEvent(e media.Event) {
	var v *jingledv1.CallVideo
	switch e := e.(type) {
	case media.VideoSeen:
		v = &jingledv1.CallVideo{On: true, Codec: e.Codec, Content: e.Content, Category: categoryText(e.Categories)}
	case media.VideoEnded:
		v = &jingledv1.CallVideo{Content: e.Content, Category: categoryText(e.Categories)}
		if e.Err != nil {
			v.Text = e.Err.Error()
		}
	default:
		return
	}
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallVideo{CallVideo: v}})
}

// categoryText is the first category, as a content can have several.
func categoryText(cs []rtp.Category) string {
	if len(cs) == 0 {
		return ""
	}
	return string(cs[0])
}

// videoStats adds the figures of video.
func videoStats(out *jingledv1.CallStats, videos []media.VideoStats) {
	for _, v := range videos {
		out.Videos = append(out.Videos, &jingledv1.VideoStats{Codec: v.Codec, PacketsSent: v.PacketsSent, PacketsReceived: v.PacketsReceived,
			PacketsLost: v.PacketsLost, BytesSent: v.BytesSent, BytesReceived: v.BytesReceived, PeerBitrate: uint64(v.Bitrate),
			Content: v.Content, Category: categoryText(v.Categories)})
	}
	if len(out.Videos) > 0 {
		out.Video = out.Videos[0]
	}
}
