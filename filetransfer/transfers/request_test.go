package transfers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/datachannel"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmltree"
)

// shop shares files by their names.
type shop map[string]transfers.Source

func (s shop) find(_ jid.JID, _ *transfers.Transfer, want filetransfer.File) (transfers.Shared, *jingle.Reason) {
	src, ok := s[want.Name]
	if !ok {
		return transfers.Shared{}, transfers.NotAvailable()
	}
	return transfers.Shared{Source: src}, nil
}

// byChannel lets both use data channels and nothing else.
func byChannel(t *testing.T, w *world) {
	t.Helper()
	for _, a := range []*account{w.romeo, w.juliet} {
		cert, err := dtlssrtp.NewCertificate()
		if err != nil {
			t.Fatal(err)
		}
		f, err := datachannel.NewFactory(datachannel.Config{Certificate: cert,
			ICE: func(jid.JID) agent.Config { return agent.Config{LoopbackOnly: true, Loopback: true} }})
		if err != nil {
			t.Fatal(err)
		}
		a.factories = []engine.TransportFactory{f}
	}
}

// memory is a target that keeps what it gets.
type memory struct {
	bytes.Buffer
	full int // it takes no more than this, if it is not 0
	kept []string
}

func (m *memory) Write(p []byte) (int, error) {
	if m.full > 0 && m.Len()+len(p) > m.full {
		n, _ := m.Buffer.Write(p[:m.full-m.Len()])
		return n, syscall.ENOSPC
	}
	return m.Buffer.Write(p)
}

func (m *memory) end(how string) error { m.kept = append(m.kept, how); return nil }

func (m *memory) Sync() error             { return nil }
func (m *memory) Commit() (string, error) { return "memory", m.end("commit") }
func (m *memory) Keep() error             { return m.end("keep") }
func (m *memory) Discard() error          { return m.end("discard") }
func (m *memory) Part() string            { return "memory" }

// ask lets romeo ask juliet for a file.
func (w *world) ask(want filetransfer.File, target transfers.Target) *transfers.Transfer {
	w.t.Helper()
	ts, err := w.romeo.files.Request(w.romeo.engine, w.juliet.jid, []transfers.Request{{File: want,
		Take: func(*transfers.Transfer, filetransfer.File) (transfers.Target, error) { return target, nil }}}, transfers.SendOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return ts[0]
}

func TestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		options
		ready     func(*testing.T, *world)
		transport string
	}{
		"S5B":                          {options{s5b: [2]bool{true, true}}, nil, s5b.NS},
		"S5B fails, IBB replaces it":   {options{}, nil, ibb.NS},
		"IBB":                          {options{noS5B: true}, nil, ibb.NS},
		"IBB, one block after another": {options{noS5B: true, window: 1}, nil, ibb.NS},
		"data channel":                 {options{noS5B: true}, byChannel, ice.NSDataChannel},
	} {
		for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				c.s5bTiming.EmptyGrace = 10 * time.Millisecond
				data := pattern(size)
				c.files.Shared = shop{"f": source("f", data)}.find
				w := newWorld(t, c.options)
				if c.ready != nil {
					c.ready(t, w)
				}
				target := &memory{}
				in := w.ask(filetransfer.File{Name: "f"}, target)
				last := first(w.romeo.wait())
				got, ok := last.(transfers.Done)
				if !ok || got.Transfer != in || got.Verified != hashes.SHA256 || got.Path != "memory" || got.Transport != c.transport || got.Bytes != int64(size) {
					t.Fatalf("who asks: %+v", last)
				}
				if sent, ok := first(w.juliet.wait()).(transfers.Done); !ok || !sent.Confirmed || !sent.Transfer.Outgoing() || sent.Bytes != int64(size) {
					t.Errorf("who has it: %+v", sent)
				}
				if <-in.Done(); !bytes.Equal(target.Bytes(), data) || !slices.Equal(target.kept, []string{"commit", "discard"}) {
					t.Errorf("%d bytes, %v", target.Len(), target.kept)
				}
			})
		}
	}
}

// sparse is a file of any size that is made of numbers: the byte at each place is known.
type sparse struct{ at, size int64 }

