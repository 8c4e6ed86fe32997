package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/xmpp"
)

// canTakeCalls is what Conversations, too, looks for before it shows a call button.
var canTakeCalls = can{"take calls", []string{jingle.NS, rtp.NS, "urn:xmpp:jingle:apps:rtp:audio"}}

// StartCall calls a person or a device.
func (d *Daemon) StartCall(ctx context.Context, req *jingledv1.StartCallRequest) (*jingledv1.StartCallResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	peer, err := jid.Parse(req.GetPeer())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := checkMedia(req.GetMedia()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if a.client.State().State != xmpp.Online {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is not connected", a.cfg.JID))
	}
	if peer == a.cfg.JID || peer == a.client.JID() { // XEP-0353 has no words for the first
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("%s is this account itself: name another device of it, with its resource", peer))
	}
	if a.blocks(peer) {
		return nil, errBlocked(peer)
	}
	a.rouse(ctx)
	media := req.GetMedia()
	if media == nil {
		media = &jingledv1.Media{}
	}
	c, err := a.placeCall(ctx, peer, media, func(*call) {})
	if err != nil {
		return nil, err
	}
	return &jingledv1.StartCallResponse{Sid: c.sid}, nil
}

// placeCall calls somebody. prepare is given the call before anything is sent.
func (a *account) placeCall(ctx context.Context, peer jid.JID, media *jingledv1.Media, prepare func(*call)) (*call, error) {
	a.awaitRelays(ctx)
	c := &call{account: a, peer: peer, sid: newCallID(), since: time.Now(), media: media, video: withVideo(media),
		state: jingledv1.CallState_CALL_STATE_CALLING}
	prepare(c)
	device, direct, err := a.directly(ctx, peer)
	if err != nil {
		return nil, err
	}
	c.proposed = !direct
	if direct {
		c.peer = device
		if peer.IsBare() {
			c.tried = []jid.JID{device}
		}
	}
	if !a.addCall(c) {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the daemon is stopping"))
	}
	if direct {
		err = c.dial(device, media)
	} else {
		err = a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) {
			return s.Propose(now, peer.Bare(), c.sid, proposalOf(c.video)...)
		})
	}
	if err != nil {
		c.finish(&jingledv1.CallEnded{Reason: string(jingle.FailedApplication), Text: err.Error()})
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return c, nil
}

// AnswerCall takes a call that rings here.
func (d *Daemon) AnswerCall(ctx context.Context, req *jingledv1.AnswerCallRequest) (*jingledv1.AnswerCallResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	if err := checkMedia(req.GetMedia()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	c, err := a.callBySID(req.GetSid())
	if err != nil {
		return nil, err
	}
	media := req.GetMedia()
	if media == nil {
		media = &jingledv1.Media{}
	}
	a.awaitRelays(ctx)
	a.mu.Lock()
	if !c.incoming || c.media != nil {
		a.mu.Unlock()
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this call does not ring here"))
	}
	c.media = media
	p := c.phone
	a.mu.Unlock()
	if p != nil {
		return &jingledv1.AnswerCallResponse{}, p.answer(media)
	}
	effects, err := a.input(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.Accept(now, keyOf(c.peer, c.sid)) })
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	c.taken() // before the peer hears of it
	a.carryOut(effects)
	return &jingledv1.AnswerCallResponse{}, nil
}

// call finds the call that a request means.
func (d *Daemon) call(account, sid string) (*call, error) {
	a, err := d.account(account)
	if err != nil {
		return nil, err
	}
	return a.callBySID(sid)
}

// phone finds the media of the call that a request means.
func (d *Daemon) phone(account, sid string) (*phone, error) {
	c, err := d.call(account, sid)
	if err != nil {
		return nil, err
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.phone == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the call is not connected yet"))
	}
	return c.phone, nil
}

// EndCall hangs up, withdraws or declines.
func (d *Daemon) EndCall(_ context.Context, req *jingledv1.EndCallRequest) (*jingledv1.EndCallResponse, error) {
	c, err := d.call(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.GetReason())
	if err != nil {
		return nil, err
	}
	if reason != nil {
		reason.Text = forPeer(reason.Condition)
	}
	c.end(reason)
	return &jingledv1.EndCallResponse{}, nil
}

func reasonOf(condition string) (*jingle.Reason, error) {
	if condition == "" {
		return nil, nil
	}
	r := &jingle.Reason{Condition: jingle.Condition(condition)}
	if !r.Condition.Known() {
		return nil, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("%q is no reason of XEP-0166 section 7.4, such as busy or decline", condition))
	}
	return r, nil
}

// SendDtmf presses keys.
func (d *Daemon) SendDtmf(_ context.Context, req *jingledv1.SendDtmfRequest) (*jingledv1.SendDtmfResponse, error) {
	p, err := d.phone(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	if err := p.press(strings.ToUpper(req.GetDigits())); err != nil {
		return nil, err
	}
	return &jingledv1.SendDtmfResponse{}, nil
}

// ControlCall mutes, holds, or undoes it.
func (d *Daemon) ControlCall(_ context.Context, req *jingledv1.ControlCallRequest) (*jingledv1.ControlCallResponse, error) {
	p, err := d.phone(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	if req.Mute != nil {
		p.mute(req.GetMute())
	}
	if req.Hold != nil {
		p.hold(req.GetHold())
	}
	if req.Video != nil {
		if err := p.setVideo(req); err != nil {
			return nil, err
		}
	}
	if req.SendVideo != nil {
		if err := p.sendVideo(req); err != nil {
			return nil, err
		}
	}
	return &jingledv1.ControlCallResponse{}, nil
}
