package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// guest starts a daemon for an account of a server of other people.
func guest(t *testing.T, s *testkit.Server, user string, change func(*Config)) *actor {
	t.Helper()
	cfg := Config{Loopback: true, ReachTimeout: 5 * time.Second, Accounts: []Account{{
		JID: jid.JID(s.Account(user)), Password: func() (string, error) { return "secret", nil }, Resource: "real",
		Connect: s.Addr, TLS: xmpp.TLSStart, RootCAs: s.Pool(), Calls: Policy{From: Everyone}, Files: Policy{From: Everyone},
	}}}
	if os.Getenv("JINGLED_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&cfg)
	}
	a := perform(t, cfg)
	a.patience = time.Minute // there are many of them in one test
	return a
}

func (a *actor) join(req *jingledv1.JoinRoomRequest) string {
	a.t.Helper()
	res, err := a.JoinRoom(a.t.Context(), req)
	if err != nil {
		a.t.Fatalf("%s: %v", a.jid, err)
	}
	return res.GetRoom()
}

// until returns an event that is wanted, also one that was there already.
func (a *actor) until(what string, want func(*jingledv1.Event) bool) *jingledv1.Event {
	a.t.Helper()
	if i := slices.IndexFunc(a.seen, want); i >= 0 {
		return a.seen[i]
	}
	return a.await(what, want)
}

func (a *actor) entered(room string) *jingledv1.RoomEntered {
	a.t.Helper()
	return a.until("entering", func(e *jingledv1.Event) bool { return e.GetRoomEntered() != nil && e.GetPeer() == room }).GetRoomEntered()
}

func (a *actor) leftRoom(room string) *jingledv1.RoomLeft {
	a.t.Helper()
	return a.until("leaving", func(e *jingledv1.Event) bool { return e.GetRoomLeft() != nil && e.GetPeer() == room }).GetRoomLeft()
}

// hears waits until somebody in the room's call is heard.
func (a *actor) hears(room, nick string) {
	a.t.Helper()
	a.until("hearing "+nick, func(e *jingledv1.Event) bool {
		o := e.GetRoomOccupant()
		return e.GetPeer() == room && o.GetNick() == nick && o.GetConnected()
	})
}

// share is the most that a tone is of a tenth of a second in a recording.
func share(t *testing.T, path string, hz float64) float64 {
	t.Helper()
	src, err := audio.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	best, buf := 0.0, make([]float32, audio.SampleRate/10)
	for {
		n, err := src.Read(buf)
		if n == len(buf) && audio.Level(buf) > -50 {
			best = max(best, audio.Share(buf, audio.SampleRate, hz))
		}
		if err != nil {
			return best
		}
	}
}

