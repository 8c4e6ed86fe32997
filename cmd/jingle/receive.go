package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func newReceive(g *global) *cobra.Command {
	var dir string
	var once, archive bool
	var from []string
	var maxSize byteCount
	c := &cobra.Command{
		Use:   "receive --dir D",
		Short: "Receive files",
		Long: `Takes files that are offered and puts them into a folder. A name that is there already gets a number;
no file is overwritten, and none has its final name before it is complete and verified.

While the command runs, everybody can offer files, or with --from only those named there.`,
		Example: `  jingle receive --dir ~/Downloads --once
  jingle receive --dir inbox --from bob@example.org --max-size 100M`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return exitf(exitUsage, "--dir is needed: the folder that the files go to")
			}
			folder, err := absolute(dir)
			if err != nil {
				return err
			}
			if st, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
				return exitf(exitUsage, "--dir: there is no folder %s", dir)
			} else if err != nil {
				return &exitError{exitUsage, err}
			} else if !st.IsDir() {
				return exitf(exitUsage, "%s is not a folder", dir)
			}
			if err := writable(folder); err != nil {
				return exitf(exitUsage, "--dir: nothing can be written to %s: %w", dir, errors.Unwrap(err))
			}
			senders, err := addresses(from)
			if err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runReceive(ctx, s, p, g.account, &inbox{folder, senders, uint64(maxSize), once, archive})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "`FOLDER` that the files go to")
	f.BoolVar(&archive, "keep-archive", false, "do not unpack folders: they stay archives (tar)")
	f.BoolVar(&once, "once", false, "end after the first file")
	f.StringArrayVar(&from, "from", nil, "take files from this `JID` only; may be repeated")
	f.Var(&maxSize, "max-size", "decline files of more than `N` bytes, e.g. 10M (default: no limit)")
	return c
}

