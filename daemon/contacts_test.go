package daemon

import (
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// contact waits until somebody on the list is as wanted, and returns the entry.
func (a *actor) contact(bare jid.JID, what string, want func(*jingledv1.Contact) bool) *jingledv1.Contact {
	a.t.Helper()
	var found *jingledv1.Contact
	look := func() bool {
		res, err := a.ListContacts(a.t.Context(), &jingledv1.ListContactsRequest{})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, c := range res.GetContacts() {
			if found = c; c.GetJid() == bare.String() && want(c) {
				return true
			}
		}
		return false
	}
	if !look() {
		a.await(what, func(e *jingledv1.Event) bool {
			return (e.GetContactChanged() != nil || e.GetContactsReset() != nil || e.GetContactRemoved() != nil) && look()
		})
	}
	return found
}

func TestContactsOnline(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	bare := jid.JID("bob@" + srv.Domain())
	c := alice.contact(bare, "the list", func(c *jingledv1.Contact) bool { return c.GetSubscription() != 0 })
	if c.GetAvailability() != jingledv1.Availability_AVAILABILITY_OFFLINE || len(c.GetDevices()) > 0 || c.GetAbilities() != nil {
		t.Errorf("before he is online: %v", c)
	}
	if c.GetSubscription() != jingledv1.Subscription_SUBSCRIPTION_BOTH || c.GetAccount() != alice.jid.String() {
		t.Errorf("the entry: %v", c)
	}

	bob := act(t, srv, "bob", nil)
	c = alice.contact(bare, "what Bob's device can do", func(c *jingledv1.Contact) bool { return c.GetAbilities() != nil })
	if len(c.GetDevices()) != 1 || jid.JID(c.GetDevices()[0].GetJid()).Bare() != bare {
		t.Fatalf("devices: %v", c)
	}
	d := c.GetDevices()[0]
	if can := d.GetAbilities(); !can.GetAudio() || !can.GetFiles() || !can.GetDtmf() || d.GetClient() != "Jingled" || d.GetClientType() != "pc" {
		t.Errorf("what he can do: %v", d)
	}
	for _, p := range []*jingledv1.SetPresenceRequest{
		{Availability: jingledv1.Availability_AVAILABILITY_DND, Status: "in a meeting"},
		{Availability: jingledv1.Availability_AVAILABILITY_AWAY},
	} {
		if _, err := bob.SetPresence(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		alice.contact(bare, "his presence", func(c *jingledv1.Contact) bool {
			return c.GetAvailability() == p.GetAvailability() && c.GetStatus() == p.GetStatus() && c.GetAbilities().GetAudio()
		})
	}
	res, err := bob.ListContacts(t.Context(), &jingledv1.ListContactsRequest{Account: bob.jid.String()})
	if err != nil {
		t.Fatal(err)
	}
	if own := res.GetPresences(); len(own) != 1 || own[0].GetAvailability() != jingledv1.Availability_AVAILABILITY_AWAY {
		t.Errorf("his own presence: %v", own)
	}
	bob.stop()
	alice.contact(bare, "his end", func(c *jingledv1.Contact) bool {
		return c.GetAvailability() == jingledv1.Availability_AVAILABILITY_OFFLINE && c.GetAbilities() == nil
	})
}

// Two who do not know each other become contacts, and part again.
func TestSubscriptions(t *testing.T) {
	srv := newServer(t)
	carol, dave := act(t, srv, "carol", nil), act(t, srv, "dave", nil)
	ctx := t.Context()
	if _, err := carol.AddContact(ctx, &jingledv1.AddContactRequest{Jid: dave.jid.String(), Name: "Dave", Groups: []string{"work", "work", "a"}}); err != nil {
		t.Fatal(err)
	}
	carol.contact(dave.jid, "the request on her list", func(c *jingledv1.Contact) bool {
		return c.GetAsked() && c.GetName() == "Dave" && len(c.GetGroups()) == 2 && c.GetSubscription() == jingledv1.Subscription_SUBSCRIPTION_NONE
	})
	asked := dave.await("her request", func(e *jingledv1.Event) bool { return e.GetSubscriptionRequested() != nil })
	if asked.GetPeer() != carol.jid.String() || asked.GetSubscriptionRequested().GetJid() != carol.jid.String() {
		t.Errorf("the request: %v", asked)
	}
	res, err := dave.ListContacts(ctx, &jingledv1.ListContactsRequest{})
	if err != nil || len(res.GetRequests()) != 1 || res.GetRequests()[0].GetJid() != carol.jid.String() {
		t.Fatalf("requests that wait: %v, %v", res, err)
	}
	if _, err := dave.AnswerSubscription(ctx, &jingledv1.AnswerSubscriptionRequest{Jid: carol.jid.String(), Accept: true, Mutual: true}); err != nil {
		t.Fatal(err)
	}
	dave.await("the end of the request", func(e *jingledv1.Event) bool { return e.GetSubscriptionAnswered() != nil })
	// She has asked him, so that he may see her as well.
	both := func(c *jingledv1.Contact) bool {
		return c.GetSubscription() == jingledv1.Subscription_SUBSCRIPTION_BOTH && c.GetAbilities().GetAudio()
	}
	carol.contact(dave.jid, "him as a contact", both)
	dave.contact(carol.jid, "her as a contact", both)

	name := "Carol of work"
	if _, err := dave.UpdateContact(ctx, &jingledv1.UpdateContactRequest{Jid: carol.jid.String(), Name: &name,
		Groups: &jingledv1.Groups{Names: []string{"work"}}}); err != nil {
		t.Fatal(err)
	}
	dave.contact(carol.jid, "her name", func(c *jingledv1.Contact) bool {
		return c.GetName() == name && len(c.GetGroups()) == 1 && both(c)
	})
	// What was accepted can be taken back.
	if _, err := dave.AnswerSubscription(ctx, &jingledv1.AnswerSubscriptionRequest{Jid: carol.jid.String()}); err != nil {
		t.Fatal(err)
	}
	carol.contact(dave.jid, "that he hides", func(c *jingledv1.Contact) bool {
		return c.GetSubscription() == jingledv1.Subscription_SUBSCRIPTION_FROM && len(c.GetDevices()) == 0
	})
	if _, err := carol.RemoveContact(ctx, &jingledv1.RemoveContactRequest{Jid: dave.jid.String()}); err != nil {
		t.Fatal(err)
	}
	carol.await("that he is off the list", func(e *jingledv1.Event) bool {
		return e.GetContactRemoved() != nil && e.GetPeer() == dave.jid.String()
	})
}

func TestContactErrors(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	ctx := t.Context()
	bob := "bob@" + srv.Domain()
	bad := "a\x00b"
	for name, c := range map[string]struct{ got, want connect.Code }{
		"list: no such account":  {code(ctx, alice.ListContacts, &jingledv1.ListContactsRequest{Account: "x@y.test"}), connect.CodeNotFound},
		"add: no address":        {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{}), connect.CodeInvalidArgument},
		"add: oneself":           {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{Jid: alice.jid.String()}), connect.CodeInvalidArgument},
		"add: name":              {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{Jid: bob, Name: bad}), connect.CodeInvalidArgument},
		"add: long name":         {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{Jid: bob, Name: string(make([]byte, 2000))}), connect.CodeInvalidArgument},
		"add: group":             {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{Jid: bob, Groups: []string{""}}), connect.CodeInvalidArgument},
		"add: groups":            {code(ctx, alice.AddContact, &jingledv1.AddContactRequest{Jid: bob, Groups: make([]string, 100)}), connect.CodeInvalidArgument},
		"update: no contact":     {code(ctx, alice.UpdateContact, &jingledv1.UpdateContactRequest{Jid: "x@y.test"}), connect.CodeNotFound},
		"remove: no contact":     {code(ctx, alice.RemoveContact, &jingledv1.RemoveContactRequest{Jid: "x@y.test"}), connect.CodeNotFound},
		"answer: nobody asked":   {code(ctx, alice.AnswerSubscription, &jingledv1.AnswerSubscriptionRequest{Jid: "x@y.test"}), connect.CodeNotFound},
		"presence: offline":      {code(ctx, alice.SetPresence, &jingledv1.SetPresenceRequest{Availability: jingledv1.Availability_AVAILABILITY_OFFLINE}), connect.CodeInvalidArgument},
		"presence: out of range": {code(ctx, alice.SetPresence, &jingledv1.SetPresenceRequest{Availability: 99}), connect.CodeInvalidArgument},
		"presence: status":       {code(ctx, alice.SetPresence, &jingledv1.SetPresenceRequest{Status: bad}), connect.CodeInvalidArgument},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// A flood of changes is one event, and a flood of requests is bounded.
