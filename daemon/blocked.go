package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/blocking"
)

const (
	maxBlockedAtOnce = 100
	// farewell is how long those who will be blocked are given to hear that a call or a transfer with them has ended.
	farewell = 2 * time.Second
)

// lastBlocked is whom an account blocked when the daemon ran last: they are refused before the server has told its list.
func (d *Daemon) lastBlocked(account jid.JID) []jid.JID {
	if d.state == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	texts, err := d.state.Blocked(ctx, account.String())
	if err != nil {
		d.cfg.Log.Error("the block list could not be read", "account", account.String(), "err", err)
	}
	var out []jid.JID
	for _, t := range texts {
		if j, err := jid.Parse(t); err == nil {
			out = append(out, j)
		}
	}
	return out
}

// blocks reports whether a peer is blocked.
func (a *account) blocks(peer jid.JID) bool {
	return peer.Bare() != a.cfg.JID && a.client.Blocked().Blocks(peer)
}

// blockedChanged runs on the dispatcher, after every change of the list.
func (a *account) blockedChanged(l xmpp.BlockList) {
	a.part(l.List)
	a.contacts.drop(l.List)
	a.media.Go(func() {
		// One after the other, and each with the newest list, whichever change it was that came here first.
		a.blockedMu.Lock()
		defer a.blockedMu.Unlock()
		now := a.client.Blocked()
		a.d.keep("block list", func(ctx context.Context, s *state.Store) error {
			return s.SetBlocked(ctx, a.cfg.JID.String(), texts(now.Entries()))
		})
		a.publish("", "", &jingledv1.Event{Body: &jingledv1.Event_BlockListChanged{BlockListChanged: a.blockList(now)}})
	})
}

// part ends all that is under way with those who are blocked, and reports whether there was anything.
func (a *account) part(l blocking.List) bool {
	var calls []*call
	var files []*transfer
	a.mu.Lock()
	for _, c := range a.calls {
		if l.Blocks(c.peer) {
			calls = append(calls, c)
		}
	}
	for _, x := range a.transfers {
		if l.Blocks(x.peer) {
			files = append(files, x)
		}
	}
	a.mu.Unlock()
	for _, c := range calls {
		c.end(nil)
	}
	for _, x := range files {
		a.cancel(x, &jingle.Reason{Condition: jingle.Cancel})
	}
	return len(calls)+len(files) > 0
}

// sayFarewell is part before the server cuts the way to those who will be blocked.
func (a *account) sayFarewell(ctx context.Context, l blocking.List) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for a.part(l) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// drop forgets the requests of those who are blocked.
func (c *contacts) drop(l blocking.List) {
	c.mu.Lock()
	var gone []jid.JID
	for j := range c.requests {
		if l.Blocks(j) {
			gone = append(gone, j)
		}
	}
	c.mu.Unlock()
	for _, j := range gone {
		c.answered(j)
	}
}

// errBlocked says why nothing is sent to somebody.
func errBlocked(peer jid.JID) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is blocked: unblock first", peer))
}

// ListBlocked tells whom accounts block.
func (d *Daemon) ListBlocked(_ context.Context, req *jingledv1.ListBlockedRequest) (*jingledv1.ListBlockedResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	out := &jingledv1.ListBlockedResponse{}
	for _, a := range accounts {
		out.Lists = append(out.Lists, a.blockList(a.client.Blocked()))
	}
	return out, nil
}

// Block keeps people out.
func (d *Daemon) Block(ctx context.Context, req *jingledv1.BlockRequest) (*jingledv1.BlockResponse, error) {
	a, who, err := d.toBlock(req.GetAccount(), req.GetJids())
	if err != nil {
		return nil, err
	}
	for _, j := range who {
		if j.Bare() == a.cfg.JID || blocking.NewList([]jid.JID{j}).Blocks(a.cfg.JID) {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s is the account itself, or its server", j))
		}
	}
	a.sayFarewell(ctx, blocking.NewList(who))
	l, err := a.client.Block(ctx, who...)
	if err != nil {
		return nil, a.refused(err)
	}
	return &jingledv1.BlockResponse{List: a.blockList(l)}, nil
}

// Unblock lets people in again.
func (d *Daemon) Unblock(ctx context.Context, req *jingledv1.UnblockRequest) (*jingledv1.UnblockResponse, error) {
	a, who, err := d.toBlock(req.GetAccount(), req.GetJids())
	if err != nil {
		return nil, err
	}
	have := a.client.Blocked()
	for _, j := range who {
		if len(have.Without(j).Entries()) == have.Len() {
			return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s is not on the block list of %s", j, a.cfg.JID))
		}
	}
	l, err := a.client.Unblock(ctx, who...)
	if err != nil {
		return nil, a.refused(err)
	}
	return &jingledv1.UnblockResponse{List: a.blockList(l)}, nil
}

// toBlock finds an account that is connected and reads addresses.
func (d *Daemon) toBlock(account string, jids []string) (*account, []jid.JID, error) {
	if len(jids) == 0 || len(jids) > maxBlockedAtOnce {
		return nil, nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("1 to %d addresses are needed", maxBlockedAtOnce))
	}
	a, err := d.account(account)
	if err != nil {
		return nil, nil, err
	}
	var who []jid.JID
	for _, t := range jids {
		j, err := jid.Parse(t)
		if err != nil {
			return nil, nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		who = append(who, j)
	}
	if a.client.State().State != xmpp.Online {
		return nil, nil, a.offline()
	}
	if a.cfg.tunnel != nil {
		return nil, nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("whoever owns this stream keeps its block list"))
	}
	return a, who, nil
}

func (a *account) blockList(l xmpp.BlockList) *jingledv1.BlockList {
	return &jingledv1.BlockList{Account: a.cfg.JID.String(), Jids: texts(l.Entries()), OnServer: l.OnServer}
}

func texts(jids []jid.JID) []string {
	out := make([]string, len(jids))
	for i, j := range jids {
		out[i] = j.String()
	}
	return out
}
