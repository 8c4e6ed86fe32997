package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// maxGreeted bounds the strangers that we remember having shown ourselves to.
const maxGreeted = 1024

// receivePresence lets a stranger who shows itself to us see us too, if somebody here waits for strangers: that is how
// two accounts that are not contacts learn each other's full addresses and capabilities (RFC 6121 section 4.6).
func (a *account) receivePresence(p *xmpp.PresenceStanza) {
	for _, gone := range p.Gone {
		a.engine.Unavailable(gone)
		a.leftUntold(gone)
		a.mu.Lock()
		delete(a.greeted, gone)
		delete(a.greeted, gone.Bare()) // whoever comes back has to be shown again
		a.mu.Unlock()
	}
	// What comes by a room is not for us alone, and an answer to it would be an entering.
	if a.rooms.Receive(p.Element) || p.Element.Child(muc.NSUser, "x") != nil {
		return
	}
	if p.Type != "" || p.From.IsBare() || p.From.Bare() == a.cfg.JID {
		return
	}
	a.peerBack(p.From)
	a.elsewhere(p.From)
	a.engine.Ping(p.From) // if it was away, too
	a.mu.Lock()
	for _, c := range a.waiting[p.From.Bare()] {
		select {
		case c <- p.From:
		default:
		}
	}
	a.mu.Unlock()
	if a.admits(p.From, true) || a.admits(p.From, false) || a.expects(p.From) {
		a.show(p.From)
	}
}

// show sends our presence to one who would not get it otherwise, once.
func (a *account) show(to jid.JID) {
	if a.unnamedTo(to) {
		return // who is there sees us already, and presence to them would be for another name
	}
	a.mu.Lock()
	done := a.greeted[to]
	if !done {
		for old := range a.greeted {
			if len(a.greeted) < maxGreeted {
				break
			}
			delete(a.greeted, old) // any one: at worst it is shown our presence twice
		}
		a.greeted[to] = true
	}
	a.mu.Unlock()
	if done {
		return
	}
	if err := a.client.SendPresence(to); err != nil {
		a.log.Debug("directed presence", "to", to.String(), "err", err)
	}
}

// greet shows us to those whom a subscriber waits for by name.
func (a *account) greet() {
	if a.client.State().State != xmpp.Online {
		return
	}
	for _, w := range a.d.admitted(a.cfg.JID) {
		for _, j := range w.policy.List {
			a.show(j)
		}
	}
}

// devices returns those of a peer that are online, and of our own account the others.
func (a *account) devices(bare jid.JID) []xmpp.Resource {
	return slices.DeleteFunc(a.client.Resources(bare), func(r xmpp.Resource) bool { return r.JID == a.client.JID() })
}

// can is what a peer's device must support.
type can struct {
	what     string // for people: "take calls"
	features []string
}

// find returns the device of a peer that is best to reach and has all the features. If none is known to be online, it
// shows itself to the peer and waits a while for a device to do the same.
func (a *account) find(ctx context.Context, peer jid.JID, need can) (jid.JID, xmpp.Capabilities, error) {
	ctx, cancel := context.WithTimeout(ctx, a.d.cfg.ReachTimeout)
	defer cancel()
	seen := make(chan jid.JID, 8)
	a.mu.Lock()
	a.waiting[peer.Bare()] = append(a.waiting[peer.Bare()], seen)
	a.mu.Unlock()
	defer a.forget(peer.Bare(), seen)

	var candidates []jid.JID
	if peer.IsBare() {
		for _, r := range a.devices(peer) {
			candidates = append(candidates, r.JID)
		}
	} else {
		candidates = []jid.JID{peer}
	}
	online := len(candidates) > 0
	for _, c := range candidates {
		if caps, ok := a.has(ctx, c, need); ok {
			a.show(c)
			return c, caps, nil
		}
	}
	if !online {
		a.show(peer)
	}
	// A device can come online, or its answer to our presence be on the way.
	for peer.IsBare() {
		select {
		case full := <-seen:
			online = true
			if caps, ok := a.has(ctx, full, need); ok {
				return full, caps, nil
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	if online {
		return "", xmpp.Capabilities{}, connect.NewError(connect.CodeUnavailable,
			fmt.Errorf("%s is online, but with no client that can %s", peer, need.what))
	}
	a.mu.Lock()
	delete(a.greeted, peer) // next time it may be there
	a.mu.Unlock()
	if peer == a.cfg.JID {
		return "", xmpp.Capabilities{}, connect.NewError(connect.CodeUnavailable, fmt.Errorf("no other device of %s is online", peer))
	}
	return "", xmpp.Capabilities{}, connect.NewError(connect.CodeUnavailable,
		fmt.Errorf("%s is not online, or does not show itself to %s", peer, a.cfg.JID))
}

func (a *account) forget(bare jid.JID, c chan jid.JID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := a.waiting[bare][:0]
	for _, o := range a.waiting[bare] {
		if o != c {
			rest = append(rest, o)
		}
	}
	if a.waiting[bare] = rest; len(rest) == 0 {
		delete(a.waiting, bare)
	}
}

func (a *account) has(ctx context.Context, full jid.JID, need can) (xmpp.Capabilities, bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	caps, err := a.client.Capabilities(ctx, full)
	if err != nil {
		a.log.Debug("capabilities", "of", full.String(), "err", err)
		return caps, false
	}
	for _, f := range need.features {
		if !caps.Has(f) {
			return caps, false
		}
	}
	return caps, true
}
