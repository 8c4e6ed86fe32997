package daemon

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/audio"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/muc"
)

// TestRoomsAgain loses the stream of people in a group call, and the server of all of them: they are in the room again, and
// their sessions have gone on, but for those that have broken meanwhile, which are made anew.
func TestRoomsAgain(t *testing.T) {
	// Without stream management a connection that is lost is a stream that is lost.
	testkit.EachWith(t, testkit.Options{NoResumption: true}, roomsAgain)
}

func roomsAgain(t *testing.T, s *testkit.Server) {
	var people []*actor
	var cables []*testkit.Cable
	record := filepath.Join(t.TempDir(), "p0.wav")
	for i := range 3 {
		user := fmt.Sprintf("p%d", i)
		s.AddUser(t, user, "secret")
		cable := testkit.NewCable(t, s.Addr)
		cables = append(cables, cable)
		people = append(people, guest(t, s, user, func(c *Config) {
			c.Accounts[0].Connect = cable.Addr()
			c.keepLegs = time.Hour // whatever the machine does beside this
		}))
		people[i].patience = 2 * time.Minute // between two attempts to connect there can be one
	}
	room := people[0].join(&jingledv1.JoinRoomRequest{Name: "A call", Nick: "p0", Media: &jingledv1.Media{AudioIn: "tone:400", Record: record},
		Invite: []string{people[1].jid.String(), people[2].jid.String()}})
	people[0].entered(room)
	for i, p := range people[1:] {
		in := p.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited().GetCall() }).GetRoomInvited()
		p.join(&jingledv1.JoinRoomRequest{Invitation: in.GetInvitation(), Nick: fmt.Sprintf("p%d", i+1), ShowAddress: true,
			Media: &jingledv1.Media{AudioIn: "tone:700"}})
	}
	together := func() {
		t.Helper()
		for i, p := range people {
			for j := range people {
				if i != j {
					p.hears(room, fmt.Sprintf("p%d", j))
				}
			}
		}
	}
	together()
	legs := func() (out []map[string]*mediacall.Call) {
		for _, p := range people {
			out = append(out, p.legs(room))
		}
		return out
	}
	forget := func() {
		for _, p := range people {
			p.seen = nil
		}
	}
	back := func(p *actor) {
		t.Helper()
		p.until("being out of the call", func(e *jingledv1.Event) bool {
			return e.GetRoomCall() != nil && !e.GetRoomCall().GetJoined() && e.GetRoomCall().GetText() != ""
		})
		p.until("being in the room again", func(e *jingledv1.Event) bool { return e.GetRoomEntered().GetAgain() })
		p.until("being in the call again", func(e *jingledv1.Event) bool { return e.GetRoomCall().GetJoined() })
	}
	// become waits until the sessions are as they are to be.
	become := func(is func(now []map[string]*mediacall.Call) bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // the servers
			now := legs()
			if is(now) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the sessions are %v", now)
			}
		}
	}
	before := legs()
	same := func(now []map[string]*mediacall.Call) bool {
		return slices.EqualFunc(before, now, maps.Equal[map[string]*mediacall.Call])
	}

	// One is away for a moment. Nobody hears anything of it.
	forget()
	cables[1].Cut()
	people[0].until("p1 gone", func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return o.GetNick() == "p1" && !o.GetPresent() && o.GetConnected()
	})
	back(people[1])
	people[1].hears(room, "p0")
	people[1].hears(room, "p2")
	for _, i := range []int{0, 2} {
		people[i].until("p1 again", func(e *jingledv1.Event) bool {
			o := e.GetRoomOccupant()
			return o.GetNick() == "p1" && o.GetPresent() && o.GetConnected()
		})
	}
	become(same)

	// One is away, and has lost one of the sessions: they are called again.
	forget()
	cables[2].Unplug(true)
	people[2].until("being away", func(e *jingledv1.Event) bool {
		st := e.GetAccountChanged().GetState()
		return st == jingledv1.AccountState_ACCOUNT_STATE_OFFLINE || st == jingledv1.AccountState_ACCOUNT_STATE_CONNECTING
	})
	before[2]["p0"].HangUp(&jingle.Reason{Condition: jingle.ConnectivityError})
	<-before[2]["p0"].Done()
	cables[2].Unplug(false)
	back(people[2])
	people[2].hears(room, "p0")
	people[2].hears(room, "p1")
	people[0].until("p2 again", func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return o.GetNick() == "p2" && o.GetPresent() && o.GetConnected()
	})
	become(func(now []map[string]*mediacall.Call) bool {
		return now[2]["p0"] != nil && now[2]["p0"] != before[2]["p0"] && now[0]["p2"] != nil && now[0]["p2"] != before[0]["p2"] && now[2]["p1"] == before[2]["p1"] &&
			now[0]["p1"] == before[0]["p1"]
	})

	// The server is gone for all, and with it the room. ejabberd takes a minute and more for that on a busy machine.
	if s.Kind == testkit.KindProsody {
		forget()
		before = legs()
		s.Restart(t)
		for _, p := range people {
			back(p)
		}
		together()
		become(same)
		grows(t, record+audio.PartSuffix, audio.SampleRate)
	}

	// Who is put out is put out of the call, too, at once.
	forget()
	master := -1
	for i, p := range people {
		p.accounts[0].rooms.Room(jid.JID(room), func(r *muc.Room) {
			if self, _ := r.Occupant(r.Nick()); self.Affiliation == "owner" {
				master = i
			}
		})
	}
	if master < 0 {
		t.Fatal("the room has no owner")
	}
	out := (master + 1) % 3
	item := xmltree.New(muc.NSAdmin, "item").Set("role", "none").Set("nick", fmt.Sprintf("p%d", out))
	people[master].accounts[0].client.Request(jid.JID(room), "set", xmltree.New(muc.NSAdmin, "query").Add(item), 0, func(*xmltree.Element, error) {})
	if l := people[out].leftRoom(room); l.GetCause() != "kicked" {
		t.Errorf("put out: %v", l)
	}
	if e := people[master].until("them gone", func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return o.GetNick() == fmt.Sprintf("p%d", out) && !o.GetPresent()
	}); e.GetRoomOccupant().GetConnected() {
		t.Errorf("who was put out is still heard: %v", e)
	}
	for i, p := range people {
		if i == out {
			continue
		}
		if _, err := p.LeaveRoom(t.Context(), &jingledv1.LeaveRoomRequest{Room: room}); err != nil {
			t.Fatal(err)
		}
		if l := p.leftRoom(room); l.GetCause() != "us" || l.GetAudioError() != "" {
			t.Errorf("left: %v", l)
		}
	}
}

// legs are the sessions in a room's call that are connected, by nick.
func (a *actor) legs(room string) map[string]*mediacall.Call {
	a.t.Helper()
	r, err := a.group("", room)
	if err != nil {
		a.t.Fatal(err)
	}
	got := make(chan map[string]*mediacall.Call, 1)
	r.inbox.post(func() {
		out := map[string]*mediacall.Call{}
		for nick, l := range r.legs {
			if l.connected {
				out[nick] = l.media
			}
		}
		got <- out
	})
	select {
	case m := <-got:
		return m
	case <-time.After(20 * time.Second):
		a.t.Fatal("the room does not answer")
		return nil
	}
}
