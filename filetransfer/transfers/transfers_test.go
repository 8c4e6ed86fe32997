package transfers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
)

func TestTransfer(t *testing.T) {
	for name, c := range map[string]struct {
		options
		transport string
	}{
		"S5B":                          {options{s5b: [2]bool{true, true}}, s5b.NS},
		"S5B fails, IBB replaces it":   {options{}, ibb.NS},
		"IBB":                          {options{noS5B: true}, ibb.NS},
		"IBB, one block after another": {options{noS5B: true, window: 1}, ibb.NS},
		"data channel":                 {options{noS5B: true}, ice.NSDataChannel},
	} {
		for _, size := range []int{0, 1, 4095, 4096, 4097, 300_000} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				c.s5bTiming.EmptyGrace = 10 * time.Millisecond
				w := newWorld(t, c.options)
				if c.transport == ice.NSDataChannel {
					byChannel(t, w)
				}
				data := pattern(size)
				w.send(source("a file.txt", data))
				checkArrived(t, w, "a file.txt", c.transport, data)
			})
		}
	}
}

func TestBigOverS5B(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}, files: transfers.Config{ProgressInterval: time.Millisecond}})
	data := pattern(64 << 20)
	tr := w.send(source("big", data))
	checkArrived(t, w, "big", s5b.NS, data)
	<-tr.Done()
	if tr.Copied() != int64(len(data)) {
		t.Errorf("%d bytes copied", tr.Copied())
	}
}

func TestFilesOnDisk(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	data := pattern(3 << 20)
	path := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := transfers.File(path)
	if err != nil || src.Name != "photo.png" || src.MediaType != "image/png" || src.Size != int64(len(data)) {
		t.Fatalf("%+v, %v", src, err)
	}
	for _, want := range []string{"photo.png", "photo (2).png"} {
		w.send(src)
		checkArrived(t, w, want, s5b.NS, data)
	}
	if _, err := transfers.File(t.TempDir()); err == nil {
		t.Error("a folder is sent as a file")
	}
	if err := os.WriteFile(path, data[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	w.send(src)
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.FailedApplication || e.Err == nil {
		t.Errorf("a file that changed: %+v", e)
	}
	if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || !e.ByPeer {
		t.Errorf("a file that changed, at the receiver: %+v", e)
	}
}

func first(e transfers.Event, _ []transfers.Event) transfers.Event { return e }

// TestManyAtOnce sends to and fro.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	data := pattern(200_000)
	const each = 8
	for range each {
		w.send(source("same name", data))
		if _, err := w.juliet.files.Send(w.juliet.engine, romeo, source("back", data), transfers.SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []*account{w.romeo, w.juliet} {
		for range 2 * each {
			if e, ok := first(a.wait()).(transfers.Done); !ok {
				t.Errorf("%s: %+v", a.jid, e)
			}
		}
		if got := len(names(t, a.dir)); got != each {
			t.Errorf("%s has %d files", a.jid, got)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"../../x": "x", "/etc/passwd": "passwd", `..\..\y`: "y", "..": "file", "CON": "_CON", "a\u202egnp.exe": "agnp.exe", ".profile": "_profile",
	} {
		w := newWorld(t, options{noS5B: true})
		w.send(source(name, []byte("x")))
		checkArrived(t, w, want, ibb.NS, []byte("x"))
	}
}

func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// TestWire pins who says what, as clients expect it: received before the success, and the receiver ends the session.
func TestWire(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.send(source("f", []byte("data")))
	checkArrived(t, w, "f", ibb.NS, []byte("data"))
	want := []string{"romeo session-initiate", "juliet session-accept", "romeo session-info", "juliet session-info", "juliet session-terminate"}
	if got := w.actions(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestDecline(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.juliet.onOffer = func(o transfers.Offered) {
		if o.File.Name != "f" || *o.File.Size != 4 || o.Transfer.Peer() != romeo || o.Transfer.Outgoing() {
			t.Errorf("%+v", o)
		}
		o.Transfer.Decline()
		o.Transfer.Accept(w.juliet.folder) // too late
	}
	w.send(source("f", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.Decline || !e.ByPeer {
		t.Errorf("sender: %+v", e)
	}
	if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != jingle.Decline || e.ByPeer {
		t.Errorf("receiver: %+v", e)
	}
	if left := names(t, w.juliet.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// slow is a source that stops in the middle until it is closed.
type slow struct {
	io.ReadSeeker
	left int
	quit chan struct{}
	once sync.Once
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left <= 0 {
		<-s.quit
		return 0, errors.New("closed")
	}
	n, err := s.ReadSeeker.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

func (s *slow) Close() error {
	s.once.Do(func() { close(s.quit) })
	return nil
}

func TestCancel(t *testing.T) {
	for _, who := range []string{"sender", "receiver", "shutdown"} {
		for _, noS5B := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s ibb=%t", who, noS5B), func(t *testing.T) {
				w := newWorld(t, options{noS5B: noS5B, s5b: [2]bool{true, true}, files: transfers.Config{ProgressInterval: time.Millisecond}})
				data := pattern(1 << 20)
				src := source("f", data)
				sl := &slow{ReadSeeker: bytes.NewReader(data), left: 100_000, quit: make(chan struct{})}
				src.Open = func() (io.ReadSeekCloser, error) { return sl, nil }
				var in *transfers.Transfer
				w.juliet.onOffer = func(o transfers.Offered) {
					in = o.Transfer
					in.Accept(w.juliet.folder)
				}
				out := w.send(src)
				for e := range w.juliet.events {
					if p, ok := e.(transfers.Progress); ok && p.Bytes > 0 {
						break
					}
				}
				if got := names(t, w.juliet.dir); !slices.Equal(got, []string{"f.part"}) {
					t.Errorf("on the way: %v", got)
				}
				sl.Close()
				switch who {
				case "sender":
					out.Cancel(nil)
				case "receiver":
					in.Cancel(nil)
				case "shutdown":
					w.stop()
				}
				for _, a := range []*account{w.romeo, w.juliet} {
					if e, ok := first(a.wait()).(transfers.Failed); !ok {
						t.Errorf("%s: %+v", a.jid, e)
					}
				}
				<-in.Done()
				if left := names(t, w.juliet.dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// TestSlowReader: what a socket holds is not delivered yet, so a sender does not give up on the confirmation.
func TestSlowReader(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, _ := out.Write(make([]byte, 64<<20)) // until the buffers are full
	held := transfers.UnsentForTest(out)
	if runtime.GOOS != "linux" {
		if held != 0 {
			t.Errorf("%d bytes", held)
		}
		return
	}
	if held <= 0 || held > n {
		t.Errorf("%d of %d bytes are said to be on the way", held, n)
	}
	if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); transfers.UnsentForTest(out) != 0; {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("all was read, and bytes are still said to be on the way")
		}
		runtime.Gosched()
	}
	if got := transfers.UnsentForTest(io.NopCloser(nil)); got != 0 {
		t.Errorf("not a socket: %d", got)
	}
}
