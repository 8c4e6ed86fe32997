package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/usage"
	"github.com/jingled/jingled/jid"
)

func newContacts(g *global) *cobra.Command {
	var online, watch bool
	c := &cobra.Command{
		Use:   "contacts",
		Short: "Show the contact list, who is online, and what they can do",
		Long: `Lists the contacts of an account, or with its commands changes them. A * stands before those who are online. The last
column tells what their devices can do: audio, video, files, and the programs that they use.`,
		Example: `  jingle contacts
  jingle contacts --online --watch
  jingle contacts add bob@example.org --name Bob
  jingle --json contacts`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.UnknownCommand(c, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runContacts(ctx, g, s, p, online, watch)
			})
		},
	}
	c.Flags().BoolVar(&online, "online", false, "only those who are online")
	c.Flags().BoolVar(&watch, "watch", false, "go on, and show what changes")
	c.AddCommand(newContactsAdd(g), newContactsRename(g), newContactsRemove(g), newContactsAccept(g), newContactsDeny(g))
	return c
}

func newContactsAdd(g *global) *cobra.Command {
	req := &jingledv1.AddContactRequest{}
	c := g.contactCommand("add JID", "Put somebody on the list and ask to see their presence",
		`Puts somebody on the contact list and asks to see when they are online. If they have asked the same, that is accepted.`,
		func(ctx context.Context, s *session, account, who string) error {
			req.Account, req.Jid = account, who
			_, err := s.Contacts.AddContact(ctx, req)
			return err
		})
	c.Example = "  jingle contacts add bob@example.org --name Bob --group Friends"
	c.Flags().StringVar(&req.Name, "name", "", "the `NAME` to show")
	c.Flags().StringArrayVar(&req.Groups, "group", nil, "`GROUP` to put it into; may be repeated")
	c.Flags().BoolVar(&req.Quiet, "quiet", false, "only put it on the list")
	return c
}

func newContactsRename(g *global) *cobra.Command {
	c := g.contactCommand("rename JID NAME", "Change a contact's name", "Changes the name by which a contact is shown.", nil)
	c.Example = "  jingle contacts rename bob@example.org 'Bob (work)'"
	c.Args = cobra.ExactArgs(2)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return g.onContact(cmd, args[0], func(ctx context.Context, s *session, account, who string) error {
			_, err := s.Contacts.UpdateContact(ctx, &jingledv1.UpdateContactRequest{Account: account, Jid: who, Name: &args[1]})
			return err
		})
	}
	return c
}

func newContactsRemove(g *global) *cobra.Command {
	return g.contactCommand("remove JID", "Take somebody off the list", "Takes somebody off the contact list. Neither sees any more when the other is online.",
		func(ctx context.Context, s *session, account, who string) error {
			_, err := s.Contacts.RemoveContact(ctx, &jingledv1.RemoveContactRequest{Account: account, Jid: who})
			return err
		})
}

func newContactsAccept(g *global) *cobra.Command {
	var oneWay bool
	c := g.contactCommand("accept JID", "Let somebody who has asked see when you are online",
		"Accepts a request for subscription, and asks to see their presence too.",
		func(ctx context.Context, s *session, account, who string) error {
			_, err := s.Contacts.AnswerSubscription(ctx, &jingledv1.AnswerSubscriptionRequest{Account: account, Jid: who, Accept: true, Mutual: !oneWay})
			return err
		})
	c.Flags().BoolVar(&oneWay, "one-way", false, "do not ask to see their presence")
	return c
}

func newContactsDeny(g *global) *cobra.Command {
	return g.contactCommand("deny JID", "Refuse that somebody sees when you are online",
		"Denies a request for subscription, or takes back what was accepted.",
		func(ctx context.Context, s *session, account, who string) error {
			_, err := s.Contacts.AnswerSubscription(ctx, &jingledv1.AnswerSubscriptionRequest{Account: account, Jid: who})
			return err
		})
}

// contactCommand makes a command that does something with one person.
func (g *global) contactCommand(use, short, long string, do func(ctx context.Context, s *session, account, who string) error) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Example: "  jingle contacts " + name + " bob@example.org",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onContact(cmd, args[0], do)
		},
	}
}

