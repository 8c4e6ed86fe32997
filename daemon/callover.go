package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	jingletransfer "github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/xmpp/roster"
)

// TransferPolicy says what becomes of a peer's wish that we go on with somebody else (XEP-0251), who learns our address by
// that.
type TransferPolicy string

// The policies.
const (
	// AskTransfers leaves it to the user. It is the default.
	AskTransfers TransferPolicy = "ask"
	// FollowContacts follows at once to people on the contact list, and asks about others.
	FollowContacts TransferPolicy = "contacts"
	// NoTransfers refuses all.
	NoTransfers TransferPolicy = "never"
)

func (p TransferPolicy) validate() error {
	switch p {
	case "", AskTransfers, FollowContacts, NoTransfers:
		return nil
	}
	return fmt.Errorf("transfers: %q is none of ask, contacts, never", p)
}

// handover is what a call has to do with transfers; the account's lock guards it.
type handover struct {
	to   jid.JID                  // whom we have asked the peer to go to
	ask  *jingletransfer.Transfer // what the peer has asked for, until it is followed
	from *call                    // the call that this one is to take the place of
	by   jid.JID                  // who has sent the caller to us
	info []jingle.Payload         // for the session-initiate
}

// transferred is the reason of a call that goes on elsewhere.
func transferred(text string) *jingle.Reason {
	return &jingle.Reason{Condition: jingle.Success, App: jingletransfer.Transferred(), Text: text}
}

// TransferCall asks the peer of a call to go on with somebody else.
func (d *Daemon) TransferCall(_ context.Context, req *jingledv1.TransferCallRequest) (*jingledv1.TransferCallResponse, error) {
	c, err := d.call(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	p, err := d.phone(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	a := c.account
	var t jingletransfer.Transfer
	switch {
	case req.GetWith() != "":
		other, err := a.callBySID(req.GetWith())
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		connected := other.state == jingledv1.CallState_CALL_STATE_CONNECTED && other != c
		t = jingletransfer.Transfer{From: a.client.JID(), To: other.peer, SID: other.sid}
		a.mu.Unlock()
		if !connected {
			return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("there is no conversation with the one to transfer to"))
		}
	default:
		if t.To, err = jid.Parse(req.GetTo()); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	a.mu.Lock()
	peer, connected := c.peer, c.state == jingledv1.CallState_CALL_STATE_CONNECTED
	if connected {
		c.handover.to = t.To
	}
	a.mu.Unlock()
	if !connected {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the call is not connected yet"))
	}
	if t.To.Bare() == peer.Bare() {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a call cannot be transferred to its own peer"))
	}
	if info := a.client.Known(peer); info != nil && !info.Has(jingletransfer.NS) {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the client of %s cannot be sent on to somebody else", peer))
	}
	p.media.Transfer(t)
	return &jingledv1.TransferCallResponse{}, nil
}

// transferAsked follows the peer's wish.
func (c *call) transferAsked(t jingletransfer.Transfer) {
	a := c.account
	a.mu.Lock()
	c.handover.ask = &t
	a.mu.Unlock()
	if i, ok := a.client.Contact(t.To.Bare()); ok && a.cfg.Transfers == FollowContacts && i.Subscription != roster.None {
		a.media.Go(func() {
			if _, err := c.follow(context.Background()); err != nil {
				c.transferFailed(err.Error())
			}
		})
		return
	}
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallTransferAsked{
		CallTransferAsked: &jingledv1.CallTransferAsked{To: t.To.String(), Attended: t.Attended()}}})
}

func (c *call) transferFailed(text string) {
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallTransferFailed{CallTransferFailed: &jingledv1.CallTransferFailed{Text: text}}})
}

// FollowTransfer does what the peer has asked for.
func (d *Daemon) FollowTransfer(ctx context.Context, req *jingledv1.FollowTransferRequest) (*jingledv1.FollowTransferResponse, error) {
	c, err := d.call(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	next, err := c.follow(ctx)
	if err != nil {
		return nil, err
	}
	return &jingledv1.FollowTransferResponse{Sid: next.sid}, nil
}

// follow holds the peer and calls the one whom it has named; once they answer, the call is over (sections 2 and 3).
func (c *call) follow(ctx context.Context) (*call, error) {
	a := c.account
	a.mu.Lock()
	t, p, media := c.handover.ask, c.phone, c.media
	c.handover.ask = nil
	attendant := c.peer
	a.mu.Unlock()
	if t == nil || p == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("nobody has asked to transfer this call"))
	}
	to := t.To
	t.From = attendant
	if !t.Attended() {
		t.To = "" // section 2: the target learns who has sent us
	}
	p.hold(true)
	next, err := a.placeCall(ctx, to, again(media), func(n *call) {
		n.handover = handover{from: c, info: []jingle.Payload{*t}}
	})
	if err != nil {
		p.hold(false)
		return nil, err
	}
	return next, nil
}

// again is the media of a call that takes the place of another: a recording goes on in a file of its own.
func again(m *jingledv1.Media) *jingledv1.Media {
	if m == nil {
		return &jingledv1.Media{}
	}
	out := proto.CloneOf(m)
	paths := []*string{&out.Record, &out.RecordVideo}
	for _, v := range out.GetMoreVideos() {
		paths = append(paths, &v.Record)
	}
	for _, path := range paths {
		if ext := filepath.Ext(*path); ext != "" && !strings.HasPrefix(*path, "rtp:") {
			*path = strings.TrimSuffix(*path, ext) + "-transferred" + ext
		}
	}
	return out
}

// answered ends the call whose place this one takes.
func (h *handover) answered(c *call) {
	a := c.account
	a.mu.Lock()
	old := h.from
	h.from = nil
	if old != nil {
		old.successor = c.sid
	}
	a.mu.Unlock()
	if old != nil {
		old.end(transferred("The call was transferred."))
	}
}

// failed goes back to the call whose place this one should have taken.
func (h *handover) failed(c *call, ended *jingledv1.CallEnded) {
	a := c.account
	a.mu.Lock()
	old := h.from
	h.from = nil
	a.mu.Unlock()
	if old == nil {
		return
	}
	text := ended.GetText()
	if text == "" {
		text = "They have not answered (" + ended.GetReason() + ")."
	}
	old.transferFailed(text)
	a.mu.Lock()
	p := old.phone
	a.mu.Unlock()
	if p != nil {
		p.hold(false)
	}
}

// handedOver follows the session-initiate of somebody who was sent to us. If it takes the place of a conversation of ours
// (section 3), that one is returned.
func (a *account) handedOver(m *jingle.Message) (by jid.JID, replaces *call) {
	for _, p := range m.Info {
		t, ok := p.(jingletransfer.Transfer)
		if !ok {
			continue
		}
		by = t.From
		if !t.Attended() || t.To.Bare() != a.cfg.JID {
			return by, nil
		}
		if old := a.call(t.From, t.SID); old != nil && old.talksWith(t.From) {
			return by, old
		}
		return by, nil
	}
	return "", nil
}

// talksWith reports whether a call is a conversation with this device.
func (c *call) talksWith(device jid.JID) bool {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	return c.peer == device && c.state == jingledv1.CallState_CALL_STATE_CONNECTED
}
