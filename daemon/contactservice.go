package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/roster"
)

// Bounds of what is written into a contact list, in bytes. RFC 6121 section 2.1.2.3 leaves them to servers, which have
// similar ones.
const (
	maxContactName   = 1023
	maxContactGroups = 64
	maxStatus        = 1024
)

// ListContacts tells who is on the contact lists, who of them is online, and what they can do.
func (d *Daemon) ListContacts(_ context.Context, req *jingledv1.ListContactsRequest) (*jingledv1.ListContactsResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	out := &jingledv1.ListContactsResponse{}
	for _, a := range accounts {
		a.contacts.list(out)
	}
	return out, nil
}

// AddContact puts somebody on the list.
func (d *Daemon) AddContact(ctx context.Context, req *jingledv1.AddContactRequest) (*jingledv1.AddContactResponse, error) {
	a, bare, err := d.onlineWith(req.GetAccount(), req.GetJid())
	if err != nil {
		return nil, err
	}
	if bare == a.cfg.JID {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("that is the account itself"))
	}
	if err := a.setContact(ctx, roster.Item{JID: bare, Name: req.GetName(), Groups: req.GetGroups()}); err != nil {
		return nil, err
	}
	if req.GetQuiet() {
		return &jingledv1.AddContactResponse{}, nil
	}
	a.contacts.grant(bare)
	// Also in advance (RFC 6121 section 3.4), for servers that remember that; others ignore it.
	if err := a.accept(bare); err != nil {
		return nil, err
	}
	if err := a.askPresence(bare); err != nil {
		return nil, err
	}
	return &jingledv1.AddContactResponse{}, nil
}

// UpdateContact changes a contact's name or groups.
func (d *Daemon) UpdateContact(ctx context.Context, req *jingledv1.UpdateContactRequest) (*jingledv1.UpdateContactResponse, error) {
	a, i, err := d.contactOf(req.GetAccount(), req.GetJid())
	if err != nil {
		return nil, err
	}
	if req.Name != nil {
		i.Name = req.GetName()
	}
	if req.GetGroups() != nil {
		i.Groups = req.GetGroups().GetNames()
	}
	if err := a.setContact(ctx, i); err != nil {
		return nil, err
	}
	return &jingledv1.UpdateContactResponse{}, nil
}

// RemoveContact takes somebody off the list.
func (d *Daemon) RemoveContact(ctx context.Context, req *jingledv1.RemoveContactRequest) (*jingledv1.RemoveContactResponse, error) {
	a, i, err := d.contactOf(req.GetAccount(), req.GetJid())
	if err != nil {
		return nil, err
	}
	if err := a.client.RemoveContact(ctx, i.JID); err != nil {
		return nil, a.refused(err)
	}
	return &jingledv1.RemoveContactResponse{}, nil
}

// AnswerSubscription decides who sees our presence.
func (d *Daemon) AnswerSubscription(_ context.Context, req *jingledv1.AnswerSubscriptionRequest) (*jingledv1.AnswerSubscriptionResponse, error) {
	a, bare, err := d.onlineWith(req.GetAccount(), req.GetJid())
	if err != nil {
		return nil, err
	}
	i, _ := a.client.Contact(bare)
	if !a.contacts.waits(bare) && (req.GetAccept() || !i.Subscription.SeesUs()) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s has not asked to see the presence of %s", bare, a.cfg.JID))
	}
	if !req.GetAccept() {
		if err := a.client.Deny(bare); err != nil {
			return nil, a.refused(err)
		}
		a.contacts.revoke(bare)
		a.contacts.answered(bare)
		return &jingledv1.AnswerSubscriptionResponse{}, nil
	}
	if err := a.accept(bare); err != nil {
		return nil, err
	}
	if req.GetMutual() {
		if err := a.askPresence(bare); err != nil {
			return nil, err
		}
	}
	return &jingledv1.AnswerSubscriptionResponse{}, nil
}

