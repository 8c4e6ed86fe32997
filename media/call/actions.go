package call

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/dtmf"
)

// Mute sends silence, or no longer, and tells the peer so (XEP-0167 section 8.3).
func (c *Call) Mute(on bool) {
	c.media.Mute(on)
	kind := rtp.InfoUnmute
	if on {
		kind = rtp.InfoMute
	}
	c.s.Post(func() { c.info(rtp.Info{Kind: kind, Creator: jingle.Initiator, Name: c.media.Name()}) })
}

// Hold sends nothing, or something again, and tells the peer so (XEP-0167 section 8.2).
func (c *Call) Hold(on bool) {
	c.media.Hold(on)
	kind := rtp.InfoUnhold
	if on {
		kind = rtp.InfoHold
	}
	c.s.Post(func() { c.info(rtp.Info{Kind: kind}) })
}

// SendDTMF presses keys, each for so long; 0 is the default. They go as RTP events (RFC 4733), and to peers that have
// none in the signalling (XEP-0181). See [dtmf.Parse] for what is allowed.
func (c *Call) SendDTMF(digits string, duration time.Duration) error {
	keys, err := dtmf.Parse(digits, duration)
	if err != nil {
		return err
	}
	err = c.media.SendKeys(keys...)
	if !errors.Is(err, media.ErrNoEvents) {
		return err
	}
	var at time.Duration
	for _, k := range keys {
		if k.Digit == dtmf.Pause {
			at += k.Duration
			continue
		}
		tone := sigdtmf.New(k.Digit, uint32(k.Duration.Milliseconds()))
		time.AfterFunc(at, func() { c.s.Post(func() { c.info(tone) }) })
		at += k.Duration + dtmf.DefaultGap
	}
	return nil
}

// keyRefused tells that the peer does not take a key that was sent in the signalling.
func (c *Call) keyRefused(ev jingle.RequestFailed) {
	for _, p := range ev.Message.Info {
		if tone, ok := p.(sigdtmf.Tone); ok && tone.Known() {
			c.cfg.Notify(DTMFRefused{Digit: tone.Code[0], Err: ev.Err})
		}
	}
}
