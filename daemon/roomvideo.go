package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/video"
)

// roomVideo is video in the call of a room: what we show goes to everybody, and what everybody shows goes to a place of its
// own.
type roomVideo struct {
	fan    *video.Fan // nil: we show nothing
	ended  chan error // of fan
	codec  *video.Codec
	record string // what the names of recordings, or the ports, begin with; "" is nowhere
	paused bool
	types  map[string]uint8 // of the room, by the codecs' names

	mu    sync.Mutex
	taken map[string]bool // places
	errs  []error
}

// checkRoomMedia refuses what the call of a room cannot have.
func checkRoomMedia(m *jingledv1.Media) error {
	switch {
	case m.GetWebrtc(), m.GetDelegated():
		return errors.New("the call of a room has sound and pictures of this daemon, not of WebRTC clients")
	case len(m.GetMoreVideos()) > 0:
		return errors.New("more_videos: everybody in the call of a room has one video")
	case m.GetVideo() && strings.HasPrefix(m.GetRecordVideo(), "rtp:"):
		_, err := place(m.GetRecordVideo(), "", "", 0)
		return err
	}
	return nil
}

// openRoomVideo opens what [checkMedia] and checkRoomMedia have looked at; nil is without video.
func openRoomVideo(m *jingledv1.Media) (*roomVideo, error) {
	if !m.GetVideo() {
		return nil, nil
	}
	v := &roomVideo{record: m.GetRecordVideo(), taken: make(map[string]bool), ended: make(chan error, 1)}
	if m.GetVideoIn() != "" {
		source, err := video.Open(m.GetVideoIn())
		if err != nil {
			return nil, err
		}
		v.fan, v.codec = video.NewFan(source), source.Codec()
	}
	return v, nil
}

// begin lets our pictures run; close waits for their end.
func (v *roomVideo) begin(ctx context.Context, run func(func())) {
	if v == nil || v.fan == nil {
		return
	}
	run(func() { v.ended <- v.fan.Run(ctx) })
}

func (v *roomVideo) close() error {
	if v == nil {
		return nil
	}
	var err error
	if v.fan != nil {
		err = <-v.ended
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return errors.Join(append(v.errs, err)...)
}

// failed keeps what went wrong with somebody's pictures.
func (v *roomVideo) failed(err error) {
	if v == nil || err == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.errs) < 16 {
		v.errs = append(v.errs, err)
	}
}

