package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// Session is one running session. One goroutine owns it: its methods are for that goroutine, which is where an
// [Application] and what was given to [Session.Post] run. SID, Peer, Local, Role, Post, Done and Heard are safe anywhere.
type Session struct {
	engine  *Engine
	machine *jingle.Session
	local   jid.JID
	log     *slog.Logger
	app     Application

	mu      sync.Mutex
	mailbox []letter
	over    bool
	wake    chan struct{} // has room for one: the mailbox is not empty
	done    chan struct{}

	queued  atomic.Int64    // IQs of the peer that have no answer yet
	heard   atomic.Int64    // when the peer was last heard, in nanoseconds after born; 0: never
	born    time.Time       // a clock that jumps does not touch what is measured from here
	effects []jingle.Effect // to be carried out
	answers map[string]func(*jingle.StanzaError)
	nextIQ  int
}

// letter is something to do on the session's goroutine, or, if the session ends before, to drop.
type letter struct{ do, dropped func() }

// SID returns the session id.
func (s *Session) SID() string { return s.machine.SID() }

// Peer returns the other side's full address, and Local ours.
func (s *Session) Peer() jid.JID { return s.machine.Peer() }

// Local returns the full address under which the session was made.
func (s *Session) Local() jid.JID { return s.local }

// Role returns our part.
func (s *Session) Role() jingle.Role { return s.machine.Role() }

// State returns where the session stands.
func (s *Session) State() jingle.State { return s.machine.State() }

// Machine returns the session's state machine, for questions only.
func (s *Session) Machine() *jingle.Session { return s.machine }

// Log returns the session's logger.
func (s *Session) Log() *slog.Logger { return s.log }

// Done is closed when the session's goroutine has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Post runs f on the session's goroutine, after what was posted before. It never blocks. After the end of the session
// f is dropped.
func (s *Session) Post(f func()) { s.post(letter{f, func() {}}) }

func (s *Session) post(l letter) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		l.dropped()
		return
	}
	s.mailbox = append(s.mailbox, l)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Heard tells that the peer is there, as media of it came in. It is cheap enough to be called for every packet, and has
// to be called every other second at least.
func (s *Session) Heard() { s.heard.Store(max(1, int64(time.Since(s.born)))) }

// heardLately is how old a sign of life may be that keeps the session of a peer that went unavailable. What came before
// that, or on the way while it went, is none.
const heardLately = 3 * time.Second

// Do sends a message to the peer; see [jingle.Session.Do].
func (s *Session) Do(m *jingle.Message) error {
	effects, err := s.machine.Do(time.Now(), m)
	s.perform(effects)
	return err
}

// Terminate ends the session with a reason. It does nothing if the session has ended; a session that was not yet
// initiated just ends.
func (s *Session) Terminate(r *jingle.Reason) {
	switch s.machine.State() {
	case jingle.Done:
	case jingle.Idle:
		s.abandon(&Rejection{r})
	default:
		if err := s.Do(&jingle.Message{Action: jingle.SessionTerminate, Reason: r}); err != nil {
			s.log.Debug("terminate", "err", err)
		}
	}
}

// SetTransports says which transports a content may use; see [jingle.Session.SetTransports].
func (s *Session) SetTransports(id jingle.ContentID, ns ...string) {
	s.machine.SetTransports(id, ns...)
}

// TransportFailed says that a transport cannot work; see [jingle.Session.TransportFailed].
func (s *Session) TransportFailed(id jingle.ContentID, ns string, r *jingle.Reason) {
	s.perform(s.machine.TransportFailed(time.Now(), id, ns, r))
}

// perform queues effects; the loop carries them out after what runs now has returned, so an application is never
// entered twice.
func (s *Session) perform(e []jingle.Effect) { s.effects = append(s.effects, e...) }

// abandon ends a session that the peer does not know of yet.
func (s *Session) abandon(err error) {
	if s.machine.State() == jingle.Done {
		return
	}
	r := &jingle.Reason{Condition: jingle.GeneralError, Text: err.Error()}
	if rej, ok := errors.AsType[*Rejection](err); ok {
		r = rej.Reason
	}
	if s.machine.State() != jingle.Idle {
		s.Terminate(r)
		return
	}
	s.close()
	s.notify(jingle.Ended{Reason: r, Err: err})
}

// run is the session's goroutine.
func (s *Session) run() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Stop()
		if d := s.machine.Deadline(); !d.IsZero() {
			timer.Reset(max(time.Until(d), 0))
		}
		select {
		case <-s.wake:
		case <-timer.C:
			s.guard(func() {
				if at := s.heard.Load(); at > 0 && time.Since(s.born)-time.Duration(at) < heardLately {
					s.machine.Heard()
				}
				s.perform(s.machine.Advance(time.Now()))
			})
		}
		for f := s.next(); f != nil; f = s.next() {
			s.guard(f)
		}
		if s.isOver() {
			s.refuseRest()
			return
		}
	}
}

