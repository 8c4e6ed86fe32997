package daemon

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/mix"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/muc"
)

// room is a chat room that we are in or about to enter, with our part in its call. One goroutine, in run, owns it; what mu
// guards is looked at by others.
type room struct {
	account *account
	address jid.JID
	req     *jingledv1.JoinRoomRequest
	inbox   *mailbox

	mu        sync.Mutex
	people    map[string]*jingledv1.RoomOccupant // by nick; each is replaced, never changed
	addresses map[jid.JID]string                 // nicks by the addresses that sessions can come from
	muted     bool
	inCall    bool

	conf    *muji.Conference // nil: only the room
	mixer   *mix.Mixer
	video   *roomVideo // nil: only sound
	mixed   chan error // its end, once stop is called
	stop    context.CancelFunc
	legs    map[string]*leg // by nick
	codecs  []*audio.Codec
	name    string // of the content
	began   time.Time
	inside  bool
	leaving bool
	over    bool
	hidden  bool            // the room hides addresses
	left    *muc.Left       // why, if it is not the room that says it
	sent    []jid.JID       // invitations by us
	invite  string          // their id
	accept  *roomInvitation // that has brought us here, or nil
	able    []rtp.Capabilities
	back    wayBack
}

// openRoom makes a room; its goroutine begins with start. The sources of its call are opened.
func (a *account) openRoom(address jid.JID, req *jingledv1.JoinRoomRequest) (*room, error) {
	r := &room{account: a, address: address, req: req, inbox: newMailbox(), people: make(map[string]*jingledv1.RoomOccupant),
		addresses: make(map[jid.JID]string), legs: make(map[string]*leg), invite: newCallID(), back: newWayBack()}
	if req.GetMedia() == nil {
		return r, nil
	}
	source, sink, err := openMedia(req.GetMedia())
	if err != nil {
		return nil, err
	}
	r.mixer, r.mixed = mix.New(source, sink), make(chan error, 1)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	a.media.Go(func() { r.mixed <- r.mixer.Run(ctx) })
	if r.video, err = openRoomVideo(req.GetMedia()); err != nil {
		r.discard()
		return nil, err
	}
	r.video.begin(ctx, a.media.Go)
	r.able = r.video.abilities()
	r.conf = muji.New(muji.Config{Able: r.able})
	return r, nil
}

// run follows the room until we are out of it.
func (r *room) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ended := ctx.Done()
	var patience <-chan time.Time
	for !r.over {
		select {
		case <-r.inbox.wake:
			r.inbox.run()
		case <-timer.C:
			if r.conf != nil {
				r.follow(r.conf.Advance(time.Now()))
			}
		case <-ended:
			ended, patience = nil, time.After(leavePatience)
			r.leave()
		case <-patience:
			r.out(muc.Left{Cause: muc.ByUs})
		}
		if r.conf != nil && !r.conf.Deadline().IsZero() {
			timer.Reset(max(time.Until(r.conf.Deadline()), 0))
		}
	}
}

// leavePatience is how long the room may take to let us go when the daemon stops, and how long the sessions of its call to end.
const leavePatience = 2 * time.Second

// presence is what goes with our presence in the room.
func (r *room) presence(m *muji.Muji) []*xmltree.Element {
	extra := r.account.client.PresenceExtra()
	if m != nil {
		extra = append(extra, m.Element())
	}
	return extra
}

func (r *room) publish(e *jingledv1.Event) { r.account.publish(r.address, "", e) }

// roomEffect is told by the driver what happens in a room; it must only post.
func (a *account) roomEffect(address jid.JID, e muc.Effect) {
	a.mu.Lock()
	r := a.groups[address]
	a.mu.Unlock()
	if r != nil {
		r.inbox.post(func() { r.effect(e) })
	}
}

