package state_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
)

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, state.Config{})
	in := state.Unfinished{Account: "a@x", ID: "s/2", Peer: "b@x/r", SID: "s", Content: "file", Incoming: true, Phase: state.Running,
		Name: "../../x\x01", Size: 1 << 40, Date: "2026-11-22T12:00:00Z", MediaType: "text/plain", Desc: "d", Hash: "sha-256:00",
		Path: "/in", Part: "x.part", ModTime: time.Unix(0, 1234567890123456789), Bytes: 7, Via: 2, Pull: true, Fruitless: 1, Began: noon, Updated: noon}
	out := state.Unfinished{Account: "a@x", ID: "t", Peer: "b@x", SID: "t", Phase: state.Waiting, ModTime: time.Unix(0, 0), Began: noon.Add(-time.Hour), Updated: noon}
	for _, u := range []state.Unfinished{in, out, {Account: "c@x", ID: "t", Began: noon}} {
		if err := s.Journal(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	in.Bytes, in.Phase, in.Updated = 8, state.Storing, noon.Add(time.Second)
	if err := s.Journal(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, state.Config{})
	if got, err := s.Unfinished(t.Context(), "a@x"); err != nil || !reflect.DeepEqual(got, []state.Unfinished{out, in}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Forget(t.Context(), "a@x", "t"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Unfinished(t.Context(), "a@x"); err != nil || len(got) != 1 || got[0].ID != "s/2" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.Unfinished(t.Context(), "c@x"); err != nil || len(got) != 1 {
		t.Errorf("of another account: %+v, %v", got, err)
	}
}

func TestEnded(t *testing.T) {
	s := open(t, t.TempDir(), state.Config{})
	for _, x := range []state.Transfer{
		{Account: "a@x", Peer: "b@x/r", SID: "1", Incoming: true},
		{Account: "a@x", Peer: "b@x/r", SID: "1", Incoming: true, Complete: true},
		{Account: "a@x", Peer: "b@x/r", SID: "2", Incoming: true},
		{Account: "a@x", Peer: "b@x", SID: "3", Complete: true},
	} {
		if err := s.AddTransfer(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		account, peer, sid        string
		incoming, known, complete bool
	}{
		{"a@x", "b@x", "1", true, true, true}, {"a@x", "b@x", "2", true, true, false}, {"a@x", "b@x", "3", false, true, true},
		{"a@x", "b@x", "3", true, false, false}, {"a@x", "b", "1", true, false, false}, {"a@x", "b@x.org", "1", true, false, false},
		{"c@x", "b@x", "1", true, false, false},
	} {
		if known, complete, err := s.Ended(t.Context(), c.account, c.peer, c.sid, c.incoming); known != c.known || complete != c.complete || err != nil {
			t.Errorf("%+v: %v, %v, %v", c, known, complete, err)
		}
	}
}
