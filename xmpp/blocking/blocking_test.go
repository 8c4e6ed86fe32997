package blocking_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/blocking"
)

func TestBlocks(t *testing.T) {
	for _, tc := range []struct{ entry, who jid.JID }{
		{"user@a.example/desk", "user@a.example/desk"},
		{"user@a.example", "user@a.example"},
		{"user@a.example", "user@a.example/desk"},
		{"a.example/desk", "a.example/desk"},
		{"a.example/desk", "user@a.example/desk"},
		{"a.example", "a.example"},
		{"a.example", "a.example/desk"},
		{"a.example", "user@a.example"},
		{"a.example", "user@a.example/desk"},
		{"a.example", "user@sub.a.example/desk"},
		{"example", "user@sub.a.example/desk"},
	} {
		if !blocking.NewList([]jid.JID{"other@b.example", tc.entry}).Blocks(tc.who) {
			t.Errorf("%s does not block %s", tc.entry, tc.who)
		}
	}
	for _, tc := range []struct{ entry, who jid.JID }{
		{"user@a.example/desk", "user@a.example"},
		{"user@a.example/desk", "user@a.example/phone"},
		{"user@a.example", "a.example"},
		{"user@a.example", "other@a.example"},
		{"user@a.example", "user@sub.a.example"},
		{"a.example/desk", "user@a.example/phone"},
		{"a.example/desk", "a.example"},
		{"a.example/desk", "user@sub.a.example/desk"},
		{"a.example", "user@ba.example"},
		{"sub.a.example", "user@a.example"},
		{"a.example", ""},
	} {
		if blocking.NewList([]jid.JID{tc.entry}).Blocks(tc.who) {
			t.Errorf("%s blocks %s", tc.entry, tc.who)
		}
	}
	if (blocking.List{}).Blocks("user@a.example") {
		t.Error("an empty list blocks")
	}
}

func TestListIsAValue(t *testing.T) {
	one := blocking.NewList([]jid.JID{"b@x", "a@x", "a@x"})
	two := one.With("c@x").Without("b@x", "nobody@x")
	if got := one.Entries(); !slices.Equal(got, []jid.JID{"a@x", "b@x"}) {
		t.Errorf("the first list has become %v", got)
	}
	if got := two.Entries(); !slices.Equal(got, []jid.JID{"a@x", "c@x"}) || two.Len() != 2 {
		t.Errorf("%v", got)
	}
}

func TestItems(t *testing.T) {
	e := codectest.Element(t, `<block xmlns='urn:xmpp:blocking'><item jid='Romeo@Montague.example'/><item jid='@@'/><item/>
		<item xmlns='x' jid='c@x'/><item jid='romeo@montague.example'/><item jid='iago@shakespeare.example/pda'/></block>`)
	want := []jid.JID{"romeo@montague.example", "iago@shakespeare.example/pda"}
	got := blocking.Items(e)
	if !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	if b := blocking.Block(got...); !slices.Equal(blocking.Items(b), want) || !b.Is(blocking.NS, "block") {
		t.Errorf("%s", b)
	}
	if u := blocking.Unblock(); !u.Is(blocking.NS, "unblock") || u.First() != nil {
		t.Errorf("%s", u)
	}
	if q := blocking.Query(); !q.Is(blocking.NS, "blocklist") {
		t.Errorf("%s", q)
	}
}

// TestBound gives more entries than a list has room for.
func TestBound(t *testing.T) {
	many := make([]jid.JID, 0, blocking.MaxEntries+10)
	for i := range blocking.MaxEntries + 10 {
		many = append(many, jid.JID(fmt.Sprintf("u%d@x.example", i)))
	}
	if n := len(blocking.Items(blocking.Block(many...))); n != blocking.MaxEntries {
		t.Errorf("%d items", n)
	}
	if n := blocking.NewList(many).Len(); n != blocking.MaxEntries {
		t.Errorf("%d entries", n)
	}
}
