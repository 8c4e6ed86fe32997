package roster_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/roster"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestItem(t *testing.T) {
	in := parse(t, `<item xmlns='jabber:iq:roster' jid='bob@example.test' name='Bob' subscription='from' ask='subscribe' approved='true'><group>A</group><group>B &amp; C</group></item>`)
	i, err := roster.ParseItem(in)
	if err != nil || !i.Element(true).Equal(in) || !slices.Equal(i.Groups, []string{"A", "B & C"}) {
		t.Fatalf("%+v, %v", i, err)
	}
	// What only the server sets is not sent to it (RFC 6121 section 2.1.2).
	if want := parse(t, `<item xmlns='jabber:iq:roster' jid='bob@example.test' name='Bob'><group>A</group><group>B &amp; C</group></item>`); !i.Element(false).Equal(want) {
		t.Errorf("%s", i.Element(false))
	}
	if e := (roster.Item{JID: "a@b", Subscription: roster.Remove}).Element(false); e.Attr("subscription") != "remove" {
		t.Errorf("%s", e)
	}
	for s, want := range map[roster.Subscription][2]bool{roster.None: {}, roster.To: {false, true}, roster.From: {true, false}, roster.Both: {true, true}} {
		if got := [2]bool{s.SeesUs(), s.WeSee()}; got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestParse(t *testing.T) {
	items := roster.Parse(parse(t, `<query xmlns='jabber:iq:roster'><item jid='Bob@example.test/x'/><item jid='@@'/><item/><item jid='c@d' subscription='maybe'/><item jid='e@f' approved='perhaps'/><x/><item xmlns='y' jid='g@h'/></query>`))
	if len(items) != 1 || items[0].JID != "bob@example.test" || items[0].Subscription != roster.None {
		t.Errorf("%+v", items)
	}
	var e *xmltree.Error
	if _, err := roster.ParseItem(parse(t, "<item xmlns='jabber:iq:roster'/>")); !errors.As(err, &e) || e.Attr != "jid" {
		t.Errorf("%v", err)
	}
	if q := roster.Query(items...); len(roster.Parse(q)) != 1 {
		t.Errorf("%s", q)
	}
}
