package filetransfer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	filetransfer.Register(&r)
	return &r
}

var seeds = []string{
	`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><date>2015-07-26T21:46:00+01:00</date><desc xml:lang='de'>Ein Bild</desc><desc>A picture</desc><media-type>image/png</media-type><name>a.png</name><range/><size>6144</size><hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>w0mcJylzCn+AfvuGdqkty2+KP48=</hash><thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:sha1+ffd7c8d28e9c5e82afea41f97108c6b4@bob.xmpp.org' media-type='image/png' width='128' height='96'/><x xmlns='y'><z/></x></file></description>`,
	`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><name>a</name><mediaType>text/plain</mediaType><size>0</size><hash-used xmlns='urn:xmpp:hashes:2' algo='sha-256'/></file></description>`,
	`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><mediaType>text/plain</mediaType><size>9223372036854775807</size><media-type>text/plain</media-type><name>a</name></file><extra xmlns='z'/></description>`,
	`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><range offset='0' length='12'><hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>kHp5RSzW/h7Gm1etSf90Mr5PC/k=</hash></range></file></description>`,
	`<description xmlns='urn:xmpp:jingle:apps:file-transfer:3'><request><file><name>a</name></file><file><name>b</name></file></request></description>`,
	`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='f'><file><hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>w0mcJylzCn+AfvuGdqkty2+KP48=</hash></file></checksum>`,
	`<received xmlns='urn:xmpp:jingle:apps:file-transfer:5' creator='responder' name='f'/>`,
	`<received xmlns='urn:xmpp:jingle:apps:file-transfer:5'/>`,
	`<abort xmlns='urn:xmpp:jingle:apps:file-transfer:3'><file><name>a</name></file></abort>`,
	`<thumbnail xmlns='urn:xmpp:thumbs:1' uri='https://example.org/a.png'/>`,
}

func TestSameBack(t *testing.T) { codectest.SameBack(t, registry().Parse, seeds...) }

func TestCorpus(t *testing.T) {
	codectest.Corpus(t, registry(), 30, "xep-0234", "old-xep-0234-v0.17.2-ns4", "old-xep-0234-v0.15-ns3", "xep-0391", "xep-0396", "xep-0358", "xep-0264")
}

func FuzzPayload(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0234", "old-xep-0234-v0.15-ns3"}, seeds...)
}

func TestRefused(t *testing.T) {
	file := func(inner string) string {
		return `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file>` + inner + `</file></description>`
	}
	many := strings.Repeat(`<hash-used xmlns='urn:xmpp:hashes:2' algo='a'/>`, 100)
	codectest.Refused(t, registry().Parse,
		file(`<size>-1</size>`), file(`<size>9223372036854775808</size>`), file(`<size>1e3</size>`), file(`<size/>`),
		file(`<size>1</size><size>2</size>`), file(`<name>a</name><name>b</name>`), file(`<range/><range/>`),
		file(`<range offset='-1'/>`), file(`<range length='x'/>`), file(`<range><hash xmlns='urn:xmpp:hashes:2'/></range>`),
		file(`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>A</hash>`),
		file(`<thumbnail xmlns='urn:xmpp:thumbs:1'/>`), file(`<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:x' width='65536'/>`),
		file(`<name>`+strings.Repeat("n", 5000)+`</name>`), file(many),
		`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'/>`,
		`<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file/><file/></description>`,
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5'/>`,
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' creator='me'><file/></checksum>`,
		`<received xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='`+strings.Repeat("n", 5000)+`'/>`)
	codectest.Refused(t, filetransfer.ParseDescription,
		`<description xmlns='urn:xmpp:jingle:apps:file-transfer:6'><file/></description>`,
		`<description xmlns='urn:xmpp:jingle:apps:rtp:1'/>`)
}

