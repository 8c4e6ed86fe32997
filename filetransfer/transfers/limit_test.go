package transfers_test

import (
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
)

func TestRates(t *testing.T) {
	for name, set := range map[string]func(*transfers.Config){
		"upload":   func(c *transfers.Config) { c.Upload = transfers.NewLimiter(400_000) },
		"download": func(c *transfers.Config) { c.Download = transfers.NewLimiter(400_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := withGlass(options{s5b: [2]bool{true, true}})
			set(&o.files)
			w := newWorld(t, o)
			data := pattern(500_000)
			begin := time.Now()
			// Two at once have the rate together. The first quarter of a second is free.
			w.send(source("x", data))
			w.seal(source("y", data), transfers.SendOptions{})
			for range 2 {
				if d, ok := first(w.juliet.wait()).(transfers.Done); !ok || d.Transport != s5b.NS {
					t.Errorf("%+v", d)
				}
				w.romeo.wait()
			}
			if took := time.Since(begin); took < 2*time.Second {
				t.Errorf("a million bytes took %v", took)
			}
		})
	}
	if transfers.NewLimiter(0) != nil {
		t.Error("no limit is one")
	}
}

// TestCancelWhileSlowed ends at once, however slow the rate is.
func TestCancelWhileSlowed(t *testing.T) {
	o := options{s5b: [2]bool{true, true}}
	o.files.Upload = transfers.NewLimiter(1)
	w := newWorld(t, o)
	tr := w.send(source("x", pattern(1_000_000)))
	for e := range w.romeo.events {
		if _, ok := e.(transfers.Started); ok {
			break
		}
	}
	tr.Cancel(nil)
	for _, a := range []*account{w.romeo, w.juliet} {
		if f, ok := first(a.wait()).(transfers.Failed); !ok {
			t.Errorf("%+v", f)
		}
	}
}
