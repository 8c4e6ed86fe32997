package daemon

import (
	"context"
	"iter"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/muc"
)

// leg is our session with one participant of a room's call. It belongs to the room's goroutine.
type leg struct {
	nick   string
	peer   jid.JID
	media  *mediacall.Call
	dialed bool      // by us
	goneAt time.Time // when who it is with has gone; zero: is there
	left   bool      // who it is with has left the call

	connected, muted, seen bool
	recording              string      // where their pictures go
	filmed                 atomic.Bool // it has got its video
}

// describe is what is told of who it is with.
func (l *leg) describe(o *jingledv1.RoomOccupant) {
	o.Connected, o.Muted, o.Seen, o.RecordVideo, o.Text = l.connected, l.muted, l.seen, l.recording, ""
}

func (l *leg) hangUp() { l.media.HangUp(&jingle.Reason{Condition: jingle.Success}) }

// audioAbilities are what we would announce in a room.
func audioAbilities() []rtp.Capabilities {
	c := rtp.Capabilities{Media: "audio"}
	for _, codec := range audio.Codecs() {
		p := rtp.PayloadType{ID: codec.PayloadType, Name: codec.Name, Clockrate: uint32(codec.ClockRate)}
		if codec.Channels > 1 {
			p.Channels = uint8(codec.Channels)
		}
		c.PayloadTypes = append(c.PayloadTypes, p)
	}
	return []rtp.Capabilities{c}
}

// follow carries out what the conference wants.
func (r *room) follow(effects []muji.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case muji.Announce:
			if err := r.account.rooms.Update(r.address, r.presence(e.Muji)...); err != nil {
				r.account.log.Debug("presence in a room", "err", err)
			}
		case muji.Joined:
			r.joined(e)
		case muji.Call:
			r.call(e.Participant)
		case muji.Appeared:
			r.resume(e.Participant) // their presence has told it already
		case muji.Disappeared:
			if l := r.legs[e.Participant.Nick]; l != nil {
				l.left = true
				l.hangUp()
			}
		case muji.Full:
			r.left = &muc.Left{Reason: e.Text()}
			r.leave()
		}
	}
}

func (r *room) joined(e muji.Joined) {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	r.codecs = nil
	for _, content := range e.Contents {
		d, _ := content.Description.(rtp.Description)
		if d.Media == "video" {
			r.video.announced(d)
		}
		if d.Media != "audio" {
			continue
		}
		r.name = content.Name
		for _, codec := range audio.Codecs() {
			for _, p := range d.PayloadTypes {
				if codec.Is(p.Name, int(p.Clockrate), int(p.Channels)) {
					ours := *codec
					ours.PayloadType = p.ID
					r.codecs = append(r.codecs, &ours)
				}
			}
		}
	}
	r.mu.Lock()
	r.inCall = true
	r.mu.Unlock()
	r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomCall{RoomCall: &jingledv1.RoomCall{Joined: true,
		Others: uint32(len(r.conf.Participants()))}}})
}

// call calls a participant, once it is known how.
func (r *room) call(p muji.Participant) {
	a := r.account
	a.media.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		known, err := a.client.Capabilities(ctx, jid.JID(r.address.String()+"/"+p.Nick))
		if err != nil || known.Info == nil {
			known.Info = &disco.Info{}
		}
		r.inbox.post(func() { r.dial(p, *known.Info) })
	})
}

func (r *room) dial(p muji.Participant, known disco.Info) {
	now, there := r.conf.Find(p.JID)
	if !there || r.over || r.leaving || r.legs[now.Nick] != nil {
		return
	}
	l := &leg{nick: now.Nick, peer: p.JID, dialed: true}
	cfg, err := r.config(l)
	if err == nil {
		cfg.Bundle, cfg.GatherFirst = known.Has("urn:ietf:rfc:5888") || known.Has(ice.NSDataChannel), known.Has(ice.FeatureOfferAnswer)
		cfg.Codecs, cfg.Name, cfg.Info = r.codecs, r.name, []jingle.Payload{muji.Muji{Room: r.address}}
		err = suit(&cfg, known)
	}
	if err == nil && r.wantsPicturesOf(p.JID) {
		cfg.VideoTypes, cfg.Videos = r.video.types, []mediacall.Video{r.videoOf(l, now.Nick)}
	}
	if err == nil {
		ours := r.mixer.Leg()
		l.media, err = mediacall.Dial(r.account.engine, p.JID, "", cfg, ours, ours)
	}
	if err != nil {
		r.change(now.Nick, func(o *jingledv1.RoomOccupant) { o.Text = err.Error() })
		return
	}
	r.adopt(l)
}

// config is how a session of the room is made.
func (r *room) config(l *leg) (mediacall.Config, error) {
	a := r.account
	cfg := mediacall.Config{
		Certificate: a.certificate,
		ICE:         a.iceConfig(l.peer),
		Notify:      func(e mediacall.Event) { r.inbox.post(func() { r.legEvent(l, e) }) },
		Go:          a.media.Go,
		Log:         a.log,
	}
	r.configureVideo(l, l.nick, &cfg)
	if a.relaysOnly(r.req.GetMedia()) {
		cfg.ICE.Policy = agent.RelayOnly
	}
	var err error
	if l.peer.Bare() == r.address {
		cfg.Certificate, err = dtlssrtp.NewCertificate() // the account's would tell who we are
	}
	return cfg, err
}