func (r *room) effect(e muc.Effect) {
	now := time.Now()
	switch e := e.(type) {
	case muc.Entered:
		r.entered(now, e)
	case muc.Present:
		r.present(now, e)
	case muc.Gone:
		r.gone(now, e)
	case muc.Granted:
		if e.Err != nil {
			r.account.log.Info("the room does not grant", "room", r.address.String(), "err", e.Err)
		}
	case muc.Left:
		if !r.comesBack(now, e) {
			r.out(e)
		}
	}
}

func (r *room) entered(now time.Time, e muc.Entered) {
	again := r.inside
	r.inside, r.hidden = true, !e.Info.NonAnonymous
	r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomEntered{RoomEntered: &jingledv1.RoomEntered{Nick: e.Nick, Created: e.Created,
		Name: e.Info.Name, MembersOnly: e.Info.MembersOnly, ShowsAddresses: e.Info.NonAnonymous, Again: again}}})
	if again {
		r.returned(now, e)
	} else {
		r.answerInvitation()
		r.invitePeople(r.req.GetInvite(), "")
	}
	r.back.self, r.back.nick = r.account.client.JID(), e.Nick
	if !again {
		r.back.info = e.Info
	}
	r.back.made = r.back.made || e.Created
	r.account.names.Store(r.address, jid.JID(r.address.String()+"/"+e.Nick))
	if r.conf != nil {
		r.follow(r.conf.Join(now))
	}
}

// present follows what an occupant, or we, tell of themselves.
func (r *room) present(now time.Time, e muc.Present) {
	var m *muji.Muji
	if x := e.Occupant.Presence.Child(muji.NS, "muji"); x != nil {
		parsed, err := muji.Parse(x, r.account.registry)
		if err != nil {
			r.account.log.Debug("muji", "of", e.Occupant.Nick, "err", err)
		} else {
			m = &parsed
		}
	}
	if e.Self {
		if r.conf != nil {
			r.follow(r.conf.Self(now, m))
		}
		return
	}
	// A room that is being set up again may begin to show addresses only when we are in it.
	r.account.rooms.Room(r.address, func(room *muc.Room) { r.hidden = !room.Info().NonAnonymous })
	address := r.addressOf(e.Occupant)
	r.mu.Lock()
	r.addresses[address] = e.Occupant.Nick
	r.mu.Unlock()
	r.change(e.Occupant.Nick, func(o *jingledv1.RoomOccupant) {
		o.Jid, o.Present, o.InCall = e.Occupant.JID.String(), true, m != nil && len(m.Contents) > 0
		o.Video = m != nil && muji.Participant{Contents: m.Contents}.Sends("video")
	})
	if r.conf != nil {
		r.follow(r.conf.Seen(now, e.Occupant.Nick, address, m))
	}
}

// addressOf is where sessions with an occupant go: to the real address (XEP-0272 section 3), unless the room hides
// addresses. There ours must not be shown to somebody whose address only we may see, as moderators do.
func (r *room) addressOf(o muc.Occupant) jid.JID {
	if o.JID != "" && !o.JID.IsBare() && !r.hidden {
		return o.JID
	}
	return jid.JID(r.address.String() + "/" + o.Nick)
}

func (r *room) gone(now time.Time, e muc.Gone) {
	nick := e.Occupant.Nick
	r.mu.Lock()
	one := r.people[nick]
	delete(r.people, nick)
	for address, of := range r.addresses {
		if of == nick {
			delete(r.addresses, address)
			if e.Renamed != "" {
				r.addresses[address] = e.Renamed
			}
		}
	}
	if e.Renamed != "" && one != nil {
		r.people[e.Renamed] = one
	}
	r.mu.Unlock()
	if e.Renamed != "" {
		if l := r.legs[nick]; l != nil {
			delete(r.legs, nick)
			l.nick, r.legs[e.Renamed] = e.Renamed, l
		}
		if r.conf != nil {
			r.conf.Renamed(nick, e.Renamed)
		}
		r.change(e.Renamed, func(o *jingledv1.RoomOccupant) { o.Nick, o.RenamedFrom = e.Renamed, nick })
		r.quietly(e.Renamed, func(o *jingledv1.RoomOccupant) { o.RenamedFrom = "" })
		return
	}
	kept := false
	if r.conf != nil {
		// Who leaves says so in the room first (XEP-0272 section 4), or ends the session.
		if l := r.legs[nick]; l != nil && l.connected && !l.left && !e.PutOut && !r.leaving {
			kept = true
			r.keep(now, l)
		}
		r.follow(r.conf.Gone(now, nick))
	}
	if one != nil {
		r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomOccupant{RoomOccupant: &jingledv1.RoomOccupant{Nick: nick, Jid: one.GetJid(), Connected: kept}}})
	}
}

