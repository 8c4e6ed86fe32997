package daemon

import (
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// TestContactsOfServers has two people become contacts and part again over servers of other people: one adds the other,
// who accepts, and both see each other with that.
func TestContactsOfServers(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		actors := map[string]*actor{}
		for _, user := range []string{"carol", "dave"} {
			name := jid.JID(s.AddUser(t, user, "pw"))
			a := bare(t, Config{Accounts: []Account{{JID: name, Password: func() (string, error) { return "pw", nil },
				Connect: s.Addr, TLS: xmpp.TLSStart, RootCAs: s.Pool()}}})
			a.jid = name
			a.online()
			actors[user] = a
		}
		carol, dave := actors["carol"], actors["dave"]
		ctx := t.Context()
		if _, err := carol.AddContact(ctx, &jingledv1.AddContactRequest{Jid: dave.jid.String(), Name: "Dave", Groups: []string{"work"}}); err != nil {
			t.Fatal(err)
		}
		carol.contact(dave.jid, "the request on her list", func(c *jingledv1.Contact) bool { return c.GetAsked() && c.GetName() == "Dave" })
		asked := dave.await("her request", func(e *jingledv1.Event) bool { return e.GetSubscriptionRequested() != nil })
		if asked.GetPeer() != carol.jid.String() {
			t.Errorf("the request: %v", asked)
		}
		if _, err := dave.AnswerSubscription(ctx, &jingledv1.AnswerSubscriptionRequest{Jid: carol.jid.String(), Accept: true, Mutual: true}); err != nil {
			t.Fatal(err)
		}
		both := func(c *jingledv1.Contact) bool {
			return c.GetSubscription() == jingledv1.Subscription_SUBSCRIPTION_BOTH && c.GetAbilities().GetAudio() && c.GetAbilities().GetFiles()
		}
		carol.contact(dave.jid, "him as a contact", both)
		dave.contact(carol.jid, "her as a contact", both)
		if _, err := carol.SetPresence(ctx, &jingledv1.SetPresenceRequest{Availability: jingledv1.Availability_AVAILABILITY_XA, Status: "on holiday"}); err != nil {
			t.Fatal(err)
		}
		dave.contact(carol.jid, "her presence", func(c *jingledv1.Contact) bool {
			return c.GetAvailability() == jingledv1.Availability_AVAILABILITY_XA && c.GetStatus() == "on holiday" && both(c)
		})
		if _, err := dave.RemoveContact(ctx, &jingledv1.RemoveContactRequest{Jid: carol.jid.String()}); err != nil {
			t.Fatal(err)
		}
		dave.await("that she is off the list", func(e *jingledv1.Event) bool { return e.GetContactRemoved() != nil })
		carol.contact(dave.jid, "that he has left", func(c *jingledv1.Contact) bool {
			return c.GetSubscription() == jingledv1.Subscription_SUBSCRIPTION_NONE && len(c.GetDevices()) == 0
		})
	})
}