func (g *global) onContact(cmd *cobra.Command, who string, do func(ctx context.Context, s *session, account, who string) error) error {
	j, err := jid.Parse(who)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
		w, err := s.watch(ctx)
		if err != nil {
			return s.cause(err)
		}
		defer w.close()
		account, err := s.online(ctx, w, g.account)
		if err != nil {
			return err
		}
		if g.standalone {
			s.calm(ctx, w) // requests that wait come after login
		}
		if err := do(ctx, s, account, j.Bare().String()); err != nil {
			return s.cause(err)
		}
		return nil
	})
}

// contactsQuiet and contactsMost bound how long a daemon of our own is given to hear who is online.
const (
	contactsQuiet = 700 * time.Millisecond
	contactsMost  = 5 * time.Second
)

// calm waits until no news of contacts come any more: a daemon of our own has only just logged in, and presence comes in
// its own time.
func (s *session) calm(ctx context.Context, w *watcher) {
	ctx, cancel := context.WithTimeout(ctx, contactsMost)
	defer cancel()
	for {
		quiet, done := context.WithTimeout(ctx, contactsQuiet)
		_, err := s.next(quiet, w)
		done()
		if err != nil {
			return
		}
	}
}

func runContacts(ctx context.Context, g *global, s *session, p *printer, online, watch bool) error {
	w, err := s.watch(ctx)
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	if g.standalone {
		if _, err := s.online(ctx, w, g.account); err != nil {
			return err
		}
		s.calm(ctx, w)
	}
	list := func() error {
		res, err := s.Contacts.ListContacts(ctx, &jingledv1.ListContactsRequest{Account: g.account})
		if err != nil {
			return s.cause(err)
		}
		for _, c := range res.GetContacts() {
			if !online || c.GetAvailability() != jingledv1.Availability_AVAILABILITY_OFFLINE {
				p.contact(c)
			}
		}
		for _, r := range res.GetRequests() {
			p.subscriptionRequest(r)
		}
		if len(res.GetContacts())+len(res.GetRequests()) == 0 {
			p.none("no contacts: jingle contacts add JID")
		}
		return nil
	}
	if err := list(); err != nil || !watch {
		return err
	}
	for {
		e, err := s.next(ctx, w)
		if err != nil {
			if ctx.Err() != nil {
				return nil // an interrupt is how it ends
			}
			return err
		}
		if g.account != "" && e.GetAccount() != jid.JID(g.account).Bare().String() {
			continue
		}
		switch b := e.GetBody().(type) {
		case *jingledv1.Event_ContactsReset:
			if err := list(); err != nil {
				return err
			}
		case *jingledv1.Event_ContactChanged:
			p.contact(b.ContactChanged)
		case *jingledv1.Event_SubscriptionRequested:
			p.subscriptionRequest(b.SubscriptionRequested)
		case *jingledv1.Event_ContactRemoved:
			p.contactGone("contact.removed", e, "is off the list")
		case *jingledv1.Event_SubscriptionAnswered:
			p.contactGone("contact.answered", e, "does not wait any more to see your presence")
		}
	}
}

// contact shows an entry of the list.
func (p *printer) contact(c *jingledv1.Contact) {
	if p.json {
		p.object(contactRecord(c))
		return
	}
	mark, what := " ", contactDetails(c)
	if c.GetAvailability() != jingledv1.Availability_AVAILABILITY_OFFLINE {
		mark = "*"
	}
	p.line("%s", strings.TrimRight(mark+" "+pad(c.GetJid(), 32)+" "+pad(clean(c.GetName()), 20)+" "+
		pad(availability(c.GetAvailability()), 10)+" "+what, " "))
}

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len([]rune(s)))) }

// contactDetails is the last column.
func contactDetails(c *jingledv1.Contact) string {
	var parts []string
	if can := abilities(c.GetAbilities()); len(can) > 0 {
		parts = append(parts, strings.Join(can, " "))
	}
	var programs []string
	for _, d := range c.GetDevices() {
		if name := clean(d.GetClient()); name != "" && !slices.Contains(programs, name) {
			programs = append(programs, name)
		}
	}
	if len(programs) > 0 {
		parts = append(parts, "("+strings.Join(programs, ", ")+")")
	}
	switch s := c.GetSubscription(); {
	case c.GetAsked():
		parts = append(parts, "has not answered yet")
	case s == jingledv1.Subscription_SUBSCRIPTION_FROM:
		parts = append(parts, "does not show when online")
	case s == jingledv1.Subscription_SUBSCRIPTION_TO:
		parts = append(parts, "does not see you")
	case s == jingledv1.Subscription_SUBSCRIPTION_NONE:
		parts = append(parts, "neither sees the other")
	}
	if c.GetStatus() != "" {
		parts = append(parts, `"`+clean(c.GetStatus())+`"`)
	}
	return strings.Join(parts, " ")
}

