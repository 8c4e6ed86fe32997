//go:build linux

package daemon

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// held is what a process holds that calls could leave behind.
type held struct{ goroutines, files int }

func holding(t testing.TB) held {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return held{runtime.NumGoroutine(), len(fds)}
}

// callInARow makes calls one after the other, from a propose to the end on both sides, and returns what is left of them.
func callInARow(t *testing.T, calls int) (before, after held) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	one := func() {
		t.Helper()
		sid := alice.call(bob.jid)
		bob.incoming()
		bob.answer(sid)
		alice.connected(sid)
		bob.connected(sid)
		alice.hangUp(sid, "")
		alice.ended(sid)
		bob.ended(sid)
		alice.seen, bob.seen = nil, nil
	}
	for range 5 {
		one() // what is made once for all calls is there now
	}
	settle := func(limit held) held {
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			h := holding(t)
			if h.goroutines <= limit.goroutines && h.files <= limit.files || time.Now().After(end) {
				return h
			}
		}
	}
	time.Sleep(time.Second) // the last of the first calls have ended
	before = holding(t)
	for range calls {
		one()
	}
	return before, settle(before)
}

// TestCallsLeaveNothing: after many calls in a row no goroutine and no file is open that was not before. JINGLED_CALLS=1000
// makes that many.
func TestCallsLeaveNothing(t *testing.T) {
	calls := 20
	if n, err := strconv.Atoi(os.Getenv("JINGLED_CALLS")); err == nil {
		calls = n
	}
	before, after := callInARow(t, calls)
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
