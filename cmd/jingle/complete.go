package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// lookupTime is how long somebody who has pressed the tabulator waits for the daemon.
const lookupTime = time.Second

// choices are the values of flags that have few, and endings those of the files that flags name.
var (
	choices = map[string][]string{
		"via": {"auto", "s5b", "ibb", "datachannel", "si", "http"}, "folder-as": {"auto", "archive", "files"}, "ice": {"all", "relay"},
		"tls": {"auto", "starttls", "direct", "plain-loopback"}, "call-encryption": {"dtls", "sdes", "none"}, "audio": {"pulse", "none"},
		"audio-out": {"pulse"}, "category": {"camera", "slides", "speaker", "main", "alt", "sl"}, "calls-from": {"contacts", "everyone"},
		"files-from": {"contacts", "everyone"}, "reason": {"busy", "decline", "success", "cancel"},
	}
	endings = map[string][]string{
		"audio-in": {"wav", "ogg", "opus"}, "record": {"wav", "ogg", "ivf", "h264"}, "video-in": {"ivf", "h264", "264"}, "in": {"ivf", "h264", "264"},
		"slides-in": {"ivf", "h264", "264"}, "record-video": {"ivf", "h264"}, "record-slides": {"ivf", "h264"}, "config": {"toml"},
		"ca": {"pem", "crt"},
	}
	folders = []string{"dir", "state", "keep"}
)

// completing lets shells complete arguments and values of flags: by what the synopsis of a command calls them, and from what a
// running daemon knows.
func completing(g *global, c *cobra.Command) {
	for name, values := range choices {
		if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for name, known := range endings {
		_ = c.MarkFlagFilename(name, known...) // where there is such a flag
		_ = c.MarkPersistentFlagFilename(name, known...)
	}
	for _, name := range folders {
		_ = c.MarkFlagDirname(name)
		_ = c.MarkPersistentFlagDirname(name)
	}
	people := func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return g.look(cmd, contacts)
	}
	for _, name := range []string{"from", "with", "invite"} {
		if c.Flags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, people)
		}
	}
	if c.PersistentFlags().Lookup("account") != nil {
		_ = c.RegisterFlagCompletionFunc("account", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return g.look(cmd, accounts)
		})
	}
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && !c.HasSubCommands() && c.Parent() != nil && c.Parent().Name() != "completion" {
		c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return g.argument(cmd, len(args))
		}
	}
	for _, sub := range c.Commands() {
		completing(g, sub)
	}
}

// argument completes the argument at a place.
func (g *global) argument(c *cobra.Command, at int) ([]string, cobra.ShellCompDirective) {
	var names []string
	words := strings.Fields(c.Use)[1:]
	for i := 0; i < len(words); i++ {
		if strings.HasPrefix(words[i], "--") {
			i++ // with its value
			continue
		}
		names = append(names, strings.Trim(words[i], "[]"))
	}
	name := ""
	switch last := len(names) - 1; {
	case at <= last:
		name = names[at]
	case last >= 0 && strings.HasSuffix(names[last], "..."):
		name = names[last]
	}
	switch strings.TrimSuffix(name, "...") {
	case "FILE":
		return nil, cobra.ShellCompDirectiveDefault
	case "JID":
		switch {
		case c.Name() == "add":
			return nil, cobra.ShellCompDirectiveNoFileComp
		case c.Parent().Name() == "account":
			return g.look(c, accounts)
		case c.Name() == "unblock":
			return g.look(c, blocked)
		case c.Name() == "accept", c.Name() == "deny":
			return g.look(c, requests)
		}
		return g.look(c, contacts)
	case "CALL":
		return g.look(c, callPeers)
	case "ID":
		return g.look(c, transferNames)
	case "ROOM":
		return g.look(c, roomNames)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// look asks a running daemon. Without one there is nothing to complete, and nothing is said.
func (g *global) look(c *cobra.Command, of func(context.Context, *session, string) []string) ([]string, cobra.ShellCompDirective) {
	if environment(c.Flags()) != nil || g.standalone {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := g.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), lookupTime)
	defer cancel()
	var out []string
	for _, text := range of(ctx, s, g.account) {
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func contacts(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Contacts.ListContacts(ctx, &jingledv1.ListContactsRequest{Account: account})
	for _, c := range res.GetContacts() {
		out = append(out, described(c.GetJid(), c.GetName()))
	}
	return out
}

func requests(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Contacts.ListContacts(ctx, &jingledv1.ListContactsRequest{Account: account})
	for _, r := range res.GetRequests() {
		out = append(out, clean(r.GetJid()))
	}
	return out
}

func accounts(ctx context.Context, s *session, _ string) (out []string) {
	res, _ := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
	for _, a := range res.GetAccounts() {
		out = append(out, clean(a.GetJid()))
	}
	return out
}

func blocked(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Blocks.ListBlocked(ctx, &jingledv1.ListBlockedRequest{Account: account})
	for _, l := range res.GetLists() {
		for _, who := range l.GetJids() {
			out = append(out, clean(who))
		}
	}
	return out
}

func callPeers(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Calls.ListCalls(ctx, &jingledv1.ListCallsRequest{Account: account})
	for _, c := range res.GetCalls() {
		out = append(out, clean(c.GetPeer()))
	}
	return out
}

func transferNames(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Transfers.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: account})
	for _, t := range res.GetTransfers() {
		out = append(out, described(t.GetSid(), t.GetName()))
	}
	return out
}

func roomNames(ctx context.Context, s *session, account string) (out []string) {
	res, _ := s.Rooms.ListRooms(ctx, &jingledv1.ListRoomsRequest{Account: account})
	for _, r := range res.GetRooms() {
		out = append(out, clean(r.GetRoom()))
	}
	return out
}

// described is a completion with words beside it, which shells show that can.
func described(value, text string) string {
	if text == "" {
		return clean(value)
	}
	return clean(value) + "\t" + clean(text)
}
