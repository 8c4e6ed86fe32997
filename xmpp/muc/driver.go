package muc

import (
	"fmt"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// Stream is the XMPP stream of an account; an xmpp.Client is one.
type Stream interface {
	Send(*xmltree.Element) error
	Request(to jid.JID, typ string, payload *xmltree.Element, timeout time.Duration, done func(*xmltree.Element, error))
}

// Driver carries out what the rooms of an account want. Its methods may be called from any goroutine and do not block.
type Driver struct {
	stream Stream
	notify func(room jid.JID, e Effect)

	mu    sync.Mutex
	rooms map[jid.JID]*driven
}

// driven is one room with its timer.
type driven struct {
	room  *Room
	timer *time.Timer
}

// maxRooms bounds the rooms of an account.
const maxRooms = 64

// NewDriver returns a driver without rooms. notify is told of all effects but [Send] and [Ask], in their order. It must
// only post: it must neither block nor call the driver.
func NewDriver(s Stream, notify func(room jid.JID, e Effect)) *Driver {
	return &Driver{stream: s, notify: notify, rooms: make(map[jid.JID]*driven)}
}

// Join enters a room.
func (d *Driver) Join(cfg Config) error {
	r, err := New(cfg)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rooms[cfg.Room] != nil {
		return fmt.Errorf("muc: we are in %s already", cfg.Room)
	}
	if len(d.rooms) >= maxRooms {
		return fmt.Errorf("muc: we are in %d rooms already", maxRooms)
	}
	one := &driven{room: r}
	one.timer = time.AfterFunc(time.Hour, func() {
		d.input(cfg.Room, func(r *Room) []Effect { return r.Advance(time.Now()) })
	})
	d.rooms[cfg.Room] = one
	d.carryOut(one, r.Join(time.Now()))
	return nil
}

// Leave leaves a room; [Left] follows.
func (d *Driver) Leave(room jid.JID) {
	d.input(room, func(r *Room) []Effect { return r.Leave(time.Now()) })
}

// Update is [Room.Update].
func (d *Driver) Update(room jid.JID, extra ...*xmltree.Element) error {
	return d.try(room, func(r *Room) ([]Effect, error) { return r.Update(extra...) })
}

// Grant is [Room.Grant].
func (d *Driver) Grant(room jid.JID, affiliation string, people ...jid.JID) error {
	return d.try(room, func(r *Room) ([]Effect, error) { return r.Grant(affiliation, people...) })
}

// Destroy is [Room.Destroy].
func (d *Driver) Destroy(room jid.JID, reason string) error {
	return d.try(room, func(r *Room) ([]Effect, error) { return r.Destroy(reason) })
}

func (d *Driver) try(room jid.JID, f func(*Room) ([]Effect, error)) error {
	err := errState
	d.input(room, func(r *Room) []Effect {
		var out []Effect
		out, err = f(r)
		return out
	})
	return err
}

// Self returns our address in a room that we are in or about to be in.
func (d *Driver) Self(room jid.JID) (self jid.JID, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one := d.rooms[room.Bare()]; one != nil {
		return one.room.Self(), true
	}
	return "", false
}

// Room gives f the room for questions; it reports false if there is none. f must neither block nor call the driver.
func (d *Driver) Room(room jid.JID, f func(*Room)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.rooms[room.Bare()]
	if one != nil {
		f(one.room)
	}
	return one != nil
}

// Receive takes a presence or a message, and reports whether it is of one of the rooms.
func (d *Driver) Receive(e *xmltree.Element) bool {
	from, err := jid.Parse(e.Attr("from"))
	return err == nil && d.input(from.Bare(), func(r *Room) []Effect { return r.Receive(time.Now(), e) })
}

// Disconnected says that the stream is lost with all that hung on it.
func (d *Driver) Disconnected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.rooms {
		d.carryOut(one, one.room.end(Left{Cause: Disconnected}))
	}
}

func (d *Driver) input(room jid.JID, f func(*Room) []Effect) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.rooms[room]
	if one == nil {
		return false
	}
	d.carryOut(one, f(one.room))
	return true
}

// carryOut does what a room wants; d.mu is held.
func (d *Driver) carryOut(one *driven, effects []Effect) {
	room := one.room.Address()
	for _, e := range effects {
		switch e := e.(type) {
		case Send:
			_ = d.stream.Send(e.Stanza) // without a stream there is no answer, and the deadline comes
		case Ask:
			d.stream.Request(e.To, e.Type, e.Payload, 0, func(reply *xmltree.Element, err error) {
				d.replied(one, e.ID, reply, err)
			})
		case Left:
			delete(d.rooms, room)
			one.timer.Stop()
			d.notify(room, e)
			return
		default:
			d.notify(room, e)
		}
	}
	if at := one.room.Deadline(); !at.IsZero() {
		one.timer.Reset(max(time.Until(at), 0))
	} else {
		one.timer.Stop()
	}
}

func (d *Driver) replied(one *driven, id string, reply *xmltree.Element, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rooms[one.room.Address()] != one {
		return // it is over
	}
	d.carryOut(one, one.room.Replied(time.Now(), id, reply, err))
}