func (p *printer) subscriptionRequest(r *jingledv1.SubscriptionRequest) {
	if p.json {
		p.object(struct {
			head
			Text string `json:"text,omitempty"`
		}{head{Event: "contact.request", Time: now(), Account: r.GetAccount(), Peer: r.GetJid()}, r.GetText()})
		return
	}
	text := ""
	if r.GetText() != "" {
		text = `: "` + clean(r.GetText()) + `"`
	}
	p.line("? %s asks to see when you are online%s (jingle contacts accept, or deny)", r.GetJid(), text)
}

func (p *printer) contactGone(event string, e *jingledv1.Event, text string) {
	if p.json {
		p.object(head{Event: event, Time: now(), Account: e.GetAccount(), Peer: e.GetPeer()})
		return
	}
	p.line("  %s %s", e.GetPeer(), text)
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

type deviceRecord struct {
	JID          string   `json:"jid"`
	Availability string   `json:"availability"`
	Status       string   `json:"status,omitempty"`
	Priority     int32    `json:"priority"`
	Can          []string `json:"can"` // null: not known
	Client       string   `json:"client,omitempty"`
	ClientType   string   `json:"client_type,omitempty"`
}

func contactRecord(c *jingledv1.Contact) any {
	devices := []deviceRecord{}
	for _, d := range c.GetDevices() {
		devices = append(devices, deviceRecord{d.GetJid(), availability(d.GetAvailability()), d.GetStatus(), d.GetPriority(),
			abilities(d.GetAbilities()), d.GetClient(), d.GetClientType()})
	}
	groups := c.GetGroups()
	if groups == nil {
		groups = []string{}
	}
	return struct {
		head
		Name         string         `json:"name"`
		Groups       []string       `json:"groups"`
		Subscription string         `json:"subscription"`
		Asked        bool           `json:"asked"`
		Availability string         `json:"availability"`
		Status       string         `json:"status,omitempty"`
		Can          []string       `json:"can"`
		Devices      []deviceRecord `json:"devices"`
	}{head{Event: "contact", Time: now(), Account: c.GetAccount(), Peer: c.GetJid()}, c.GetName(), groups,
		enum(c.GetSubscription().String(), "SUBSCRIPTION_"), c.GetAsked(), availability(c.GetAvailability()), c.GetStatus(),
		abilities(c.GetAbilities()), devices}
}

// abilities lists what can be done; nil if nothing is known.
func abilities(a *jingledv1.Abilities) []string {
	if a == nil {
		return nil
	}
	can := []string{}
	for _, one := range []struct {
		name string
		has  bool
	}{{"audio", a.GetAudio()}, {"video", a.GetVideo()}, {"files", a.GetFiles()}, {"dtmf", a.GetDtmf()}} {
		if one.has {
			can = append(can, one.name)
		}
	}
	return can
}

func availability(a jingledv1.Availability) string { return enum(a.String(), "AVAILABILITY_") }

// enum is the name of a value of the schema as people and scripts see it.
func enum(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func newPresence(g *global) *cobra.Command {
	var status string
	c := &cobra.Command{
		Use:   "presence AVAILABILITY",
		Short: "Change what contacts see of you",
		Long: `Tells the contacts of an account that it is available, chat (would like to talk), away, xa (away for long) or dnd (do
not disturb). It lasts until the daemon ends. Calls ring all the same.`,
		Example: `  jingle presence dnd --status 'in a meeting'
  jingle presence available`,
		ValidArgs: []string{"available", "chat", "away", "xa", "dnd"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.standalone {
				return exitf(exitUsage, `"presence" is about the account of a running daemon, and goes without --standalone`)
			}
			a := jingledv1.Availability(jingledv1.Availability_value["AVAILABILITY_"+strings.ToUpper(args[0])])
			return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
				_, err := s.Contacts.SetPresence(ctx, &jingledv1.SetPresenceRequest{Account: g.account, Availability: a, Status: status})
				return err
			})
		},
	}
	c.Flags().StringVar(&status, "status", "", "`TEXT` that goes with it")
	return c
}
