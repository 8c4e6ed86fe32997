package disco_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestInfo(t *testing.T) {
	in := parse(t, `<query xmlns='http://jabber.org/protocol/disco#info' node='n'>
		<identity category='client' type='pc' name='Dino' xml:lang='en'/><identity category='account' type='registered'/>
		<feature var='a'/><feature var='b'/><x xmlns='jabber:x:data' type='result'><field var='f'><value>v</value></field></x></query>`)
	i, err := disco.ParseInfo(in)
	if err != nil || !i.Element().Equal(in) {
		t.Fatalf("%v, %v", i, err)
	}
	if !i.Has("a", "b") || i.Has("a", "c") || !i.IsClient() || i.Identities[0].Lang != "en" {
		t.Errorf("%+v", i)
	}
	if (*disco.Info)(nil).Has("a") || (*disco.Info)(nil).IsClient() {
		t.Error("nil has features")
	}
}

func TestItems(t *testing.T) {
	i, err := disco.ParseItems(parse(t, `<query xmlns='http://jabber.org/protocol/disco#items'><item jid='proxy.Example.test' name='Proxy'/><item jid='@@'/><item/><x xmlns='y'/></query>`))
	if err != nil || len(i.Items) != 1 || i.Items[0] != (disco.Item{JID: "proxy.example.test", Name: "Proxy"}) {
		t.Fatalf("%+v, %v", i, err)
	}
	if again, err := disco.ParseItems(i.Element()); err != nil || again.Items[0] != i.Items[0] {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestHostile(t *testing.T) {
	head := "<query xmlns='http://jabber.org/protocol/disco#info'>"
	for _, s := range []string{
		"<query xmlns='x'/>", head + "<identity category='a'/></query>", head + "<identity type='a'/></query>", head + "<feature/></query>",
		head + strings.Repeat("<feature var='x'/>", 1025) + "</query>", head + strings.Repeat("<identity category='a' type='b'/>", 65) + "</query>",
		head + strings.Repeat("<x xmlns='jabber:x:data'/>", 17) + "</query>",
	} {
		var e *xmltree.Error
		if _, err := disco.ParseInfo(parse(t, s)); !errors.As(err, &e) {
			t.Errorf("%.60s: %v", s, err)
		}
	}
	for _, s := range []string{"<query xmlns='x'/>", "<query xmlns='http://jabber.org/protocol/disco#items'>" + strings.Repeat("<item jid='x'/>", 1025) + "</query>"} {
		if _, err := disco.ParseItems(parse(t, s)); err == nil {
			t.Errorf("%.60s: no error", s)
		}
	}
	if _, err := disco.ParseInfo(nil); err == nil {
		t.Error("nothing is no answer")
	}
}

func FuzzInfo(f *testing.F) {
	f.Add("<query xmlns='http://jabber.org/protocol/disco#info' node='n'><identity category='client' type='pc'/><feature var='a'/><x xmlns='jabber:x:data'/></query>")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
		if err != nil {
			return
		}
		i, err := disco.ParseInfo(e)
		if err != nil {
			return
		}
		if again, err := disco.ParseInfo(i.Element()); err != nil || !again.Element().Equal(i.Element()) {
			t.Errorf("%s: %v", i.Element(), err)
		}
	})
}

type querier func(to jid.JID, payload *xmltree.Element) (*xmltree.Element, error)

func (q querier) Query(_ context.Context, to jid.JID, typ string, payload *xmltree.Element) (*xmltree.Element, error) {
	if typ != "get" {
		return nil, errors.New("not a get")
	}
	return q(to, payload)
}

func TestQuery(t *testing.T) {
	q := querier(func(to jid.JID, p *xmltree.Element) (*xmltree.Element, error) {
		if to != "example.test" || p.Attr("node") != "n" {
			return nil, errors.New("wrong question")
		}
		if p.Is(disco.NSItems, "query") {
			return (&disco.Items{Items: []disco.Item{{JID: "a.test"}}}).Element(), nil
		}
		return (&disco.Info{Features: []string{"f"}}).Element(), nil
	})
	if i, err := disco.QueryInfo(t.Context(), q, "example.test", "n"); err != nil || !i.Has("f") {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := disco.QueryItems(t.Context(), q, "example.test", "n"); err != nil || len(i.Items) != 1 {
		t.Errorf("%+v, %v", i, err)
	}
	none := querier(func(jid.JID, *xmltree.Element) (*xmltree.Element, error) { return nil, nil })
	if _, err := disco.QueryInfo(t.Context(), none, "example.test", ""); err == nil {
		t.Error("a result without a payload is no answer")
	}
}