// grows waits until a file has so many bytes more than now.
func grows(t *testing.T, path string, by int64) {
	t.Helper()
	size := func() int64 {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	before := size()
	for deadline := time.Now().Add(time.Minute); size() < before+by; time.Sleep(20 * time.Millisecond) { // the disk
		if time.Now().After(deadline) {
			t.Fatalf("%s does not grow", path)
		}
	}
}

// TestGroupCalls has people call each other in rooms: each hears all the others, and not itself.
func TestGroupCalls(t *testing.T) { testkit.Each(t, groupCalls) }

func groupCalls(t *testing.T, s *testkit.Server) {
	for i := range 6 {
		s.AddUser(t, fmt.Sprintf("p%d", i), "secret")
	}
	n := 3
	if s.Kind == testkit.KindProsody {
		n = muji.MaxParticipants
		if testkit.RaceDetector {
			n = 4 // six encode and decode more than two cores can do under it
		}
	}
	groupCall(t, s, n)
}

// hertz is what each says.
func hertz(i int) float64 { return 400 + 250*float64(i) }

func groupCall(t *testing.T, s *testkit.Server, n int) {
	dir := t.TempDir()
	record := func(i int) string { return filepath.Join(dir, fmt.Sprintf("p%d.wav", i)) }
	media := func(i int) *jingledv1.Media {
		return &jingledv1.Media{AudioIn: fmt.Sprintf("tone:%.0f", hertz(i)), Record: record(i)}
	}
	nick := func(i int) string { return fmt.Sprintf("p%d", i) }
	people := []*actor{guest(t, s, "p0", nil)}
	var invite []string
	for i := 1; i < n; i++ {
		people = append(people, guest(t, s, fmt.Sprintf("p%d", i), nil))
		invite = append(invite, people[i].jid.String())
	}
	room := people[0].join(&jingledv1.JoinRoomRequest{Name: "A call", Nick: nick(0), Media: media(0), Invite: invite})
	if e := people[0].entered(room); !e.GetCreated() || !e.GetMembersOnly() || !e.GetShowsAddresses() {
		t.Errorf("the room: %v", e)
	}
	// All the others come at once.
	for i, p := range people[1:] {
		in := p.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited().GetCall() && e.GetPeer() == room }).GetRoomInvited()
		if jid.JID(in.GetFrom()).Bare() != people[0].jid {
			t.Errorf("invited: %v", in)
		}
		p.join(&jingledv1.JoinRoomRequest{Invitation: in.GetInvitation(), Nick: nick(i + 1), Media: media(i + 1), ShowAddress: true})
	}
	for i, p := range people {
		for j := range people {
			if i != j {
				p.hears(room, nick(j))
			}
		}
	}
	for i := range people {
		grows(t, record(i)+audio.PartSuffix, audio.SampleRate*2*3/2)
	}
	// Another network: every session takes another path, and nobody is lost.
	paths := func() map[string]string {
		out := map[string]string{}
		for nick, l := range people[0].legs(room) {
			out[nick] = l.Stats().Path
		}
		return out
	}
	before := paths()
	people[0].accounts[0].networkChanged()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // the network's pace
		now := paths()
		if len(now) != n-1 || time.Now().After(deadline) {
			t.Fatalf("the paths were %v and are %v", before, now)
		}
		maps.DeleteFunc(now, func(nick, path string) bool { return path != before[nick] })
		if len(now) == 0 {
			break
		}
	}
	// Who is muted says so.
	on := true
	if _, err := people[0].ControlRoom(t.Context(), &jingledv1.ControlRoomRequest{Room: room, Mute: &on}); err != nil {
		t.Fatal(err)
	}
	people[1].until("p0 muted", func(e *jingledv1.Event) bool {
		return e.GetRoomOccupant().GetNick() == "p0" && e.GetRoomOccupant().GetMuted()
	})
	if list, err := people[1].ListRooms(t.Context(), &jingledv1.ListRoomsRequest{}); err != nil || len(list.GetRooms()) != 1 ||
		len(list.GetRooms()[0].GetOccupants()) != n-1 || !list.GetRooms()[0].GetInCall() {
		t.Errorf("rooms: %v, %v", list, err)
	}
	// They leave one after the other, and the rest see it.
	for i, p := range people {
		if _, err := p.LeaveRoom(t.Context(), &jingledv1.LeaveRoomRequest{Room: room}); err != nil {
			t.Fatal(err)
		}
		if l := p.leftRoom(room); l.GetCause() != "us" || l.GetAudioError() != "" || l.GetCallDuration().AsDuration() <= 0 {
			t.Errorf("p%d: %v", i, l)
		}
		for _, rest := range people[i+1:] {
			e := rest.until("who leaves", func(e *jingledv1.Event) bool {
				o := e.GetRoomOccupant()
				return e.GetPeer() == room && o != nil && o.GetNick() == nick(i) && !o.GetPresent()
			})
			if e.GetRoomOccupant().GetConnected() {
				t.Errorf("p%d has left, and is thought to come back", i)
			}
		}
	}
	for i := range people {
		for j := range people {
			switch got := share(t, record(i), hertz(j)); {
			case i == j && got > 0.3:
				t.Errorf("p%d hears itself: %.2f", i, got)
			case i != j && got < 0.5/float64(n-1):
				t.Errorf("p%d hardly hears p%d: %.2f", i, j, got)
			}
		}
	}
}

// TestRoomRefusals has what does not go, and what is said about it.
func TestRoomRefusals(t *testing.T) { testkit.Each(t, roomRefusals) }