// TestWrite pins what an offer of ours looks like, the order of the XEP's first example included.
func TestWrite(t *testing.T) {
	d := filetransfer.Description{File: filetransfer.File{
		Date: filetransfer.FormatDate(time.Date(1969, 7, 21, 2, 56, 15, 9, time.UTC)), Desc: []filetransfer.Desc{{Text: "This"}},
		MediaType: "text/plain", MediaTypeSpelling: filetransfer.MediaTypeBoth, Name: "test.txt",
		Range: &filetransfer.Range{}, Size: new(int64(6144)), HashUsed: []hashes.Used{{Algo: hashes.SHA256}},
	}}
	want := `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><date>1969-07-21T02:56:15Z</date><desc>This</desc>` +
		`<media-type>text/plain</media-type><mediaType>text/plain</mediaType><name>test.txt</name><range/><size>6144</size>` +
		`<hash-used xmlns="urn:xmpp:hashes:2" algo="sha-256"/></file></description>`
	if got := d.Element().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c := filetransfer.Checksum{Creator: jingle.Initiator, Name: "f", File: filetransfer.File{Hashes: []hashes.Hash{hashes.Of(hashes.SHA256, make([]byte, 32))}}}
	want = `<checksum xmlns="urn:xmpp:jingle:apps:file-transfer:5" creator="initiator" name="f"><file><hash xmlns="urn:xmpp:hashes:2" algo="sha-256">AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</hash></file></checksum>`
	if got := c.Element().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAnswerKeepsOffer makes an answer out of a parsed offer, as a receiver that wants a range does.
func TestAnswerKeepsOffer(t *testing.T) {
	p, err := filetransfer.ParseDescription(codectest.Element(t, `<description xmlns='urn:xmpp:jingle:apps:file-transfer:5'><file><size>9</size><name>a</name></file></description>`))
	if err != nil {
		t.Fatal(err)
	}
	d := p.(filetransfer.Description)
	d.File.Range = &filetransfer.Range{Offset: new(int64(4))}
	want := `<description xmlns="urn:xmpp:jingle:apps:file-transfer:5"><file><size>9</size><name>a</name><range offset="4"/></file></description>`
	if got := d.Element().String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestModTime(t *testing.T) {
	for in, want := range map[string]string{
		"1969-07-21T02:56:15Z": "1969-07-21T02:56:15Z", "2015-07-26T21:46:00+01:00": "2015-07-26T20:46:00Z",
		"2015-07-26T21:46:00": "2015-07-26T21:46:00Z", "2005-11-29T11:21Z": "2005-11-29T11:21:00Z", "yesterday": "", "": "",
	} {
		f := filetransfer.File{Date: in}
		got, ok := f.ModTime()
		if s := filetransfer.FormatDate(got); ok != (want != "") || (ok && s != want) {
			t.Errorf("%q: %s, %t", in, s, ok)
		}
	}
}

func TestSpan(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for _, c := range []struct {
		r              *filetransfer.Range
		offset, length int64
		ok             bool
	}{
		{nil, 0, 100, true},
		{&filetransfer.Range{}, 0, 100, true},
		{&filetransfer.Range{Offset: n(100)}, 100, 0, true},
		{&filetransfer.Range{Offset: n(101)}, 0, 0, false},
		{&filetransfer.Range{Offset: n(40), Length: n(60)}, 40, 60, true},
		{&filetransfer.Range{Offset: n(40), Length: n(61)}, 0, 0, false},
		{&filetransfer.Range{Offset: n(1), Length: n(9223372036854775807)}, 0, 0, false},
		{&filetransfer.Range{Length: n(0)}, 0, 0, true},
	} {
		o, l, ok := c.r.Span(100)
		if o != c.offset || l != c.length || ok != c.ok {
			t.Errorf("%+v: %d %d %t", c.r, o, l, ok)
		}
	}
}

func TestConditions(t *testing.T) {
	for want, e := range map[string]*xmltree.Element{
		`<file-not-available xmlns="urn:xmpp:jingle:apps:file-transfer:errors:0"/>`: filetransfer.FileNotAvailable(),
		`<file-too-large xmlns="urn:xmpp:jingle:apps:file-transfer:errors:0"/>`:     filetransfer.FileTooLarge(),
	} {
		if e.String() != want {
			t.Errorf("%s", e)
		}
	}
}