// next takes the oldest function out of the mailbox, or returns nil if there is none or the session is over.
func (s *Session) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || len(s.mailbox) == 0 {
		return nil
	}
	f := s.mailbox[0].do
	s.mailbox[0] = letter{}
	s.mailbox = s.mailbox[1:]
	return f
}

// guard runs f and the effects that follow from it. A panic in one session must not take the other calls with it: it
// is logged with its stack, and the session ends.
func (s *Session) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a session", "panic", p, "stack", string(debug.Stack()))
			s.effects = nil
			s.close()
		}
	}()
	f()
	for len(s.effects) > 0 && !s.isOver() {
		e := s.effects[0]
		s.effects = s.effects[1:]
		s.carryOut(e)
	}
}

func (s *Session) carryOut(e jingle.Effect) {
	switch e := e.(type) {
	case jingle.Answer:
		s.answer(e.IQ, e.Err)
	case jingle.Request:
		s.send(e)
	case jingle.InfoReceived:
		s.answer(e.IQ, stanzaError(s.tell(e)))
	case jingle.Ended:
		s.log.Debug("session ended", "reason", string(e.Reason.Condition), "by_peer", e.ByPeer)
		s.close()
		s.notify(e)
	case jingle.Event:
		s.notify(e)
	}
}

// notify tells the application of an event that asks for nothing.
func (s *Session) notify(e jingle.Event) {
	if err := s.tell(e); err != nil {
		s.log.Debug("event", "type", fmt.Sprintf("%T", e), "err", err)
	}
}

func stanzaError(err error) *jingle.StanzaError {
	var se *jingle.StanzaError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &se):
		return se
	}
	return jingle.ErrBadRequest("%s", err.Error())
}

func (s *Session) tell(e jingle.Event) error {
	if s.app == nil {
		return jingle.ErrUnsupportedInfo("Nobody is here to understand it.")
	}
	return s.app.Handle(s, e)
}

func (s *Session) send(r jingle.Request) {
	if r.Message.Action == jingle.SessionInitiate {
		s.engine.initiating(s, r.Message)
	}
	s.log.Debug("send", "action", string(r.Message.Action))
	s.engine.cfg.Signaler.Send(s.Peer(), r.Message, func(err error) {
		if r.Message.Action == jingle.SessionInitiate {
			// At once and not by the mailbox: the peer's next stanza is routed with this knowledge.
			s.engine.initiating(s, nil)
		}
		s.Post(func() { s.perform(s.machine.Replied(time.Now(), r.N, err)) })
	})
}

func (s *Session) receive(m *jingle.Message, answer func(*jingle.StanzaError)) {
	s.nextIQ++
	iq := strconv.Itoa(s.nextIQ)
	if s.answers == nil {
		s.answers = make(map[string]func(*jingle.StanzaError))
	}
	s.answers[iq] = answer
	s.log.Debug("receive", "action", string(m.Action))
	s.perform(s.machine.Receive(time.Now(), iq, m))
}

func (s *Session) receiveInitiate(m *jingle.Message, answer func(*jingle.StanzaError)) {
	app, err := s.engine.cfg.Incoming(s, m)
	if se, ok := errors.AsType[*jingle.StanzaError](err); ok {
		// The place is free before the peer hears of it: it may try again at once.
		s.close()
		s.queued.Add(-1)
		answer(se)
		return
	}
	if err == nil {
		s.app = app
	}
	s.receive(m, answer)
	switch {
	case s.machine.State() == jingle.Idle:
		// It was malformed; the answer says so, and the peer may try again.
		s.close()
		s.carryOutAll()
	case err != nil:
		r := &jingle.Reason{Condition: jingle.FailedApplication, Text: err.Error()}
		if rej, ok := errors.AsType[*Rejection](err); ok {
			r = rej.Reason
		}
		s.Terminate(r)
	}
}

func (s *Session) carryOutAll() {
	for _, e := range s.effects {
		s.carryOut(e)
	}
	s.effects = nil
}

func (s *Session) answer(iq string, err *jingle.StanzaError) {
	f := s.answers[iq]
	if f == nil {
		return
	}
	delete(s.answers, iq)
	s.queued.Add(-1)
	f(err)
}

func (s *Session) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// close takes the session out of the engine. What is still in the mailbox is dropped by [Session.refuseRest].
func (s *Session) close() {
	s.engine.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// refuseRest answers what came in and was not looked at any more (XEP-0166 section 6.7).
func (s *Session) refuseRest() {
	for iq := range s.answers {
		s.answer(iq, jingle.ErrUnknownSession())
	}
	s.mu.Lock()
	rest := s.mailbox
	s.mailbox = nil
	s.mu.Unlock()
	for _, l := range rest {
		l.dropped()
	}
}
