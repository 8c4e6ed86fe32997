package xmpp

import (
	"context"
	"errors"
	"sync"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/blocking"
)

// BlockList is whom the account blocks (XEP-0191). What a blocked sender sends gets no further than the reader: messages
// and presence are dropped, and requests are answered as if nobody were here.
type BlockList struct {
	blocking.List
	// OnServer says that the list is the server's, which holds for every device of the account. Where the server keeps
	// none, or has not told it yet, the list is ours alone.
	OnServer bool
}

// Blocked returns whom the account blocks. It is kept while there is no connection, and begins as [Config].Blocked.
func (c *Client) Blocked() BlockList {
	c.blocks.mu.Lock()
	defer c.blocks.mu.Unlock()
	return c.blocks.list
}

// OnBlocked adds a handler of changes to the block list. It is called after [Client.Blocked] knows, and after those who
// are newly blocked have been told about as gone to handlers of presence.
func (c *Client) OnBlocked(h func(BlockList)) { c.handlers.blocked = append(c.handlers.blocked, h) }

// Block adds to the block list: addresses of people, of single devices, or of whole domains. Where the server keeps no
// list, this client refuses what they send, and the result says so by OnServer.
func (c *Client) Block(ctx context.Context, who ...jid.JID) (BlockList, error) {
	if len(who) == 0 {
		return c.Blocked(), nil // section "User Blocks Contact": one item at least
	}
	// The server MUST say to them that we are gone, ejabberd (23.01) does not, and afterwards we cannot.
	c.toWatchers(who, c.SendUnavailable)
	return c.changeBlocked(ctx, blocking.Block(who...), func(l blocking.List) blocking.List { return l.With(who...) })
}

// Unblock takes addresses off the block list.
func (c *Client) Unblock(ctx context.Context, who ...jid.JID) (BlockList, error) {
	if len(who) == 0 {
		return c.Blocked(), nil // an empty <unblock/> would mean everybody
	}
	l, err := c.changeBlocked(ctx, blocking.Unblock(who...), func(l blocking.List) blocking.List { return l.Without(who...) })
	if err == nil {
		c.toWatchers(who, c.SendPresence)
	}
	return l, err
}

// toWatchers sends presence to those who get ours as contacts.
func (c *Client) toWatchers(who []jid.JID, send func(jid.JID) error) {
	if c.cfg.NoPresence {
		return
	}
	for _, j := range who {
		if i, ok := c.Contact(j); ok && i.Subscription.SeesUs() {
			if err := send(j); err != nil {
				c.log.Debug("presence to a contact", "to", j, "err", err)
			}
		}
	}
}

func (c *Client) changeBlocked(ctx context.Context, payload *xmltree.Element, change func(blocking.List) blocking.List) (BlockList, error) {
	_, err := c.Query(ctx, "", "set", payload)
	if err != nil && !notThere(err) {
		return c.Blocked(), err
	}
	onServer := err == nil
	return c.setBlocked(func(l BlockList) BlockList { return BlockList{change(l.List), onServer} }), nil
}

// notThere reports an answer that says that a server does not know what was asked of it.
func notThere(err error) bool {
	var e *jingle.StanzaError
	return errors.As(err, &e) && (e.Condition == "service-unavailable" || e.Condition == "feature-not-implemented")
}

// askBlocked gets the list, and with it the changes to come. It is asked for before our presence is sent, after which
// messages can come.
func (c *Client) askBlocked() {
	c.request("", "get", blocking.Query(), 0, func(reply *xmltree.Element, err error) { // on the reader: in force at once
		switch {
		case err == nil && reply.Is(blocking.NS, "blocklist"):
			c.setBlocked(func(BlockList) BlockList { return BlockList{blocking.NewList(blocking.Items(reply)), true} })
		case notThere(err):
			l := c.setBlocked(func(l BlockList) BlockList { return BlockList{l.List, false} })
			// The server has shown us to all contacts, or is about to.
			c.inbox.post(func() { c.toWatchers(l.Entries(), c.SendUnavailable) })
		case !errors.Is(err, ErrOffline):
			c.log.Warn("no block list; the last one known holds", "err", err)
		}
	})
}

// blockPush takes a change that another device of ours has made. From anybody else it would let that one through.
func (c *Client) blockPush(iq *IQ) {
	if iq.Type != "set" || iq.From != c.JID().Bare() {
		iq.Fail(nil)
		return
	}
	who := blocking.Items(iq.Payload)
	c.setBlocked(func(l BlockList) BlockList {
		switch {
		case iq.Payload.Name.Local == "block":
			l.List = l.With(who...)
		case iq.Payload.First() == nil:
			l.List = blocking.List{} // section "User Unblocks All Contacts"
		default:
			l.List = l.Without(who...)
		}
		return BlockList{l.List, true}
	})
	iq.Reply(nil)
}

// setBlocked puts a list in force and tells the handlers.
func (c *Client) setBlocked(change func(BlockList) BlockList) BlockList {
	c.blocks.mu.Lock()
	l := change(c.blocks.list)
	c.blocks.list = l
	c.blocks.mu.Unlock()
	c.inbox.post(func() {
		c.forgetBlocked(l.List)
		for _, h := range c.handlers.blocked {
			c.guard(nil, func() { h(l) })
		}
	})
	return l
}

// forgetBlocked lets those who are blocked go offline for us: their server will not say when they do.
func (c *Client) forgetBlocked(l blocking.List) {
	for _, full := range c.online.all() {
		if !l.Blocks(full) || full.Bare() == c.Account() {
			continue
		}
		e := xmltree.New(nsClient, "presence").Set("from", full.String()).Set("type", "unavailable")
		p := &PresenceStanza{Element: e, From: full, Type: "unavailable"}
		c.deliverPresence(p)
	}
}

// isBlocked reports whether what a sender sends must not get any further. Nobody blocks themselves: their other devices
// and their server speak from that address.
func (c *Client) isBlocked(sender jid.JID) bool {
	c.blocks.mu.Lock()
	l := c.blocks.list
	c.blocks.mu.Unlock()
	return l.Blocks(sender) && sender.Bare() != c.cfg.JID
}

// refuseBlocked does with a stanza of a blocked sender what a server would do ("User Blocks Contact"). It returns false
// for what is let through: replies, which only come to what we have asked, and the news that somebody is gone.
func (c *Client) refuseBlocked(l *link, e *xmltree.Element) bool {
	switch typ := e.Attr("type"); e.Name.Local {
	case "iq":
		if typ == "result" || typ == "error" {
			return false
		}
		c.refuse(l, e, nil, jingle.ErrServiceUnavailable())
	case "presence":
		if typ == "unavailable" || typ == "error" {
			return false
		}
	case "message":
		if typ == "error" {
			return false
		}
	}
	c.stats.blocked.Add(1)
	return true
}

type blockTable struct {
	mu   sync.Mutex
	list BlockList
}
