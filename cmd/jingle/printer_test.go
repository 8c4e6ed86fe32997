package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// full is a disk without room.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestOutputIsLost: what could not be printed is remembered, as lines and as JSON.
func TestOutputIsLost(t *testing.T) {
	for _, json := range []bool{false, true} {
		g := &global{json: json}
		p := g.printer(full{})
		p.answer(struct{}{}, "a line")
		if !errors.Is(p.lost, errFull) {
			t.Errorf("json %v: %v", json, p.lost)
		}
		if p = g.printer(io.Discard); p.lost != nil {
			t.Error(p.lost)
		}
	}
}

func TestMeterOfNothingKnown(t *testing.T) {
	var b strings.Builder
	p := (&global{}).printer(&b)
	p.tty = true
	p.status("a long line of text")
	p.status("short")
	if got := b.String(); got != "\ra long line of text\rshort              " {
		t.Errorf("%q", got)
	}
}
