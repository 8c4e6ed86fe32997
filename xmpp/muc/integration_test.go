package muc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServers runs all that follows against the servers of other people.
func TestServers(t *testing.T) {
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, kind, testkit.Options{})
			for _, user := range []string{"alice", "bob", "carol"} {
				s.AddUser(t, user, "secret")
			}
			t.Run("call", func(t *testing.T) { testCallRoom(t, s) })
			t.Run("public", func(t *testing.T) { testPublicRoom(t, s) })
			t.Run("shows addresses", func(t *testing.T) { testBeginsToShow(t, s) })
			t.Run("ends", func(t *testing.T) { testEnds(t, s) })
		})
	}
}

// guest is a client with its rooms.
type guest struct {
	*muc.Driver
	t       *testing.T
	client  *xmpp.Client
	effects chan effect
	seen    []effect
	invited chan muc.Invitation
}

type effect struct {
	room jid.JID
	muc.Effect
}

func login(t *testing.T, s *testkit.Server, user string) *guest {
	t.Helper()
	g := &guest{t: t, effects: make(chan effect, 1000), invited: make(chan muc.Invitation, 10)}
	cfg := xmpptest.At(s, user, "secret")
	cfg.Resource = "real"
	g.client = xmpptest.Client(t, cfg)
	g.Driver = muc.NewDriver(g.client, func(room jid.JID, e muc.Effect) { g.effects <- effect{room, e} })
	g.client.HandlePresence(func(p *xmpp.PresenceStanza) { g.Receive(p.Element) })
	g.client.HandleMessage(func(m *xmpp.Message) {
		g.Receive(m.Element)
		if i, ok := muc.ParseInvitation(m.Element, m.From); ok {
			g.invited <- i
		}
	})
	xmpptest.Run(t, g.client)
	t.Cleanup(g.Disconnected)
	return g
}

func (g *guest) join(cfg muc.Config) {
	g.t.Helper()
	if err := g.Join(cfg); err != nil {
		g.t.Fatal(err)
	}
}

// await waits for an effect of a kind, also one that was there already.
func await[E muc.Effect](g *guest, is func(E) bool) E {
	g.t.Helper()
	deadline := time.After(30 * time.Second)
	for i := 0; ; i++ {
		for i >= len(g.seen) {
			select {
			case e := <-g.effects:
				g.seen = append(g.seen, e)
			case <-deadline:
				var want E
				g.t.Fatalf("%s waits for %T; there is %+v", g.client.Account(), want, g.seen)
			}
		}
		if e, ok := g.seen[i].Effect.(E); ok && (is == nil || is(e)) {
			g.seen = append(g.seen[:i:i], g.seen[i+1:]...)
			return e
		}
	}
}

func present(nick string) func(muc.Present) bool {
	return func(p muc.Present) bool { return p.Occupant.Nick == nick }
}

