package daemon_test

import (
	"crypto/sha256"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// soak is the environment variable with which `make soak` asks for the long form of a test.
const soak = "JINGLED_TEST_SOAK"

// maxMemory is what a transfer may need above idle. The sender and the receiver are in one process here.
const maxMemory = 2 * 64 << 20

// held is the memory that the program holds, but for what could be given back.
func held() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"}}
	metrics.Read(s)
	n := uint64(0)
	for _, x := range s {
		n += x.Value.Uint64()
	}
	return n
}

// hollow makes a file of zeros that needs no room.
func hollow(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hollow.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// carry sends a file and calls meanwhile again and again until it has come.
func carry(t testing.TB, alice, bob *peer, path string, via jingledv1.Via, meanwhile func()) {
	t.Helper()
	inbox := t.TempDir()
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, Via: via}); err != nil {
		t.Fatal(err)
	}
	in := await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: in.GetSid(), Dir: inbox}); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	for _, p := range []*peer{bob, alice} {
		reading.Go(func() {
			for {
				e, err := p.events.Next(t.Context())
				if err != nil || e.GetTransferFailed() != nil || e.GetTransferInterrupted() != nil {
					t.Errorf("%s: %v, %v", p.jid, e, err)
				}
				if err != nil || over(e) {
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		reading.Wait()
	}()
	for {
		select {
		case <-ended:
			if err := os.RemoveAll(inbox); err != nil {
				t.Error(err)
			}
			return
		default:
			meanwhile()
		}
	}
}

// TestMemory holds transfers to their bound, by every road: with small files, or in its long form with 4 GiB by the fast
// one.
func TestMemory(t *testing.T) {
	long := os.Getenv(soak) != ""
	for via, size := range map[jingledv1.Via]int64{jingledv1.Via_VIA_S5B: 64 << 20, jingledv1.Via_VIA_DATACHANNEL: 8 << 20, jingledv1.Via_VIA_IBB: 2 << 20} {
		t.Run(via.String(), func(t *testing.T) {
			switch {
			case long && via == jingledv1.Via_VIA_S5B:
				size = 4<<30 + 1
			case long: // a slow road needs no more for a long file
				size *= 128
			}
			srv := friends(t)
			alice, bob := login(t, srv, "alice", keeping(t)), login(t, srv, "bob", keeping(t))
			path := hollow(t, size)
			runtime.GC()
			idle, most := held(), uint64(0)
			carry(t, alice, bob, path, via, func() {
				most = max(most, held())
				time.Sleep(5 * time.Millisecond)
			})
			above := int64(most) - int64(idle)
			t.Logf("%d MiB: %.1f MiB above %.1f MiB", size>>20, float64(above)/(1<<20), float64(idle)/(1<<20))
			if above > maxMemory {
				t.Errorf("a file of %d MiB needed %d MiB", size>>20, above>>20)
			}
		})
	}
}

// plain copies a file over TCP and calls meanwhile again and again.
func plain(b *testing.B, path string, meanwhile func()) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	from, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(b.TempDir(), "copy"))
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		if _, err := io.Copy(struct{ io.Writer }{c}, io.TeeReader(from, sha256.New())); err != nil {
			b.Error(err)
		}
	}()
	c, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := io.Copy(io.MultiWriter(to, sha256.New()), c); err != nil {
			b.Error(err)
		}
	}()
	for {
		select {
		case <-ended:
			return
		default:
			meanwhile()
		}
	}
}

// BenchmarkEventLoop asks how long others wait while a large file goes by: a request to the server and back through the
// account's dispatcher, and one of the API. The baseline, "copy", is the same beside a plain copy over TCP that hashes at its
// end: what a busy machine makes of it. "held" is for how long a handler has kept the dispatcher at most, the login included.
func BenchmarkEventLoop(b *testing.B) {
	srv := friends(b)
	state := b.TempDir()
	keep := func(name string) func(*daemon.Config) {
		return func(c *daemon.Config) { c.StateDir = filepath.Join(state, name) }
	}
	alice, bob := login(b, srv, "alice", keep("a")), login(b, srv, "bob", keep("b"))
	path := hollow(b, 512<<20)
	var times []time.Duration
	once := func() {
		for _, p := range []*peer{alice, bob} {
			began := time.Now()
			if err := p.Ping(b.Context()); err != nil {
				b.Error(err)
			}
			if _, err := p.ListTransfers(b.Context(), &jingledv1.ListTransfersRequest{}); err != nil {
				b.Error(err)
			}
			times = append(times, time.Since(began))
		}
	}
	type figure struct {
		unit string
		ms   float64
	}
	var figures []figure
	report := func(name string) {
		slices.Sort(times)
		for _, q := range []struct {
			unit string
			at   int
		}{{"p50", len(times) / 2}, {"p99", len(times) * 99 / 100}, {"max", len(times) - 1}} {
			figures = append(figures, figure{name + "-" + q.unit + "-ms", float64(times[q.at].Microseconds()) / 1000})
		}
		times = times[:0]
	}
	plain(b, path, once)
	report("copy")
	for b.Loop() {
		carry(b, alice, bob, path, jingledv1.Via_VIA_S5B, once)
	}
	report("loop")
	figures = append(figures, figure{"held-max-ms", float64(max(alice.Longest(), bob.Longest()).Microseconds()) / 1000})
	for _, f := range figures {
		b.ReportMetric(f.ms, f.unit)
	}
}
