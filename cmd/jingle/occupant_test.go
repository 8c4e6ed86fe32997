package main

import (
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// TestOccupantsOnce: what is said of somebody in a room is said once, and nothing is remembered of who has left.
func TestOccupantsOnce(t *testing.T) {
	var b strings.Builder
	p := (&global{}).printer(&b)
	for _, o := range []*jingledv1.RoomOccupant{
		{Nick: "bob", Present: true, InCall: true},
		{Nick: "bob", Present: true, InCall: true, Video: true},
		{Nick: "carol", Present: true, InCall: true},
		{Nick: "bob", Present: true, InCall: true, Connected: true},
		{Nick: "rob", RenamedFrom: "bob", Present: true, InCall: true, Connected: true},
		{Nick: "rob", Present: true, InCall: true, Connected: true},
		{Nick: "rob"},
		{Nick: "carol"},
	} {
		p.show(&jingledv1.Event{Peer: "room@example.org", Body: &jingledv1.Event_RoomOccupant{RoomOccupant: o}})
	}
	want := "bob is in the call\ncarol is in the call\nbob is heard\nbob is now rob\nrob is heard\nrob has left\ncarol has left\n"
	if got := b.String(); got != want || len(p.said) != 0 {
		t.Errorf("%q, and %v is remembered", got, p.said)
	}
}
