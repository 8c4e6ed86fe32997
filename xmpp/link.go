package xmpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/roster"
	"github.com/jingled/jingled/xmpp/sm"
)

// link is a stream that is logged in.
type link struct {
	conn   *conn
	jid    jid.JID
	secure bool
	via    target
	out    *outbox
	stop   chan struct{} // closed to end the writer at once
	// resumed says that the link goes on where another one ended (XEP-0198 section 5).
	resumed bool
	// csi says that the server wants to know whether we are active (XEP-0352).
	csi bool
	// carbons says that they came with the login.
	carbons bool
	// rosterDue is set until the roster has come, and lets the reader take a larger stanza.
	rosterDue *atomic.Bool
	theirs    theirs // limits (XEP-0478)
}

func newLink(c *conn, j jid.JID, secure bool, l Limits, s *sm.Stream) *link {
	return &link{conn: c, jid: j, secure: secure, out: newOutbox(l, s), stop: make(chan struct{}), rosterDue: new(atomic.Bool)}
}

// continued returns the link that continues l on another connection.
func (l *link) continued(c *conn, secure bool) *link {
	return &link{conn: c, jid: l.jid, secure: secure, out: l.out, stop: make(chan struct{}), resumed: true, rosterDue: l.rosterDue}
}

// resumable reports whether the stream can go on after its connection is lost, and for how long.
func (l *link) resumable() (time.Duration, bool) {
	if l == nil || l.out.sm == nil {
		return 0, false
	}
	return l.out.sm.Resumable()
}

// serve runs a stream until it ends. Its error says why, and is nil only if ctx ended it.
func (c *Client) serve(ctx context.Context, l *link) error {
	readEnd, writeEnd := make(chan error, 1), make(chan error, 1)
	c.goOnline(l)
	go func() { readEnd <- c.read(l) }()
	go func() { writeEnd <- l.write(c.cfg.Timeouts.Write) }()

	err := c.watch(ctx, l, readEnd, writeEnd)
	if _, ok := l.resumable(); ok && survives(err) {
		l.out.suspend()
		close(l.stop)
		l.conn.Close()
		_, _ = <-readEnd, <-writeEnd
		return err
	}
	if err == nil {
		c.goOffline(l, time.Time{})
		// RFC 6120 section 4.4: we close our side and wait for the server to close its own.
		l.conn.SetWriteDeadline(time.Now().Add(c.cfg.Timeouts.Close))
		l.out.end()
		select {
		case e := <-readEnd:
			readEnd <- e
		case <-time.After(c.cfg.Timeouts.Close):
		}
	} else {
		c.goOffline(l, time.Now())
		l.out.end()
		if !survives(err) {
			// RFC 6120 section 4.4, RFC 7395 section 3.6: whose stream is ended ends it, too, before the connection.
			l.conn.SetWriteDeadline(time.Now().Add(c.cfg.Timeouts.Close))
			select {
			case e := <-writeEnd:
				writeEnd <- e
			case <-time.After(c.cfg.Timeouts.Close):
			}
		}
	}
	l.conn.Close()
	_, _ = <-readEnd, <-writeEnd // their errors come of closing
	return err
}

// survives reports whether a stream that ended this way can be resumed: the connection was lost, rather than the stream
// closed by either side (XEP-0198 section 5).
func survives(err error) bool {
	var se *StreamError
	for _, end := range []error{ErrConflict, errStreamClosed, errDeaf, sm.ErrAck, sm.ErrMalformed} {
		if errors.Is(err, end) {
			return false
		}
	}
	return err != nil && !errors.As(err, &se)
}

// errDeaf says that a resumed stream is of no use. Prosody up to 0.12.3 reads a resumed stream with the parser of the connection that was
// lost: if that ended within a stanza, all that follows is taken for a part of it.
var errDeaf = errors.New("what is sent by the resumed stream is not heard")

// streamEnd explains why a stream has ended.
func (c *Client) streamEnd(l *link, err error) error {
	e := &Error{Kind: ErrUnreachable, Message: fmt.Sprintf("the connection was lost: %v", err), Err: err}
	var se *StreamError
	switch {
	case errors.As(err, &se) && se.Condition == "conflict":
		e.Kind = ErrConflict
		e.Message = fmt.Sprintf("another client has logged in as %s", l.jid)
		e.Advice = "Give each client its own resource"
	case errors.As(err, &se):
		e.Kind, e.Message = ErrProtocol, se.Error()
		c.redirect, _ = l.via.elsewhere(l.secure, se.Host)
	case errors.Is(err, sm.ErrAck), errors.Is(err, sm.ErrMalformed):
		e.Kind, e.Message = ErrProtocol, err.Error()
	case errors.Is(err, errStreamClosed):
		e.Message = "the server closed the stream"
	case errors.Is(err, io.EOF):
		e.Message = "the connection was closed"
	}
	return e
}

