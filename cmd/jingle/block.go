package main

import (
	"context"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func newBlock(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "block JID...",
		Short: "Keep people out: they cannot call, offer files or see you",
		Long: `Puts addresses on the block list of the account: people (alice@example.org), single devices of theirs (with a
resource), or whole domains. Calls and transfers with them end. The list is the XMPP server's and holds for all devices of
the account; where the server keeps none, the daemon refuses what they send.`,
		Example: `  jingle block mallory@example.org spam.example
  jingle blocked`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onBlocked(cmd, args, func(ctx context.Context, s *session, account string, who []string) (*jingledv1.BlockList, error) {
				res, err := s.Blocks.Block(ctx, &jingledv1.BlockRequest{Account: account, Jids: who})
				return res.GetList(), err
			})
		},
	}
}

func newUnblock(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "unblock JID...",
		Short:   "Let people in again",
		Example: `  jingle unblock mallory@example.org`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onBlocked(cmd, args, func(ctx context.Context, s *session, account string, who []string) (*jingledv1.BlockList, error) {
				res, err := s.Blocks.Unblock(ctx, &jingledv1.UnblockRequest{Account: account, Jids: who})
				return res.GetList(), err
			})
		},
	}
}

func newBlocked(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "blocked",
		Short:   "Show who is blocked",
		Example: `  jingle blocked`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				if g.standalone {
					w, err := s.watch(ctx)
					if err != nil {
						return s.cause(err)
					}
					defer w.close()
					if _, err := s.online(ctx, w, g.account); err != nil {
						return err
					}
				}
				res, err := s.Blocks.ListBlocked(ctx, &jingledv1.ListBlockedRequest{Account: g.account})
				if err != nil {
					return s.cause(err)
				}
				nobody := true
				for _, l := range res.GetLists() {
					for _, j := range l.GetJids() {
						p.blocked(l, j)
						nobody = false
					}
				}
				if nobody {
					p.none("nobody is blocked")
				}
				return nil
			})
		},
	}
}

// blocked shows an entry of a block list.
func (p *printer) blocked(l *jingledv1.BlockList, who string) {
	if p.json {
		p.object(struct {
			head
			OnServer bool `json:"on_server"`
		}{head{Event: "blocked", Time: now(), Account: l.GetAccount(), Peer: who}, l.GetOnServer()})
		return
	}
	p.line("%s", who)
}

// onBlocked changes the list of an account that is online.
func (g *global) onBlocked(cmd *cobra.Command, args []string, do func(ctx context.Context, s *session, account string, who []string) (*jingledv1.BlockList, error)) error {
	var who []string
	for _, a := range args {
		j, err := jid.Parse(a)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		who = append(who, j.String())
	}
	return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
		w, err := s.watch(ctx)
		if err != nil {
			return s.cause(err)
		}
		defer w.close()
		account, err := s.online(ctx, w, g.account)
		if err != nil {
			return err
		}
		l, err := do(ctx, s, account, who)
		if err != nil {
			return s.cause(err)
		}
		if g.standalone && !l.GetOnServer() {
			return exitf(exitFailed, "the server of %s keeps no block lists: only a running jingled can refuse for it", account)
		}
		return nil
	})
}
