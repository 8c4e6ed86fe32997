package si_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
)

const (
	bytestreams = "http://jabber.org/protocol/bytestreams"
	ibb         = "http://jabber.org/protocol/ibb"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	si.Register(&r)
	return &r
}

var seeds = []string{
	`<si xmlns='http://jabber.org/protocol/si' id='a0' mime-type='text/plain' profile='http://jabber.org/protocol/si/profile/file-transfer'><file xmlns='http://jabber.org/protocol/si/profile/file-transfer' name='test.txt' size='1022' hash='552da749930852c69ae5d2141d3766b1' date='1969-07-21T02:56:15Z'><desc>This</desc><range/></file><thumbnail xmlns='urn:xmpp:thumbs:0' cid='x'/><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='form'><field var='stream-method' type='list-single'><option label='S5B'><value>http://jabber.org/protocol/bytestreams</value></option></field></x></feature></si>`,
	`<si xmlns='http://jabber.org/protocol/si'><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='submit'><field var='stream-method'><value>http://jabber.org/protocol/ibb</value></field></x></feature><file xmlns='http://jabber.org/protocol/si/profile/file-transfer'><range offset='0' length='256'/></file></si>`,
}

func TestSameBack(t *testing.T) { codectest.SameBack(t, registry().Parse, seeds...) }

func TestCorpus(t *testing.T) { codectest.Corpus(t, registry(), 7, "xep-0095", "xep-0096") }

func FuzzPayload(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0095", "xep-0096"}, seeds...)
}

func TestRefused(t *testing.T) {
	file := func(attrs, inner string) string {
		return `<si xmlns='http://jabber.org/protocol/si'><file xmlns='http://jabber.org/protocol/si/profile/file-transfer' ` + attrs + `>` + inner + `</file></si>`
	}
	long := strings.Repeat("x", 5000)
	many := strings.Repeat(`<option><value>x</value></option>`, 40)
	codectest.Refused(t, si.Parse,
		`<si xmlns='http://jabber.org/protocol/sipub'/>`,
		`<si xmlns='http://jabber.org/protocol/si' id='`+long+`'/>`,
		file(`size='-1'`, ""), file(`size='9223372036854775808'`, ""), file(`name='`+long+`'`, ""), file(`hash='`+long+`'`, ""),
		file("", `<range offset='-5'/>`), file("", `<range length='many'/>`),
		`<si xmlns='http://jabber.org/protocol/si'><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='form'><field var='stream-method'>`+many+`</field></x></feature></si>`)
}

// TestWrite pins our offer and our answer to XEP-0096 examples 1 and 2.
func TestWrite(t *testing.T) {
	offer := si.SI{ID: "a0", MIMEType: "text/plain", Profile: si.NSFile, File: &si.File{Name: "test.txt", Size: new(int64(1022))}, Methods: []string{bytestreams, ibb}}
	want := `<si xmlns="http://jabber.org/protocol/si" id="a0" mime-type="text/plain" profile="http://jabber.org/protocol/si/profile/file-transfer"><file xmlns="http://jabber.org/protocol/si/profile/file-transfer" name="test.txt" size="1022"/>` +
		`<feature xmlns="http://jabber.org/protocol/feature-neg"><x xmlns="jabber:x:data" type="form"><field var="stream-method" type="list-single"><option><value>http://jabber.org/protocol/bytestreams</value></option><option><value>http://jabber.org/protocol/ibb</value></option></field></x></feature></si>`
	if got := offer.Element().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `<si xmlns="http://jabber.org/protocol/si"><feature xmlns="http://jabber.org/protocol/feature-neg"><x xmlns="jabber:x:data" type="submit"><field var="stream-method"><value>http://jabber.org/protocol/bytestreams</value></field></x></feature></si>`
	if got := (si.SI{Method: bytestreams}).Element().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestForms reads the shapes of data form that clients send.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		form    string
		methods []string
		method  string
	}{
		{`<x xmlns='jabber:x:data' type='form'><field var='stream-method' type='list-single'><option><value>a</value></option><option><value>b</value></option></field></x>`, []string{"a", "b"}, ""},
		{`<x xmlns='jabber:x:data' type='submit'><field var='stream-method'><value>a</value></field></x>`, nil, "a"},
		{`<x xmlns='jabber:x:data'><field var='stream-method'><value>a</value></field></x>`, nil, "a"},
		{`<x xmlns='jabber:x:data' type='form'><field var='stream-method'><value>a</value><value>b</value></field></x>`, []string{"a", "b"}, ""},
		{`<x xmlns='jabber:x:data' type='form'><field var='other'><option><value>a</value></option></field></x>`, nil, ""},
		{``, nil, ""},
	} {
		p, err := si.Parse(codectest.Element(t, `<si xmlns='http://jabber.org/protocol/si'><feature xmlns='http://jabber.org/protocol/feature-neg'>`+c.form+`</feature></si>`))
		if s, ok := p.(si.SI); err != nil || !ok || !slices.Equal(s.Methods, c.methods) || s.Method != c.method {
			t.Errorf("%s: %+v, %v", c.form, p, err)
		}
	}
}