// goOnline makes a stream the current one and sends what comes first, in the order of RFC 6121 section 2.2.
func (c *Client) goOnline(l *link) {
	c.mu.Lock()
	if !l.resumed {
		c.sendAgain(l) // before anybody can say something new
	}
	c.link, c.jid = l, l.jid
	presence, active := c.presence, !c.inactive
	c.mu.Unlock()
	c.stats.connected.Add(1)
	if l.resumed {
		c.setState(StateChange{State: Online, JID: l.jid, Resumed: true})
		l.out.resume()
		l.tellActive(active)
		return
	}
	quiet := func(*xmltree.Element, error) {}
	if !c.cfg.NoRoster {
		l.rosterDue.Store(true)
		c.request("", "get", roster.Query(), 0, func(reply *xmltree.Element, err error) {
			l.rosterDue.Store(false) // on the reader: what comes next is measured as usual
			c.inbox.post(func() {
				if err != nil || !reply.Is(roster.NS, "query") {
					c.log.Warn("no roster", "err", err)
					return
				}
				c.contacts.replace(roster.Parse(reply))
				for _, h := range c.handlers.roster {
					h()
				}
			})
		})
	}
	if !c.cfg.NoBlockList {
		c.askBlocked()
	}
	if !c.cfg.NoCarbons && !l.carbons {
		c.Request("", "set", carbons.Enable(), 0, quiet)
	}
	if !c.cfg.NoPresence {
		if err := c.Send(presence.element("", c.ownCaps)); err != nil {
			c.log.Warn("presence not sent", "err", err)
		}
	}
	if !active { // a stream begins as active (XEP-0352 section 4.2)
		l.tellActive(false)
	}
	// Last, so that whoever hears of it and asks the server something gets the answer after we can be reached.
	c.setState(StateChange{State: Online, JID: l.jid})
}

// goOffline gives a stream up, which was lost at some time, or ended as it should, for the zero time.
func (c *Client) goOffline(l *link, lost time.Time) {
	c.mu.Lock()
	c.link = nil
	if !lost.IsZero() {
		c.salvage(l, lost)
	}
	c.mu.Unlock()
	c.router.failAll(ErrOffline)
	// In line with what the dispatcher still has to do.
	c.inbox.post(func() {
		c.online.clear()
		c.peers.clear()
	})
}

// write sends what is queued until the stream ends.
func (l *link) write(timeout time.Duration) error {
	for {
		select {
		case <-l.out.wake:
		case <-l.stop:
			return nil
		}
		buf, last := l.out.take()
		if len(buf) == 0 {
			continue // taken with what came before
		}
		if !last {
			l.conn.SetWriteDeadline(time.Now().Add(timeout))
		}
		if _, err := l.conn.Write(buf); err != nil || last {
			return err
		}
		l.noteWrite()
	}
}

// read takes stanzas until the stream ends. Nothing that a peer sends makes it end or wait.
func (c *Client) read(l *link) error {
	for {
		l.conn.enlarge(l.rosterDue.Load(), c.cfg.Limits)
		frame, kind, err := l.conn.next()
		if err != nil {
			return err
		}
		switch kind {
		case frameClose:
			return errStreamClosed
		case frameHeader:
			return errNotXML
		case frameOversize:
			l.received()
			c.stats.oversize.Add(1)
			if frame != nil {
				head, _ := l.conn.parse(frame)
				c.refuse(l, head, ErrTooLarge, stanzaError("modify", "policy-violation", "The stanza is too large."))
			}
		case frameElement:
			if c.cfg.Trace != nil {
				c.cfg.Trace(false, frame)
			}
			size := len(frame)
			e, err := l.conn.parse(frame)
			switch {
			case err != nil:
				l.received()
				c.stats.malformed.Add(1)
				c.log.Debug("stanza dropped", "err", err)
				c.refuse(l, e, err, stanzaError("modify", "bad-request", "The stanza cannot be read."))
			case e.Is(nsStream, "error"):
				return parseStreamError(e)
			case e.Is(nsStream, "features"): // after a login that has resumed or bound inline (XEP-0388 section 2.6.1)
				l.theirs.set(parseLimits(e.Child(nsLimits, "limits")))
			case e.Is(sm.NS, "r"):
				l.out.acknowledge()
			case e.Is(sm.NS, "a"):
				if err := l.takeAck(e); err != nil {
					return err
				}
			case e.Name.Space == nsClient:
				c.stats.in.Add(1)
				c.route(l, e, size)
				l.received()
			}
		}
	}
}

// received counts a stanza of the server.
func (l *link) received() {
	if l.out.sm != nil {
		l.out.sm.Received()
	}
}