// change changes what is told of an occupant, and tells it if it is something else than before.
func (r *room) change(nick string, f func(*jingledv1.RoomOccupant)) {
	if now, changed := r.set(nick, f); changed {
		r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomOccupant{RoomOccupant: now}})
	}
}

func (r *room) quietly(nick string, f func(*jingledv1.RoomOccupant)) { r.set(nick, f) }

func (r *room) set(nick string, f func(*jingledv1.RoomOccupant)) (now *jingledv1.RoomOccupant, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = &jingledv1.RoomOccupant{}
	old := r.people[nick]
	if old != nil {
		proto.Merge(now, old)
	}
	now.Nick = nick
	f(now)
	r.people[nick] = now
	return now, old == nil || !proto.Equal(old, now)
}

// leave goes out of the call and of the room; the room confirms it.
func (r *room) leave() {
	if r.leaving || r.over {
		return
	}
	r.leaving = true
	if r.conf != nil {
		r.follow(r.conf.Leave())
	}
	r.leftInvitation()
	if r.back.pending { // the driver has no such room now
		r.out(muc.Left{Cause: muc.ByUs})
		return
	}
	r.account.rooms.Leave(r.address)
}

// out is the end: sessions are ended, and it is told.
func (r *room) out(l muc.Left) {
	if r.over {
		return
	}
	r.over = true
	ended := &jingledv1.RoomLeft{Cause: strings.ReplaceAll(l.Cause.String(), " ", "_"), Text: l.Text(), WasInside: r.inside}
	if r.left != nil {
		ended.Cause, ended.Text = "full", r.left.Reason
	}
	if r.conf != nil {
		r.follow(r.conf.Leave())
		for l := range r.sessions() {
			l.hangUp()
		}
		// What they have recorded has its name when they have ended.
		patience, cancel := context.WithTimeout(context.Background(), leavePatience)
		for l := range r.sessions() {
			select {
			case <-l.media.Done():
			case <-patience.Done():
			}
		}
		cancel()
		r.stop()
		if err := <-r.mixed; err != nil {
			ended.AudioError = err.Error()
		}
		if err := r.video.close(); err != nil {
			ended.VideoError = err.Error()
		}
	}
	if !r.began.IsZero() {
		ended.CallDuration = durationpb.New(time.Since(r.began))
		r.note(ended)
	}
	a := r.account
	a.names.Delete(r.address)
	a.mu.Lock()
	if a.groups[r.address] == r {
		delete(a.groups, r.address)
	}
	a.mu.Unlock()
	r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomLeft{RoomLeft: ended}})
}

// note writes the call into the history.
func (r *room) note(l *jingledv1.RoomLeft) {
	reason := "success"
	if l.GetCause() != "us" {
		reason = "gone"
	}
	r.account.d.keep("call", func(ctx context.Context, s *state.Store) error {
		return s.AddCall(ctx, state.Call{Account: r.account.cfg.JID.String(), Peer: r.address.String(), SID: r.invite,
			Incoming: r.accept != nil, Began: r.began, Ended: time.Now(), Connected: true,
			Conversation: l.GetCallDuration().AsDuration(), Reason: reason, Text: l.GetText()})
	})
}
