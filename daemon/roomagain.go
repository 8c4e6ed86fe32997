package daemon

import (
	"math/rand/v2"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/xmpp/muc"
)

const (
	// comeBackFor bounds the tries to enter a room again, from when there is a stream.
	comeBackFor = 90 * time.Second
	// settling is how long after we are back the room may still put us out, as others are setting it up again.
	settling = time.Minute
	// keepLegs is how long the session with somebody who is not in the room any more goes on: what a client needs to connect
	// again, where up to a minute lies between two attempts. Its user cannot have wanted to leave, as nobody was told so.
	keepLegs = 90 * time.Second
	// maxRedials bounds how often somebody is called again whose session broke.
	maxRedials = 3
	// redialLater is how much longer than who has called the called one waits, so that they do not call each other.
	redialLater = 8 * time.Second
)

// wayBack is how we, and others, come back to a room that was lost with the stream or with its service. It belongs to the
// room's goroutine.
type wayBack struct {
	lost    time.Time // from when on it is tried; zero: we are in the room
	entered time.Time // when we last got back
	pending bool      // there is no room in the driver, and the next try is due
	turn    int       // of the try that is due
	tries   int
	self    jid.JID // as the others know us
	nick    string
	made    bool             // by us
	info    muc.Info         // what the room was at first: while it is set up again it may be another one for a moment
	members map[jid.JID]bool // who was in it
	kept    map[jid.JID]*leg // sessions with those who are not there, by their addresses
	redials map[jid.JID]int  // since the last success
}

func newWayBack() wayBack {
	return wayBack{members: make(map[jid.JID]bool), kept: make(map[jid.JID]*leg), redials: make(map[jid.JID]int)}
}

// after does something later, on the room's goroutine.
func (r *room) after(d time.Duration, f func()) { time.AfterFunc(d, func() { r.inbox.post(f) }) }

// comesBack reports whether a room is entered again after this end.
func (r *room) comesBack(now time.Time, l muc.Left) bool {
	w := &r.back
	if r.leaving || r.over || !r.inside || !w.lost.IsZero() && now.Sub(w.lost) > comeBackFor {
		return false
	}
	switch l.Cause {
	case muc.Disconnected, muc.ServiceStopped:
	case muc.Refused, muc.NoRoom, muc.NoAnswer, muc.NotMember, muc.NotSetUp:
		// It may not be there yet, or not know yet who its members are: others are coming back too.
		if w.lost.IsZero() && now.Sub(w.entered) > settling {
			return false
		}
	default:
		return false
	}
	if w.lost.IsZero() {
		r.lose(now)
	}
	r.tryAgain()
	return true
}

// lose is told when we are not in the room any more without having left. The sessions of its call go on.
func (r *room) lose(now time.Time) {
	w := &r.back
	if w.lost = now; now.Sub(w.entered) > settling {
		w.tries = 0
	}
	for _, l := range r.legs {
		w.kept[l.peer] = l
	}
	clear(r.legs)
	r.mu.Lock()
	for _, o := range r.people {
		if address := jid.JID(o.GetJid()).Bare(); address != "" {
			w.members[address] = true
		}
	}
	clear(r.people)
	clear(r.addresses)
	r.inCall = false
	r.mu.Unlock()
	if r.conf == nil {
		return
	}
	r.conf = muji.New(muji.Config{Able: r.able})
	r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomCall{RoomCall: &jingledv1.RoomCall{
		Text: "The room cannot be reached. It is entered again as soon as it can."}}})
}

// tryAgain puts off the next try. Who has made the room goes first, so that it becomes what it was.
func (r *room) tryAgain() {
	w := &r.back
	wait := min(time.Second<<min(w.tries, 4), 8*time.Second)
	if w.tries == 0 {
		if wait = 0; !w.made {
			wait = 300*time.Millisecond + rand.N(700*time.Millisecond)
		}
	}
	w.tries++
	w.turn++
	w.pending = true
	turn := w.turn
	r.after(wait, func() {
		if turn == w.turn {
			r.enterAgain()
		}
	})
}

// newStream is told when the account has logged in anew.
func (r *room) newStream() {
	if w := &r.back; w.pending {
		w.lost, w.tries = time.Now(), 0
		r.tryAgain()
	}
}