func (l *link) takeAck(e *xmltree.Element) error {
	h, err := sm.ParseAck(e)
	if err == nil {
		err = l.out.acknowledged(h)
	}
	if errors.Is(err, sm.ErrAck) {
		l.out.accuse(h)
	}
	return err
}

// route hands a stanza to the router or the inbox.
func (c *Client) route(l *link, e *xmltree.Element, size int) {
	me := l.jid
	from, ok := address(e, "from", "")
	if !ok {
		// Without a sender there is nobody to answer.
		c.stats.malformed.Add(1)
		return
	}
	sender := from
	if sender == "" {
		sender = me.Bare() // RFC 6120 section 8.1.2.1
	}
	if c.isBlocked(sender) && c.refuseBlocked(l, e) {
		return
	}
	switch e.Name.Local {
	case "iq":
		c.routeIQ(l, e, from, sender, size)
	case "message":
		c.offer(sender, size, func() {
			if m, ok := c.newMessage(e, from, me); ok {
				for _, h := range c.handlers.message {
					c.guard(nil, func() { h(m) })
				}
			}
		})
	case "presence":
		p := &PresenceStanza{Element: e, From: sender, Type: e.Attr("type")}
		c.offer(sender, size, func() { c.deliverPresence(p) })
	}
}

// deliverPresence runs on the dispatcher.
func (c *Client) deliverPresence(p *PresenceStanza) {
	p.Gone = c.online.update(p, time.Now())
	c.peers.forget(p)
	for _, h := range c.handlers.presence {
		c.guard(nil, func() { h(p) })
	}
}

func (c *Client) offer(sender jid.JID, size int, run func()) bool {
	if c.inbox.offer(sender, size, run) {
		return true
	}
	if c.stats.overflow.Add(1)%1000 == 1 {
		c.log.Warn("stanzas dropped: too many are waiting", "from", sender.Bare())
	}
	return false
}

func (c *Client) routeIQ(l *link, e *xmltree.Element, from, sender jid.JID, size int) {
	id := e.Attr("id")
	switch typ := e.Attr("type"); typ {
	case "result":
		if !c.router.match(id, from, l.jid, e.First(), nil) {
			c.stats.unmatched.Add(1)
		}
	case "error":
		x := e.Child(nsClient, "error")
		if x == nil {
			x = xmltree.New(nsClient, "error")
		}
		if !c.router.match(id, from, l.jid, nil, jingle.ParseStanzaError(x)) {
			c.stats.unmatched.Add(1)
		}
	case "get", "set":
		c.routeRequest(l, e, typ, from, sender, size)
	default:
		// RFC 6120 section 8.2.3 item 2.
		c.refuse(l, e, nil, jingle.ErrBadRequest("The type of the iq is not one of get, set, result, error."))
	}
}

func (c *Client) routeRequest(l *link, e *xmltree.Element, typ string, from, sender jid.JID, size int) {
	to, ok := address(e, "to", l.jid.Bare())
	payload := e.First()
	if !ok || payload == nil || e.Attr("id") == "" {
		// RFC 6120 section 8.2.3 items 1 and 4. More than one child is an error too, but a harmless one.
		c.refuse(l, e, nil, jingle.ErrBadRequest("A request has an id and one child."))
		return
	}
	if !c.unanswered.add(sender) {
		c.stats.overflow.Add(1)
		c.refuse(l, e, nil, stanzaError("wait", "resource-constraint", "Too many requests are waiting for their answers."))
		return
	}
	iq := &IQ{ID: e.Attr("id"), Type: typ, From: sender, To: to, Payload: payload, client: c, from: from}
	iq.timer = time.AfterFunc(c.cfg.Timeouts.Answer, iq.expire)
	if !c.offer(sender, size, func() { c.handle(iq) }) {
		iq.Fail(stanzaError("wait", "resource-constraint", "Too many stanzas are waiting."))
	}
}

func (c *Client) handle(iq *IQ) {
	h := c.handlers.iq[iq.Payload.Name]
	if h == nil {
		iq.Fail(nil) // RFC 6120 section 8.4
		return
	}
	c.guard(iq, func() { h(iq) })
}

// refuse answers a request that does not get as far as a handler. head may lack its children. For a reply that
// cannot be used, the request of ours is told err.
func (c *Client) refuse(l *link, head *xmltree.Element, err error, answer *jingle.StanzaError) {
	if !head.Is(nsClient, "iq") {
		return
	}
	from, ok := address(head, "from", "")
	if !ok {
		return
	}
	id := head.Attr("id")
	switch head.Attr("type") {
	case "result", "error":
		if err != nil {
			c.router.match(id, from, l.jid, nil, fmt.Errorf("xmpp: reply not usable: %w", err))
		}
		return
	}
	if id == "" {
		return
	}
	if err := c.reply(from, id, "error", answer.Element(nsClient)); err != nil {
		c.log.Debug("answer not sent", "err", err)
	}
}
