package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func newCall(g *global) *cobra.Command {
	var m mediaFlags
	c := &cobra.Command{
		Use:   "call JID",
		Short: "Call somebody",
		Long: `Calls a person, on all of their devices, or one device (a JID with a resource).

The command ends when the call ends. Interrupt it to hang up. On a terminal keys work during the call: digits are sent, m
mutes, h holds; q hangs up, while it rings too.`,
		Example: `  jingle call bob@example.org --audio-in hello.wav --record answer.ogg
  jingle call menu@example.org --dtmf 1,,42# --duration 20s
  jingle call bob@example.org --ice relay`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			media, err := m.media()
			if err != nil {
				return err
			}
			if _, err := addresses(args); err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runCall(ctx, s, p, g.account, args[0], media, &m)
			})
		},
	}
	m.register(c)
	return c
}

func runCall(ctx context.Context, s *session, p *printer, account, peer string, media *jingledv1.Media, m *mediaFlags) error {
	w, err := s.watch(ctx)
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	account, err = s.online(ctx, w, account)
	if err != nil {
		return err
	}
	// Even if it is interrupted: a call that has begun has to be hung up.
	res, err := s.Calls.StartCall(context.WithoutCancel(ctx), &jingledv1.StartCallRequest{Account: account, Peer: peer, Media: media})
	if err != nil {
		return s.cause(err)
	}
	if !p.json {
		p.line("%s: calling", peer)
	}
	return follow(ctx, s, w, p, &conversation{account: account, sid: res.GetSid(), flags: m})
}

// conversation is one call that the command line follows to its end.
type conversation struct {
	account, sid string
	flags        *mediaFlags
	connected    bool
	muted, held  bool   // by a key
	sentOn       string // to whom the peer would like to send us, until we follow
}

// follow shows a call until it ends, sends digits when it is connected, and hangs up when its time is over or the user
// interrupts.
func follow(ctx context.Context, s *session, w *watcher, p *printer, c *conversation) error {
	interrupted := ctx.Done() // becomes a hang-up
	ctx = context.WithoutCancel(ctx)
	var patience <-chan time.Time // for the end after it
	var over <-chan time.Time
	keyboard := openKeyboard(p)
	defer keyboard.restore()
	// A call that is over already is no error; its end comes as an event.
	hangUp := func(reason string) error {
		_, err := s.Calls.EndCall(ctx, &jingledv1.EndCallRequest{Account: c.account, Sid: c.sid, Reason: reason})
		if connect.CodeOf(err) == connect.CodeNotFound {
			return nil
		}
		return err
	}
	for {
		var e *jingledv1.Event
		var open bool
		select {
		case e, open = <-w.events:
		case err := <-s.failed:
			return err
		case <-over:
			over = nil
			if err := hangUp("success"); err != nil {
				return s.cause(err)
			}
			continue
		case key := <-keyboard.keys:
			switch err := c.press(ctx, s, p, key); {
			case errors.Is(err, errHungUp):
				if err := hangUp(""); err != nil {
					return s.cause(err)
				}
			case err != nil:
				p.line("%s", message(err))
			}
			continue
		case <-interrupted:
			interrupted, patience = nil, time.After(hangUpTime)
			if err := hangUp(""); err != nil {
				return s.cause(err)
			}
			continue
		case <-patience:
			return exitf(exitFailed, "interrupted")
		}
		if !open {
			return s.cause(errors.Join(errors.New("the daemon has stopped"), w.err))
		}
		if e.GetSid() != c.sid || e.GetAccount() != c.account {
			continue
		}
		p.show(e)
		switch b := e.GetBody().(type) {
		case *jingledv1.Event_CallConnected:
			if keyboard.keys != nil && !c.connected {
				p.line(keysHelp)
			}
			c.connected = true
			if c.flags.duration > 0 {
				over = time.After(c.flags.duration)
			}
			if err := c.dial(ctx, s); err != nil {
				return errors.Join(err, hangUp(""))
			}
		case *jingledv1.Event_CallTransferAsked:
			if c.sentOn = b.CallTransferAsked.GetTo(); keyboard.keys != nil {
				p.line("t follows")
			}
		case *jingledv1.Event_CallEnded:
			if next := b.CallEnded.GetSuccessor(); next != "" {
				c.sid = next // the same conversation
				continue
			}
			err := endOfCall(b.CallEnded, c.connected, p.tty)
			if text := b.CallEnded.GetAudioError(); err == nil && text != "" {
				err = exitf(exitFailed, "not all was played or recorded: %s", clean(strings.ReplaceAll(text, "\n", "; ")))
			}
			return err
		}
	}
}

// dial presses the digits that were asked for.
func (c *conversation) dial(ctx context.Context, s *session) error {
	if c.flags.dtmf == "" {
		return nil
	}
	_, err := s.Calls.SendDtmf(ctx, &jingledv1.SendDtmfRequest{Account: c.account, Sid: c.sid, Digits: c.flags.dtmf})
	return err
}

// hangUpTime is how long the end of a call may take after an interrupt.
const hangUpTime = 5 * time.Second
