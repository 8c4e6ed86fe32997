package telepathy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jingled/jingled/ice/telepathy"
	"github.com/jingled/jingled/internal/codectest"
)

const open = `<transport xmlns='http://jabber.org/protocol/jingle/transport/telepathy'>`

var suite = codectest.Suite{
	Parse: codectest.Registered(telepathy.Register),
	Same: []string{
		// XEP-0183 examples 1 and 3.
		open + `<candidate name='ihearvoices' generation='0' plane='9' pulse='80' psi-sig='yellow happy bright open no-shields' sign='Pisces' time='present'/></transport>`,
		open + `<candidate name='ihearvoices'/></transport>`,
		open + `<candidate name='left' generation='255'/><candidate name='right' generation='1'/><x xmlns='y'/></transport>`,
		open + `</transport>`,
		`<message xmlns='http://jabber.org/protocol/jingle/info/telepathy'>is anybody there?</message>`,
	},
	Liberal: []string{`<message xmlns='http://jabber.org/protocol/info/telepathy'>knock knock</message>`},
	Refused: []string{
		`<transport xmlns='http://jabber.org/protocol/jingle/transport/iax'/>`,
		open + `<candidate generation='0'/></transport>`,
		open + `<candidate name='a' generation='256'/></transport>`,
		open + `<candidate name='a' generation='-1'/></transport>`,
		open + `<candidate name='a' plane='0'/></transport>`,
		open + `<candidate name='a' pulse='racing'/></transport>`,
		open + `<candidate name='a' sign='Ophiuchus'/></transport>`,
		open + `<candidate name='a' time='soon'/></transport>`,
		open + `<candidate name='a'/><candidate name='a'/></transport>`,
		open + `<candidate name='` + strings.Repeat("a", 257) + `'/></transport>`,
		open + many(65) + `</transport>`,
	},
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<candidate name='%d'/>", i)
	}
	return b.String()
}

func TestCodec(t *testing.T)   { suite.Run(t) }
func FuzzPayload(f *testing.F) { suite.Fuzz(f) }
