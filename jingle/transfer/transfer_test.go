package transfer

import (
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
)

var suite = codectest.Suite{
	Parse: codectest.Registered(Register),
	Same: []string{
		`<transfer xmlns='urn:xmpp:jingle:transfer:0' to='boss@execs.example.com/phone'/>`,
		`<transfer xmlns='urn:xmpp:jingle:transfer:0' from='attendant@office.example.com/desk'/>`,
		`<transfer xmlns='urn:xmpp:jingle:transfer:0' from='a@office.example.com/desk' sid='663e9f' to='boss@execs.example.com/phone'/>`,
	},
	Refused: []string{
		`<transfer xmlns='urn:xmpp:jingle:transfer:1' to='a@b'/>`,
		`<transfer xmlns='urn:xmpp:jingle:transfer:0'/>`,
		`<transfer xmlns='urn:xmpp:jingle:transfer:0' to='@b'/>`,
		`<transfer xmlns='urn:xmpp:jingle:transfer:0' to='a@b' from='a@'/>`,
	},
}

func TestCodec(t *testing.T)    { suite.Run(t) }
func FuzzTransfer(f *testing.F) { suite.Fuzz(f) }

func TestTransferred(t *testing.T) {
	r := &jingle.Reason{Condition: jingle.Success, App: Transferred()}
	if got := jingle.ParseReason(r.Element()); !IsTransferred(got) {
		t.Errorf("%s is not seen as a transfer", r.Element())
	}
	if IsTransferred(nil) || IsTransferred(&jingle.Reason{Condition: jingle.Success}) {
		t.Error("a transfer is seen where there is none")
	}
}
