package invite

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/xmltree"
)

var suite = codectest.Suite{
	Parse: codectest.Of(func(e *xmltree.Element) (*Message, error) {
		var reg jingle.Registry
		muji.Register(&reg)
		return Parse(e, &reg)
	}),
	Same: []string{
		`<invite xmlns='urn:xmpp:call-invites:0' video='true'><jingle sid='sid1'/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0' audio='false'><jingle sid='s' jid='mixer@example.com/uuid'/><external uri='tel:+12345678'/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><muji xmlns='urn:xmpp:jingle:muji:0' room='room@conference.example.com'/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><something xmlns='urn:other'>x</something></invite>`,
		`<retract xmlns='urn:xmpp:call-invites:0' id='id1'/>`,
		`<accept xmlns='urn:xmpp:call-invites:0' id='id1'><external uri='https://example.com/uuid'/></accept>`,
		`<reject xmlns='urn:xmpp:call-invites:0' id='id1'/>`,
		`<left xmlns='urn:xmpp:call-invites:0' id='id1'/>`,
	},
	Liberal: []string{`<invite xmlns='urn:xmpp:call-invites:0' video='1' audio=''/>`},
	Refused: []string{
		`<invite xmlns='urn:xmpp:call-invites:1'/>`,
		`<invitation xmlns='urn:xmpp:call-invites:0'/>`,
		`<accept xmlns='urn:xmpp:call-invites:0'/>`,
		`<invite xmlns='urn:xmpp:call-invites:0' video='perhaps'/>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><jingle/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><jingle sid='1' jid='@'/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><external/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'><muji xmlns='urn:xmpp:jingle:muji:0' room='nowhere'/></invite>`,
		`<invite xmlns='urn:xmpp:call-invites:0'>` + strings.Repeat(`<external uri='x'/>`, 17) + `</invite>`,
	},
}

func TestCodec(t *testing.T)  { suite.Run(t) }
func FuzzInvite(f *testing.F) { suite.Fuzz(f) }

func TestDefaults(t *testing.T) {
	for text, want := range map[string][2]bool{
		`<invite xmlns='urn:xmpp:call-invites:0'/>`:                           {true, false},
		`<invite xmlns='urn:xmpp:call-invites:0' audio='false'/>`:             {false, false},
		`<invite xmlns='urn:xmpp:call-invites:0' audio='true' video='true'/>`: {true, true},
	} {
		m, err := Parse(codectest.Element(t, text), &jingle.Registry{})
		if err != nil {
			t.Fatal(err)
		}
		if m.WantsAudio() != want[0] || m.WantsVideo() != want[1] {
			t.Errorf("%s: audio %t, video %t", text, m.WantsAudio(), m.WantsVideo())
		}
	}
}
