package main

import (
	"context"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func newDoctor(g *global) *cobra.Command {
	var stun []string
	c := &cobra.Command{
		Use:   "doctor [JID]",
		Short: "Find out why calls or files do not work, and what to do",
		Long: `Looks at the login, at what the server has for calls and files, at the way to the internet (NAT, firewall), at each TURN
server that the XMPP server names, and, with a JID, at what that person's clients can do. Under each finding that is not
good stands what to do.

It asks nobody but your XMPP server, the STUN and TURN servers that it names, those of --stun, and the clients of a
contact what they can do. The exit status is 0 if there is no problem, and 1 if there is one.`,
		Example: `  jingle doctor
  jingle doctor bob@example.org
  jingle --json doctor --stun stun.example.org:3478`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &jingledv1.ExamineRequest{Account: g.account, StunServers: stun}
			if len(args) > 0 {
				j, err := jid.Parse(args[0])
				if err != nil {
					return &exitError{exitUsage, err}
				}
				req.Peer = j.String()
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runDoctor(ctx, g, s, p, req)
			})
		},
	}
	c.Flags().StringArrayVar(&stun, "stun", nil, "`HOST:PORT` of another STUN server to ask; may be repeated")
	return c
}

func runDoctor(ctx context.Context, g *global, s *session, p *printer, req *jingledv1.ExamineRequest) error {
	if g.standalone && req.GetPeer() != "" {
		w, err := s.watch(ctx)
		if err != nil {
			return s.cause(err)
		}
		defer w.close()
		if _, err := s.online(ctx, w, g.account); err == nil {
			s.calm(ctx, w) // else nobody would be online yet
		}
	}
	stream, err := s.Doctor.Examine(ctx, req)
	if err != nil {
		return s.cause(err)
	}
	account := req.GetAccount()
	if account == "" { // then it is the only one
		if res, err := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{}); err == nil && len(res.GetAccounts()) == 1 {
			account = res.GetAccounts()[0].GetJid()
		}
	}
	problems := 0
	for stream.Receive() {
		f := stream.Msg().GetFinding()
		if f.GetVerdict() == jingledv1.Verdict_VERDICT_PROBLEM {
			problems++
		}
		p.finding(account, f)
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	switch problems {
	case 0:
		return nil
	case 1:
		return exitf(exitFailed, "there is a problem")
	}
	return exitf(exitFailed, "there are %d problems", problems)
}

// verdicts are what stands before a finding.
var verdicts = map[jingledv1.Verdict]string{
	jingledv1.Verdict_VERDICT_OK: "ok", jingledv1.Verdict_VERDICT_NOTE: "note", jingledv1.Verdict_VERDICT_PROBLEM: "PROBLEM",
}

// finding prints what the doctor has found.
func (p *printer) finding(account string, f *jingledv1.Finding) {
	if p.json {
		p.object(struct {
			head
			Check   string            `json:"check"`
			Verdict string            `json:"verdict"`
			Subject string            `json:"subject"`
			Text    string            `json:"text"`
			Advice  string            `json:"advice,omitempty"`
			Details map[string]string `json:"details,omitempty"`
		}{head{Event: "finding", Time: now(), Account: account}, f.GetCheck(), enum(f.GetVerdict().String(), "VERDICT_"), f.GetSubject(),
			f.GetText(), f.GetAdvice(), f.GetDetails()})
		return
	}
	p.line("%s %s: %s", pad(verdicts[f.GetVerdict()], 8), clean(f.GetSubject()), clean(f.GetText()))
	if f.GetAdvice() != "" {
		p.line("%s -> %s", pad("", 8), clean(f.GetAdvice()))
	}
}