// adopt enters a session. One that a participant makes anew takes the place of the old one.
func (r *room) adopt(l *leg) {
	if r.over || r.leaving {
		l.hangUp()
		return
	}
	if old := r.legs[l.nick]; old != nil {
		old.media.HangUp(&jingle.Reason{Condition: jingle.Expired})
	}
	if old := r.back.kept[l.peer]; old != nil {
		delete(r.back.kept, l.peer)
		old.media.HangUp(&jingle.Reason{Condition: jingle.Expired})
	}
	r.legs[l.nick] = l
	r.mu.Lock()
	muted := r.muted
	r.mu.Unlock()
	if muted {
		l.media.Mute(true)
	}
}

func (r *room) legEvent(l *leg, e mediacall.Event) {
	kept := r.back.kept[l.peer] == l
	if r.over || r.legs[l.nick] != l && !kept {
		return
	}
	switch e := e.(type) {
	case mediacall.Connected:
		l.connected = true
		delete(r.back.redials, l.peer)
		if r.video != nil && r.video.paused {
			l.media.SendVideo(false)
		}
	case mediacall.PeerMuted:
		l.muted = e.On
	case mediacall.Media:
		switch e := e.Event.(type) {
		case media.VideoSeen:
			l.seen = true
		case media.VideoEnded:
			l.seen, l.recording = false, ""
			l.filmed.Store(false)
			r.video.failed(e.Err)
		default:
			return
		}
	case mediacall.Ended:
		if kept {
			delete(r.back.kept, l.peer)
			r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomOccupant{RoomOccupant: &jingledv1.RoomOccupant{Nick: l.nick, Jid: l.peer.String()}}})
			return
		}
		delete(r.legs, l.nick)
		r.redial(l, e.Reason)
		r.mu.Lock()
		there := r.people[l.nick] != nil
		r.mu.Unlock()
		if !there {
			return
		}
		r.change(l.nick, func(o *jingledv1.RoomOccupant) {
			o.Connected, o.Muted, o.Seen, o.RecordVideo, o.Text = false, false, false, "", ""
			if e.Reason.Condition != jingle.Success {
				o.Text = strings.TrimSpace(e.Reason.Text + " (" + string(e.Reason.Condition) + ")")
			}
		})
		return
	default:
		return
	}
	r.tellLeg(l)
}

// sessions are those of the call, and those with people who are away.
func (r *room) sessions() iter.Seq[*leg] {
	return func(yield func(*leg) bool) {
		for _, legs := range []iter.Seq[*leg]{maps.Values(r.legs), maps.Values(r.back.kept)} {
			for l := range legs {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// tellLeg tells what a session has brought.
func (r *room) tellLeg(l *leg) {
	if r.legs[l.nick] == l {
		r.change(l.nick, l.describe)
	}
}

// mute has everybody in the call hear us or not.
func (r *room) mute(on bool) {
	r.mu.Lock()
	r.muted = on
	r.mu.Unlock()
	for l := range r.sessions() {
		l.media.Mute(on)
	}
}

// roomOf returns the room whose call a session-initiate is about, "" for none (XEP-0272 section 3).
func roomOf(m *jingle.Message) jid.JID {
	for _, p := range m.Info {
		if x, ok := p.(muji.Muji); ok {
			return x.Room
		}
	}
	return ""
}

// incomingGroup takes a session of a room's call, from somebody who is in the room, and nobody else.
func (a *account) incomingGroup(s *engine.Session, m *jingle.Message, address jid.JID) (engine.Application, error) {
	a.mu.Lock()
	r := a.groups[address]
	a.mu.Unlock()
	if r == nil || r.mixer == nil {
		return nil, jingle.ErrServiceUnavailable()
	}
	r.mu.Lock()
	nick, there := r.addresses[s.Peer()]
	r.mu.Unlock()
	if !there {
		return nil, jingle.ErrServiceUnavailable()
	}
	l := &leg{nick: nick, peer: s.Peer()}
	cfg, err := r.config(l)
	if err != nil {
		return nil, &engine.Rejection{Reason: media.Reason(err)}
	}
	if l.media, err = mediacall.PickUp(s, m, cfg); err != nil {
		return nil, err
	}
	ours := r.mixer.Leg()
	var videos []mediacall.Video
	if r.video != nil && (r.video.fan != nil || offersVideo(m)) {
		videos = append(videos, r.videoOf(l, nick))
	}
	l.media.AnswerWith(ours, ours, videos...)
	r.inbox.post(func() { r.adopt(l) })
	return l.media, nil
}

// networkChanged has the sessions of the call look for another path.
func (r *room) networkChanged() {
	for _, l := range r.legs {
		l.media.NetworkChanged()
	}
}