// writable finds out whether files can be made in a folder.
func writable(folder string) error {
	f, err := os.CreateTemp(folder, ".jingle-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// inbox is what receive takes.
type inbox struct {
	dir     string
	from    []string
	maxSize uint64
	once    bool
	archive bool // folders stay archives
}

func runReceive(ctx context.Context, s *session, p *printer, account string, in *inbox) error {
	w, err := s.watch(ctx, &jingledv1.Welcome{Account: account, Files: true, From: in.from})
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	account, err = s.online(ctx, w, account)
	if err != nil {
		return err
	}
	waiting, err := s.offered(ctx, account)
	if err != nil {
		return s.cause(err)
	}
	p.ready(account)
	taken := make(map[string]bool)
	later := func(e *jingledv1.Event) {
		switch {
		case e.GetTransferOffered() != nil:
			waiting = append(waiting, e)
		case e.GetIdentityRefused() != nil && e.GetAccount() == account:
			p.show(e)
		}
	}
	for {
		var e *jingledv1.Event
		if len(waiting) > 0 {
			e, waiting = waiting[0], waiting[1:]
		} else if e, err = s.next(ctx, w); err != nil {
			if !in.once && ctx.Err() != nil {
				return nil // an interrupt is how this command ends
			}
			return err
		}
		if e.GetIdentityRefused() != nil && e.GetAccount() == account {
			p.show(e)
		}
		offer := e.GetTransferOffered()
		if offer == nil && taken[e.GetSid()] && e.GetAccount() == account {
			p.show(e)
		}
		if offer == nil || e.GetAccount() != account || !comesFrom(in.from, e.GetPeer()) || taken[e.GetSid()] {
			continue
		}
		taken[e.GetSid()] = true
		p.show(e)
		err := s.take(ctx, account, e, in)
		switch {
		case err == nil && in.once:
			before := waiting
			waiting = nil
			err = s.followSession(ctx, w, p, e, before, in, later)
		case in.once:
			s.awaitEnd(ctx, w, account, e.GetSid())
		}
		if in.once || ctx.Err() != nil {
			return s.cause(err)
		}
		if err != nil && !p.json {
			p.line("%s", message(err))
		}
	}
}

// followSession shows a transfer until it ends, and takes and shows what else is offered in its session, which the daemon calls
// by the same name with a number behind a slash: a folder can come as several files. Others may use such names, too. before are
// offers that came before.
func (s *session) followSession(ctx context.Context, w *watcher, p *printer, first *jingledv1.Event, before []*jingledv1.Event, in *inbox, other func(*jingledv1.Event)) error {
	account, sid, sender := first.GetAccount(), first.GetSid(), jid.JID(first.GetPeer()).Bare()
	more := make(map[string]bool) // false: it has ended
	var failed error
	watch := func(e *jingledv1.Event) {
		switch {
		case !strings.HasPrefix(e.GetSid(), sid+"/") || e.GetAccount() != account || jid.JID(e.GetPeer()).Bare() != sender:
			other(e)
			return
		case e.GetTransferOffered() != nil:
			if _, known := more[e.GetSid()]; known { // it came just when we asked what had come before
				return
			}
			p.show(e)
			err := s.take(ctx, account, e, in)
			failed = errors.Join(failed, err)
			more[e.GetSid()] = err == nil
			return
		case more[e.GetSid()]:
			p.show(e)
		}
		if ended, err := endOf(e); ended && more[e.GetSid()] {
			failed = errors.Join(failed, err)
			more[e.GetSid()] = false
		}
	}
	for _, e := range before {
		watch(e)
	}
	_, err := s.followTransfer(ctx, w, p, account, sid, watch)
	for err == nil && slices.Contains(slices.Collect(maps.Values(more)), true) {
		var e *jingledv1.Event
		if e, err = s.next(ctx, w); err == nil {
			watch(e)
		}
	}
	if err == nil {
		err = failed
	}
	return err
}

// awaitEnd waits until a file that is not taken is over: a daemon that ends together with the command would tell the sender
// instead that it is shutting down.
func (s *session) awaitEnd(ctx context.Context, w *watcher, account, sid string) {
	ctx, cancel := context.WithTimeout(ctx, hangUpTime)
	defer cancel()
	for {
		e, err := s.next(ctx, w)
		if err != nil {
			return
		}
		if ended, _ := endOf(e); ended && e.GetSid() == sid && e.GetAccount() == account {
			return
		}
	}
}

// take accepts an offer, or declines what is too large or cannot be stored, which is its error then.
func (s *session) take(ctx context.Context, account string, e *jingledv1.Event, in *inbox) error {
	offer := e.GetTransferOffered()
	switch {
	case offer.GetAcceptedInto() != "": // by a rule of the configuration
		return nil
	case in.maxSize > 0 && offer.GetSize() > in.maxSize:
		req := &jingledv1.EndTransferRequest{Account: account, Sid: e.GetSid(), Reason: "media-error"}
		if _, err := s.Transfers.EndTransfer(ctx, req); err != nil {
			return err
		}
		return fmt.Errorf("%s of %s is larger than --max-size", clean(offer.GetName()), e.GetPeer())
	}
	req := &jingledv1.AcceptFileRequest{Account: account, Sid: e.GetSid(), Dir: in.dir, KeepArchive: in.archive}
	_, err := s.Transfers.AcceptFile(ctx, req)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// The sender would wait for ever. Where the offer is gone already, there is nothing to decline.
	no := &jingledv1.EndTransferRequest{Account: account, Sid: e.GetSid(), Reason: "failed-application"}
	_, _ = s.Transfers.EndTransfer(ctx, no)
	return &exitError{exitCode(err), fmt.Errorf("%s is not taken: %s", clean(offer.GetName()), message(err))}
}

// offered returns, as events, the files that were offered before we began to watch. Those of one session stand in order.
func (s *session) offered(ctx context.Context, account string) ([]*jingledv1.Event, error) {
	res, err := s.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: account})
	var out []*jingledv1.Event
	for _, t := range res.GetTransfers() {
		if t.GetIncoming() && t.GetState() == jingledv1.TransferState_TRANSFER_STATE_OFFERED {
			out = append(out, &jingledv1.Event{Time: timestamppb.Now(), Account: account, Peer: t.GetPeer(), Sid: t.GetSid(),
				Body: &jingledv1.Event_TransferOffered{TransferOffered: &jingledv1.TransferOffered{
					Name: t.GetName(), Size: t.GetSize()}}})
		}
	}
	slices.SortFunc(out, func(x, y *jingledv1.Event) int { return strings.Compare(x.GetSid(), y.GetSid()) })
	return out, err
}
