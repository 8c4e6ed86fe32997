package xmpp

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Send queues a stanza: an iq, message or presence in the namespace jabber:client. It never waits. The element is
// written out at once and may be changed afterwards. The server sets 'from'.
//
// Errors: [ErrOffline], [ErrQueueFull], [ErrTooLarge], [ErrBadStanza]. Nothing says whether the stanza arrived.
func (c *Client) Send(e *xmltree.Element) error {
	text, err := c.encode(e)
	if err != nil {
		return err
	}
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	return c.put(l, text)
}

// encode checks a stanza and writes it out.
func (c *Client) encode(e *xmltree.Element) ([]byte, error) {
	if e == nil || e.Name.Space != nsClient {
		return nil, fmt.Errorf("%w: not in the namespace %s", ErrBadStanza, nsClient)
	}
	switch e.Name.Local {
	case "message", "presence":
	case "iq":
		if e.Attr("id") == "" || e.Attr("type") == "" {
			return nil, fmt.Errorf("%w: an iq needs an id and a type", ErrBadStanza)
		}
	default:
		return nil, fmt.Errorf("%w: <%s/>", ErrBadStanza, e.Name.Local)
	}
	text := e.AppendXML(nil, nsClient)
	return text, c.checkSize(nil, text)
}

// put queues a stanza in a stream, which may be nil.
func (c *Client) put(l *link, text []byte) error {
	if l == nil {
		return ErrOffline
	}
	if err := c.checkSize(l, text); err != nil {
		return err
	}
	if err := l.out.put(text); err != nil {
		return err
	}
	c.stats.out.Add(1)
	if c.cfg.Trace != nil {
		c.cfg.Trace(true, text)
	}
	return nil
}

// Request sends an iq of type "get" or "set" and calls done exactly once: with the payload of the result, nil if it
// has none, or with an error: a [*jingle.StanzaError] from the other side, [ErrTimeout], [ErrOffline], or what
// [Client.Send] returns. A timeout of 0 means [Timeouts].Request. to may be "" for the account itself.
//
// done is called by the dispatcher, in order with the handlers, and must not block. When Run is not running it is
// called from a goroutine of its own.
func (c *Client) Request(to jid.JID, typ string, payload *xmltree.Element, timeout time.Duration, done func(reply *xmltree.Element, err error)) {
	c.request(to, typ, payload, timeout, func(reply *xmltree.Element, err error) {
		run := func() { c.guard(nil, func() { done(reply, err) }) }
		if !c.started.Load() || !c.inbox.post(run) {
			go run()
		}
	})
}

// Query is [Client.Request] that waits for the reply. Unlike done it does not wait for the dispatcher. It must not be
// called from a handler, as it blocks.
func (c *Client) Query(ctx context.Context, to jid.JID, typ string, payload *xmltree.Element) (*xmltree.Element, error) {
	type answer struct {
		reply *xmltree.Element
		err   error
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	got := make(chan answer, 1)
	id := c.request(to, typ, payload, 0, func(reply *xmltree.Element, err error) { got <- answer{reply, err} })
	select {
	case a := <-got:
		return a.reply, a.err
	case <-ctx.Done():
		c.router.remove(id)
		return nil, ctx.Err()
	}
}

// request sends an iq. done must not block.
func (c *Client) request(to jid.JID, typ string, payload *xmltree.Element, timeout time.Duration, done func(*xmltree.Element, error)) (id string) {
	if timeout <= 0 {
		timeout = c.cfg.Timeouts.Request
	}
	id = newID()
	if err := c.router.add(id, to, timeout, done); err != nil {
		done(nil, err)
		return id
	}
	err := c.Send(xmltree.New(nsClient, "iq").Set("type", typ).SetOpt("to", to.String()).Set("id", id).Add(payload))
	if err != nil && c.router.remove(id) {
		done(nil, err)
	}
	return id
}

// guard runs a handler. A panic in it must not take the account's other calls with it, but must not go unseen.
func (c *Client) guard(iq *IQ, run func()) {
	began := time.Now()
	defer func() {
		v, d := recover(), time.Since(began)
		c.stats.longest.Store(max(c.stats.longest.Load(), int64(d)))
		if v == nil {
			if d > time.Second {
				c.log.Warn("a handler held up the dispatcher", "time", d)
			}
			return
		}
		c.stats.panics.Add(1)
		if c.cfg.OnPanic != nil {
			c.cfg.OnPanic(v, debug.Stack())
		} else {
			c.log.Error("panic in a handler", "panic", v, "stack", string(debug.Stack()))
		}
		if iq != nil && !iq.Answered() {
			iq.Fail(&jingle.StanzaError{Type: "cancel", Condition: "internal-server-error"})
		}
	}()
	run()
}
