package transfers_test

import (
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// TestLastBlockLost: a sender whose last in-band block does not arrive does not take the file for sent.
func TestLastBlockLost(t *testing.T) {
	w := newWorld(t, options{noS5B: true, files: transfers.Config{ConfirmTimeout: time.Millisecond}})
	w.inBand = func(e *xmltree.Element) {
		if e.Attr("seq") == "2" {
			e.Set("sid", "another")
		}
	}
	w.send(source("f", pattern(3*4096)))
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.ConnectivityError {
		t.Errorf("sender: %+v", e)
	}
	if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok {
		t.Errorf("receiver: %+v", e)
	}
}
