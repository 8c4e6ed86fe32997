package daemon

import (
	"fmt"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
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

// TestAnswersInPlaceOfADevice: only what a device says itself, that is there all the time, is its answer.
func TestAnswersInPlaceOfADevice(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	alice.seesBob(1)
	a, device := alice.accounts[0], bob.accounts[0].client.JID()
	if !a.addUntold(&state.Unfinished{Peer: device.String(), ID: "1", Updated: time.Now()}) {
		t.Fatal("it is not kept")
	}
	answer := func(between func(), err error) bool {
		for g, asked := range a.dueTo(device) {
			between()
			a.told(device, g, asked, err)
		}
		return len(a.untoldPeers()) == 0
	}
	unknown := jingle.ErrServiceUnavailable()
	for name, c := range map[string]struct {
		between func()
		err     error
	}{
		"it has left and come back": {func() { a.leftUntold(device) }, unknown},
		"another error":             {func() {}, &jingle.StanzaError{Type: "wait", Condition: "recipient-unavailable"}},
		"silence":                   {func() {}, xmpp.ErrTimeout},
	} {
		if answer(c.between, c.err) {
			t.Errorf("%s: it is not told again", name)
		}
	}
	if !answer(func() {}, unknown) {
		t.Error("the device that had the session knows nothing of it, and is told again")
	}
}
