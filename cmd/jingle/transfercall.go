package main

import (
	"context"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func newTransferCall(g *global) *cobra.Command {
	var attended bool
	c := g.control("transfer-call [CALL] JID", "Send the peer of a call on to somebody else",
		`Asks the peer of a call to go on with somebody else: they are called by the peer, and our call ends when they answer. With
--attended JID is the peer of another call of ours that is connected: the two are put through to each other.

Whether the peer follows is for its user to decide, and its client must know XEP-0251.`, 1,
		func(ctx context.Context, s *session, c *jingledv1.Call, args []string) error {
			req := &jingledv1.TransferCallRequest{Account: c.GetAccount(), Sid: c.GetSid()}
			if attended {
				with, err := s.findCall(ctx, g.account, args[0])
				if err != nil {
					return err
				}
				req.With = with.GetSid()
			} else {
				if _, err := addresses(args); err != nil {
					return err
				}
				req.To = args[0]
			}
			_, err := s.Calls.TransferCall(ctx, req)
			return err
		})
	c.Example = `  jingle transfer-call carol@example.org
  jingle transfer-call bob@example.org carol@example.org --attended`
	c.Flags().BoolVar(&attended, "attended", false, "JID is the peer of another call of ours")
	return c
}

func newFollowTransfer(g *global) *cobra.Command {
	return g.control("follow-transfer [CALL]", "Go on with whom the peer of a call sends us to",
		"Does what the peer has asked for: it is held while the other is called, who learns our address by that.", 0,
		func(ctx context.Context, s *session, c *jingledv1.Call, _ []string) error {
			_, err := s.Calls.FollowTransfer(ctx, &jingledv1.FollowTransferRequest{Account: c.GetAccount(), Sid: c.GetSid()})
			return err
		})
}
