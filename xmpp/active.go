package xmpp

import (
	"context"
	"fmt"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

const nsCSI = "urn:xmpp:csi:0"

// SetActive tells the server whether anybody uses this client at the moment (XEP-0352): towards one that nobody uses it
// holds back what is not urgent, such as presence, which comes when the client is active again. The pings of an inactive
// client are fewer, too. A client begins active. What is told lasts over logins.
func (c *Client) SetActive(active bool) {
	c.mu.Lock()
	changed := c.inactive == active
	c.inactive = !active
	l := c.link
	c.mu.Unlock()
	if !changed {
		return
	}
	if l != nil {
		l.tellActive(active)
	}
	c.nudge(c.rhythm) // another time between pings
}

// Active reports what [Client.SetActive] was told.
func (c *Client) Active() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.inactive
}

// Probe asks the server for a sign of life at once, and gives the connection up if none comes within [Timeouts].Probe;
// while there is no connection, the next attempt begins now. It is for those who know that the network has changed or that
// the machine has slept.
func (c *Client) Probe() { c.nudge(c.probe) }

func (c *Client) nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// tellActive sends the state, which is no stanza and is not counted by stream management.
func (l *link) tellActive(active bool) {
	if !l.csi {
		return
	}
	name := "inactive"
	if active {
		name = "active"
	}
	l.out.putPlain(xmltree.New(nsCSI, name).AppendXML(nil, nsClient))
}

const (
	// lateBy is how late a look may be before we believe that it was us who slept, and not the server.
	lateBy = 2 * time.Second
	// lookEvery is the longest time between two looks: timers stand still while the machine sleeps, so the time of day is
	// looked at every now and then.
	lookEvery = 30 * time.Second
)

// vigil decides when a silent server is asked for a sign of life, and when it is given up. It has no clock of its own.
type vigil struct {
	ask      func()
	patience time.Duration // for an answer
	asked    time.Time     // zero: it is not asked
	due      time.Time     // of the next look, by the clock on the wall
}

// look returns the time until the next look, or for how long the server has been silent if it is to be given up. idle is
// for how long nothing has come, interval the silence that is allowed.
func (v *vigil) look(now time.Time, idle, interval, patience time.Duration) (next time.Duration, gone bool) {
	slept := !v.due.IsZero() && now.Round(0).Sub(v.due) > lateBy
	if !v.asked.IsZero() {
		waited := now.Sub(v.asked)
		switch {
		case idle <= waited:
			v.asked = time.Time{} // something came after we had asked
		case slept:
			v.begin(now, patience) // its answer may lie in the socket
		case waited >= v.patience:
			return idle, true
		}
	}
	if v.asked.IsZero() && (idle >= interval || slept) {
		v.begin(now, patience)
	}
	next = interval - idle
	if !v.asked.IsZero() {
		next = v.patience - now.Sub(v.asked)
	}
	next = min(next, lookEvery)
	v.due = now.Round(0).Add(next)
	return next, false
}

// begin asks now, and waits no longer than patience.
func (v *vigil) begin(now time.Time, patience time.Duration) {
	v.asked, v.patience = now, patience
	v.ask()
}

// hurry is for a probe: whatever is under way, the answer has to come soon.
func (v *vigil) hurry(now time.Time, patience time.Duration) (next time.Duration) {
	v.begin(now, patience)
	v.due = now.Round(0).Add(patience)
	return patience
}

// watch waits for the end of a stream and pings a server that is silent. The channels keep their values.
func (c *Client) watch(ctx context.Context, l *link, readEnd, writeEnd chan error) error {
	t := c.cfg.Timeouts
	v := &vigil{ask: func() {
		c.Request(jid.JID(l.jid.Domain()), "get", pingElement(), t.Ping, func(*xmltree.Element, error) {})
	}}
	timer := time.NewTimer(min(c.silence(), lookEvery))
	defer timer.Stop()
	if c.silence() <= 0 && l.theirs.get().idle == 0 {
		timer.Stop()
	}
	var hears <-chan time.Time
	if l.resumed {
		hears = time.After(t.Probe)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hears:
			if l.out.isDeaf() {
				return &Error{Kind: ErrUnreachable, Message: "the server has resumed the stream, but does not listen to it", Err: errDeaf}
			}
		case err := <-readEnd:
			readEnd <- err
			return c.streamEnd(l, err)
		case err := <-writeEnd:
			writeEnd <- err
			return c.streamEnd(l, err)
		case <-c.probe:
			if c.cfg.Borrow == nil {
				timer.Reset(v.hurry(time.Now(), t.Probe))
			}
		case <-c.rhythm:
			if c.silence() > 0 {
				timer.Reset(0)
				v.due = time.Time{}
			}
		case <-timer.C:
			interval := c.silence()
			if interval <= 0 {
				interval = forever // after a probe
			}
			next, gone := v.look(time.Now(), l.conn.idle(), interval, t.Ping)
			if gone {
				return &Error{Kind: ErrUnreachable, Message: fmt.Sprintf("the server has said nothing for %v", next.Round(time.Second))}
			}
			timer.Reset(min(next, l.keepOpen(v.ask)))
		}
	}
}

const forever = 365 * 24 * time.Hour

// silence is for how long the server may say nothing before it is asked; 0 or less: for ever.
func (c *Client) silence() time.Duration {
	t := c.cfg.Timeouts
	if c.Active() || t.KeepAlive <= 0 {
		return t.KeepAlive
	}
	return t.KeepAliveIdle
}
