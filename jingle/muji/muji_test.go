package muji

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
)

var suite = codectest.Suite{
	Parse: codectest.Registered(Register),
	Same: []string{
		`<muji xmlns='urn:xmpp:jingle:muji:0' room='darkcave@chat.shakespeare.lit'/>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'><preparing/></muji>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'><content creator='initiator' name='v'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></content><preparing/></muji>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'><content creator='responder' name='v' senders='both'><description xmlns='x'/><extra xmlns='y'/></content><else xmlns='z'/></muji>`,
	},
	Liberal: []string{
		`<muji xmlns='urn:xmpp:jingle:muji:0'><content xmlns='urn:xmpp:jingle:1' name='v'/></muji>`,
	},
	Refused: []string{
		`<muji xmlns='urn:xmpp:jingle:muji:0' room='chat.shakespeare.lit'/>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0' room='a@b/c'/>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'><content creator='initiator'/></muji>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'><content creator='nobody' name='a'/></muji>`,
		`<muji xmlns='urn:xmpp:jingle:muji:0'>` + strings.Repeat(`<content name='a'/>`, 17) + `</muji>`,
		`<muji xmlns='urn:xmpp:muji:tmp'/>`,
	},
}

func TestCodec(t *testing.T) { suite.Run(t) }
func FuzzMuji(f *testing.F)  { suite.Fuzz(f) }
