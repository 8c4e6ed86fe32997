package jet

import (
	"testing"

	"github.com/jingled/jingled/internal/codectest"
)

var suite = codectest.Suite{
	Parse: codectest.Registered(Register),
	Same: []string{
		`<security xmlns='urn:xmpp:jingle:jet:0' name='a-file-offer' cipher='urn:xmpp:ciphers:aes-128-gcm-nopadding' type='eu.siacs.conversations.axolotl'>
		   <encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'><key rid='31415'>BASE64</key><iv>BASE64</iv></header></encrypted></security>`,
		`<security xmlns='urn:xmpp:jingle:jet:0' cipher='c' type='t'><encrypted xmlns='t'/></security>`,
	},
	Refused: []string{
		`<security xmlns='urn:xmpp:jingle:jet:0' type='t'><encrypted xmlns='t'/></security>`,
		`<security xmlns='urn:xmpp:jingle:jet:0' cipher='c'><encrypted xmlns='t'/></security>`,
		`<security xmlns='urn:xmpp:jingle:jet:0' cipher='c' type='t'/>`,
		`<security xmlns='urn:xmpp:jingle:security:xtls:0' cipher='c' type='t'><encrypted/></security>`,
	},
}

func TestCodec(t *testing.T)    { suite.Run(t) }
func FuzzSecurity(f *testing.F) { suite.Fuzz(f) }

func TestKnown(t *testing.T) {
	for name, want := range map[string]Cipher{
		"urn:xmpp:ciphers:aes-128-gcm-nopadding:0": AES128GCM,
		"urn:xmpp:ciphers:aes-128-gcm-nopadding":   AES128GCM,
		"aes-128-gcm-nopadding:0":                  AES128GCM,
		"urn:xmpp:ciphers:aes-256-gcm-nopadding:0": AES256GCM,
		"urn:xmpp:ciphers:null:0":                  "",
		"":                                         "",
	} {
		if got, ok := (Security{Cipher: name}).Known(); got != want || ok != (want != "") {
			t.Errorf("%q is taken for %q", name, got)
		}
	}
}
