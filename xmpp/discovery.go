package xmpp

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

const nsPing = "urn:xmpp:ping"

// ownFeatures are what this package itself answers.
func ownFeatures() []string {
	return []string{disco.NSInfo, disco.NSItems, caps.NS, nsPing}
}

func (c *Client) initDisco() error {
	features := append(ownFeatures(), c.cfg.Features...)
	slices.Sort(features)
	c.ownInfo = &disco.Info{Identities: []disco.Identity{c.cfg.Identity}, Features: slices.Compact(features)}
	ver, err := caps.Ver(c.ownInfo, "sha-1")
	if c.cfg.Borrow == nil {
		c.ownCaps = caps.Caps{Node: c.cfg.CapsNode, Ver: ver, Hash: "sha-1"}
	}
	return err
}

// answerInfo answers disco#info for ourselves and for the node of our capabilities (XEP-0115 section 6.2).
func (c *Client) answerInfo(iq *IQ) {
	node := iq.Payload.Attr("node")
	if iq.Type != "get" {
		iq.Fail(jingle.ErrBadRequest("disco#info is asked with a get."))
		return
	}
	if node != "" && node != c.ownCaps.QueryNode() {
		iq.Fail(stanzaError("cancel", "item-not-found", ""))
		return
	}
	info := *c.ownInfo
	info.Node = node
	iq.Reply(info.Element())
}

func (c *Client) answerItems(iq *IQ) {
	if iq.Type != "get" {
		iq.Fail(jingle.ErrBadRequest("disco#items is asked with a get."))
		return
	}
	iq.Reply((&disco.Items{Node: iq.Payload.Attr("node")}).Element())
}

func answerPing(iq *IQ) { iq.Reply(nil) }

func pingElement() *xmltree.Element { return xmltree.New(nsPing, "ping") }

// Ping asks an entity for a sign of life (XEP-0199); "" is our server. An entity that answers with an error because it
// does not know pings is alive as well, so that counts as an answer.
func (c *Client) Ping(ctx context.Context, to jid.JID) error {
	if to == "" {
		to = jid.JID(c.Account().Domain())
	}
	_, err := c.Query(ctx, to, "get", pingElement())
	var e *jingle.StanzaError
	if errors.As(err, &e) && (e.Condition == "feature-not-implemented" || e.Condition == "service-unavailable" && to.IsBare()) {
		return nil
	}
	return err
}

// Capabilities are what an entity is and can do.
type Capabilities struct {
	*disco.Info
	Caps caps.Caps // as its presence says; zero if we do not see its presence
}

// Capabilities finds out what an entity can do: from the cache if its presence carries capabilities that somebody has
// proven before, by asking it otherwise. full is its full address, or that of a server.
func (c *Client) Capabilities(ctx context.Context, full jid.JID) (Capabilities, error) {
	r, online := c.Resource(full)
	got := Capabilities{Caps: r.Caps}
	if got.Info = c.cfg.Caps.Get(r.Caps); got.Info != nil {
		return got, nil
	}
	if got.Info = c.peers.get(full); got.Info != nil {
		return got, nil
	}
	node := ""
	if r.Caps.Hash != "" {
		node = r.Caps.QueryNode()
	}
	info, err := disco.QueryInfo(ctx, c, full, node)
	if e := (*jingle.StanzaError)(nil); node != "" && errors.As(err, &e) && e.Condition == "item-not-found" {
		info, err = disco.QueryInfo(ctx, c, full, "") // some clients forget about their own node
	}
	if err != nil {
		return got, err
	}
	got.Info = info
	if r.Caps.Hash != "" {
		if err := c.cfg.Caps.Add(r.Caps, info); err == nil {
			return got, nil
		} else if !errors.Is(err, caps.ErrUnknownHash) {
			c.log.Debug("capabilities do not verify", "jid", full, "err", err)
		}
	}
	// XEP-0115 section 5.4 items 2.3 and 3.9: good for this entity only, until its presence changes.
	if online {
		if now, ok := c.Resource(full); ok && now.Caps == r.Caps {
			c.peers.put(full, info)
		}
	}
	return got, nil
}

// Known returns what is known of an entity that is online without asking it, nil if that is nothing. It must not be
// changed.
func (c *Client) Known(full jid.JID) *disco.Info {
	if r, ok := c.Resource(full); ok {
		if info := c.cfg.Caps.Get(r.Caps); info != nil {
			return info
		}
	}
	return c.peers.get(full)
}

// peerInfo keeps answers that hold for one entity only.
type peerInfo struct {
	mu sync.Mutex
	m  map[jid.JID]*disco.Info
}

const maxPeerInfo = 1024

func (p *peerInfo) get(full jid.JID) *disco.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m[full]
}

func (p *peerInfo) put(full jid.JID, info *disco.Info) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = make(map[jid.JID]*disco.Info)
	}
	if len(p.m) < maxPeerInfo {
		p.m[full] = info
	}
}

func (p *peerInfo) forget(s *PresenceStanza) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, s.From)
	for _, j := range s.Gone {
		delete(p.m, j)
	}
}

func (p *peerInfo) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.m)
}
