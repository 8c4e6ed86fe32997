package daemon

import (
	"fmt"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
)

// TestUntoldIsBounded has more to tell than is kept, and keeps it for no longer than the others wait.
func TestUntoldIsBounded(t *testing.T) {
	a := act(t, newServer(t), "alice", nil).accounts[0]
	now := time.Now()
	add := func(peer, id int) bool {
		return a.addUntold(&state.Unfinished{Peer: fmt.Sprintf("p%d@example.test/r", peer), ID: fmt.Sprint(id), Updated: now})
	}
	for id := range maxUntold {
		if !add(0, id) {
			t.Fatalf("%d are too many of one peer", id+1)
		}
	}
	if add(0, maxUntold) {
		t.Error("one peer may have more than its share")
	}
	for peer := 1; peer < maxUntoldPeers; peer++ {
		if !add(peer, 0) {
			t.Fatalf("%d peers are too many", peer+1)
		}
	}
	if add(maxUntoldPeers, 0) {
		t.Error("there are more peers than there may be")
	}
	a.expireUntold(now.Add(keepPart))
	if n := len(a.untoldPeers()); n != maxUntoldPeers {
		t.Errorf("%d peers would hear of it before its time is over", n)
	}
	a.expireUntold(now.Add(keepPart + 1))
	if n := len(a.untoldPeers()); n != 0 {
		t.Errorf("%d peers would hear of what they have given up themselves", n)
	}
}

// TestTellingsAreBounded has devices of a peer come and go that never answer.
func TestTellingsAreBounded(t *testing.T) {
	a := act(t, newServer(t), "alice", nil).accounts[0]
	row := &state.Unfinished{Peer: "bob@example.test/r", ID: "1", Updated: time.Now()}
	if !a.addUntold(row) {
		t.Fatal("it is not kept")
	}
	for i := range 10 * maxAllTellings {
		a.dueTo(jid.JID(fmt.Sprintf("bob@example.test/r%d", i)))
		if n := len(a.journals.untold["bob@example.test"][0].tellings); n > maxTold {
			t.Fatalf("%d devices are remembered", n)
		}
	}
	if due := a.dueTo("bob@example.test/another"); len(due) > 0 {
		t.Error("there is no end to it")
	}
	a.expireUntold(time.Now())
	if n := len(a.untoldPeers()); n != 0 {
		t.Error("what nobody wants to hear is kept")
	}
}
