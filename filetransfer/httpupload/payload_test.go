package httpupload_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	r.Register(httpupload.NS, "slot", func(e *xmltree.Element) (jingle.Payload, error) {
		s, err := httpupload.ParseSlot(e)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
	r.Register(httpupload.NSShare, "file-sharing", func(e *xmltree.Element) (jingle.Payload, error) {
		s, err := httpupload.ParseShare(e)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
	return &r
}

const share = `<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'><media-type>image/jpeg</media-type><name>summit.jpg</name><size>3032449</size><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</hash></file><sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://download.montague.lit/4a/summit.jpg'/></sources></file-sharing>`

var seeds = []string{
	share,
	`<slot xmlns='urn:xmpp:http:upload:0'><put url='https://upload.montague.tld/4a/tr%C3%A8s%20cool.jpg'><header name='Authorization'>Basic Base64String==</header><header name='Cookie'>foo=bar; user=romeo</header></put><get url='https://download.montague.tld/4a/tr%C3%A8s%20cool.jpg'/></slot>`,
}

func TestSameBack(t *testing.T) { codectest.SameBack(t, registry().Parse, seeds...) }

func FuzzPayload(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0363", "xep-0447"}, seeds...)
}

func TestRefused(t *testing.T) {
	slot := func(put, get string) string {
		return `<slot xmlns='urn:xmpp:http:upload:0'><put url='` + put + `'/><get url='` + get + `'/></slot>`
	}
	ok := "https://x.test/a"
	codectest.Refused(t, registry().Parse,
		slot("http://x.test/a", ok), slot(ok, "http://x.test/a"), slot("", ok), slot("https:///a", ok), slot("https://u:p@x.test/", ok),
		slot("https://x.test/"+strings.Repeat("a", 5000), ok), slot("https:x.test", ok), slot("file:///etc/passwd", ok),
		`<slot xmlns='urn:xmpp:http:upload:0'><put url='`+ok+`'/></slot>`,
		strings.Replace(share, "https://", "http://", 1), strings.Replace(share, "3032449", "-1", 1),
		strings.Replace(share, "<sources>", "<sources xmlns='urn:other'>", 1),
	)
}

func TestHeaders(t *testing.T) {
	s, err := httpupload.ParseSlot(codectest.Element(t, `<slot xmlns='urn:xmpp:http:upload:0'><put url='https://x.test/a'>
		<header name='authorization'>a&#10;Evil: b</header><header name='Host'>evil</header><header name='X-Other'>x</header><header name='Expires'>never</header>
		</put><get url='https://x.test/a'/></slot>`))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Header) != 2 || s.Header.Get("Authorization") != "aEvil: b" || s.Header.Get("Expires") != "never" {
		t.Errorf("%v", s.Header)
	}
}

func TestFind(t *testing.T) {
	message := func(attrs, inner string) *xmltree.Element {
		return codectest.Element(t, `<message xmlns='jabber:client' `+attrs+`>`+inner+`</message>`)
	}
	oob := func(u string) string { return `<x xmlns='jabber:x:oob'><url>` + u + `</url></x>` }
	s, ok := httpupload.Find(message("type='chat'", "<body>x</body>"+oob("https://x.test/other")+share))
	if !ok || s.File.Name != "summit.jpg" || s.File.Size == nil || *s.File.Size != 3032449 || len(s.File.Hashes) != 1 || s.URL != "https://download.montague.lit/4a/summit.jpg" {
		t.Errorf("%+v", s)
	}
	s, ok = httpupload.Find(message("", oob("https://x.test/d/a%20b.txt?x=1#frag")))
	if !ok || s.File.Name != "a b.txt" || s.File.Size != nil {
		t.Errorf("%+v", s)
	}
	for name, m := range map[string]*xmltree.Element{
		"an error":     message("type='error'", oob("https://x.test/a")),
		"a room":       message("type='groupchat'", oob("https://x.test/a")),
		"plain http":   message("", oob("http://x.test/a")),
		"only a body":  message("", "<body>https://x.test/a</body>"),
		"another kind": message("", oob("aesgcm://x.test/a#00")),
	} {
		if s, ok := httpupload.Find(m); ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
	// What we send is what we find.
	want := httpupload.Share{Disposition: "attachment", File: s.File, URL: "https://x.test/a"}
	got, ok := httpupload.Find(httpupload.Message("juliet@capulet.lit", "1", want))
	if !ok || got.URL != want.URL || got.File.Name != "a b.txt" {
		t.Errorf("%+v", got)
	}
}

func TestPublic(t *testing.T) {
	for _, a := range []string{"8.8.8.8", "2606:4700::1111", "172.32.0.1", "192.88.98.1"} {
		if !httpupload.Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is refused", a)
		}
	}
	for _, a := range []string{
		"127.0.0.1", "::1", "0.0.0.0", "::", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "fe80::1", "fd00::1",
		"100.64.0.1", "224.0.0.1", "255.255.255.255", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
		"::7f00:1", "2001::1", "192.0.2.1", "198.18.0.1", "ff02::1", "fec0::1",
	} {
		if httpupload.Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is allowed", a)
		}
	}
}