func roomRefusals(t *testing.T, s *testkit.Server) {
	for _, u := range []string{"alice", "bob"} {
		s.AddUser(t, u, "secret")
	}
	alice, bob := guest(t, s, "alice", nil), guest(t, s, "bob", nil)
	nowhere := s.Room("nowhere")
	bob.join(&jingledv1.JoinRoomRequest{Room: nowhere})
	if l := bob.leftRoom(nowhere); l.GetCause() != "no_room" || l.GetWasInside() {
		t.Errorf("nowhere: %v", l)
	}
	room := alice.join(&jingledv1.JoinRoomRequest{Nick: "alice", Media: &jingledv1.Media{}})
	alice.entered(room)
	bob.join(&jingledv1.JoinRoomRequest{Room: room})
	if l := bob.leftRoom(room); l.GetCause() != "addresses" {
		t.Errorf("a room that shows addresses: %v", l)
	}
	bob.seen = nil
	bob.join(&jingledv1.JoinRoomRequest{Room: room, ShowAddress: true})
	if l := bob.leftRoom(room); l.GetCause() != "refused" || !strings.Contains(l.GetText(), "members only") {
		t.Errorf("no member: %v", l)
	}
	for name, req := range map[string]*jingledv1.JoinRoomRequest{
		"no room":          {Room: "chat"},
		"somebody in it":   {Room: room + "/alice"},
		"nobody":           {Room: room, Invite: []string{"@"}},
		"no such file":     {Room: room, Media: &jingledv1.Media{AudioIn: "/nowhere/at.all"}},
		"WebRTC clients":   {Room: room, Media: &jingledv1.Media{Webrtc: true}},
		"two videos":       {Room: room, Media: &jingledv1.Media{Video: true, MoreVideos: []*jingledv1.MediaVideo{{}}}},
		"no such port":     {Room: room, Media: &jingledv1.Media{Video: true, RecordVideo: "rtp:x"}},
		"no such nickname": {Room: s.Room("x"), Nick: "\x00"},
	} {
		if _, err := bob.JoinRoom(t.Context(), req); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := alice.JoinRoom(t.Context(), &jingledv1.JoinRoomRequest{Room: room}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("twice: %v", err)
	}
	if _, err := bob.JoinRoom(t.Context(), &jingledv1.JoinRoomRequest{Invitation: "x"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("no invitation: %v", err)
	}
	if _, err := bob.LeaveRoom(t.Context(), &jingledv1.LeaveRoomRequest{Room: room}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("not there: %v", err)
	}
	// An invitation is declined, and one is taken back when who has sent it goes.
	if _, err := alice.InviteToRoom(t.Context(), &jingledv1.InviteToRoomRequest{Room: room, People: []string{bob.jid.String()}}); err != nil {
		t.Fatal(err)
	}
	in := bob.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited() != nil }).GetRoomInvited()
	if _, err := alice.LeaveRoom(t.Context(), &jingledv1.LeaveRoomRequest{Room: room}); err != nil {
		t.Fatal(err)
	}
	bob.until("its end", func(e *jingledv1.Event) bool { return e.GetRoomInvited().GetOver() })
	if _, err := bob.DeclineInvitation(t.Context(), &jingledv1.DeclineInvitationRequest{Invitation: in.GetInvitation()}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("declined what does not hold any more: %v", err)
	}
	alice.leftRoom(room)
}

// TestFindRooms finds a public room: by its service, by the server, and without either.
func TestFindRooms(t *testing.T) { testkit.Each(t, findRooms) }

func findRooms(t *testing.T, s *testkit.Server) {
	for _, u := range []string{"alice", "bob"} {
		s.AddUser(t, u, "secret")
	}
	alice, bob := guest(t, s, "alice", nil), guest(t, s, "bob", nil)
	room := jid.JID(s.Room("public"))
	rooms := alice.accounts[0].rooms
	if err := rooms.Join(muc.Config{Room: room, Nick: "alice", Create: &muc.Creation{Name: "Talk"}}); err != nil {
		t.Fatal(err)
	}
	inside := false
	for end := time.Now().Add(time.Minute); !inside; time.Sleep(10 * time.Millisecond) { // the server
		if !rooms.Room(room, func(r *muc.Room) { inside = r.Inside() }) || time.Now().After(end) {
			t.Fatal("alice is not in the room")
		}
	}
	for _, service := range []string{"", s.MUC, s.Domain} {
		found, err := bob.FindRooms(t.Context(), &jingledv1.FindRoomsRequest{Service: service})
		if err != nil || !slices.ContainsFunc(found.GetRooms(), func(r *jingledv1.FoundRoom) bool {
			return r.GetRoom() == room.String() && strings.Contains(r.GetName(), "Talk")
		}) {
			t.Errorf("rooms of %q: %v, %v", service, found, err)
		}
	}
	if _, err := bob.FindRooms(t.Context(), &jingledv1.FindRoomsRequest{Service: "nowhere.test"}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("rooms of nowhere: %v", err)
	}
	rooms.Leave(room)
}
