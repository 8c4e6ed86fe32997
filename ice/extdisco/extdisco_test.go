package extdisco

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var suite = codectest.Suite{
	Parse: func(e *xmltree.Element) (jingle.Payload, error) {
		if e.Name.Local == "credentials" {
			return codectest.Of(ParseCredentials)(e)
		}
		return codectest.Of(ParseServices)(e)
	},
	Same: []string{
		`<services xmlns='urn:xmpp:extdisco:2'/>`,
		`<services xmlns='urn:xmpp:extdisco:2' type='turn'/>`,
		`<services xmlns='urn:xmpp:extdisco:2'>
		   <service host='stun.shakespeare.lit' port='9998' transport='udp' type='stun'/>
		   <service host='2001:db8::1' expires='2026-11-22T12:00:00Z' restricted='true' transport='tcp' type='turns' username='u' password='p' name='Relay'/>
		   <service action='delete' host='192.0.2.1' port='8889' type='turn'/></services>`,
		`<services xmlns='urn:xmpp:extdisco:2'><service host='h' type='t'><x xmlns='jabber:x:data' type='result'/></service></services>`,
		`<credentials xmlns='urn:xmpp:extdisco:2'><service host='turn.shakespeare.lit' type='turn'/></credentials>`,
		`<credentials xmlns='urn:xmpp:extdisco:2'><service host='turn.shakespeare.lit' type='turn' password='p' username='u'/></credentials>`,
	},
	Liberal: []string{
		`<services xmlns='urn:xmpp:extdisco:2'><service host='[2001:db8::1]' transport='UDP' type='stun' expires='2026-11-22T13:00:00+01:00' restricted='1'/></services>`,
		`<services xmlns='urn:xmpp:extdisco:2'><service type='stun'/><service host='h' type='stun' port='99999'/><other/></services>`,
		`<services xmlns='urn:xmpp:extdisco:2'><service host='h' type='turn' expires='tomorrow'/></services>`,
	},
	Refused: []string{
		`<services xmlns='urn:xmpp:extdisco:1'/>`,
		`<credentials xmlns='urn:xmpp:extdisco:1'/>`,
		`<services xmlns='urn:xmpp:extdisco:2'>` + strings.Repeat(`<service host='h' type='t'/>`, 257) + `</services>`,
	},
}

func TestCodec(t *testing.T)    { suite.Run(t) }
func FuzzServices(f *testing.F) { suite.Fuzz(f) }

func TestSecretsStayOutOfLogs(t *testing.T) {
	list, err := ParseServices(codectest.Element(t, `<services xmlns='urn:xmpp:extdisco:2'><service host='h' type='turn' username='jack' password='hunter2'/></services>`))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "one", list.List[0], "all", list)
	fmt.Fprintf(&b, "%v %+v %#v %s", list, list, list, &list.List[0])
	if s := b.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, "turn:h") {
		t.Errorf("logged as %s", s)
	}
}

func TestServices(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		service string
		valid   bool
		uri     string
		needs   bool
	}{
		{`host='stun.example' type='stun'`, true, "stun:stun.example", false},
		{`host='stun.example' type='stun' port='3478' transport='udp'`, true, "stun:stun.example:3478", false},
		{`host='h.example' type='turn' port='80' transport='tcp' username='u'`, true, "turn:h.example:80?transport=tcp", false},
		{`host='[2001:db8::1]' type='turns' port='443' restricted='true'`, true, "turns:[2001:db8::1]:443", true},
		{`host='h' type='turn' restricted='true' username='u' password='p' expires='2026-11-22T12:00:01Z'`, true, "turn:h", false},
		{`host='h' type='turn' expires='2026-11-22T12:00:00Z'`, false, "", false},
		{`host='h' type='ftp'`, false, "", false},
		{`host='h' type='turn' transport='sctp'`, false, "", false},
		{`host='h/x' type='turn'`, false, "", false},
		{`host='h?transport=tcp' type='turn'`, false, "", false},
		{`host='user@h' type='turn'`, false, "", false},
		{`host='h h' type='turn'`, false, "", false},
		{`host='` + strings.Repeat("h", 256) + `' type='turn'`, false, "", false},
	} {
		s, err := ParseService(codectest.Element(t, `<service xmlns='urn:xmpp:extdisco:2' `+c.service+`/>`))
		if err != nil {
			t.Errorf("%s: %v", c.service, err)
			continue
		}
		if s.Valid(now) != c.valid || s.NeedsCredentials() != c.needs {
			t.Errorf("%.80s: valid %t, needs credentials %t", c.service, s.Valid(now), s.NeedsCredentials())
		}
		if c.valid && s.URI() != c.uri {
			t.Errorf("%s: URI is %s, want %s", c.service, s.URI(), c.uri)
		}
	}
}
