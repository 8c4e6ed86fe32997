package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNarrowTerminal: the line of figures never wraps.
func TestNarrowTerminal(t *testing.T) {
	ours, theirs, err := openTTY()
	if err != nil {
		t.Skip("there is no terminal here: ", err)
	}
	defer ours.Close()
	defer theirs.Close()
	if err := unix.IoctlSetWinsize(int(theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
		t.Fatal(err)
	}
	p := (&global{}).printer(theirs)
	if !p.tty || p.width() != 40 {
		t.Fatalf("a terminal: %v, %d columns", p.tty, p.width())
	}
	p.status(strings.Repeat("ä", 60))
	p.line("end")
	b := make([]byte, 1024)
	var got string
	for !strings.Contains(got, "end") {
		n, err := ours.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got += string(b[:n])
	}
	if n := strings.Count(got, "ä"); n != 39 {
		t.Errorf("%d columns of 40 are used: %q", n, got)
	}
}
