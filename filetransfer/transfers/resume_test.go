package transfers_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// part makes the beginning of a file, as an interrupted transfer leaves it.
func (a *account) part(t *testing.T, name string, data []byte) *store.File {
	t.Helper()
	f, err := a.folder.Create(name, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	part := f.Part()
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	if f, err = a.folder.Reopen(name, part); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestResumed goes on with what is there: right, damaged, too much, of a sender that knows no ranges.
func TestResumed(t *testing.T) {
	data := pattern(300_000)
	damaged := bytes.Clone(data[:100_000])
	damaged[5] ^= 1
	for name, c := range map[string]struct {
		part   []byte
		have   int64
		tamper func(action string, e *xmltree.Element)
		mend   bool
		copied int64 // 0: it fails
	}{
		"in the middle":       {data[:100_000], 100_000, nil, false, 200_000},
		"less than is there":  {data[:100_000], 50_000, nil, false, 250_000},
		"all of it":           {data, 300_000, nil, false, -1},
		"more than all":       {append(bytes.Clone(data), "more"...), 300_004, nil, false, -1},
		"nothing":             {nil, 0, nil, false, 300_000},
		"damaged":             {damaged, 100_000, nil, false, 0},
		"damaged, and mended": {damaged, 100_000, nil, true, 200_000},
		"no ranges": {data[:100_000], 100_000, func(action string, e *xmltree.Element) {
			if action == "session-initiate" {
				edit(e, "range", func(r *xmltree.Element) { r.Name.Local = "none" })
			}
		}, false, 300_000},
		"a sender that ignores the range": {data[:100_000], 100_000, func(action string, e *xmltree.Element) {
			if action == "session-accept" {
				edit(e, "range", func(r *xmltree.Element) { r.Attrs = nil })
			}
		}, false, 0},
		"a sender that goes on elsewhere": {data[:100_000], 100_000, func(action string, e *xmltree.Element) {
			if action == "session-accept" {
				edit(e, "range", func(r *xmltree.Element) { r.Set("offset", "100001") })
			}
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{noS5B: true, files: transfers.Config{Checkpoint: time.Hour}}
			if c.copied == 0 {
				o.files.StallTimeout = time.Second // the end comes by it where less is sent than was asked for
			}
			var w *world
			if c.mend {
				o.files.Mend = func(_ *transfers.Transfer, target transfers.Target) error {
					_, err := target.(*store.File).WriteAt(data[:10], 0)
					return err
				}
			}
			w = newWorld(t, o)
			w.tamper = func(_ jid.JID, e *xmltree.Element) *xmltree.Element {
				if c.tamper != nil {
					c.tamper(e.Attr("action"), e)
				}
				return e
			}
			w.juliet.onOffer = func(o transfers.Offered) { o.Transfer.AcceptInto(w.juliet.part(t, "f", c.part), c.have) }
			w.send(source("f", data))
			last := first(w.juliet.wait())
			if c.copied == 0 {
				if e, ok := last.(transfers.Failed); !ok || e.Reason == jingle.GeneralError {
					t.Fatalf("%+v", last)
				}
				return
			}
			got, ok := last.(transfers.Done)
			if !ok || got.Bytes != max(c.copied, 0) || got.Verified != hashes.SHA256 {
				t.Fatalf("%+v", last)
			}
			if b, err := os.ReadFile(got.Path); err != nil || sha256.Sum256(b) != sha256.Sum256(data) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || !e.Confirmed || e.Bytes != got.Bytes {
				t.Errorf("sender: %+v", e)
			}
		})
	}
}

// gate is a source that stops in the middle until it is opened.
type gate struct {
	io.ReadSeeker
	left int
	open chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.left == 0 {
		<-g.open
		return g.ReadSeeker.Read(p)
	}
	n, err := g.ReadSeeker.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

func (*gate) Close() error { return nil }

// TestInterrupted keeps what is there when the connection breaks, and when somebody pauses.
func TestInterrupted(t *testing.T) {
	for how, want := range map[string][2]transfers.Interruption{
		"broken":           {transfers.Broken, transfers.Broken},
		"sender pauses":    {transfers.Paused, transfers.PausedByPeer},
		"receiver pauses":  {transfers.PausedByPeer, transfers.Paused},
		"sender cancels":   {transfers.Ended, transfers.Ended},
		"receiver cancels": {transfers.Ended, transfers.Ended},
	} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true, files: transfers.Config{ProgressInterval: time.Millisecond, Checkpoint: time.Millisecond}})
			data := pattern(1 << 20)
			src := source("f", data)
			g := &gate{ReadSeeker: bytes.NewReader(data), left: 100_000, open: make(chan struct{})}
			src.Open = func() (io.ReadSeekCloser, error) { return g, nil }
			var in *transfers.Transfer
			w.juliet.onOffer = func(o transfers.Offered) {
				in = o.Transfer
				in.AcceptInto(w.juliet.part(t, "f", nil), 0)
			}
			out := w.send(src)
			for e := range w.juliet.events {
				if c, ok := e.(transfers.Checkpoint); ok && c.Bytes == 100_000 {
					break
				}
			}
			gone := &jingle.Reason{Condition: jingle.Gone}
			switch how {
			case "broken":
				out.Cancel(gone)
			case "sender pauses":
				out.Pause()
			case "receiver pauses":
				in.Pause()
			case "sender cancels":
				out.Cancel(nil)
			case "receiver cancels":
				in.Cancel(nil)
			}
			close(g.open)
			for i, a := range []*account{w.romeo, w.juliet} {
				e, ok := first(a.wait()).(transfers.Failed)
				if !ok || e.Interruption != want[i] || want[i] != transfers.Ended && e.Bytes < 100_000 {
					t.Errorf("%s: %+v", a.jid, e)
				}
			}
			<-in.Done()
			left := names(t, w.juliet.dir)
			if kept := want[1] != transfers.Ended; kept != slices.Equal(left, []string{"f.part"}) {
				t.Errorf("left behind: %v", left)
			} else if kept {
				if b, err := os.ReadFile(filepath.Join(w.juliet.dir, "f.part")); err != nil || len(b) < 100_000 || !bytes.Equal(b, data[:len(b)]) {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			}
		})
	}
}
