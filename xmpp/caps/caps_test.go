package caps_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

func info(t *testing.T, s string) *disco.Info {
	t.Helper()
	e, err := xmltree.Parse([]byte("<query xmlns='"+disco.NSInfo+"'>"+s+"</query>"), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := disco.ParseInfo(e)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

const (
	exodus = `<identity category='client' type='pc' name='Exodus 0.9.1'/>
		<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#items'/>
		<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>`
	psi = `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/><identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
		<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
		<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>` + psiForm
	psiForm = `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
		<field var='os'><value>Mac</value></field><field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
		<field var='software_version'><value>0.11</value></field><field var='os_version'><value>10.5.1</value></field>
		<field var='software'><value>Psi</value></field></x>`
)

// TestVer checks XEP-0115's own values, sections 5.2 and 5.3.
func TestVer(t *testing.T) {
	for _, tc := range []struct{ xml, ver string }{
		{exodus, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{psi, "q07IKJEyjvHSyhy//CH0CxmKi8w="},
		// A form that is not hidden or has no type does not count.
		{exodus + `<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>a</value></field></x>`, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{exodus + `<x xmlns='jabber:x:data'><field var='a'><value>a</value></field></x>`, "QgayPKawpkPSDYmwT/WM94uAlu0="},
	} {
		i := info(t, tc.xml)
		before := fmt.Sprint(i.Features)
		ver, err := caps.Ver(i, "sha-1")
		if err != nil || ver != tc.ver {
			t.Errorf("%s, %v: want %s", ver, err, tc.ver)
		}
		if fmt.Sprint(i.Features) != before {
			t.Error("the answer was changed")
		}
	}
	for _, h := range []string{"sha-256", "SHA-512"} {
		if ver, err := caps.Ver(info(t, exodus), h); err != nil || len(ver) < 40 {
			t.Errorf("%s: %s, %v", h, ver, err)
		}
	}
	if _, err := caps.Ver(info(t, exodus), "md5"); !errors.Is(err, caps.ErrUnknownHash) {
		t.Errorf("md5: %v", err)
	}
}

// TestPoison tries to get an answer into the cache that its hash does not stand for.
func TestPoison(t *testing.T) {
	good := caps.Caps{Node: "n", Ver: "QgayPKawpkPSDYmwT/WM94uAlu0=", Hash: "sha-1"}
	form := func(ft string) string {
		return `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>` + ft + `</field></x>`
	}
	for _, tc := range []struct {
		name, xml string
		c         caps.Caps
		err       error
	}{
		{"another answer", exodus + "<feature var='evil'/>", good, caps.ErrMismatch},
		{"feature left out", strings.Replace(exodus, "<feature var='http://jabber.org/protocol/caps'/>", "", 1), good, caps.ErrMismatch},
		// These join to the same string as the good answer.
		{"features in one", `<identity category='client' type='pc' name='Exodus 0.9.1'/><feature var='http://jabber.org/protocol/caps&lt;http://jabber.org/protocol/disco#info&lt;http://jabber.org/protocol/disco#items&lt;http://jabber.org/protocol/muc'/>`, good, caps.ErrIllFormed},
		{"features in the name", `<identity category='client' type='pc' name='Exodus 0.9.1&lt;http://jabber.org/protocol/caps&lt;http://jabber.org/protocol/disco#info&lt;http://jabber.org/protocol/disco#items&lt;http://jabber.org/protocol/muc'/>`, good, caps.ErrIllFormed},
		{"slash in the type", strings.Replace(exodus, "type='pc' name='Exodus", "type='pc//Exodus", 1), good, caps.ErrIllFormed},
		{"feature twice", exodus + "<feature var='http://jabber.org/protocol/muc'/>", good, caps.ErrIllFormed},
		{"identity twice", exodus + "<identity category='client' type='pc' name='Exodus 0.9.1'/>", good, caps.ErrIllFormed},
		{"form twice", exodus + form("<value>a</value>") + form("<value>a</value>"), good, caps.ErrIllFormed},
		{"form type twice", exodus + form("<value>a</value><value>b</value>"), good, caps.ErrIllFormed},
		{"form with <", exodus + form("<value>a&lt;b</value>"), good, caps.ErrIllFormed},
		{"unknown hash", exodus, caps.Caps{Node: "n", Ver: good.Ver, Hash: "md5"}, caps.ErrUnknownHash},
		{"no hash", exodus, caps.Caps{Node: "n", Ver: good.Ver}, caps.ErrUnknownHash},
	} {
		var cache caps.Cache
		if err := cache.Add(tc.c, info(t, tc.xml)); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if cache.Get(tc.c) != nil {
			t.Errorf("%s: is in the cache", tc.name)
		}
	}
}

func TestCache(t *testing.T) {
	cache := caps.Cache{Size: 2}
	var all []caps.Caps
	for i := range 3 {
		in := &disco.Info{Features: []string{fmt.Sprint(i)}}
		ver, err := caps.Ver(in, "sha-1")
		if err != nil {
			t.Fatal(err)
		}
		c := caps.Caps{Node: "n", Ver: ver, Hash: "sha-1"}
		all = append(all, c)
		for range 2 {
			if err := cache.Add(c, in); err != nil {
				t.Fatal(err)
			}
		}
		cache.Get(all[0])
	}
	if cache.Get(all[0]) == nil || cache.Get(all[1]) != nil || cache.Get(all[2]) == nil {
		t.Error("the one used longest ago should be gone")
	}
}

func TestFind(t *testing.T) {
	parse := func(s string) *xmltree.Element {
		e, err := xmltree.Parse([]byte("<presence xmlns='jabber:client'>"+s+"</presence>"), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	want := caps.Caps{Node: "https://dino.im", Ver: "x", Hash: "sha-1"}
	if c, ok := caps.Find(parse(want.Element().String())); !ok || c != want || c.QueryNode() != "https://dino.im#x" {
		t.Errorf("%+v", c)
	}
	for _, s := range []string{"", "<c xmlns='" + caps.NS + "' node='n'/>", "<c xmlns='" + caps.NS + "' ver='n'/>",
		"<c xmlns='" + caps.NS + "' node='n' ver='" + strings.Repeat("x", 2000) + "'/>"} {
		if c, ok := caps.Find(parse(s)); ok {
			t.Errorf("%.100s: %+v", s, c)
		}
	}
}
