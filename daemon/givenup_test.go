package daemon_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// with is a daemon that has the state of one before it.
func with(dir string) func(*daemon.Config) { return func(c *daemon.Config) { c.StateDir = dir } }

// ends gives a transfer up at one side.
func (p *pausing) ends(t *testing.T, who *peer) {
	t.Helper()
	if _, err := who.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	if f := await(t, who, over).GetTransferFailed(); f.GetReason() != "cancel" || f.GetByPeer() {
		t.Errorf("%s: %v", who.jid, f)
	}
}

// hears waits until the other side has heard that a transfer was given up.
func (p *pausing) hears(t *testing.T, who *peer) {
	t.Helper()
	if e := await(t, who, over); e.GetSid() != p.sid || e.GetTransferFailed().GetReason() != "cancel" || !e.GetTransferFailed().GetByPeer() {
		t.Errorf("%s: %v", who.jid, e)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// journaled returns the journal of a daemon that has stopped.
func journaled(t *testing.T, dir string) []state.Unfinished {
	t.Helper()
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Unfinished(t.Context(), "alice@example.test")
	if err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	return rows
}

// TestGivenUpAndStartedAgain: who has given a transfer up is started again before the other side is back to hear of it.
func TestGivenUpAndStartedAgain(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 1<<20, 1<<19)
	p.bob.stop()
	p.ends(t, p.alice)
	p.alice.stop()
	if rows := journaled(t, p.alice.state); len(rows) != 1 || rows[0].Phase != state.GivenUp {
		t.Errorf("the journal has %+v", rows)
	}
	p.alice = login(t, w.Server, "alice", with(p.alice.state))
	if l, err := p.alice.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{}); err != nil || len(l.GetTransfers()) != 0 {
		t.Errorf("what was given up is listed: %v, %v", l, err)
	}
	p.bob = login(t, w.Server, "bob", with(p.bob.state))
	p.hears(t, p.bob)
	shows(t, p.alice, p.bob)(0) // which comes after its answer
	p.alice.stop()
	if rows := journaled(t, p.alice.state); len(rows) != 0 {
		t.Errorf("the journal has %+v", rows)
	}
}

// TestGivenUpIsHeardByTheOneConcerned: however often another device of the receiver shows itself, the one that waits for the
// file hears that it does not come.
func TestGivenUpIsHeardByTheOneConcerned(t *testing.T) {
	for name, c := range map[string]struct {
		deaf bool // the other device does not answer
		want int32
	}{"the other device knows nothing": {false, 1}, "the other device says nothing": {true, 5}} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			p := pauseAt(t, w, 1<<20, 1<<19)
			p.bob.stop()
			dir := filepath.Join(t.TempDir(), "other")
			elsewhere := func(cfg *daemon.Config) { cfg.StateDir, cfg.Accounts[0].Resource = dir, "elsewhere" }
			other := login(t, w.Server, "bob", elsewhere)
			showing := shows(t, p.alice, other)
			showing(0)
			var told atomic.Int32
			questions, answered := map[string]bool{}, make(chan struct{}, 100)
			w.change(func(from jid.JID, stanza *xmltree.Element) {
				switch {
				case stanza.Child(resume.NS, "cancelled") != nil:
					told.Add(1)
					questions[stanza.Attr("id")] = true
				case from.Bare() == other.jid && stanza.Name.Local == "iq" && questions[stanza.Attr("id")]:
					if c.deaf {
						stanza.Set("to", "nobody@example.test/nowhere") // so that it never comes
					}
					answered <- struct{}{}
				}
			})
			hear := func() {
				t.Helper()
				select {
				case <-answered:
				case <-time.After(20 * time.Second):
					t.Fatalf("the other device was told %d times", told.Load())
				}
			}
			p.ends(t, p.alice)
			hear() // before what it shows next
			for i := range 10 {
				showing(i + 1)
			}
			for range c.want - 1 {
				hear()
			}
			if n := told.Load(); n != c.want {
				t.Errorf("the other device was told %d times, want %d", n, c.want)
			}
			other.stop() // and is back: it may have another memory
			login(t, w.Server, "bob", elsewhere)
			hear()
			w.change(nil)
			p.bob = login(t, w.Server, "bob", with(p.bob.state))
			p.hears(t, p.bob)
			shows(t, p.alice, p.bob)(0) // which comes after its answer
			p.alice.stop()
			if rows := journaled(t, p.alice.state); len(rows) != 0 {
				t.Errorf("the journal has %+v", rows)
			}
		})
	}
}

// shows returns how to have a device show itself once more, and to wait until that is seen.
func shows(t *testing.T, seer, device *peer) func(n int) {
	return func(n int) {
		t.Helper()
		status := "status " + strconv.Itoa(n)
		if _, err := device.SetPresence(t.Context(), &jingledv1.SetPresenceRequest{Status: status}); err != nil {
			t.Fatal(err)
		}
		seen := func() bool {
			l, err := seer.ListContacts(t.Context(), &jingledv1.ListContactsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(l.GetContacts(), func(c *jingledv1.Contact) bool {
				return slices.ContainsFunc(c.GetDevices(), func(d *jingledv1.Device) bool { return d.GetStatus() == status })
			})
		}
		for deadline := time.Now().Add(20 * time.Second); !seen(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not seen", status)
			}
		}
	}
}
