package tunnel

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jid"
)

func open(t testing.TB) *Tunnel {
	t.Helper()
	x, err := New("alice@example.test/desk")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestStanzasGoBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := open(t)
		got := make(chan string)
		go func() {
			for {
				b, err := x.Receive()
				if err != nil {
					got <- err.Error()
					return
				}
				got <- string(b)
			}
		}()
		synctest.Wait() // it waits before anything has come
		if err := x.Push(`<iq id="1" type="get"><q xmlns="u:q"/></iq>`, `<p:presence xmlns:p="jabber:client"/>`); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`<iq xmlns="jabber:client" id="1" type="get"><q xmlns="u:q"/></iq>`, `<presence xmlns="jabber:client"/>`} {
			if s := <-got; s != want {
				t.Errorf("got %s, want %s", s, want)
			}
		}
		text := []byte("<message/>")
		if err := x.Send(text); err != nil {
			t.Fatal(err)
		}
		text[1] = 'X' // it was valid during the call only
		if s, err := x.Next(t.Context()); err != nil || s != "<message/>" {
			t.Errorf("%q, %v", s, err)
		}
		if err := x.Send([]byte("<last/>")); err != nil {
			t.Fatal(err)
		}
		x.Close()
		x.Close()
		if s := <-got; s != io.EOF.Error() {
			t.Errorf("the daemon got %s after the end", s)
		}
		if s, err := x.Next(t.Context()); err != nil || s != "<last/>" {
			t.Errorf("what was sent before the end: %q, %v", s, err)
		}
		if _, err := x.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if err := errors.Join(x.Push("<iq/>"), x.Send([]byte("<iq/>"))); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestNextIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

var notStanzas = []string{"", "x", "<iq/><iq/>", "<stream:features/>", "<iq", `<iq xmlns="u:other"/>`, "<body/>", "</x><x><iq/>",
	"<iq/></x><x>", `<!DOCTYPE x><iq/>`, "<iq>&foo;</iq>", "<?php ?><iq/>", "<iq/>" + strings.Repeat("a", 300), "<iq/><a/>", strings.Repeat("<iq>", 100),
	"<iq>" + strings.Repeat("a", maxQueue) + "</iq>", "<iq/></stream:stream>", "</x>"}

func TestNotStanzas(t *testing.T) {
	x := open(t)
	for _, s := range notStanzas {
		if err := x.Push("<presence/>", s); err == nil || errors.Is(err, ErrBusy) {
			t.Errorf("%.40q was taken: %v", s, err)
		}
	}
	if b := x.in.take(); b != nil {
		t.Errorf("something of it was taken: %s", b)
	}
}

func TestAddresses(t *testing.T) {
	for _, j := range []string{"", "example.test", "alice@example.test", "example.test/x"} {
		if _, err := New(jid.JID(j)); err == nil {
			t.Errorf("%q was taken", j)
		}
	}
}

// TestBounds fills both directions.
func TestBounds(t *testing.T) {
	x := open(t)
	for n := 0; ; n++ {
		if err := x.Push("<presence/>"); err != nil {
			if !errors.Is(err, ErrBusy) || n != maxCount {
				t.Errorf("after %d: %v", n, err)
			}
			break
		}
	}
	big := []byte("<message>" + strings.Repeat("a", 200<<10) + "</message>")
	for n := 0; ; n++ {
		if err := x.Send(big); err != nil {
			if !errors.Is(err, ErrBusy) || n != maxQueue/len(big) {
				t.Errorf("after %d: %v", n, err)
			}
			break
		}
	}
	for range 3 { // there is room again
		if _, err := x.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Push("<presence/>", "<presence/>", "<presence/>"); err != nil {
		t.Error(err)
	}
}

// FuzzPush looks for something that is taken and is not exactly one stanza.
func FuzzPush(f *testing.F) {
	for _, s := range notStanzas {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	f.Add(`<iq xmlns="jabber:client" from="a@b/c"><x xmlns=""/></iq>`)
	f.Fuzz(func(t *testing.T, s string) {
		text, err := normal(s)
		if err != nil {
			return
		}
		again, err := normal(string(text))
		if err != nil || string(again) != string(text) {
			t.Fatalf("%q became %q and then %q, %v", s, text, again, err)
		}
	})
}
