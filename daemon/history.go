package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
)

// patience bounds how long the end of a call waits for a disk that does not answer.
const patience = 10 * time.Second

// maxListed bounds what one request gets.
const maxListed = 1000

// keep writes a record before its end is told to clients, so that what they have heard of is there after any fault. A
// record that cannot be written is lost, but never the call or the file.
func (d *Daemon) keep(what string, write func(context.Context, *state.Store) error) {
	if d.state == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := write(ctx, d.state); err != nil {
		d.cfg.Log.Error("the history could not be written", "record", what, "err", err)
	}
}

// keepAccount notes an account and what it trusts, without its secrets.
func (a *account) keepAccount() {
	a.d.keep("account", func(ctx context.Context, s *state.Store) error {
		now := time.Now()
		err := s.Seen(ctx, a.cfg.JID.String(), now)
		if pin := strings.ToLower(strings.ReplaceAll(a.cfg.PinnedSHA256, ":", "")); pin != "" && err == nil {
			err = s.Pin(ctx, state.Identity{Account: a.cfg.JID.String(), Peer: a.cfg.JID.Domain(),
				Kind: state.ServerCertificate, Value: pin}, now)
		}
		return err
	})
}

// keepCall notes a call that has ended.
func (c *call) keepCall(e *jingledv1.CallEnded) {
	c.account.d.keep("call", func(ctx context.Context, s *state.Store) error {
		c.account.mu.Lock()
		peer, keys := c.peer, c.keys
		c.account.mu.Unlock()
		return s.AddCall(ctx, state.Call{Account: c.account.cfg.JID.String(), Peer: peer.String(), SID: c.sid, Incoming: c.incoming,
			Video: c.video, Began: c.since, Ended: time.Now(), Connected: e.GetWasConnected(), Conversation: e.GetDuration().AsDuration(),
			Reason: e.GetReason(), Text: e.GetText(), ByPeer: e.GetByPeer(), PacketsSent: e.GetStats().GetPacketsSent(),
			PacketsReceived: e.GetStats().GetPacketsReceived(), PacketsLost: e.GetStats().GetPacketsLost(),
			KeysSent: keys.sent, KeysReceived: keys.received})
	})
}

// keepTransfer notes a transfer that has ended; one of done and failed is nil.
func (a *account) keepTransfer(x *transfer, done *jingledv1.TransferDone, failed *jingledv1.TransferFailed) {
	a.d.keep("transfer", func(ctx context.Context, s *state.Store) error {
		a.mu.Lock()
		r := state.Transfer{Account: a.cfg.JID.String(), Peer: x.peer.String(), SID: x.id, Incoming: x.incoming,
			Began: x.since, Ended: time.Now(), Name: x.name, Size: x.size(), Bytes: x.bytes(), Transport: x.road, Complete: done != nil,
			Encryption: x.encryption,
			Reason:     failed.GetReason(), Text: failed.GetText(), ByPeer: failed.GetByPeer()}
		if !x.incoming {
			r.Path = x.path
		}
		a.mu.Unlock()
		if done != nil {
			r.Bytes, r.Transport, r.Path, r.Verified = done.GetBytes(), done.GetTransport(), done.GetPath(), done.GetVerified()
			for algo, sum := range done.GetHash() {
				r.Hash = algo + ":" + sum
			}
		}
		return s.AddTransfer(ctx, r)
	})
}

// remembered returns the state, if there is one.
func (d *Daemon) remembered() (*state.Store, error) {
	if d.state == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition,
			errors.New("this daemon keeps no history: give it a state folder"))
	}
	return d.state, nil
}

