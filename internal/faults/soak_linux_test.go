package faults

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
)

var (
	soak     = flag.Duration("soak", 3*time.Minute, "how long TestSoak runs")
	profiles = flag.String("soak-profiles", "", "where TestSoak leaves what the heap held after warming up and in the end")
)

// keptEvents is how many events a daemon keeps for clients of its API that come back.
const keptEvents = 4096

// faultEvery is how often something breaks.
const faultEvery = 5 * time.Second

// usage is what the process holds.
type usage struct {
	heap, resident    uint64
	goroutines, files int
}

func (u usage) String() string {
	return fmt.Sprintf("heap %.1f MiB, resident %.1f MiB, %d goroutines, %d files", float64(u.heap)/(1<<20), float64(u.resident)/(1<<20), u.goroutines, u.files)
}

func measure(t *testing.T) (u usage) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap, u.goroutines = m.HeapAlloc, runtime.NumGoroutine()
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.ParseUint(string(bytes.Fields(data)[1]), 10, 64)
		u.resident = pages * uint64(os.Getpagesize())
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(fds)
	return u
}

// heapProfile writes what the heap holds, for go tool pprof -base.
func heapProfile(t *testing.T, name string) {
	t.Helper()
	if *profiles == "" {
		return
	}
	f, err := os.Create(filepath.Join(*profiles, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		t.Error(err)
	}
}

// settle measures when what has ended is gone: when enough says so of two measurements, or else after a while.
func settle(t *testing.T, enough func(last, u usage) bool) usage {
	t.Helper()
	last := measure(t)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		time.Sleep(500 * time.Millisecond)
		u := measure(t)
		if enough(last, u) {
			return u
		}
		last = u
	}
	return last
}

// steady is for [settle]: nothing changes any more.
func steady(last, u usage) bool { return u.goroutines == last.goroutines && u.files == last.files }

// noMore is for [settle]: no more is held than was at first.
func noMore(than usage) func(last, u usage) bool {
	return func(_, u usage) bool { return u.goroutines <= than.goroutines && u.files <= than.files }
}

// tally counts what became of calls or files.
type tally struct{ done, failed atomic.Int64 }

// TestSoak makes calls and sends files, one after the other, while something breaks every five seconds. In the end nothing is
// held that was not after the first tenth of the time, and every file that has come was whole.
func TestSoak(t *testing.T) {
	a, b := pair(t, testkit.SharedServer(t, testkit.Chosen(t)))
	people := []*person{a, b}
	var calls, files tally
	dir := t.TempDir()

	// run works for some time, and returns when nothing is under way any more.
	run := func(d time.Duration) {
		ctx, stop := context.WithTimeout(context.Background(), d)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := oneCall(people[i%2], people[(i+1)%2]); err != nil {
					calls.failed.Add(1)
					if errors.Is(err, errTimeout) {
						t.Errorf("a call hangs: %v", err)
					}
					continue
				}
				calls.done.Add(1)
			}
		})
		wg.Go(func() {
			roads := []jingledv1.Via{jingledv1.Via_VIA_UNSPECIFIED, jingledv1.Via_VIA_IBB, jingledv1.Via_VIA_DATACHANNEL, jingledv1.Via_VIA_S5B}
			for i := 0; ctx.Err() == nil; i++ {
				from, to := people[i%2], people[(i+1)%2]
				path, sum := file(t, dir, 1+rand.IntN(2<<20))
				err := oneFile(from, to, path, sum, roads[i%len(roads)])
				if err == nil || errors.Is(err, errNotOffered) {
					_ = os.Remove(path)
				}
				switch {
				case errors.Is(err, errNotOffered):
					files.failed.Add(1)
					time.Sleep(100 * time.Millisecond)
				case err != nil:
					t.Errorf("a file by %v: %v\n%s", roads[i%len(roads)], err, from.transfers())
				default:
					files.done.Add(1)
				}
			}
		})
		wg.Go(func() { breakThings(ctx, people) })
		wg.Wait()
		for _, p := range people {
			p.rest(t)
		}
	}
	run(*soak / 10)
	begun := settle(t, steady)
	heard := [2]uint64{a.now(), b.now()}
	heapProfile(t, "begun.pprof")
	t.Logf("after warming up: %v; %d calls, %d files", begun, calls.done.Load(), files.done.Load())
	run(*soak - *soak/10)
	over := settle(t, noMore(begun))
	heapProfile(t, "over.pprof")
	t.Logf("in the end: %v; %d calls (%d broke), %d files (%d could not be offered)", over, calls.done.Load(), calls.failed.Load(),
		files.done.Load(), files.failed.Load())
	// A process of this size breathes, and while a daemon has not yet had the events that it keeps it grows.
	breath := uint64(1 << 20)
	if min(heard[0], heard[1]) < keptEvents {
		breath = 6 << 20
	}
	if over.heap > begun.heap+begun.heap/10+breath {
		t.Errorf("the heap has grown from %v to %v", begun, over)
	}
	if over.goroutines > begun.goroutines+2 || over.files > begun.files+8 { // the database opens more handles when it is busy
		t.Errorf("left behind: %v, now %v", begun, over)
	}
	if calls.done.Load() < 10 || files.done.Load() < 10 {
		t.Errorf("hardly anything has worked: %d calls, %d files", calls.done.Load(), files.done.Load())
	}
}

var errBroken = errors.New("the call broke")

// oneCall is a short call, from the first ring to the end.
func oneCall(a, b *person) error {
	sid, err := call(a, b)
	if err == nil {
		time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond)
		return hangUp(a, b, sid)
	}
	if sid == "" {
		time.Sleep(100 * time.Millisecond) // who is away comes back
		return err
	}
	// What was said with a stream that the server forgot may be lost. Then a call ends, but it must not stay.
	if _, over := a.after(0, sid, "the end", ended); over != nil {
		_, _ = a.EndCall(context.Background(), &jingledv1.EndCallRequest{Sid: sid})
		return err
	}
	return errBroken
}

var errNotOffered = errors.New("it could not be offered")

// oneFile sends a file and waits for it, however often it is interrupted.
func oneFile(a, b *person, path, sum string, via jingledv1.Via) error {
	res, err := a.SendFile(context.Background(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path, Via: via})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotOffered, err)
	}
	e, err := a.after(0, res.GetSid(), "the end of the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil || e.GetTransferFailed() != nil })
	switch {
	case err != nil:
		return err
	case e.GetTransferFailed() != nil:
		return fmt.Errorf("%w: %v", errNotOffered, e.GetTransferFailed())
	}
	return sent(b, path, sum)
}
