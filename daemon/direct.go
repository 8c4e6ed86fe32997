package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	mediacall "github.com/jingled/jingled/media/call"
)

// directly decides whether to send a session-initiate at once, and to which device that has not been tried. The other way
// is a proposal to all devices (XEP-0353): it is taken where one of them understands it, and towards those who do not show
// us their presence, as it is the only one that reaches them.
func (a *account) directly(ctx context.Context, peer jid.JID, tried ...jid.JID) (device jid.JID, direct bool, err error) {
	if !peer.IsBare() {
		return peer, true, nil
	}
	var first jid.JID
	visible := len(tried) > 0 // they have been
	for _, r := range a.client.Resources(peer) {
		if slices.Contains(tried, r.JID) {
			continue
		}
		visible = true
		caps, ok := a.has(ctx, r.JID, canTakeCalls)
		switch {
		case !ok:
		case caps.Has(jmi.NS):
			return "", false, nil
		case first == "":
			first = r.JID
		}
	}
	if first == "" && visible {
		return "", false, connect.NewError(connect.CodeUnavailable,
			fmt.Errorf("%s is online, but with no client that can take calls", peer))
	}
	return first, first != "", nil
}

// redirect calls another device of the peer when the one that was called directly has left before it answered: only a
// proposal would have reached both. Each device is called once. It reports whether the call goes on.
func (c *call) redirect(e mediacall.Ended) bool {
	if e.Reason.Condition != jingle.Gone {
		return false
	}
	c.dialing.Lock() // until the session that has ended is entered
	a := c.account
	a.mu.Lock()
	life, peer, tried, media := a.life, c.peer.Bare(), c.tried, c.media
	open := len(tried) > 0 && !c.ending && c.state < jingledv1.CallState_CALL_STATE_CONNECTING
	if open {
		c.phone, c.host.session = nil, nil
	}
	a.mu.Unlock()
	c.dialing.Unlock()
	if !open || life.Err() != nil {
		return false
	}
	a.log.Debug("the device has gone; is there another?", "sid", c.sid, "device", tried[len(tried)-1].String())
	device, direct, err := a.directly(life, peer, tried...)
	switch {
	case err != nil:
	case direct:
		a.mu.Lock()
		c.peer, c.tried = device, append(c.tried, device)
		a.mu.Unlock()
		err = c.dial(device, media)
	default:
		err = a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { // under the account's lock
			if c.ended {
				return nil, errOver
			}
			c.peer, c.tried, c.proposed = peer, nil, true
			return s.Propose(now, peer, c.sid, proposalOf(c.video)...)
		})
	}
	if err != nil && !errors.Is(err, errOver) {
		a.log.Debug("no other device", "sid", c.sid, "peer", peer.String(), "err", err)
	}
	return err == nil
}