func (s *sparse) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-s.at))
	for i := range n {
		p[i] = byteAt(s.at + int64(i))
	}
	s.at += int64(n)
	return n, nil
}

func byteAt(n int64) byte { return byte(n ^ n>>8 ^ n>>32) }

func (s *sparse) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	s.at = offset
	return offset, nil
}

func (*sparse) Close() error { return nil }

func giant(size int64) transfers.Source {
	return transfers.Source{Name: "giant", Size: size, Open: func() (io.ReadSeekCloser, error) { return &sparse{size: size}, nil }}
}

// TestGiant fetches parts of files that are larger than 32 bits can say.
func TestGiant(t *testing.T) {
	const size = 5<<30 + 4097
	for _, road := range []string{"s5b", "ibb", "datachannel"} {
		for _, r := range [][2]int64{{4<<30 - 5000, 10_000}, {size - 1, 1}, {size, 0}, {size - 5000, 5000}} {
			t.Run(fmt.Sprint(road, r), func(t *testing.T) {
				o := options{noS5B: road != "s5b", s5b: [2]bool{true, true}}
				o.files.Shared = shop{"giant": giant(size)}.find
				w := newWorld(t, o)
				if road == "datachannel" {
					byChannel(t, w)
				}
				target := &memory{}
				w.ask(filetransfer.File{Name: "giant", Range: &filetransfer.Range{Offset: new(r[0]), Length: new(r[1])}}, target)
				if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || e.Bytes != r[1] || e.Verified != hashes.SHA256 {
					t.Fatalf("%+v", e)
				}
				want := make([]byte, r[1])
				s := &sparse{at: r[0], size: size}
				if _, err := io.ReadFull(s, want); err != nil || !bytes.Equal(want, target.Bytes()) {
					t.Errorf("%d bytes, %v", target.Len(), err)
				}
			})
		}
	}
}

