package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func newAnswer(g *global) *cobra.Command {
	var m mediaFlags
	var once bool
	var from []string
	c := &cobra.Command{
		Use:   "answer",
		Short: "Answer calls",
		Long: `Answers calls as they come in, one at a time; a second caller hears that we are busy.

While the command runs, everybody can call, or with --from only those named there. Without it a daemon takes calls as
its configuration says: from contacts, if it says nothing.`,
		Example: `  jingle answer --once --audio-in greeting.ogg --record message.ogg
  jingle answer --from bob@example.org --from carol@example.org`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			media, err := m.media()
			if err != nil {
				return err
			}
			callers, err := addresses(from)
			if err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runAnswer(ctx, s, p, g.account, callers, once, media, &m)
			})
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end after the first call")
	c.Flags().StringArrayVar(&from, "from", nil, "answer this `JID` only; may be repeated")
	m.register(c)
	return c
}

// addresses checks what --from was given.
func addresses(in []string) ([]string, error) {
	var out []string
	for _, f := range in {
		j, err := jid.Parse(f)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		out = append(out, j.String())
	}
	return out, nil
}

// comesFrom reports whether a peer is one of those named; an empty list names everybody.
func comesFrom(list []string, peer string) bool {
	return len(list) == 0 || slices.Contains(list, peer) || slices.Contains(list, jid.JID(peer).Bare().String())
}

func runAnswer(ctx context.Context, s *session, p *printer, account string, from []string, once bool, media *jingledv1.Media, m *mediaFlags) error {
	w, err := s.watch(ctx, &jingledv1.Welcome{Account: account, Calls: true, From: from})
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	account, err = s.online(ctx, w, account)
	if err != nil {
		return err
	}
	waiting, err := s.ringing(ctx, account)
	if err != nil {
		return s.cause(err)
	}
	p.ready(account)
	taken := make(map[string]bool)
	for {
		var e *jingledv1.Event
		if len(waiting) > 0 {
			e, waiting = waiting[0], waiting[1:]
		} else if e, err = s.next(ctx, w); err != nil {
			if !once && ctx.Err() != nil {
				return nil // an interrupt is how this command ends
			}
			return err
		}
		if e.GetAccount() != account || e.GetCallIncoming() == nil || !comesFrom(from, e.GetPeer()) || taken[e.GetSid()] {
			continue
		}
		taken[e.GetSid()] = true
		p.show(e)
		req := &jingledv1.AnswerCallRequest{Account: account, Sid: e.GetSid(), Media: media}
		if _, err := s.Calls.AnswerCall(ctx, req); err != nil {
			if once {
				return s.cause(err)
			}
			p.line("%s: %s", e.GetPeer(), message(err))
			continue
		}
		err = s.converse(ctx, w, p, &conversation{account: account, sid: e.GetSid(), flags: m})
		if once || ctx.Err() != nil {
			return err
		}
	}
}

// ringing returns, as events, the calls that rang before we began to watch.
func (s *session) ringing(ctx context.Context, account string) ([]*jingledv1.Event, error) {
	res, err := s.Calls.ListCalls(ctx, &jingledv1.ListCallsRequest{Account: account})
	var out []*jingledv1.Event
	for _, c := range res.GetCalls() {
		if c.GetIncoming() && c.GetState() == jingledv1.CallState_CALL_STATE_RINGING {
			out = append(out, &jingledv1.Event{Time: timestamppb.Now(), Account: account, Peer: c.GetPeer(), Sid: c.GetSid(),
				Body: &jingledv1.Event_CallIncoming{CallIncoming: &jingledv1.CallIncoming{Audio: true}}})
		}
	}
	return out, err
}

// converse follows a call and tells everybody else who calls that we are busy.
func (s *session) converse(ctx context.Context, w *watcher, p *printer, c *conversation) error {
	ours := &watcher{events: make(chan *jingledv1.Event), cancel: func() {}, done: w.done}
	stop := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case e, ok := <-w.events:
				if !ok {
					ours.err = w.err
					close(ours.events)
					return
				}
				if e.GetCallIncoming() != nil && e.GetAccount() == c.account && e.GetSid() != c.sid {
					_, _ = s.Calls.EndCall(ctx, &jingledv1.EndCallRequest{Account: c.account, Sid: e.GetSid(), Reason: "busy"})
					continue
				}
				select {
				case ours.events <- e:
				case <-stop:
					return
				}
			case <-stop:
				return
			}
		}
	}()
	err := follow(ctx, s, ours, p, c)
	close(stop)
	<-finished
	return err
}
