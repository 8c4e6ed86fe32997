package personas

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// gathering is a group call of the daemon with one persona, in a room.
type gathering struct {
	*peer
	t       *testing.T
	us      *ours.Side
	room    string
	record  string
	effects chan muc.Effect
	rooms   *muc.Driver
	seenMUC []muc.Effect
	filming bool // we are, in what follows
}

func gather(t *testing.T, p *persona, s *testkit.Server) *gathering {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(t.Name()))
	them, we := "them-"+name, "us-"+name
	s.AddUser(t, them, "secret")
	s.AddUser(t, we, "secret")
	s.Befriend(t, them, we)
	g := &gathering{t: t, room: s.Room(name), record: filepath.Join(t.TempDir(), "heard.wav"),
		effects: make(chan muc.Effect, 1000)}
	g.us = ours.Run(t, daemon.Config{Loopback: true, Accounts: []daemon.Account{{JID: jid.JID(s.Account(we)),
		Password: func() (string, error) { return "secret", nil }, Resource: ourDevice, Connect: s.Addr, TLS: xmpp.TLSStart,
		RootCAs: s.Pool(), FailFast: true}}})
	g.peer = loginAs(t, p, xmpp.Config{JID: jid.JID(s.Account(them)), Resource: "phone", Connect: s.Addr, TLS: xmpp.TLSStart, RootCAs: s.Pool()})
	g.peer.us = jid.JID(g.us.JID(t))
	g.rooms = muc.NewDriver(g.client, func(_ jid.JID, e muc.Effect) { g.effects <- e })
	g.driver.Store(g.rooms)
	t.Cleanup(g.rooms.Disconnected)
	return g
}

// told waits for what a room tells.
func (g *gathering) told(what string, is func(muc.Effect) bool) muc.Effect {
	g.t.Helper()
	deadline := time.After(ours.Patience)
	for i := 0; ; i++ {
		for i >= len(g.seenMUC) {
			select {
			case e := <-g.effects:
				g.seenMUC = append(g.seenMUC, e)
			case <-deadline:
				g.t.Fatalf("%s waits for %s: %+v", g.p.name, what, g.seenMUC)
			}
		}
		if is(g.seenMUC[i]) {
			return g.seenMUC[i]
		}
	}
}

// enter has the persona come into the room, which it makes if it is first.
func (g *gathering) enter() {
	g.t.Helper()
	err := g.rooms.Join(muc.Config{Room: jid.JID(g.room), Nick: "them", ShowAddress: true, Extra: g.client.PresenceExtra(),
		Create: &muc.Creation{MembersOnly: true, NonAnonymous: true}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.told("entering", func(e muc.Effect) bool { _, ok := e.(muc.Entered); return ok })
}

// announce changes what the persona's presence says of the call.
func (g *gathering) announce(text string) {
	g.t.Helper()
	extra := g.client.PresenceExtra()
	if text != "" {
		x, err := xmltree.Parse([]byte("<muji xmlns='urn:xmpp:jingle:muji:0'>"+text+"</muji>"), xmltree.Limits{})
		if err != nil {
			g.t.Fatal(err)
		}
		extra = append(extra, x)
	}
	if err := g.rooms.Update(jid.JID(g.room), extra...); err != nil {
		g.t.Fatal(err)
	}
}

// ourMuji waits until our presence says something of the call.
func (g *gathering) ourMuji(what string, is func(muji.Muji) bool) muji.Muji {
	g.t.Helper()
	var reg jingle.Registry
	rtp.Register(&reg)
	var found muji.Muji
	g.told(what, func(e muc.Effect) bool {
		p, ok := e.(muc.Present)
		if !ok || p.Self {
			return false
		}
		x := p.Occupant.Presence.Child(muji.NS, "muji")
		if x == nil {
			return false
		}
		m, err := muji.Parse(x, &reg)
		if err != nil {
			g.t.Fatalf("our <muji/>: %v", err)
		}
		found = m
		return is(m)
	})
	return found
}

const preparing = "<preparing/>"

// contents are what the persona says that it sends: Dino and Movim name them as in their calls.
func (g *gathering) contents() string {
	return fmt.Sprintf(`<content creator='initiator' name='%s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>`+
		`<payload-type id='111' name='opus' clockrate='48000' channels='2'><parameter name='useinbandfec' value='1'/></payload-type>`+
		`<payload-type id='9' name='G722' clockrate='8000'/><payload-type id='110' name='speex' clockrate='8000'/>`+
		`</description></content>`, g.p.names[0])
}

// filmContent is the content of its pictures, under the numbers of Dino and Movim.
func (g *gathering) filmContent() string {
	return fmt.Sprintf(`<content creator='initiator' name='%s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>`+
		`<payload-type id='98' name='VP8' clockrate='90000'/></description></content>`, g.p.names[1])
}

// weSee waits until we see the persona, and the persona us.
func (g *gathering) weSee() {
	g.t.Helper()
	g.us.Await(g.t, "", "seeing them", func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return e.GetPeer() == g.room && o.GetNick() == "them" && o.GetVideo() && o.GetSeen()
	})
	g.saw.Store(0)
	g.eventually("sees us", func() bool { return g.saw.Load() >= 10 })
}

// weHear waits until we hear the persona.
func (g *gathering) weHear() {
	g.t.Helper()
	g.us.Await(g.t, "", "hearing them", func(e *jingledv1.Event) bool {
		return e.GetPeer() == g.room && e.GetRoomOccupant().GetNick() == "them" && e.GetRoomOccupant().GetConnected()
	})
}

// leave has the persona go, by the section 4 of XEP-0272, and us after it.
func (g *gathering) leave() {
	g.t.Helper()
	g.heard.Store(0)
	g.wantTone()
	ours.Hears(g.t, g.record, theirTone)
	g.announce("")
	g.send("terminate")
	g.us.Await(g.t, "", "them gone", func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return e.GetPeer() == g.room && o.GetNick() == "them" && o.GetPresent() && !o.GetInCall() && !o.GetConnected()
	})
	if _, err := g.us.D.LeaveRoom(g.t.Context(), &jingledv1.LeaveRoomRequest{Room: g.room}); err != nil {
		g.t.Fatal(err)
	}
	g.us.Await(g.t, "", "our end", func(e *jingledv1.Event) bool { return e.GetPeer() == g.room && e.GetRoomLeft().GetCause() == "us" })
	ours.WantTone(g.t, g.record, theirTone)
}

