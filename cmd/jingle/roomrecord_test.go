package main

import (
	"bytes"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func TestShowOccupants(t *testing.T) {
	for want, o := range map[string]*jingledv1.RoomOccupant{
		"ann has lost the room, and may come back\n": {Nick: "ann", Connected: true},
		"ann has left\n":              {Nick: "ann"},
		"ann is heard\n":              {Nick: "ann", Present: true, InCall: true, Connected: true},
		"ann is now bob\n":            {Nick: "bob", Present: true, RenamedFrom: "ann"},
		"a\ufffd[2J is in the call\n": {Nick: "a\x1b[2J", Present: true, InCall: true},
	} {
		var out bytes.Buffer
		p := (&global{}).printer(&out)
		p.show(&jingledv1.Event{Peer: "room@rooms.example.test", Body: &jingledv1.Event_RoomOccupant{RoomOccupant: o}})
		if out.String() != want {
			t.Errorf("%v: %q, want %q", o, out.String(), want)
		}
	}
}