// abilities are what we would announce in a room: the sound, and pictures if we show some, their codec first.
func (v *roomVideo) abilities() []rtp.Capabilities {
	out := audioAbilities()
	if v == nil || v.fan == nil {
		return out
	}
	c := rtp.Capabilities{Media: "video"}
	codecs := video.Codecs()
	slices.SortStableFunc(codecs, func(a, b *video.Codec) int {
		switch v.codec {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, codec := range codecs {
		p := rtp.PayloadType{ID: codec.PayloadType, Name: codec.Name, Clockrate: video.ClockRate}
		for _, kv := range codec.Parameters {
			p.Parameters = append(p.Parameters, rtp.Parameter{Name: kv[0], Value: kv[1]})
		}
		c.PayloadTypes = append(c.PayloadTypes, p)
	}
	return append(out, c)
}

// announced takes the payload types that our announcement has.
func (v *roomVideo) announced(d rtp.Description) {
	if v == nil {
		return
	}
	v.types = make(map[string]uint8)
	for _, p := range d.PayloadTypes {
		if codec, err := video.ByName(p.Name); err == nil {
			v.types[codec.Name] = p.ID
		}
	}
}

// videoOf is the video of one session of the room.
func (r *room) videoOf(l *leg, nick string) mediacall.Video {
	l.filmed.Store(true)
	var v mediacall.Video
	if r.video.fan != nil {
		v.Source = r.video.fan.Leg()
	}
	if r.video.record != "" {
		v.Sink = &participantSink{r: r, l: l, nick: nick}
	}
	return v
}

// configureVideo is config for pictures: who adds them later is seen.
func (r *room) configureVideo(l *leg, nick string, cfg *mediacall.Config) {
	if r.video == nil {
		return
	}
	cfg.Places = r.account.videoPlaces(l.peer)
	cfg.VideoAdded = func([]rtp.Category) (*mediacall.Video, bool) {
		if l.filmed.Load() {
			return nil, false // it waits for a place
		}
		v := r.videoOf(l, nick)
		return &v, true
	}
}

// offersVideo reports whether a session-initiate has pictures.
func offersVideo(m *jingle.Message) bool {
	return slices.ContainsFunc(m.Contents, func(c jingle.Content) bool {
		d, ok := c.Description.(rtp.Description)
		return ok && d.Media == "video"
	})
}

// pause stops to show our pictures to everybody, or shows them again.
func (r *room) pause(on bool) {
	if r.video == nil || r.video.paused == on {
		return
	}
	r.video.paused = on
	for l := range r.sessions() {
		l.media.SendVideo(!on)
	}
}

// participantSink is where one participant's pictures go. It is opened when the first of them comes, as many never show any.
type participantSink struct {
	r    *room
	l    *leg
	nick string

	mu   sync.Mutex
	sink video.Sink
	at   string
	err  error
}

// Write implements [video.Sink].
func (s *participantSink) Write(c *video.Codec, seq uint16, p video.Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sink == nil && s.err == nil {
		s.at, s.sink, s.err = s.r.video.open(s.nick, c)
		s.r.video.failed(s.err)
		if s.err == nil {
			s.r.inbox.post(func() {
				s.l.recording = s.at
				s.r.tellLeg(s.l)
			})
		}
	}
	if s.err != nil {
		return s.err
	}
	return s.sink.Write(c, seq, p)
}

// Close implements [video.Sink].
func (s *participantSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sink == nil {
		return nil
	}
	err := s.sink.Close()
	if s.sink = nil; s.err == nil {
		s.err = errors.New("it is over")
	}
	s.r.video.failed(err)
	if strings.HasPrefix(s.at, "rtp:") {
		s.r.video.mu.Lock()
		delete(s.r.video.taken, s.at)
		s.r.video.mu.Unlock()
	}
	return err
}

// open finds a place for somebody's pictures: a file that is named after them, or the next port.
func (v *roomVideo) open(nick string, c *video.Codec) (at string, sink video.Sink, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	ext := ".ivf"
	if c.Name == "H264" {
		ext = ".h264"
	}
	for n := range 1000 {
		if at, err = place(v.record, nick, ext, n); err != nil {
			return "", nil, err
		}
		if !v.taken[at] {
			break
		}
	}
	if sink, err = video.OpenSink(at); err == nil {
		v.taken[at] = true
	}
	return at, sink, err
}

// place is where the pictures of somebody go, if n places for them are taken. call.ivf becomes call-nick.ivf and call-nick-2.ivf,
// rtp:5000 stays so and becomes rtp:5002.
func place(record, nick, ext string, n int) (string, error) {
	if !strings.HasPrefix(record, "rtp:") {
		name := strings.TrimSuffix(record, filepath.Ext(record)) + "-" + plain(nick)
		if n > 0 {
			name += "-" + strconv.Itoa(n+1)
		}
		return name + ext, nil
	}
	// RTP has even ports (RFC 3550 section 11).
	where, codec, _ := strings.Cut(record, "/")
	host, port := where[:strings.LastIndexByte(where, ':')+1], where[strings.LastIndexByte(where, ':')+1:]
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil || first == 0 || int(first)+2*n > 65535 {
		return "", fmt.Errorf("record_video: %q has no port for one more participant", record)
	}
	out := host + strconv.Itoa(int(first)+2*n)
	if codec != "" {
		out += "/" + codec
	}
	return out, nil
}

// plain makes a part of a file's name of a nick, which others choose.
func plain(nick string) string {
	out := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' {
			return r
		}
		return '_'
	}, nick)
	if r := []rune(out); len(r) > 32 {
		out = string(r[:32])
	}
	if strings.Trim(out, "_-") == "" {
		return "somebody"
	}
	return out
}

// wantsPicturesOf reports whether the session with somebody is to have pictures: ours, or theirs.
func (r *room) wantsPicturesOf(peer jid.JID) bool {
	if r.video == nil || r.video.fan != nil {
		return r.video != nil
	}
	p, there := r.conf.Find(peer)
	return there && p.Sends("video")
}
