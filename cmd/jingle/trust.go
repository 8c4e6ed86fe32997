package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle/jet/pinned"
)

func newTrust(g *global) *cobra.Command {
	var forget bool
	c := &cobra.Command{
		Use:   "trust [JID [FINGERPRINT]]",
		Short: "Show whose identity is trusted, trust another, or forget one",
		Long: `Files between two daemons are encrypted end to end, for the identity of the other side. The first identity that a person
shows is trusted. Any other is refused until it is trusted here: compare the fingerprint with the one that "jingle trust"
shows on their new device.

Without a JID it shows our own identity and all that are known.`,
		Example: `  jingle trust
  jingle trust bob@example.org 3A:9F:...
  jingle trust --forget bob@example.org`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addresses(args[:min(len(args), 1)]); err != nil {
				return err
			}
			if forget && len(args) == 0 {
				return exitf(exitUsage, "whose identity is to be forgotten?")
			}
			args = append(args, "", "")[:2]
			if _, err := pinned.ParseFingerprint(args[1]); args[1] != "" && err != nil {
				return &exitError{exitUsage, err}
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				var err error
				switch {
				case forget:
					_, err = s.Trust.ForgetIdentity(ctx, &jingledv1.ForgetIdentityRequest{Account: g.account, Peer: args[0], Fingerprint: args[1]})
				case args[1] != "":
					_, err = s.Trust.TrustIdentity(ctx, &jingledv1.TrustIdentityRequest{Account: g.account, Peer: args[0], Fingerprint: args[1]})
				default:
					return showTrust(ctx, s, p, g.account, args[0])
				}
				return s.cause(err)
			})
		},
	}
	c.Flags().BoolVar(&forget, "forget", false, "forget this identity, or without a fingerprint all of this person: the next that is shown is trusted")
	return c
}

var trustStates = map[jingledv1.IdentityState]string{
	jingledv1.IdentityState_IDENTITY_STATE_OWN:     "own",
	jingledv1.IdentityState_IDENTITY_STATE_TRUSTED: "trusted",
	jingledv1.IdentityState_IDENTITY_STATE_REFUSED: "refused",
}

func showTrust(ctx context.Context, s *session, p *printer, account, peer string) error {
	res, err := s.Trust.ListIdentities(ctx, &jingledv1.ListIdentitiesRequest{Account: account, Peer: peer})
	if err != nil {
		return s.cause(err)
	}
	enc := json.NewEncoder(p.out)
	for _, i := range res.GetIdentities() {
		if !p.json {
			p.line("%-7s  %s\n         %s", trustStates[i.GetState()], i.GetPeer(), i.GetFingerprint())
			continue
		}
		err := enc.Encode(struct {
			head
			State       string `json:"state"`
			Fingerprint string `json:"fingerprint"`
		}{head{Event: "identity", Time: now(), Account: i.GetAccount(), Peer: i.GetPeer()}, trustStates[i.GetState()], i.GetFingerprint()})
		if err != nil {
			return err
		}
	}
	return nil
}
