package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/bridge"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/dtmf"
)

// bridged is a call's end towards WebRTC clients. The account's lock guards it.
type bridged struct {
	line  *bridge.Line // nil until it is needed
	video *clientVideo // of the phone or source that was attached last; nil before
	last  *jingledv1.CallClients
}

// clientVideo is what a client does with pictures.
type clientVideo struct{ sends, plays bool }

// checkBridged is checkMedia for calls with WebRTC clients.
func checkBridged(m *jingledv1.Media) error {
	if m.GetAudioIn() != "" || m.GetAudioOut() != "" || m.GetRecord() != "" || m.GetVideoIn() != "" || m.GetRecordVideo() != "" || len(m.GetMoreVideos()) > 0 {
		return errors.New("webrtc: the media is the clients', so audio_in, audio_out, record, video_in and record_video must be empty")
	}
	return nil
}

var (
	errOver     = connect.NewError(connect.CodeNotFound, errors.New("there is no such call, or it has ended"))
	errNoBridge = connect.NewError(connect.CodeFailedPrecondition, errors.New("this call was made or answered without webrtc"))
)

// line returns the call's end towards WebRTC clients. A call that rings here has one, too, for clients that come before it
// is answered.
func (c *call) line() (*bridge.Line, error) {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.ended:
		return nil, errOver
	case c.media != nil && !c.media.GetWebrtc():
		return nil, errNoBridge
	case c.bridge.line == nil:
		c.bridge.line = bridge.NewLine(bridge.Config{
			Keys:    c.keyPressed,
			Changed: func() { a.media.Go(c.clientsChanged) },
			Log:     a.log.With("sid", c.sid),
		})
	}
	return c.bridge.line, nil
}

// closeLine ends the clients of a call that has ended.
func (c *call) closeLine() {
	c.account.mu.Lock()
	line := c.bridge.line
	c.account.mu.Unlock()
	if line == nil {
		return
	}
	c.account.media.Go(func() {
		if err := line.Close(); err != nil {
			c.account.log.Debug("closing the bridge of a call", "err", err)
		}
	})
}

// openLine is openAll for calls with WebRTC clients.
func (c *call) openLine(withVideo bool) (audio.Source, audio.Sink, []mediacall.Video, error) {
	line, err := c.line()
	if err != nil {
		return nil, nil, nil, err
	}
	source, sink := line.Sound()
	if withVideo || c.clientVideo().sends {
		return source, sink, []mediacall.Video{*lineVideo(line)}, nil
	}
	return source, sink, nil, nil
}

func lineVideo(l *bridge.Line) *mediacall.Video {
	source, sink := l.Pictures()
	return &mediacall.Video{Source: source, Sink: sink}
}

// clientVideo is what the phone or source that was attached last has.
func (c *call) clientVideo() clientVideo {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.bridge.video == nil {
		return clientVideo{}
	}
	return *c.bridge.video
}

// videoAdded decides about video that the peer adds: with WebRTC clients it is taken if theirs sends or plays it. They have a place
// for one.
func (c *call) videoAdded([]rtp.Category) (v *mediacall.Video, decided bool) {
	if !c.answerWith().GetWebrtc() {
		return nil, false
	}
	line, err := c.line()
	if v := c.clientVideo(); err != nil || !v.sends && !v.plays || c.hasVideo() {
		return nil, true
	}
	return lineVideo(line), true
}

// keyPressed passes on a key of a client.
func (c *call) keyPressed(k dtmf.Key) {
	c.account.mu.Lock()
	p := c.phone
	c.account.mu.Unlock()
	if p == nil {
		return
	}
	if err := p.media.SendDTMF(string(k.Digit), k.Duration); err != nil {
		c.account.log.Debug("a key of a WebRTC client", "err", err)
	}
}

// clientsChanged tells how many clients there are.
func (c *call) clientsChanged() {
	a := c.account
	a.mu.Lock()
	line, ended := c.bridge.line, c.ended
	a.mu.Unlock()
	if line == nil || ended {
		return
	}
	n, video := line.Connected()
	now := &jingledv1.CallClients{Clients: uint32(n), Video: video}
	a.mu.Lock()
	changed := c.bridge.last.GetClients() != now.GetClients() || c.bridge.last.GetVideo() != now.GetVideo()
	c.bridge.last = now
	a.mu.Unlock()
	if changed {
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallClients{CallClients: now}})
	}
}

