package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func newWhip(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "whip [SID]",
		Short: "Tell where OBS, GStreamer and ffmpeg bring media into a call",
		Long: `Prints the addresses of a call for programs that send by WHIP (RFC 9725) or play by WHEP, and the bearer token that
they need. Without a SID they are those of the call with --webrtc that was begun last, also of one to come. The daemon
serves them to this machine alone; with a state folder, address and token stay the same from run to run.

The call must have been made or answered with --webrtc, or in the page of jingle phone.`,
		Example: `  jingle call --webrtc --video bob@example.org
  jingle whip`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runWhip(ctx, s, p, args)
			})
		},
	}
}

func runWhip(ctx context.Context, s *session, p *printer, args []string) error {
	res, err := s.Whip.OpenWhip(ctx, &jingledv1.OpenWhipRequest{})
	if err != nil {
		return s.cause(err)
	}
	sid := "active"
	if len(args) == 1 {
		sid = args[0]
	}
	whip, whep := res.GetUrl()+sid+"/whip", res.GetUrl()+sid+"/whep"
	if p.json {
		return json.NewEncoder(p.out).Encode(struct {
			Event string `json:"event"`
			Whip  string `json:"whip"`
			Whep  string `json:"whep"`
			Token string `json:"token"`
		}{"whip", whip, whep, res.GetToken()})
	}
	p.line("WHIP   %s", whip)
	p.line("WHEP   %s", whep)
	p.line("Token  %s", res.GetToken())
	return nil
}