func TestContactFloods(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	acc := alice.accounts[0]
	alice.contact(jid.JID("bob@"+srv.Domain()), "the list", func(*jingledv1.Contact) bool { return true })
	for range 3 * maxRequests {
		x := xmltree.New("jabber:client", "presence").Set("from", "x"+newCallID()+"@flood.test").Set("to", alice.jid.String()).Set("type", "subscribe")
		if !srv.Deliver(acc.client.JID(), x) {
			t.Fatal("not delivered")
		}
	}
	for range maxRequests {
		alice.await("request", func(e *jingledv1.Event) bool { return e.GetSubscriptionRequested() != nil })
	}
	behind := make(chan error)
	acc.client.Request("", "get", xmltree.New(nsPing, "ping"), 0, func(_ *xmltree.Element, err error) { behind <- err })
	if err := <-behind; err != nil {
		t.Fatal(err)
	}
	res, err := alice.ListContacts(t.Context(), &jingledv1.ListContactsRequest{})
	if err != nil || len(res.GetRequests()) != maxRequests {
		t.Errorf("%d requests wait (%v), want %d", len(res.GetRequests()), err, maxRequests)
	}
	for range 10 * maxContactNews {
		acc.contacts.touch(jid.JID("y" + newCallID() + "@flood.test"))
	}
	news := 0
	alice.await("the one event", func(e *jingledv1.Event) bool {
		if e.GetContactRemoved() != nil {
			news++
		}
		return e.GetContactsReset() != nil
	})
	if news > 2*maxContactNews {
		t.Errorf("%d events", news)
	}
}
