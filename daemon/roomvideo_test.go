package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/media/video"
)

// frameSize is so large that what is recorded gets to the disk every second or so.
const frameSize = 2500

// TestGroupVideo has two people who show themselves, one of them under a name that is no name for a file, and one who looks:
// everybody's pictures are kept apart.
func TestGroupVideo(t *testing.T) { testkit.Each(t, groupVideo) }

func groupVideo(t *testing.T, s *testkit.Server) {
	dir := t.TempDir()
	nicks := []string{"ann", "../ben", "cem"}
	wants := []*jingledv1.Media{
		{AudioIn: "tone:400", Video: true, VideoIn: film(t, 2, frameSize), RecordVideo: filepath.Join(dir, "ann.ivf")},
		{AudioIn: "tone:400", Video: true, VideoIn: film(t, 4, frameSize), RecordVideo: filepath.Join(dir, "ben.ivf")},
		{AudioIn: "tone:400", Video: true, RecordVideo: filepath.Join(dir, "cem.ivf")},
	}
	room := s.Room("film")
	var people []*actor
	var invite []string
	for i := range nicks {
		user := fmt.Sprintf("p%d", i)
		s.AddUser(t, user, "secret")
		people = append(people, guest(t, s, user, nil))
		invite = append(invite, people[i].jid.String())
	}
	people[0].join(&jingledv1.JoinRoomRequest{Room: room, Nick: nicks[0], Create: true, Media: wants[0], Invite: invite[1:]})
	people[0].entered(room)
	for i, p := range people[1:] {
		in := p.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited() != nil }).GetRoomInvited()
		if !in.GetVideo() {
			t.Errorf("invited: %v", in)
		}
		p.join(&jingledv1.JoinRoomRequest{Invitation: in.GetInvitation(), Nick: nicks[i+1], Media: wants[i+1], ShowAddress: true})
	}
	for i, p := range people {
		for j, nick := range nicks {
			if i == j {
				continue
			}
			p.hears(room, nick)
			filmed := wants[i].GetVideo() && wants[j].GetVideoIn() != ""
			if !filmed {
				continue
			}
			p.until("seeing "+nick, func(e *jingledv1.Event) bool {
				o := e.GetRoomOccupant()
				return e.GetPeer() == room && o.GetNick() == nick && o.GetSeen() && o.GetVideo() && o.GetRecordVideo() != ""
			})
			grows(t, filepath.Join(dir, [3]string{"ann", "ben", "cem"}[i]+"-"+[2]string{"ann", "___ben"}[j]+".ivf"+video.PartSuffix), 1000)
		}
	}
	off := false
	if _, err := people[0].ControlRoom(t.Context(), &jingledv1.ControlRoomRequest{Room: room, SendVideo: &off}); err != nil {
		t.Error(err)
	}
	if _, err := people[2].ControlRoom(t.Context(), &jingledv1.ControlRoomRequest{Room: room, SendVideo: &off}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("hiding who is not shown: %v", err)
	}
	for _, p := range people {
		if _, err := p.LeaveRoom(t.Context(), &jingledv1.LeaveRoomRequest{Room: room}); err != nil {
			t.Fatal(err)
		}
		if l := p.leftRoom(room); l.GetVideoError() != "" || l.GetAudioError() != "" {
			t.Errorf("left: %v", l)
		}
	}
	for name, mark := range map[string]byte{"ann-___ben": 4, "ben-ann": 2, "cem-ann": 2, "cem-___ben": 4} {
		shows(t, filepath.Join(dir, name+".ivf"), mark, frameSize)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 4 {
		t.Errorf("files: %v, %v", files, err)
	}
}

func TestPlaces(t *testing.T) {
	for _, tc := range []struct {
		record, nick, ext string
		n                 int
		want              string
	}{
		{"/a/call.ivf", "Ann", ".ivf", 0, "/a/call-Ann.ivf"},
		{"/a/call.ivf", "Ann", ".h264", 2, "/a/call-Ann-3.h264"},
		{"/a/call.ivf", "../..", ".ivf", 0, "/a/call-somebody.ivf"},
		{"/a/call.ivf", "a/b\\c:d\x00e", ".ivf", 0, "/a/call-a_b_c_d_e.ivf"},
		{"/a/call.ivf", "Søren-1", ".ivf", 0, "/a/call-Søren-1.ivf"},
		{"rtp:5000", "x", "", 0, "rtp:5000"},
		{"rtp:127.0.0.1:5000/H264", "x", "", 3, "rtp:127.0.0.1:5006/H264"},
		{"rtp:[::1]:5000", "x", "", 1, "rtp:[::1]:5002"},
		{"rtp:65534", "x", "", 1, ""},
		{"rtp:0", "x", "", 0, ""},
		{"rtp:", "x", "", 0, ""},
		{"rtp:x/y/z", "x", "", 0, ""},
	} {
		got, err := place(tc.record, tc.nick, tc.ext, tc.n)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s for %q, %d: %q, %v", tc.record, tc.nick, tc.n, got, err)
		}
	}
}