// testCallRoom makes a room as for a group call: for members only, and with real addresses.
func testCallRoom(t *testing.T, s *testkit.Server) {
	alice, bob, carol := login(t, s, "alice"), login(t, s, "bob"), login(t, s, "carol")
	room := jid.JID("call-7@" + s.MUC)
	mark := xmltree.New("urn:example:mark", "mark")
	alice.join(muc.Config{Room: room, Nick: "alice", ShowAddress: true, Extra: []*xmltree.Element{mark},
		Create: &muc.Creation{Name: "A call", MembersOnly: true, NonAnonymous: true}})
	if e := await[muc.Entered](alice, nil); !e.Created || e.Nick != "alice" {
		t.Errorf("alice: %+v", e)
	}
	// Who is no member does not get in, and hears why; nor does who may not show an address.
	carol.join(muc.Config{Room: room, Nick: "carol", ShowAddress: true})
	if l := await[muc.Left](carol, nil); l.Cause != muc.Refused || !strings.Contains(l.Text(), "members only") {
		t.Errorf("carol: %+v, %s", l, l.Text())
	}
	bob.join(muc.Config{Room: room, Nick: "bob"})
	if l := await[muc.Left](bob, nil); l.Cause != muc.ShowsAddresses {
		t.Errorf("bob: %+v", l)
	}
	if err := alice.Grant(room, "member", bob.client.Account()); err != nil {
		t.Fatal(err)
	}
	if g := await[muc.Granted](alice, nil); g.Err != nil {
		t.Fatal(g.Err)
	}
	bob.join(muc.Config{Room: room, Nick: "bob", ShowAddress: true})
	if e := await[muc.Entered](bob, nil); e.Created || !e.Info.MembersOnly || !e.Info.NonAnonymous || e.Info.Name != "A call" {
		t.Errorf("bob: %+v", e)
	}
	if p := await(bob, present("alice")); p.Occupant.JID != alice.client.JID() || p.Occupant.Presence.Child("urn:example:mark", "mark") == nil {
		t.Errorf("bob sees alice as %+v", p)
	}
	if p := await(alice, present("bob")); p.Occupant.JID != bob.client.JID() || !p.New {
		t.Errorf("alice sees bob as %+v", p)
	}
	// What goes with a presence is seen by all.
	if err := bob.Update(room, mark); err != nil {
		t.Fatal(err)
	}
	await(alice, func(p muc.Present) bool {
		return p.Occupant.Nick == "bob" && !p.New && p.Occupant.Presence.Child("urn:example:mark", "mark") != nil
	})
	// An invitation by the room lets in.
	i := muc.Invitation{Room: room, From: alice.client.JID(), Reason: "Come!"}
	if err := alice.client.Send(i.Stanza(carol.client.Account())); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-carol.invited:
		if got.Room != room || got.Direct || got.Reason != "Come!" {
			t.Errorf("carol is invited: %+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("carol is not invited")
	}
	// Some services make the invited a member, others leave that to who invites.
	if err := alice.Grant(room, "member", carol.client.Account()); err != nil {
		t.Fatal(err)
	}
	await[muc.Granted](alice, nil)
	carol.join(muc.Config{Room: room, Nick: "bob", ShowAddress: true}) // the name is taken
	if e := await[muc.Entered](carol, nil); e.Nick != "bob 2" {
		t.Errorf("carol is %q", e.Nick)
	}
	await(bob, present("bob 2"))
	carol.Leave(room)
	if l := await[muc.Left](carol, nil); l.Cause != muc.ByUs {
		t.Errorf("carol has left: %+v", l)
	}
	await(bob, func(g muc.Gone) bool { return g.Occupant.Nick == "bob 2" })
	if err := alice.Destroy(room, "The call is over."); err != nil {
		t.Fatal(err)
	}
	if l := await[muc.Left](bob, nil); l.Cause != muc.RoomDestroyed || l.Reason != "The call is over." {
		t.Errorf("bob: %+v", l)
	}
	if l := await[muc.Left](alice, nil); l.Cause != muc.RoomDestroyed {
		t.Errorf("alice: %+v", l)
	}
}

// testPublicRoom finds a room that hides addresses.
func testPublicRoom(t *testing.T, s *testkit.Server) {
	alice, bob := login(t, s, "alice"), login(t, s, "bob")
	room := jid.JID("talk@" + s.MUC)
	bob.join(muc.Config{Room: room, Nick: "bob"})
	if l := await[muc.Left](bob, nil); l.Cause != muc.NoRoom {
		t.Errorf("bob: %+v", l)
	}
	alice.join(muc.Config{Room: room, Nick: "alice", Create: &muc.Creation{Name: "Talk"}})
	await[muc.Entered](alice, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	services, err := muc.Services(ctx, bob.client, jid.JID(s.Domain))
	if err != nil || len(services) != 1 || services[0] != jid.JID(s.MUC) {
		t.Fatalf("services: %v, %v", services, err)
	}
	rooms, err := muc.Rooms(ctx, bob.client, services[0])
	if err != nil || len(rooms) != 1 || rooms[0].JID != room {
		t.Errorf("rooms: %v, %v", rooms, err)
	}
	bob.join(muc.Config{Room: room, Nick: "bob"})
	if e := await[muc.Entered](bob, nil); e.Info.NonAnonymous || e.Info.Occupants != 1 {
		t.Errorf("bob: %+v", e)
	}
	if p := await(bob, present("alice")); p.Occupant.JID != "" {
		t.Errorf("the room shows the address %s", p.Occupant.JID)
	}
	// A direct invitation needs no room.
	i := muc.Invitation{Room: room, From: alice.client.JID(), Direct: true}
	if err := alice.client.Send(i.Stanza(bob.client.JID())); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-bob.invited:
		if got != i {
			t.Errorf("bob is invited: %+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("bob is not invited")
	}
}

// testEnds has people put out.
func testEnds(t *testing.T, s *testkit.Server) {
	alice, bob := login(t, s, "alice"), login(t, s, "bob")
	room := jid.JID("ends@" + s.MUC)
	alice.join(muc.Config{Room: room, Nick: "alice", Create: &muc.Creation{Name: "Ends"}})
	await[muc.Entered](alice, nil)
	enter := func() {
		bob.join(muc.Config{Room: room, Nick: "bob"})
		await[muc.Entered](bob, nil)
	}
	admin := func(attr, value, who, name string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		item := xmltree.New(muc.NSAdmin, "item").Set(attr, value).Set(who, name).
			Add(xmltree.New(muc.NSAdmin, "reason").AddText("Avaunt!"))
		if _, err := alice.client.Query(ctx, room, "set", xmltree.New(muc.NSAdmin, "query").Add(item)); err != nil {
			t.Fatal(err)
		}
	}
	enter()
	admin("role", "none", "nick", "bob")
	if l := await[muc.Left](bob, nil); l.Cause != muc.Kicked || l.Reason != "Avaunt!" {
		t.Errorf("kicked: %+v", l)
	}
	enter()
	admin("affiliation", "outcast", "jid", "bob@"+s.Domain)
	if l := await[muc.Left](bob, nil); l.Cause != muc.Banned || l.Reason != "Avaunt!" {
		t.Errorf("banned: %+v", l)
	}
	bob.join(muc.Config{Room: room, Nick: "bob"})
	if l := await[muc.Left](bob, nil); l.Cause != muc.Refused || !strings.Contains(l.Text(), "banned") {
		t.Errorf("again: %+v, %s", l, l.Text())
	}
	// A service that is not there.
	bob.join(muc.Config{Room: "talk@nowhere." + jid.JID(s.Domain), Nick: "bob"})
	if l := await[muc.Left](bob, nil); l.Cause != muc.Refused && l.Cause != muc.NoRoom || errors.Is(l.Err, xmpp.ErrTimeout) {
		t.Errorf("nowhere: %+v", l)
	}
}