func (g *gathering) join(req *jingledv1.JoinRoomRequest) {
	g.t.Helper()
	req.Media = &jingledv1.Media{AudioIn: fmt.Sprintf("tone:%d", ours.Tone), Record: g.record}
	if g.filming {
		req.Media.Video, req.Media.VideoIn = true, film(g.t)
	}
	if _, err := g.us.D.JoinRoom(g.t.Context(), req); err != nil {
		g.t.Fatal(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

// TestGroupCalls has group calls as Dino and Movim make them (XEP-0272).
func TestGroupCalls(t *testing.T) { testkit.Each(t, groupCalls) }

func groupCalls(t *testing.T, s *testkit.Server) {
	for _, p := range personas(t) {
		if p.name != "Dino" && p.name != "Movim" {
			continue
		}
		t.Run(p.name+" begins", func(t *testing.T) {
			g := gather(t, p, s)
			g.filming = true
			g.enter()
			g.announce(preparing)
			g.announce(g.contents() + g.filmContent())
			if err := g.rooms.Grant(jid.JID(g.room), "member", g.peer.us.Bare()); err != nil {
				t.Fatal(err)
			}
			// Dino says it twice, once in an older namespace.
			invite, err := xmltree.Parse(fmt.Appendf(nil, `<message xmlns='jabber:client' to='%s' type='chat' id='invite-1'>`+
				`<invite xmlns='urn:xmpp:call-invites:0' video='false'><muji xmlns='urn:xmpp:jingle:muji:0' room='%s'/></invite>`+
				`<propose xmlns='urn:xmpp:call-message:1' video='false'><muji xmlns='urn:xmpp:jingle:muji:0' room='%s'/></propose>`+
				`<store xmlns='urn:xmpp:hints'/></message>`, g.peer.us.Bare(), g.room, g.room), xmltree.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := g.client.Send(invite); err != nil {
				t.Fatal(err)
			}
			in := g.us.Await(t, "", "an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited().GetCall() })
			g.join(&jingledv1.JoinRoomRequest{Invitation: in.GetRoomInvited().GetInvitation(), ShowAddress: true})
			m := g.ourMuji("our contents", func(m muji.Muji) bool { return len(m.Contents) > 0 })
			if m.Contents[0].Name != g.p.names[0] || m.Contents[0].Description.(rtp.Description).PayloadTypes[0].ID != 111 {
				t.Errorf("our contents do not fit theirs: %s", m.Element())
			}
			if len(m.Contents) != 2 || m.Contents[1].Name != g.p.names[1] || vp8(t, m.Contents[1].Description) != 98 {
				t.Errorf("our video does not fit theirs: %s", m.Element())
			}
			// Whoever comes later calls.
			offer := g.await("session-initiate").jingle
			if room := roomIn(offer); room != g.room {
				t.Errorf("the session is of the room %q", room)
			}
			g.sid = offer.SID
			if len(offer.Contents) != 2 || vp8(t, offer.Contents[1].Description) != 98 {
				t.Errorf("the session: %s", offer.Element())
			}
			g.prepare(offer)
			g.send("session-accept")
			g.trickle()
			g.show(g.media[1], 98)
			g.weHear()
			g.weSee()
			g.leave()
		})
		t.Run(p.name+" comes", func(t *testing.T) {
			g := gather(t, p, s)
			g.filming = true
			g.join(&jingledv1.JoinRoomRequest{Room: g.room, Create: true, Invite: []string{g.client.Account().String()}})
			g.us.Await(t, "", "the call", func(e *jingledv1.Event) bool { return e.GetRoomCall().GetJoined() })
			g.enter()
			g.announce(preparing)
			g.ourMuji("our contents", func(m muji.Muji) bool { return len(m.Contents) > 0 })
			g.announce(g.contents() + g.filmContent())
			g.told("its own presence", func(e muc.Effect) bool {
				p, ok := e.(muc.Present)
				return ok && p.Self && p.Occupant.Presence.Child(muji.NS, "muji") != nil &&
					p.Occupant.Presence.Child(muji.NS, "muji").Child(muji.NS, "content") != nil
			})
			g.sid = "7d1e7e52-7f0b-4bd5-9d5f-000000000001"
			g.prepare(nil, "audio", "video")
			st := g.make("session-initiate")
			st.Child(jingle.NS, "jingle").Add(muji.Muji{Room: jid.JID(g.room)}.Element())
			if err := g.client.Send(st); err != nil {
				t.Fatal(err)
			}
			answer := g.await("session-accept").jingle
			g.accepted(answer)
			g.trickle()
			g.show(g.media[1], vp8(t, picturesOf(answer).Description))
			g.weHear()
			g.weSee()
			g.leave()
		})
	}
}

func roomIn(m *jingle.Message) string {
	for _, p := range m.Info {
		if x := p.Element(); x.Is(muji.NS, "muji") {
			return x.Attr("room")
		}
	}
	return ""
}