// TestRequestRefused asks for what does not come.
func TestRequestRefused(t *testing.T) {
	shared := shop{"f": source("f", pattern(1000)), "odd": {Name: "odd"}}.find
	for name, c := range map[string]struct {
		want   filetransfer.File
		files  transfers.Config
		tamper func(action string, e *xmltree.Element)
		reason jingle.Condition
		app    bool // file-not-available
	}{
		"nothing is shared":      {want: filetransfer.File{Name: "f"}, reason: jingle.FailedApplication, app: true},
		"another name":           {want: filetransfer.File{Name: "../f"}, files: transfers.Config{Shared: shared}, reason: jingle.FailedApplication, app: true},
		"no file behind it":      {want: filetransfer.File{Name: "odd"}, files: transfers.Config{Shared: shared}, reason: jingle.FailedApplication, app: true},
		"a range over the end":   {want: filetransfer.File{Name: "f", Range: &filetransfer.Range{Offset: new(int64(1)), Length: new(int64(1000))}}, files: transfers.Config{Shared: shared}, reason: jingle.FailedApplication},
		"a range behind the end": {want: filetransfer.File{Name: "f", Range: &filetransfer.Range{Offset: new(int64(math.MaxInt64))}}, files: transfers.Config{Shared: shared}, reason: jingle.FailedApplication},
		"too large for us":       {want: filetransfer.File{Name: "f"}, files: transfers.Config{Shared: shared, MaxSize: 999}, reason: jingle.MediaError},
		"an answer without a size": {want: filetransfer.File{Name: "f"}, files: transfers.Config{Shared: shared}, reason: jingle.FailedApplication,
			tamper: func(action string, e *xmltree.Element) {
				if action == "session-accept" {
					edit(e, "size", func(s *xmltree.Element) { s.Name.Local = "length" })
				}
			}},
		"an answer with another range": {want: filetransfer.File{Name: "f", Range: &filetransfer.Range{Offset: new(int64(10)), Length: new(int64(10))}}, files: transfers.Config{Shared: shared},
			reason: jingle.FailedApplication, tamper: func(action string, e *xmltree.Element) {
				if action == "session-accept" {
					edit(e, "range", func(s *xmltree.Element) { s.Set("offset", "11") })
				}
			}},
		"more than was said": {want: filetransfer.File{Name: "f"}, files: transfers.Config{Shared: shared}, reason: jingle.MediaError,
			tamper: func(action string, e *xmltree.Element) {
				if action == "session-accept" {
					edit(e, "size", setText("999"))
				}
			}},
		"less than was said": {want: filetransfer.File{Name: "f"}, files: transfers.Config{Shared: shared, StallTimeout: 300 * time.Millisecond}, reason: "",
			tamper: func(action string, e *xmltree.Element) {
				if action == "session-accept" {
					edit(e, "size", setText("1001"))
				}
			}},
		"another hash": {want: filetransfer.File{Name: "f"}, files: transfers.Config{Shared: shared}, reason: jingle.MediaError,
			tamper: func(action string, e *xmltree.Element) {
				if action == "session-info" {
					edit(e, "hash", setText("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
				}
			}},
		"another hash of a part": {want: filetransfer.File{Name: "f", Range: &filetransfer.Range{Offset: new(int64(10)), Length: new(int64(10))}}, files: transfers.Config{Shared: shared}, reason: jingle.MediaError,
			tamper: func(action string, e *xmltree.Element) {
				if action == "session-info" {
					edit(e, "hash", setText("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true, files: c.files})
			app := false
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				if from == juliet && c.tamper != nil {
					c.tamper(e.Attr("action"), e)
				}
				edit(e, "file-not-available", func(x *xmltree.Element) { app = x.Name.Space == filetransfer.NSErrors })
				return e
			}
			target := &memory{}
			in := w.ask(c.want, target)
			if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || c.reason != "" && e.Reason != c.reason {
				t.Errorf("%+v", e)
			}
			<-in.Done()
			w.stop()
			w.wg.Wait()
			if app != c.app {
				t.Errorf("file-not-available: %t", app)
			}
			if slices.Contains(target.kept, "commit") {
				t.Error("it was stored")
			}
		})
	}
}

// TestDiskFull fills the disk in the middle.
func TestDiskFull(t *testing.T) {
	for _, noS5B := range []bool{true, false} {
		o := options{noS5B: noS5B, s5b: [2]bool{true, true}}
		o.files.Shared = shop{"f": source("f", pattern(1<<20))}.find
		w := newWorld(t, o)
		target := &memory{full: 100_000}
		in := w.ask(filetransfer.File{Name: "f"}, target)
		if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.MediaError || !errors.Is(e.Err, syscall.ENOSPC) {
			t.Errorf("who asks: %+v", e)
		}
		if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != jingle.MediaError || !e.ByPeer {
			t.Errorf("who has it: %+v", e)
		}
		if <-in.Done(); !slices.Equal(target.kept, []string{"discard"}) {
			t.Errorf("%v", target.kept)
		}
	}
}

// TestRequestSeveral asks for several files in one session, of which some are there.
func TestRequestSeveral(t *testing.T) {
	o := options{noS5B: true}
	o.files.Shared = shop{"a": source("a", pattern(10)), "c": source("c", pattern(5000))}.find
	w := newWorld(t, o)
	targets := make([]memory, 4)
	var requests []transfers.Request
	for i, name := range []string{"a", "b", "c", "d"} {
		requests = append(requests, transfers.Request{File: filetransfer.File{Name: name},
			Take: func(*transfers.Transfer, filetransfer.File) (transfers.Target, error) { return &targets[i], nil }})
	}
	ts, err := w.romeo.files.Request(w.romeo.engine, juliet, requests, transfers.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ts) != 4 || ts[0].SID() != ts[3].SID() || ts[0].Content() == ts[3].Content() {
		t.Fatalf("%v", ts)
	}
	ended := map[*transfers.Transfer]string{}
	for range ts {
		switch e := first(w.romeo.wait()).(type) {
		case transfers.Done:
			ended[e.Transfer] = "done"
		case transfers.Failed:
			ended[e.Transfer] = string(e.Reason)
		}
	}
	if ended[ts[0]] != "done" || ended[ts[2]] != "done" || targets[0].Len() != 10 || targets[2].Len() != 5000 {
		t.Errorf("those that are there: %v", ended)
	}
	if ended[ts[1]] == "done" || ended[ts[3]] == "done" {
		t.Errorf("those that are not: %v", ended)
	}
	for range 2 {
		if e, ok := first(w.juliet.wait()).(transfers.Done); !ok {
			t.Errorf("who has them: %+v", e)
		}
	}
	for _, bad := range [][]transfers.Request{nil, {{}}, make([]transfers.Request, 33)} {
		if _, err := w.romeo.files.Request(w.romeo.engine, juliet, bad, transfers.SendOptions{}); err == nil {
			t.Errorf("%d requests without sense", len(bad))
		}
	}
}

// TestRequestCancelled ends what was asked for, from both sides and at different times.
func TestRequestCancelled(t *testing.T) {
	for _, who := range []string{"who asks, early", "who asks", "who has it"} {
		t.Run(who, func(t *testing.T) {
			data := pattern(1 << 20)
			src := source("f", data)
			sl := &slow{ReadSeeker: bytes.NewReader(data), left: 100_000, quit: make(chan struct{})}
			src.Open = func() (io.ReadSeekCloser, error) { return sl, nil }
			serving := make(chan *transfers.Transfer, 1)
			looking, look := make(chan struct{}), make(chan struct{})
			once := sync.Once{}
			o := options{noS5B: true, files: transfers.Config{ProgressInterval: time.Millisecond,
				Shared: func(_ jid.JID, tr *transfers.Transfer, _ filetransfer.File) (transfers.Shared, *jingle.Reason) {
					serving <- tr
					close(looking)
					if who == "who asks, early" {
						<-look
					}
					return transfers.Shared{Source: src}, nil
				}}}
			w := newWorld(t, o)
			t.Cleanup(func() { once.Do(func() { close(look) }) })
			target := &memory{}
			in := w.ask(filetransfer.File{Name: "f"}, target)
			<-looking
			if who != "who asks, early" {
				for e := range w.romeo.events {
					if p, ok := e.(transfers.Progress); ok && p.Bytes > 0 {
						break
					}
				}
			}
			sl.Close()
			if out := <-serving; who == "who has it" {
				out.Cancel(nil)
			} else {
				in.Cancel(nil)
			}
			e, ok := first(w.romeo.wait()).(transfers.Failed)
			if !ok || e.Interruption != transfers.Ended {
				t.Errorf("%+v", e)
			}
			once.Do(func() { close(look) })
			<-in.Done()
			if slices.Contains(target.kept, "commit") || slices.Contains(target.kept, "keep") {
				t.Errorf("%v", target.kept)
			}
		})
	}
}

// soak is the environment variable with which `make soak` asks for the long form of a test.
const soak = "JINGLED_TEST_SOAK"

// TestManySmallFiles sends a thousand of them, or in its long form ten thousand.
func TestManySmallFiles(t *testing.T) {
	files, atOnce := 1000, 8
	if os.Getenv(soak) != "" {
		files = 10_000
	}
	w := newWorld(t, options{noS5B: true, files: transfers.Config{MaxTransfers: 64, MaxPerPeer: 64}})
	slots := make(chan struct{}, atOnce)
	go func() {
		for range files {
			if e, ok := first(w.romeo.wait()).(transfers.Done); !ok {
				t.Errorf("%+v", e)
			}
			<-slots
		}
	}()
	received := make(chan struct{})
	go func() {
		defer close(received)
		for range files {
			if e, ok := first(w.juliet.wait()).(transfers.Done); !ok {
				t.Errorf("%+v", e)
			}
		}
	}()
	began := time.Now()
	for n := range files {
		slots <- struct{}{}
		w.send(source(fmt.Sprintf("%d", n), []byte(strings.Repeat("x", n%100))))
	}
	<-received
	t.Logf("%d files in %v", files, time.Since(began))
	if got := names(t, w.juliet.dir); len(got) != files {
		t.Errorf("%d files", len(got))
	}
	for range atOnce {
		slots <- struct{}{}
	}
}
