package sm_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

func enabled(t testing.TB, attrs ...string) *sm.Stream {
	t.Helper()
	e := xmltree.New(sm.NS, "enabled")
	for i := 0; i < len(attrs); i += 2 {
		e.Set(attrs[i], attrs[i+1])
	}
	s := sm.Enabled(e)
	if s == nil {
		t.Fatal("not enabled")
	}
	return s
}

func TestEnabled(t *testing.T) {
	if sm.Enabled(xmltree.New(sm.NS, "failed")) != nil || sm.Enabled(nil) != nil {
		t.Error("a refusal was taken as consent")
	}
	for _, c := range []struct {
		attrs []string
		limit time.Duration
		ok    bool
	}{
		{nil, sm.DefaultMax, false},
		{[]string{"id", "x"}, sm.DefaultMax, false},
		{[]string{"id", "x", "resume", "true"}, sm.DefaultMax, true},
		{[]string{"id", "x", "resume", "1", "max", "60"}, time.Minute, true},
		{[]string{"id", "x", "resume", "true", "max", "-1"}, sm.DefaultMax, true},
		{[]string{"resume", "true"}, sm.DefaultMax, false},
	} {
		if limit, ok := enabled(t, c.attrs...).Resumable(); limit != c.limit || ok != c.ok {
			t.Errorf("%v: resumable %v for %v", c.attrs, ok, limit)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	s := enabled(t)
	for i := range 5 {
		s.Sent(fmt.Appendf(nil, "<m%d/>", i))
	}
	if err := s.Acknowledge(2); err != nil {
		t.Fatal(err)
	}
	if u := s.Unacknowledged(); len(u) != 3 || string(u[0]) != "<m2/>" {
		t.Errorf("left are %q", u)
	}
	if err := s.Acknowledge(6); !errors.Is(err, sm.ErrAck) {
		t.Errorf("too much was acknowledged: %v", err)
	}
	if err := s.Acknowledge(1); !errors.Is(err, sm.ErrAck) {
		t.Errorf("the count went back: %v", err)
	}
	if n, b := s.Waiting(); n != 3 || b != 15 {
		t.Errorf("%d stanzas, %d bytes are waiting", n, b)
	}
}

func TestResume(t *testing.T) {
	s := enabled(t, "id", "abc", "resume", "true")
	s.Received()
	s.Received()
	s.Sent([]byte("<a/>"))
	s.Sent([]byte("<b/>"))
	if r := s.Resume(); !r.Equal(xmltree.New(sm.NS, "resume").Set("previd", "abc").Set("h", "2")) {
		t.Errorf("it is resumed with %s", r)
	}
	if ok, err := s.Resumed(xmltree.New(sm.NS, "failed")); ok || err != nil {
		t.Errorf("a refusal was read as %v, %v", ok, err)
	}
	for _, bad := range []*xmltree.Element{
		xmltree.New(sm.NS, "resumed").Set("previd", "abc").Set("h", "x"),
		xmltree.New(sm.NS, "resumed").Set("previd", "abc").Set("h", "-1"),
		xmltree.New(sm.NS, "resumed").Set("previd", "abc").Set("h", "4294967296"),
		xmltree.New(sm.NS, "resumed").Set("previd", "other").Set("h", "1"),
		xmltree.New(sm.NS, "resumed").Set("previd", "abc").Set("h", "3"),
	} {
		if _, err := s.Resumed(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	ok, err := s.Resumed(xmltree.New(sm.NS, "resumed").Set("previd", "abc").Set("h", "1"))
	if !ok || err != nil || len(s.Unacknowledged()) != 1 || string(s.Unacknowledged()[0]) != "<b/>" {
		t.Errorf("resumed: %v, %v, left %q", ok, err, s.Unacknowledged())
	}
}

// Whatever is lost on the way, the stanzas that the other side handled and those that are sent again are all of them, once
// each and in order, also where the count wraps.
func TestNothingLostOrDoubled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sm.Enabled(xmltree.New(sm.NS, "enabled").Set("id", "x").Set("resume", "true"))
		var handled []string
		n := 0
		for range rapid.IntRange(1, 20).Draw(t, "connections") {
			for range rapid.IntRange(0, 20).Draw(t, "sent") {
				s.Sent(fmt.Append(nil, n))
				n++
			}
			waiting := s.Unacknowledged()
			arrive := rapid.IntRange(0, len(waiting)).Draw(t, "arrive")
			for _, b := range waiting[:arrive] {
				handled = append(handled, string(b))
			}
			// The acknowledgement comes with the connection or with the resumption.
			if err := s.Acknowledge(uint32(len(handled))); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range s.Unacknowledged() {
			handled = append(handled, string(b))
		}
		if len(handled) != n {
			t.Fatalf("%d of %d stanzas", len(handled), n)
		}
		for i, h := range handled {
			if h != fmt.Sprint(i) {
				t.Fatalf("stanza %d is %s", i, h)
			}
		}
	})
}
