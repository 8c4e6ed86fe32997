package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

// newTransferControls are the commands for transfers that run in the daemon already, or wait there.
func newTransferControls(g *global) []*cobra.Command {
	return []*cobra.Command{
		newTransfers(g),
		g.transferControl("pause", "Let a transfer rest",
			"Ends the session and keeps what is there. The transfer goes on with \"jingle resume\", also after the daemon was started again.",
			func(ctx context.Context, s *session, t *jingledv1.Transfer) error {
				_, err := s.Transfers.PauseTransfer(ctx, &jingledv1.PauseTransferRequest{Account: t.GetAccount(), Sid: t.GetSid()})
				return err
			}),
		g.transferControl("resume", "Go on with a transfer",
			"Goes on with a transfer that is paused, or with one that waits for the peer, without waiting any longer.",
			func(ctx context.Context, s *session, t *jingledv1.Transfer) error {
				_, err := s.Transfers.ResumeTransfer(ctx, &jingledv1.ResumeTransferRequest{Account: t.GetAccount(), Sid: t.GetSid()})
				return err
			}),
		g.transferControl("cancel", "Give a transfer up",
			"Ends a transfer for good, or declines an offer. What has come of the file is removed.",
			func(ctx context.Context, s *session, t *jingledv1.Transfer) error {
				_, err := s.Transfers.EndTransfer(ctx, &jingledv1.EndTransferRequest{Account: t.GetAccount(), Sid: t.GetSid()})
				return err
			}),
		newGet(g),
	}
}

// transferControl makes a command that does something with one transfer.
func (g *global) transferControl(name, short, long string, do func(context.Context, *session, *jingledv1.Transfer) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " [ID]", Short: short,
		Long: long + `

ID is the beginning of the transfer's id, the name of the file, or the peer's address, as "jingle transfers" shows them.
It may be left out if there is only one transfer.`,
		Example: "  jingle " + name + "\n  jingle " + name + " holiday.jpg",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.standalone {
				return exitf(exitUsage, "%q is about a transfer of a running daemon, and goes without --standalone", name)
			}
			return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
				t, err := s.findTransfer(ctx, g.account, strings.Join(args, ""))
				if err != nil {
					return err
				}
				return do(ctx, s, t)
			})
		},
	}
}

// findTransfer finds the transfer that the user means.
func (s *session) findTransfer(ctx context.Context, account, which string) (*jingledv1.Transfer, error) {
	res, err := s.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: account})
	if err != nil {
		return nil, err
	}
	var found []*jingledv1.Transfer
	for _, t := range res.GetTransfers() {
		peer := t.GetPeer()
		if which == "" || peer == which || jid.JID(peer).Bare().String() == which || t.GetName() == which || strings.HasPrefix(t.GetSid(), which) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, exitf(exitUsage, "there are %d transfers: say which one (see jingle transfers)", len(found))
	case which == "":
		return nil, exitf(exitUsage, "there is no transfer")
	}
	return nil, exitf(exitUsage, "there is no transfer %q (see jingle transfers)", which)
}

func newTransfers(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "transfers",
		Short: "Show the transfers that have not ended",
		Long: `Shows the files that are on their way, and those that were interrupted: "waiting" goes on by itself when the peer is back,
"paused" with "jingle resume".`,
		Example: `  jingle transfers
  jingle --json transfers`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				res, err := s.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: g.account})
				if err != nil {
					return s.cause(err)
				}
				if p.json {
					return statusJSON(p, nil, nil, res.GetTransfers())
				}
				for _, t := range res.GetTransfers() {
					p.line("%s", describeTransfer(t))
				}
				if len(res.GetTransfers()) == 0 {
					p.none("no transfers")
				}
				return nil
			})
		},
	}
}

