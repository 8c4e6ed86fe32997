package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func newStatus(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show accounts, calls and transfers",
		Example: `  jingle status
  jingle --json status`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runStatus(ctx, g, s, p)
			})
		},
	}
}

func runStatus(ctx context.Context, g *global, s *session, p *printer) error {
	if g.standalone {
		// A daemon of our own has only just begun to log in.
		w, err := s.watch(ctx)
		if err != nil {
			return s.cause(err)
		}
		defer w.close()
		if _, err := s.online(ctx, w, g.account); err != nil {
			return err
		}
	}
	info, err := s.Daemon.GetInfo(ctx, &jingledv1.GetInfoRequest{})
	if err != nil {
		return s.cause(err)
	}
	accounts, err := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
	if err != nil {
		return s.cause(err)
	}
	calls, err := s.Calls.ListCalls(ctx, &jingledv1.ListCallsRequest{Account: g.account})
	if err != nil {
		return s.cause(err)
	}
	transfers, err := s.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: g.account})
	if err != nil {
		return s.cause(err)
	}
	if p.json {
		return statusJSON(p, accounts.GetAccounts(), calls.GetCalls(), transfers.GetTransfers())
	}
	p.line("jingled %s", info.GetVersion())
	for _, a := range accounts.GetAccounts() {
		text := a.GetBoundJid()
		if a.GetError() != "" {
			text = clean(a.GetError())
		}
		p.line("%-30s %-10s %s", a.GetJid(), accountState(a.GetState()), text)
	}
	for _, c := range calls.GetCalls() {
		p.line("call with %s, %s, since %s", c.GetPeer(), callState(c.GetState()),
			clock(time.Since(c.GetSince().AsTime())))
	}
	for _, t := range transfers.GetTransfers() {
		p.line("%s", describeTransfer(t))
	}
	return nil
}

// statusJSON prints a line for each account, call and transfer.
func statusJSON(p *printer, accounts []*jingledv1.Account, calls []*jingledv1.Call, transfers []*jingledv1.Transfer) error {
	enc := json.NewEncoder(p.out)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, a := range accounts {
		if err := enc.Encode(struct {
			head
			State string `json:"state"`
			JID   string `json:"jid,omitempty"`
			Error string `json:"error,omitempty"`
		}{head{Event: "status.account", Time: now, Account: a.GetJid()}, accountState(a.GetState()), a.GetBoundJid(), a.GetError()}); err != nil {
			return err
		}
	}
	for _, c := range calls {
		if err := enc.Encode(struct {
			head
			State    string `json:"state"`
			Incoming bool   `json:"incoming"`
			Since    string `json:"since"`

			Muted     bool `json:"muted"`
			Held      bool `json:"held"`
			PeerMuted bool `json:"peer_muted"`
			PeerHeld  bool `json:"peer_held"`
		}{head{"status.call", now, c.GetAccount(), c.GetPeer(), c.GetSid()}, callState(c.GetState()), c.GetIncoming(),
			c.GetSince().AsTime().Format(time.RFC3339Nano), c.GetMuted(), c.GetHeld(), c.GetPeerMuted(), c.GetPeerHeld()}); err != nil {
			return err
		}
	}
	for _, t := range transfers {
		if err := enc.Encode(struct {
			head
			State     string `json:"state"`
			Incoming  bool   `json:"incoming"`
			Name      string `json:"name"`
			Bytes     uint64 `json:"bytes"`
			Size      uint64 `json:"size"`
			Transport string `json:"transport,omitempty"`
			Path      string `json:"path,omitempty"`
			Since     string `json:"since,omitempty"`
			Encrypted string `json:"encryption,omitempty"`
		}{head{"status.transfer", now, t.GetAccount(), t.GetPeer(), t.GetSid()}, transferState(t.GetState()), t.GetIncoming(),
			t.GetName(), t.GetBytes(), t.GetSize(), t.GetTransport(), t.GetPath(), t.GetSince().AsTime().Format(time.RFC3339Nano),
			t.GetEncryption()}); err != nil {
			return err
		}
	}
	return nil
}

func callState(s jingledv1.CallState) string {
	switch s {
	case jingledv1.CallState_CALL_STATE_RINGING:
		return "ringing"
	case jingledv1.CallState_CALL_STATE_CONNECTING:
		return "connecting"
	case jingledv1.CallState_CALL_STATE_CONNECTED:
		return "connected"
	}
	return "calling"
}

func transferState(s jingledv1.TransferState) string {
	switch s {
	case jingledv1.TransferState_TRANSFER_STATE_CONNECTING:
		return "connecting"
	case jingledv1.TransferState_TRANSFER_STATE_RUNNING:
		return "running"
	case jingledv1.TransferState_TRANSFER_STATE_WAITING:
		return "waiting"
	case jingledv1.TransferState_TRANSFER_STATE_PAUSED:
		return "paused"
	case jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER:
		return "paused-by-peer"
	}
	return "offered"
}

// ready says that what the command waits for can come now.
func (p *printer) ready(account string) {
	if p.json {
		p.object(head{Event: "ready", Time: now(), Account: account})
		return
	}
	p.line("%s: ready", account)
}
