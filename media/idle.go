package media

import (
	"slices"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// idle is a content of the peer's offer that is accepted though there is no use for it: nothing is sent, and what comes is
// dropped. Without it a call with video would fail, as Conversations and Monal end a session whose answer leaves out a
// medium of theirs. It stays at one: every further transport costs sockets.
type idle struct {
	name string
	// group is its transport, or nil if it shares that of the audio. Dino never bundles.
	group *Group
}

// The encodings of video. As nothing is decoded, no feedback is promised.
var videoTypes = []rtp.PayloadType{
	{ID: 96, Name: "VP8", Clockrate: 90000},
	{ID: 97, Name: "H264", Clockrate: 90000},
	{ID: 98, Name: "VP9", Clockrate: 90000},
	{ID: 99, Name: "AV1", Clockrate: 90000},
}

// adoptIdle chooses the content that is accepted besides the audio's.
func (c *Call) adoptIdle(contents []jingle.Content, groups []jingle.Group) error {
	for _, content := range contents {
		d, isRTP := content.Description.(rtp.Description)
		t, isICE := content.Transport.(ice.Transport)
		if !isRTP || !isICE || d.Media != "video" || t.NS == ice.NSICE {
			continue
		}
		i := &idle{name: content.Name}
		if !together(groups, c.Name(), content.Name) {
			var err error
			i.group, err = NewGroup(GroupConfig{
				ICE: c.cfg.ICE, Certificate: c.cfg.Certificate, Controlling: c.cfg.Role == jingle.Initiator, Log: c.cfg.Log,
				Candidate: func(t ice.Transport) { c.cfg.Notify(Candidate{Content: i.name, Transport: t}) },
				State: func(s agent.State) {
					if s == agent.Failed {
						c.cfg.Log.Debug("no path for a content that is not used", "content", i.name)
					}
				},
			})
			if err != nil {
				return err
			}
		}
		c.idle = i
		return nil
	}
	return nil
}

// together reports whether two contents are in one BUNDLE group.
func together(groups []jingle.Group, a, b string) bool {
	return slices.ContainsFunc(groups, func(g jingle.Group) bool {
		return g.Semantics == bundle && slices.Contains(g.Contents, a) && slices.Contains(g.Contents, b)
	})
}

// answerIdle returns the answer for the content that is not used, given the transport of the audio's. ok is false if it
// is left out after all.
func (c *Call) answerIdle(contents []jingle.Content, groups []jingle.Group, audio ice.Transport) (out jingle.Content, ok bool) {
	i := slices.IndexFunc(contents, func(x jingle.Content) bool { return c.idle != nil && x.Name == c.idle.name })
	if i < 0 {
		return out, false
	}
	offer := contents[i]
	desc, _ := offer.Description.(rtp.Description)
	answer, err := rtp.Answer(desc, rtp.Capabilities{Media: "video", PayloadTypes: videoTypes, RTCPMux: true, DTLS: true})
	if err == nil {
		err = muxable(&desc, offer.Name, groups)
	}
	answer.RTCPMux = true
	transport := audio
	if err == nil && c.idle.group != nil {
		t, _ := offer.Transport.(ice.Transport)
		transport, err = c.idle.group.Answer(t)
	}
	if err != nil {
		c.cfg.Log.Debug("video is left out", "err", err)
		return out, false
	}
	return jingle.Content{
		Creator: offer.Creator, Name: offer.Name, Senders: theyOnly(offer.Senders, c.cfg.Role), Description: answer,
		Transport: transport,
	}, true
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
