package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

// newControls are the commands for calls that run in the daemon already.
func newControls(g *global) []*cobra.Command {
	on, off := true, false
	control := func(use, short, long string, change *jingledv1.ControlCallRequest) *cobra.Command {
		return g.control(use+" [CALL]", short, long, 0, func(ctx context.Context, s *session, c *jingledv1.Call, _ []string) error {
			change.Account, change.Sid = c.GetAccount(), c.GetSid()
			_, err := s.Calls.ControlCall(ctx, change)
			return err
		})
	}
	return []*cobra.Command{
		newCalls(g), newHangUp(g), newDTMF(g), newVideo(g), newTransferCall(g), newFollowTransfer(g),
		control("mute", "Send silence in a call", "Sends silence, and tells the peer so.", &jingledv1.ControlCallRequest{Mute: &on}),
		control("unmute", "Speak again in a call", "Undoes mute.", &jingledv1.ControlCallRequest{Mute: &off}),
		control("hold", "Put a call on hold", "Sends nothing, and asks the peer for the same.", &jingledv1.ControlCallRequest{Hold: &on}),
		control("unhold", "Take a call off hold", "Undoes hold.", &jingledv1.ControlCallRequest{Hold: &off}),
	}
}

// whichCall is what every one of these commands says about its argument.
const whichCall = `

CALL is the peer's address or the beginning of the call's id, as "jingle calls" shows them. It may be left out if there
is only one call.`

// control makes a command that does something with one call. more is how many arguments stand after CALL.
func (g *global) control(use, short, long string, more int, do func(context.Context, *session, *jingledv1.Call, []string) error) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Long: long + whichCall,
		Example: "  jingle " + name + strings.Repeat(" 42#", more) + "\n  jingle " + name + " bob@example.org" + strings.Repeat(" 42#", more),
		Args:    cobra.RangeArgs(more, more+1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.standalone {
				return exitf(exitUsage, "%q is about a call of a running daemon, and goes without --standalone", name)
			}
			which := ""
			if len(args) > more {
				which, args = args[0], args[1:]
			}
			return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
				c, err := s.findCall(ctx, g.account, which)
				if err != nil {
					return err
				}
				return do(ctx, s, c, args)
			})
		},
	}
}

// findCall finds the call that the user means.
func (s *session) findCall(ctx context.Context, account, which string) (*jingledv1.Call, error) {
	res, err := s.Calls.ListCalls(ctx, &jingledv1.ListCallsRequest{Account: account})
	if err != nil {
		return nil, err
	}
	var found []*jingledv1.Call
	for _, c := range res.GetCalls() {
		peer := c.GetPeer()
		if which == "" || peer == which || jid.JID(peer).Bare().String() == which || strings.HasPrefix(c.GetSid(), which) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, exitf(exitUsage, "there are %d calls: say which one (see jingle calls)", len(found))
	case which == "":
		return nil, exitf(exitUsage, "there is no call")
	}
	return nil, exitf(exitUsage, "there is no call %q (see jingle calls)", which)
}

func newCalls(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "calls",
		Short: "Show the calls that are under way",
		Example: `  jingle calls
  jingle --json calls`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				res, err := s.Calls.ListCalls(ctx, &jingledv1.ListCallsRequest{Account: g.account})
				if err != nil {
					return s.cause(err)
				}
				if p.json {
					return statusJSON(p, nil, res.GetCalls(), nil)
				}
				for _, c := range res.GetCalls() {
					way := "to"
					if c.GetIncoming() {
						way = "from"
					}
					p.line("%s %s %s, %s, since %s%s", clean(c.GetSid()), way, c.GetPeer(), callState(c.GetState()),
						clock(time.Since(c.GetSince().AsTime())), conditions(c))
				}
				if len(res.GetCalls()) == 0 {
					p.none("no calls")
				}
				return nil
			})
		},
	}
}

