package ibb_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	ibb.Register(&r)
	return &r
}

var seeds = []string{
	`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='ch3d9s71'/>`,
	`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='65535' sid='s' stanza='message'><x xmlns='y'/></transport>`,
	`<open xmlns='http://jabber.org/protocol/ibb' block-size='1' sid='s' stanza='iq'/>`,
	`<open xmlns='http://jabber.org/protocol/ibb' block-size='4096' sid='s'/>`,
	`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>qANQ</data>`,
	`<data xmlns='http://jabber.org/protocol/ibb' seq='65535' sid='s'/>`,
	`<close xmlns='http://jabber.org/protocol/ibb' sid='s'/>`,
}

func TestSameBack(t *testing.T) { codectest.SameBack(t, registry().Parse, seeds...) }

func FuzzPayload(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0261", "xep-0047"}, seeds...)
}

func TestRefused(t *testing.T) {
	big := base64.StdEncoding.EncodeToString(make([]byte, 65536))
	codectest.Refused(t, ibb.Parse,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:0' block-size='4096' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='65536' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='0' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='-1' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='s'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096'/>`,
		`<transport xmlns='urn:xmpp:jingle:transports:ibb:1' block-size='4096' sid='s' stanza='presence'/>`)
	codectest.Refused(t, registry().Parse,
		`<open xmlns='http://jabber.org/protocol/ibb' block-size='' sid='s'/>`,
		`<open xmlns='http://jabber.org/protocol/ibb' block-size='1' sid='`+strings.Repeat("s", 300)+`'/>`,
		`<data xmlns='http://jabber.org/protocol/ibb' sid='s'>qANQ</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='65536' sid='s'>qANQ</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0'>qANQ</data>`,
		// XEP-0047 section 6.
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>=AAA</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>BBBB=CCC</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>qA*Q</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>qANQ-_</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>qAN</data>`,
		`<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>`+big+`</data>`,
		`<close xmlns='http://jabber.org/protocol/ibb'/>`)
}

// TestCorpus leaves out <data/>, whose white space the XEP's examples show for people: see TestExampleData.
func TestCorpus(t *testing.T) {
	var r jingle.Registry
	r.Register(ibb.NS, "transport", ibb.Parse)
	r.Register(ibb.NSIBB, "open", ibb.ParseOpen)
	r.Register(ibb.NSIBB, "close", ibb.ParseClose)
	codectest.Corpus(t, &r, 8, "xep-0261", "xep-0047", "xep-0260", "xep-0166")
}

// TestExampleData reads a block as XEP-0047 example 6 lays it out.
func TestExampleData(t *testing.T) {
	p, err := ibb.ParseData(codectest.Element(t, "<data xmlns='http://jabber.org/protocol/ibb' seq='7' sid='s'>\n    qANQR1DB\n    wU4DX7jm\n  </data>"))
	want, _ := base64.StdEncoding.DecodeString("qANQR1DBwU4DX7jm")
	if d, ok := p.(ibb.Data); err != nil || !ok || d.Seq != 7 || d.SID != "s" || !bytes.Equal(d.Data, want) {
		t.Errorf("%+v, %v", p, err)
	}
}