func (r *room) enterAgain() {
	w := &r.back
	if r.over || r.leaving || !w.pending {
		return
	}
	w.pending = false
	cfg := r.entering()
	cfg.First = w.nick
	cfg.ShowAddress = cfg.ShowAddress || w.info.NonAnonymous // they know it
	if w.made || r.conf != nil && w.info.MembersOnly && w.info.NonAnonymous && !w.info.PasswordProtected {
		cfg.Create = &muc.Creation{Name: w.info.Name, MembersOnly: w.info.MembersOnly, NonAnonymous: w.info.NonAnonymous}
	}
	if err := r.account.rooms.Join(cfg); err != nil {
		r.account.log.Info("a room is not entered again", "room", r.address.String(), "err", err)
		r.out(muc.Left{Cause: muc.Disconnected})
	}
}

// returned is told when we are in the room again, under the name of before or another one.
func (r *room) returned(now time.Time, e muc.Entered) {
	w := &r.back
	w.lost, w.entered = time.Time{}, now
	for peer, l := range w.kept {
		// Who knows us under another address now could not say anything in the session any more.
		if inRoom := peer.Bare() == r.address; inRoom && w.nick != e.Nick || !inRoom && w.self != r.account.client.JID() {
			delete(w.kept, peer)
			l.hangUp()
		}
	}
	r.after(r.account.d.cfg.keepLegs, func() {
		for peer, l := range w.kept {
			if !l.goneAt.After(now) {
				r.drop(peer, l)
			}
		}
	})
	if !e.Created || !e.Info.MembersOnly {
		return
	}
	var people []jid.JID
	for p := range w.members {
		if p != r.account.cfg.JID {
			people = append(people, p)
		}
	}
	for _, p := range r.sent {
		if !w.members[p.Bare()] {
			people = append(people, p)
		}
	}
	if err := r.account.rooms.Grant(r.address, "member", people...); err != nil {
		r.account.log.Debug("members", "err", err)
	}
}

// keep lets the session with somebody go on who is not there any more, and may come back.
func (r *room) keep(now time.Time, l *leg) {
	delete(r.legs, l.nick)
	l.goneAt = now
	r.back.kept[l.peer] = l
	r.after(r.account.d.cfg.keepLegs, func() {
		if r.back.lost.IsZero() && l.goneAt == now {
			r.drop(l.peer, l)
		}
	})
}

// drop ends a session whose other side did not come back.
func (r *room) drop(peer jid.JID, l *leg) {
	if r.back.kept[peer] == l {
		delete(r.back.kept, peer)
		l.hangUp()
		r.publish(&jingledv1.Event{Body: &jingledv1.Event_RoomOccupant{RoomOccupant: &jingledv1.RoomOccupant{Nick: l.nick, Jid: peer.String()}}})
	}
}

// resume finds the session that a participant had before one of us was away.
func (r *room) resume(p muji.Participant) {
	l := r.back.kept[p.JID]
	if l == nil {
		return
	}
	delete(r.back.kept, p.JID)
	if r.legs[p.Nick] != nil { // they have made another one
		l.hangUp()
		return
	}
	l.nick, l.goneAt = p.Nick, time.Time{}
	r.legs[p.Nick] = l
	r.change(p.Nick, func(o *jingledv1.RoomOccupant) { l.describe(o) })
	// If they know nothing of it, it ends, and they are called.
	r.account.engine.Ping(p.JID)
}

// redial calls somebody again whose session broke though both of us are in the call.
func (r *room) redial(l *leg, why *jingle.Reason) {
	switch why.Condition {
	case jingle.ConnectivityError, jingle.FailedTransport, jingle.Gone, jingle.Timeout, jingle.GeneralError:
	default:
		return // somebody has wanted it so, or it would be the same again
	}
	n := r.back.redials[l.peer]
	if n >= maxRedials || r.conf == nil {
		return
	}
	r.back.redials[l.peer]++
	wait := time.Second << n
	if !l.dialed {
		wait += redialLater
	}
	r.after(wait, func() {
		if p, there := r.conf.Find(l.peer); there && r.conf.Inside() && r.legs[p.Nick] == nil && !r.over {
			r.call(p)
		}
	})
}

// roomsBack enters the rooms again that we were in under another stream.
func (a *account) roomsBack() {
	a.rooms.Disconnected()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.groups {
		r.inbox.post(r.newStream)
	}
}
