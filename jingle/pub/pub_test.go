package pub

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var suite = codectest.Suite{
	Parse: func(e *xmltree.Element) (jingle.Payload, error) {
		switch e.Name.Local {
		case "start":
			return codectest.Of(ParseStart)(e)
		case "starting":
			return codectest.Of(ParseStarting)(e)
		}
		return codectest.Registered(Register)(e)
	},
	Same: []string{
		`<jinglepub xmlns='urn:xmpp:jinglepub:1' from='bard@shakespeare.lit' id='9559'>
		   <uri>https://example.com/x</uri>
		   <meta xml:lang='en' title='Act III' summary='A recording'/><meta title='Dritter Akt'/>
		   <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>
		   <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/><other xmlns='x'/></jinglepub>`,
		`<jinglepub xmlns='urn:xmpp:jinglepub:1' id='9559'/>`,
		`<start xmlns='urn:xmpp:jinglepub:1' id='9559'/>`,
		`<starting xmlns='urn:xmpp:jinglepub:1' sid='851ba2'/>`,
	},
	Liberal: []string{`<start xmlns='urn:xmpp:jinglepub:1'>9559</start>`},
	Refused: []string{
		`<jinglepub xmlns='urn:xmpp:jinglepub:1'/>`,
		`<jinglepub xmlns='urn:xmpp:jinglepub:1' id='1' from='@'/>`,
		`<jinglepub xmlns='urn:xmpp:jinglepub:0' id='1'/>`,
		`<start xmlns='urn:xmpp:jinglepub:1'/>`,
		`<start xmlns='urn:xmpp:jinglepub:1' id='` + strings.Repeat("x", 1025) + `'/>`,
		`<starting xmlns='urn:xmpp:jinglepub:1'/>`,
	},
}

func TestCodec(t *testing.T) { suite.Run(t) }
func FuzzPub(f *testing.F)   { suite.Fuzz(f) }

func TestURI(t *testing.T) {
	// XEP-0358 example 10.
	if got, want := URI("files.montague.net", "9559976B-3FBF"), "xmpp:files.montague.net?jingle;id=9559976B-3FBF"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := URI("a@b/ü?", "x;y=z"), "xmpp:a@b/%C3%BC%3F?jingle;id=x%3By%3Dz"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