func describeTransfer(t *jingledv1.Transfer) string {
	way := "to"
	if t.GetIncoming() {
		way = "from"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s, %s, %s of %s", clean(t.GetSid()), way, t.GetPeer(), clean(t.GetName()), size(t.GetBytes()), size(t.GetSize()))
	if t.GetSize() > 0 {
		fmt.Fprintf(&b, " (%d %%)", t.GetBytes()*100/t.GetSize())
	}
	fmt.Fprintf(&b, ", %s", strings.ReplaceAll(transferState(t.GetState()), "-", " "))
	if t.GetState() == jingledv1.TransferState_TRANSFER_STATE_RUNNING {
		fmt.Fprintf(&b, " by %s, %s/s", t.GetTransport(), size(uint64(t.GetBytesPerSecond())))
	}
	return b.String()
}

func newGet(g *global) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "get JID NAME|HASH...",
		Short: "Fetch files that somebody shares",
		Long: `Asks a person, or one device of theirs, for files of the folder that they share, and fetches them in one session. A file
is named as it is called there, with slashes between folders, or by its hash: "sha-256:" or another function and hexadecimal
digits, or 64 digits alone for sha-256.`,
		Example: `  jingle get bob@example.org minutes.pdf --dir .
  jingle get bob@example.org sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addresses(args[:1]); err != nil {
				return err
			}
			folder, err := absolute(dir)
			if err != nil {
				return err
			}
			if st, err := os.Stat(folder); folder != "" && err != nil {
				return &exitError{exitUsage, err}
			} else if folder != "" && !st.IsDir() {
				return exitf(exitUsage, "%s is not a folder", dir)
			}
			req := &jingledv1.RequestFilesRequest{Account: g.account, Peer: args[0], Dir: folder}
			for _, a := range args[1:] {
				req.Files = append(req.Files, fileSelector(a))
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error { return runGet(ctx, s, p, req) })
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`FOLDER` that the files go to (default: that of the daemon's configuration)")
	return c
}

// fileSelector tells a hash from a name.
func fileSelector(arg string) *jingledv1.FileSelector {
	if algo, sum, ok := strings.Cut(arg, ":"); ok && strings.Contains(algo, "-") {
		if _, err := hex.DecodeString(sum); err == nil {
			return &jingledv1.FileSelector{Hash: arg}
		}
	}
	if b, err := hex.DecodeString(arg); err == nil && len(b) == 32 {
		return &jingledv1.FileSelector{Hash: "sha-256:" + arg}
	}
	return &jingledv1.FileSelector{Name: arg}
}

func runGet(ctx context.Context, s *session, p *printer, req *jingledv1.RequestFilesRequest) error {
	w, err := s.watch(ctx)
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	if req.Account, err = s.online(ctx, w, req.GetAccount()); err != nil {
		return err
	}
	res, err := s.Transfers.RequestFiles(ctx, req)
	if err != nil {
		return s.cause(err)
	}
	left := make(map[string]bool)
	for i, sid := range res.GetSids() {
		left[sid] = true
		f := req.GetFiles()[i]
		p.names[sid] = f.GetName() + f.GetHash()
	}
	var failures []error
	for len(left) > 0 {
		e, err := s.next(ctx, w)
		if err != nil {
			for sid := range left {
				_, endErr := s.Transfers.EndTransfer(context.WithoutCancel(ctx), &jingledv1.EndTransferRequest{Account: req.GetAccount(), Sid: sid})
				err = errors.Join(err, endErr)
			}
			return err
		}
		if !left[e.GetSid()] || e.GetAccount() != req.GetAccount() {
			continue
		}
		p.show(e)
		ended, err := endOf(e)
		if ended {
			delete(left, e.GetSid())
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return failures[0]
	}
	return nil
}

// endOf tells whether nothing more is to be waited for with an event, and what came of the transfer then.
func endOf(e *jingledv1.Event) (ended bool, err error) {
	switch b := e.GetBody().(type) {
	case *jingledv1.Event_TransferDone:
		return true, nil
	case *jingledv1.Event_TransferFailed:
		return true, endOfTransfer(b.TransferFailed)
	case *jingledv1.Event_TransferInterrupted:
		switch b.TransferInterrupted.GetState() {
		case jingledv1.TransferState_TRANSFER_STATE_PAUSED:
			return true, exitf(exitFailed, "the transfer is paused: go on with \"jingle resume %s\"", clean(e.GetSid()))
		case jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER:
			return true, exitf(exitPeer, "the other side has paused the transfer, and can go on with it")
		}
	}
	return false, nil
}