// matchVideo adds video to the call or drops it, as the phone or source that was attached last has it. One that only plays
// adds none, and takes the peer's.
func (c *call) matchVideo() {
	a := c.account
	a.mu.Lock()
	p, line, want := c.phone, c.bridge.line, c.bridge.video
	taken := c.state >= jingledv1.CallState_CALL_STATE_CONNECTING && c.media.GetWebrtc()
	a.mu.Unlock()
	if p == nil || line == nil || want == nil || !taken {
		return
	}
	videos := p.media.Videos()
	has := len(videos) > 0
	wanted := slices.ContainsFunc(videos, func(v media.VideoContent) bool { return v.Wanted })
	switch {
	case !want.sends && !want.plays && has && wanted:
		p.media.RemoveVideo()
	case want.sends && has && !wanted:
		p.media.RemoveVideo() // it was accepted for the peer's sake only
		p.media.AddVideo(*lineVideo(line))
	case want.sends && !has:
		p.media.AddVideo(*lineVideo(line))
	}
}

// bridgeVideo is setVideo for calls with WebRTC clients.
func (p *phone) bridgeVideo(in, record string) error {
	if err := checkBridged(&jingledv1.Media{VideoIn: in, RecordVideo: record}); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	line, err := p.call.line()
	if err != nil {
		return err
	}
	p.media.AddVideo(*lineVideo(line))
	return nil
}

// activeCall stands in place of a sid for the call with WebRTC clients that was begun last.
const activeCall = "active"

// clientCall finds the call that a WebRTC client means. The account may be left out.
func (d *Daemon) clientCall(account, sid string) (*call, error) {
	accounts, err := d.some(account)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if c, err := a.callBySID(sid); err == nil {
			return c, nil
		}
	}
	var last *call
	for _, a := range accounts {
		a.mu.Lock()
		for _, c := range a.calls {
			if sid == activeCall && c.media.GetWebrtc() && (last == nil || c.since.After(last.since)) {
				last = c
			}
		}
		a.mu.Unlock()
	}
	if last == nil {
		return nil, errOver
	}
	return last, nil
}

// Attached is a WebRTC client that was joined to a call: the call's and the client's names, and the answer to its offer.
type Attached struct{ SID, ID, Answer string }

// AttachClient joins a WebRTC client to a call whose media is webrtc, or that rings here, by its offer with all its
// candidates. A call gets video, or loses it, as a phone or source has it. The account may be left out.
func (d *Daemon) AttachClient(ctx context.Context, account, sid string, role bridge.Role, offer string) (Attached, error) {
	c, err := d.clientCall(account, sid)
	if err != nil {
		return Attached{}, err
	}
	line, err := c.line()
	if err != nil {
		return Attached{}, err
	}
	client, answer, err := line.Attach(ctx, role, offer)
	var bad *bridge.OfferError
	switch {
	case errors.As(err, &bad):
		return Attached{}, connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, bridge.ErrTooMany):
		return Attached{}, connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, bridge.ErrClosed):
		return Attached{}, errOver
	case err != nil:
		return Attached{}, err
	}
	if role != bridge.Player {
		video := clientVideo{sends: client.SendsVideo(), plays: client.HasVideo()}
		c.account.mu.Lock()
		c.bridge.video = &video
		c.account.mu.Unlock()
		c.matchVideo()
	}
	return Attached{c.sid, client.ID(), answer}, nil
}

// DetachClient ends a client. The account may be left out.
func (d *Daemon) DetachClient(account, sid, id string) error {
	c, err := d.clientCall(account, sid)
	if err != nil {
		return err
	}
	c.account.mu.Lock()
	line := c.bridge.line
	c.account.mu.Unlock()
	if line != nil {
		if client := line.Client(strings.TrimSpace(id)); client != nil {
			client.Close()
			return nil
		}
	}
	return connect.NewError(connect.CodeNotFound, errors.New("there is no such client, or it has gone"))
}