// ListHistory tells which calls and transfers there were.
func (d *Daemon) ListHistory(ctx context.Context, req *jingledv1.ListHistoryRequest) (*jingledv1.ListHistoryResponse, error) {
	s, err := d.remembered()
	if err != nil {
		return nil, err
	}
	f := state.Filter{Account: req.GetAccount(), Peer: req.GetPeer(), Limit: maxListed}
	if n := int(req.GetLimit()); n > 0 && n < maxListed {
		f.Limit = n
	}
	if req.GetBefore() != nil {
		if err := req.GetBefore().CheckValid(); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		f.Before = req.GetBefore().AsTime()
	}
	calls, err := s.Calls(ctx, f)
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	transfers, err := s.Transfers(ctx, f)
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	type ended struct {
		at    time.Time
		entry *jingledv1.HistoryEntry
	}
	var all []ended
	for _, c := range calls {
		all = append(all, ended{c.Ended, &jingledv1.HistoryEntry{Record: &jingledv1.HistoryEntry_Call{Call: pastCall(c)}}})
	}
	for _, t := range transfers {
		all = append(all, ended{t.Ended, &jingledv1.HistoryEntry{Record: &jingledv1.HistoryEntry_Transfer{Transfer: pastTransfer(t)}}})
	}
	slices.SortStableFunc(all, func(x, y ended) int { return y.at.Compare(x.at) })
	out := &jingledv1.ListHistoryResponse{}
	for _, e := range all[:min(len(all), f.Limit)] {
		out.Entries = append(out.Entries, e.entry)
	}
	return out, nil
}

// ExportState gives all that is remembered to send, the oldest first.
func (d *Daemon) ExportState(ctx context.Context, _ *jingledv1.ExportStateRequest, send func(*jingledv1.ExportStateResponse) error) error {
	s, err := d.remembered()
	if err != nil {
		return err
	}
	accounts, err := s.Accounts(ctx)
	if err != nil {
		return unreadable(ctx, err)
	}
	identities, err := s.Identities(ctx)
	if err != nil {
		return unreadable(ctx, err)
	}
	calls, err := s.Calls(ctx, state.Filter{})
	if err != nil {
		return unreadable(ctx, err)
	}
	transfers, err := s.Transfers(ctx, state.Filter{})
	if err != nil {
		return unreadable(ctx, err)
	}
	var out []*jingledv1.ExportStateResponse
	for _, a := range accounts {
		out = append(out, &jingledv1.ExportStateResponse{Record: &jingledv1.ExportStateResponse_Account{Account: &jingledv1.PastAccount{
			Jid: a.JID, FirstSeen: timestamppb.New(a.FirstSeen), LastSeen: timestamppb.New(a.LastSeen)}}})
	}
	for _, i := range identities {
		out = append(out, &jingledv1.ExportStateResponse{Record: &jingledv1.ExportStateResponse_Identity{Identity: &jingledv1.PinnedIdentity{
			Account: i.Account, Peer: i.Peer, Kind: i.Kind, Value: i.Value,
			FirstSeen: timestamppb.New(i.FirstSeen), LastSeen: timestamppb.New(i.LastSeen)}}})
	}
	for _, c := range slices.Backward(calls) {
		out = append(out, &jingledv1.ExportStateResponse{Record: &jingledv1.ExportStateResponse_Call{Call: pastCall(c)}})
	}
	for _, t := range slices.Backward(transfers) {
		out = append(out, &jingledv1.ExportStateResponse{Record: &jingledv1.ExportStateResponse_Transfer{Transfer: pastTransfer(t)}})
	}
	for _, r := range out {
		if err := send(r); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return connect.NewError(connect.CodeCanceled, context.Cause(ctx))
	}
	return connect.NewError(connect.CodeInternal, err)
}

func pastCall(c state.Call) *jingledv1.PastCall {
	return &jingledv1.PastCall{Account: c.Account, Peer: c.Peer, Sid: c.SID, Incoming: c.Incoming, Video: c.Video,
		Began: timestamppb.New(c.Began), Ended: timestamppb.New(c.Ended), Connected: c.Connected,
		Conversation: durationpb.New(c.Conversation), Reason: c.Reason, Text: c.Text, ByPeer: c.ByPeer,
		PacketsSent: c.PacketsSent, PacketsReceived: c.PacketsReceived, PacketsLost: c.PacketsLost,
		KeysSent: c.KeysSent, KeysReceived: c.KeysReceived}
}

func pastTransfer(t state.Transfer) *jingledv1.PastTransfer {
	return &jingledv1.PastTransfer{Account: t.Account, Peer: t.Peer, Sid: t.SID, Incoming: t.Incoming,
		Began: timestamppb.New(t.Began), Ended: timestamppb.New(t.Ended), Name: t.Name, Size: t.Size, Bytes: t.Bytes,
		Transport: t.Transport, Path: t.Path, Complete: t.Complete, Verified: t.Verified, Hash: t.Hash,
		Reason: t.Reason, Text: t.Text, ByPeer: t.ByPeer, Encryption: t.Encryption}
}
