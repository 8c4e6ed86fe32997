package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/terminal"
	"github.com/jingled/jingled/jid"
)

func newHistory(g *global) *cobra.Command {
	var with string
	var limit uint32
	c := &cobra.Command{
		Use:   "history",
		Short: "Show the calls and transfers that have ended",
		Example: `  jingle history
  jingle history --with bob@example.org --limit 100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit == 0 || limit > 1000 {
				return exitf(exitUsage, "--limit is a number from 1 to 1000")
			}
			req := &jingledv1.ListHistoryRequest{Account: g.account, Limit: limit}
			if with != "" {
				j, err := jid.Parse(with)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				req.Peer = j.String()
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runHistory(ctx, s, p, req)
			})
		},
	}
	c.Flags().StringVar(&with, "with", "", "only with this `JID`")
	c.Flags().Uint32Var(&limit, "limit", 20, "how many to show, up to 1000")
	return c
}

func runHistory(ctx context.Context, s *session, p *printer, req *jingledv1.ListHistoryRequest) error {
	res, err := s.History.ListHistory(ctx, req)
	if err != nil {
		return s.cause(err)
	}
	if len(res.GetEntries()) == 0 {
		p.none("no calls and no transfers have ended")
	}
	enc := json.NewEncoder(p.out)
	for _, e := range res.GetEntries() {
		if !p.json {
			past(p, e)
			continue
		}
		if err := enc.Encode(pastRecord(e)); err != nil {
			return err
		}
	}
	return nil
}

// past prints a line for people.
func past(p *printer, e *jingledv1.HistoryEntry) {
	way := func(incoming bool) string {
		if incoming {
			return "from"
		}
		return "to"
	}
	if c := e.GetCall(); c != nil {
		what := clean(c.GetReason())
		if c.GetConnected() {
			what = clock(c.GetConversation().AsDuration())
		}
		if k := c.GetKeysReceived(); k != "" {
			what += ", they pressed " + clean(k)
		}
		if k := c.GetKeysSent(); k != "" {
			what += ", we pressed " + clean(k)
		}
		p.line("%s  call %-4s %-30s %s", local(c.GetBegan().AsTime()), way(c.GetIncoming()), c.GetPeer(), what)
	}
	if t := e.GetTransfer(); t != nil {
		what := size(t.GetBytes())
		if !t.GetComplete() {
			what = clean(t.GetReason()) + " after " + what
		}
		p.line("%s  file %-4s %-30s %s, %s%s", local(t.GetBegan().AsTime()), way(t.GetIncoming()), t.GetPeer(), clean(t.GetName()),
			what, encryption(t.GetEncryption()))
	}
}

func local(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

// pastRecord is the line of --json.
func pastRecord(e *jingledv1.HistoryEntry) any {
	stamp := func(t time.Time) string { return t.Format(time.RFC3339Nano) }
	if c := e.GetCall(); c != nil {
		return struct {
			head
			Incoming  bool    `json:"incoming"`
			Video     bool    `json:"video"`
			Began     string  `json:"began"`
			Connected bool    `json:"connected"`
			Seconds   float64 `json:"seconds"`
			Reason    string  `json:"reason"`
			Text      string  `json:"text,omitempty"`
			ByPeer    bool    `json:"by_peer"`
			Sent      string  `json:"keys_sent,omitempty"`
			Received  string  `json:"keys_received,omitempty"`
		}{head{"history.call", stamp(c.GetEnded().AsTime()), c.GetAccount(), c.GetPeer(), c.GetSid()}, c.GetIncoming(), c.GetVideo(),
			stamp(c.GetBegan().AsTime()), c.GetConnected(), c.GetConversation().AsDuration().Seconds(), c.GetReason(), c.GetText(), c.GetByPeer(),
			c.GetKeysSent(), c.GetKeysReceived()}
	}
	t := e.GetTransfer()
	return struct {
		head
		Incoming  bool   `json:"incoming"`
		Began     string `json:"began"`
		Name      string `json:"name"`
		Size      uint64 `json:"size"`
		Bytes     uint64 `json:"bytes"`
		Transport string `json:"transport,omitempty"`
		Path      string `json:"path,omitempty"`
		Complete  bool   `json:"complete"`
		Verified  bool   `json:"verified"`
		Encrypted string `json:"encryption,omitempty"`
		Hash      string `json:"hash,omitempty"`
		Reason    string `json:"reason,omitempty"`
		Text      string `json:"text,omitempty"`
		ByPeer    bool   `json:"by_peer"`
	}{head{"history.transfer", stamp(t.GetEnded().AsTime()), t.GetAccount(), t.GetPeer(), t.GetSid()}, t.GetIncoming(),
		stamp(t.GetBegan().AsTime()), t.GetName(), t.GetSize(), t.GetBytes(), t.GetTransport(), t.GetPath(), t.GetComplete(),
		t.GetVerified(), t.GetEncryption(), t.GetHash(), t.GetReason(), t.GetText(), t.GetByPeer()}
}

func newExport(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "export",
		Short:   "Write all that the daemon remembers, as JSON",
		Example: `  jingle export > jingled.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			defer s.close()
			return runExport(cmd.Context(), s, cmd.OutOrStdout())
		},
	}
}

// runExport writes one object whose members are lists in the schema's JSON form. Nothing is written unless all came.
func runExport(ctx context.Context, s *session, out io.Writer) error {
	stream, err := s.History.ExportState(ctx, &jingledv1.ExportStateRequest{})
	if err != nil {
		return s.cause(err)
	}
	doc := struct {
		Accounts   []json.RawMessage `json:"accounts"`
		Identities []json.RawMessage `json:"identities"`
		Calls      []json.RawMessage `json:"calls"`
		Transfers  []json.RawMessage `json:"transfers"`
	}{[]json.RawMessage{}, []json.RawMessage{}, []json.RawMessage{}, []json.RawMessage{}}
	add := func(list *[]json.RawMessage, m proto.Message) error {
		b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
		*list = append(*list, b)
		return err
	}
	for stream.Receive() && err == nil {
		switch r := stream.Msg().GetRecord().(type) {
		case *jingledv1.ExportStateResponse_Account:
			err = add(&doc.Accounts, r.Account)
		case *jingledv1.ExportStateResponse_Identity:
			err = add(&doc.Identities, r.Identity)
		case *jingledv1.ExportStateResponse_Call:
			err = add(&doc.Calls, r.Call)
		case *jingledv1.ExportStateResponse_Transfer:
			err = add(&doc.Transfers, r.Transfer)
		}
	}
	if err := errors.Join(err, stream.Err(), stream.Close()); err != nil {
		return s.cause(err)
	}
	enc := json.NewEncoder(terminal.JSON{Writer: out})
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