// SetPresence changes what contacts see of us.
func (d *Daemon) SetPresence(_ context.Context, req *jingledv1.SetPresenceRequest) (*jingledv1.SetPresenceResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	if a.cfg.tunnel != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("whoever owns this stream sets its presence"))
	}
	if err := checkText("status", req.GetStatus(), maxStatus); err != nil {
		return nil, err
	}
	own := &jingledv1.OwnPresence{Account: a.cfg.JID.String(), Availability: req.GetAvailability(), Status: req.GetStatus()}
	if own.Availability == jingledv1.Availability_AVAILABILITY_UNSPECIFIED {
		own.Availability = jingledv1.Availability_AVAILABILITY_AVAILABLE
	}
	show, ok := "", false
	for s, v := range availabilities {
		if v == own.Availability {
			show, ok = s, true
		}
	}
	if !ok {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("availability is AVAILABLE, CHAT, AWAY, XA or DND"))
	}
	if err := a.client.SetPresence(xmpp.Presence{Show: show, Status: own.Status, Priority: a.cfg.Priority}); err != nil {
		return nil, a.refused(err)
	}
	a.contacts.setPresence(own)
	return &jingledv1.SetPresenceResponse{}, nil
}

func (c *contacts) setPresence(own *jingledv1.OwnPresence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.presence = own
}

// onlineWith finds an account that is connected and reads the address of a person.
func (d *Daemon) onlineWith(account, person string) (*account, jid.JID, error) {
	a, err := d.account(account)
	if err != nil {
		return nil, "", err
	}
	j, err := jid.Parse(person)
	if err != nil {
		return nil, "", connect.NewError(connect.CodeInvalidArgument, err)
	}
	if a.client.State().State != xmpp.Online {
		return nil, "", a.offline()
	}
	return a, j.Bare(), nil
}

// contactOf is onlineWith for somebody on the list.
func (d *Daemon) contactOf(account, person string) (*account, roster.Item, error) {
	a, bare, err := d.onlineWith(account, person)
	if err != nil {
		return nil, roster.Item{}, err
	}
	i, ok := a.client.Contact(bare)
	if !ok {
		return nil, i, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s is not a contact of %s", bare, a.cfg.JID))
	}
	return a, i, nil
}

func (a *account) setContact(ctx context.Context, i roster.Item) error {
	if err := checkText("name", i.Name, maxContactName); err != nil {
		return err
	}
	if len(i.Groups) > maxContactGroups {
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("more than %d groups", maxContactGroups))
	}
	i.Groups = slices.Clone(i.Groups)
	slices.Sort(i.Groups)
	i.Groups = slices.Compact(i.Groups) // RFC 6121 section 2.1.2.6: no group twice
	for _, g := range i.Groups {
		if err := checkText("group", g, maxContactName); err != nil {
			return err
		}
		if g == "" {
			return connect.NewError(connect.CodeInvalidArgument, errors.New("a group without a name"))
		}
	}
	if err := a.client.SetContact(ctx, i); err != nil {
		return a.refused(err)
	}
	return nil
}

// checkText refuses what XML cannot carry (XML 1.0 section 2.2) or no server takes.
func checkText(what, s string, most int) error {
	bad := !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
	switch {
	case len(s) > most:
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s: at most %d bytes are possible", what, most))
	case bad:
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s: there is a character in it that XMPP cannot carry", what))
	}
	return nil
}

// accept lets somebody see our presence.
func (a *account) accept(bare jid.JID) error {
	if err := a.client.Approve(bare); err != nil {
		return a.refused(err)
	}
	a.contacts.answered(bare)
	return nil
}

// askPresence asks to see somebody's presence, if we do not.
func (a *account) askPresence(bare jid.JID) error {
	if i, _ := a.client.Contact(bare); i.Subscription.WeSee() {
		return nil
	}
	if err := a.client.Subscribe(bare); err != nil {
		return a.refused(err)
	}
	return nil
}

func (a *account) offline() error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is not connected", a.cfg.JID))
}

// refused gives an error of the server, or of the way to it, its code.
func (a *account) refused(err error) error {
	var se *jingle.StanzaError
	switch {
	case errors.Is(err, xmpp.ErrOffline):
		return a.offline()
	case errors.Is(err, xmpp.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the server did not answer in time"))
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, xmpp.ErrQueueFull):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.As(err, &se):
		code := connect.CodeFailedPrecondition
		switch se.Condition {
		case "item-not-found":
			code = connect.CodeNotFound
		case "forbidden", "not-allowed", "not-authorized":
			code = connect.CodePermissionDenied
		case "resource-constraint":
			code = connect.CodeResourceExhausted
		}
		return connect.NewError(code, fmt.Errorf("the server refuses it: %w", err))
	}
	return connect.NewError(connect.CodeInternal, err)
}