// conditions is what is peculiar about a call, in words.
func conditions(c *jingledv1.Call) string {
	var b strings.Builder
	for _, x := range []struct {
		is   bool
		text string
	}{{c.GetMuted(), "muted"}, {c.GetHeld(), "on hold"}, {c.GetPeerMuted(), "the peer is muted"}, {c.GetPeerHeld(), "the peer holds us"}} {
		if x.is {
			fmt.Fprintf(&b, ", %s", x.text)
		}
	}
	return b.String()
}

func newHangUp(g *global) *cobra.Command {
	var reason string
	c := g.control("hangup [CALL]", "End a call", "Hangs up, gives up a call that nobody has answered, or declines one that rings.", 0,
		func(ctx context.Context, s *session, c *jingledv1.Call, _ []string) error {
			_, err := s.Calls.EndCall(ctx, &jingledv1.EndCallRequest{Account: c.GetAccount(), Sid: c.GetSid(), Reason: reason})
			return err
		})
	c.Flags().StringVar(&reason, "reason", "", "the `CONDITION` that the peer is told, e.g. busy or decline (default: the one that fits)")
	return c
}

func newDTMF(g *global) *cobra.Command {
	return g.control("dtmf [CALL] DIGITS", "Press keys in a call",
		"Sends keys of a telephone: 0-9 * # A-D; a comma pauses for half a second.", 1,
		func(ctx context.Context, s *session, c *jingledv1.Call, args []string) error {
			if bad := notKeys(args[0]); bad != "" {
				return exitf(exitUsage, "%q is no key of a telephone", bad)
			}
			_, err := s.Calls.SendDtmf(ctx, &jingledv1.SendDtmfRequest{Account: c.GetAccount(), Sid: c.GetSid(), Digits: args[0]})
			return err
		})
}

// notKeys returns what is no key of a telephone.
func notKeys(digits string) string { return strings.Trim(strings.ToUpper(digits), "0123456789*#ABCD,") }

func newVideo(g *global) *cobra.Command {
	var m mediaFlags
	var off, pause, resume bool
	var category, content string
	c := g.control("video [CALL]", "Add video to a call, or end it",
		`Adds video to a call that goes on. With --off there is only sound from then on.

A call can have several at the same time, such as a camera and, with --category slides, a screen. With --off, --pause and
--resume --category says which one is meant, and without it all are. Clients that show one video refuse a second one.`, 0,
		func(ctx context.Context, s *session, c *jingledv1.Call, _ []string) error {
			on := !off
			req := &jingledv1.ControlCallRequest{Account: c.GetAccount(), Sid: c.GetSid(), Video: &on, VideoCategory: category,
				VideoContent: content}
			if pause || resume {
				req.Video, req.SendVideo = nil, &resume
			} else if on {
				var media jingledv1.Media
				if err := m.camera(&media, "--in", "--record"); err != nil {
					return err
				}
				req.VideoIn, req.RecordVideo = media.GetVideoIn(), media.GetRecordVideo()
			}
			_, err := s.Calls.ControlCall(ctx, req)
			return err
		})
	c.Example = `  jingle video --in screen.ivf
  jingle video bob@example.org --record bob.ivf
  jingle video --category slides --in slides.ivf
  jingle video --category slides --off
  jingle video --off`
	c.Flags().BoolVar(&off, "off", false, "end the video")
	c.Flags().BoolVar(&pause, "pause", false, "stop to send ours, while the peer's goes on")
	c.Flags().BoolVar(&resume, "resume", false, "send ours again")
	c.Flags().StringVar(&category, "category", "", "`WHAT` it shows: camera, slides (a screen), speaker, main, alt or sl (sign language)")
	c.Flags().StringVar(&content, "content", "", "the `NAME` of the video that --off, --pause or --resume mean, as call.video of --json tells it")
	c.MarkFlagsMutuallyExclusive("off", "pause", "resume")
	c.Flags().StringVar(&m.videoIn, "in", "", "video to send: an IVF or H264 `FILE`, rtp:PORT or rtp:PORT/CODEC")
	c.Flags().StringVar(&m.recordVideo, "record", "", "record what is seen to this `FILE`, .ivf or .h264, or send it to rtp:PORT")
	return c
}
