package component

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/credentials"
	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/socks5"
)

var now = time.Unix(1_700_000_000, 0)

type activator struct {
	got []socks5.Activation
	err map[string]error // by target
}

func (a *activator) Activate(x socks5.Activation) error {
	a.got = append(a.got, x)
	return a.err[x.Target]
}

func offer(t testing.TB, a Activator) Offer {
	t.Helper()
	sh, err := credentials.NewShared("a secret of sixteen or more")
	if err != nil {
		t.Fatal(err)
	}
	return Offer{
		Domains: []string{"example.com", "EXAMPLE.org"},
		Services: []Service{
			{Type: "stun", Host: "relay.example.com", Port: 3478, Transport: "udp"},
			{Type: "turn", Host: "relay.example.com", Port: 3478, Transport: "udp"},
			{Type: "turn", Host: "2001:db8::1", Port: 3478, Transport: "tcp"},
			{Type: "turns", Host: "relay.example.com", Port: 443, Transport: "tcp", Name: "A & B"},
		},
		Issuer: sh, TTL: time.Hour,
		Proxy:  &Proxy{Host: "192.0.2.1", Port: 7777, Activator: a},
		Banned: func(u string) bool { return u == "mallory@example.com" },
	}
}

func handler(t testing.TB, a Activator) *Handler {
	t.Helper()
	h, err := NewHandler("relay.example.com", offer(t, a))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask runs a stanza through the scanner and the handler.
func ask(t testing.TB, h *Handler, stanza string) string {
	t.Helper()
	s := newScanner(strings.NewReader("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>" + stanza))
	if _, err := s.open(); err != nil {
		t.Fatal(err)
	}
	e, over, err := s.next()
	if err != nil {
		t.Fatalf("%s: %v", stanza, err)
	}
	return h.answer(now, e, over)
}

const head = `<iq type='get' id='i' from='romeo@example.com/orchard' to='relay.example.com'>`

func TestAnswers(t *testing.T) {
	a := &activator{err: map[string]error{
		"one@example.org/x": socks5.ErrOneParty, "none@example.org/x": socks5.ErrNotFound, "full@example.org/x": socks5.ErrFull,
		"quota@example.org/x": limits.ErrUserQuota, "banned@example.org/x": limits.ErrBanned, "odd@example.org/x": errors.New("odd"),
	}}
	h := handler(t, a)
	cred := "username='1700003600:romeo@example.com' password='" + credentials.Password("a secret of sixteen or more", "1700003600:romeo@example.com") + "'"
	set := func(target string) string {
		return `<iq type='set' id='i' from='romeo@example.com/orchard' to='relay.example.com'><query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate>` + target + `</activate></query></iq>`
	}
	for name, c := range map[string]struct{ in, want string }{
		"info": {head + `<query xmlns='http://jabber.org/protocol/disco#info'/></iq>`,
			`<identity category='proxy' type='bytestreams' name='Relay'/><feature var='http://jabber.org/protocol/bytestreams'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/jinglenodes'/><feature var='http://jabber.org/protocol/jinglenodes#turncredentials'/><feature var='urn:xmpp:extdisco:1'/><feature var='urn:xmpp:extdisco:2'/><feature var='urn:xmpp:ping'/></query>`},
		"info of a node": {head + `<query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>`, "item-not-found"},
		"items":          {head + `<query xmlns='http://jabber.org/protocol/disco#items'/></iq>`, "<query xmlns='http://jabber.org/protocol/disco#items'/>"},
		"ping":           {head + `<ping xmlns='urn:xmpp:ping'/></iq>`, "<iq type='result' from='relay.example.com' to='romeo@example.com/orchard' id='i'/>"},
		"services, all": {head + `<services xmlns='urn:xmpp:extdisco:2'/></iq>`,
			"<services xmlns='urn:xmpp:extdisco:2'><service type='stun' host='relay.example.com' port='3478' transport='udp'/>" +
				"<service type='turn' host='relay.example.com' port='3478' transport='udp' restricted='1' " + cred + " expires='2023-11-14T23:13:20Z'/>" +
				"<service type='turn' host='2001:db8::1' port='3478' transport='tcp' restricted='1' " + cred + " expires='2023-11-14T23:13:20Z'/>" +
				"<service type='turns' host='relay.example.com' port='443' transport='tcp' name='A &amp; B' restricted='1' " + cred + " expires='2023-11-14T23:13:20Z'/></services>"},
		"services, one type": {head + `<services xmlns='urn:xmpp:extdisco:2' type='stun'/></iq>`,
			"<services xmlns='urn:xmpp:extdisco:2' type='stun'><service type='stun' host='relay.example.com' port='3478' transport='udp'/></services>"},
		"services, unknown type":   {head + `<services xmlns='urn:xmpp:extdisco:2' type='ftp'/></iq>`, "<services xmlns='urn:xmpp:extdisco:2' type='ftp'/>"},
		"services, older question": {head + `<services xmlns='urn:xmpp:extdisco:1' type='stun'/></iq>`, "<services xmlns='urn:xmpp:extdisco:1' type='stun'>"},
		"credentials": {head + `<credentials xmlns='urn:xmpp:extdisco:2'><service host='Relay.example.com' type='turn'/></credentials></iq>`,
			"<credentials xmlns='urn:xmpp:extdisco:2'><service type='turn' host='relay.example.com' port='3478' transport='udp' restricted='1' " + cred},
		"credentials, other port":   {head + `<credentials xmlns='urn:xmpp:extdisco:2'><service host='relay.example.com' type='turn' port='1'/></credentials></iq>`, "item-not-found"},
		"credentials, other host":   {head + `<credentials xmlns='urn:xmpp:extdisco:2'><service host='x' type='turn'/></credentials></iq>`, "item-not-found"},
		"credentials for stun":      {head + `<credentials xmlns='urn:xmpp:extdisco:2'><service host='relay.example.com' type='stun'/></credentials></iq>`, "item-not-found"},
		"credentials without host":  {head + `<credentials xmlns='urn:xmpp:extdisco:2'><service type='turn'/></credentials></iq>`, "bad-request"},
		"credentials for nothing":   {head + `<credentials xmlns='urn:xmpp:extdisco:2'/></iq>`, "bad-request"},
		"streamhost":                {head + `<query xmlns='http://jabber.org/protocol/bytestreams'/></iq>`, "<query xmlns='http://jabber.org/protocol/bytestreams'><streamhost jid='relay.example.com' host='192.0.2.1' port='7777'/></query>"},
		"activate":                  {set("target@example.org/bar"), "<iq type='result' from='relay.example.com' to='romeo@example.com/orchard' id='i'/>"},
		"activate, one party":       {set("one@example.org/x"), "<error type='cancel'><not-allowed"},
		"activate, nobody":          {set("none@example.org/x"), "<error type='cancel'><item-not-found"},
		"activate, full":            {set("full@example.org/x"), "<error type='wait'><resource-constraint"},
		"activate, quota":           {set("quota@example.org/x"), "<error type='wait'><resource-constraint"},
		"activate, banned":          {set("banned@example.org/x"), "<error type='auth'><forbidden"},
		"activate, odd":             {set("odd@example.org/x"), "<error type='wait'><internal-server-error"},
		"activate, no address":      {set(""), "jid-malformed"},
		"activate, not an address":  {set("a@b@c/"), "jid-malformed"},
		"nodes":                     {head + `<services xmlns='http://jabber.org/protocol/jinglenodes'/></iq>`, "<services xmlns='http://jabber.org/protocol/jinglenodes'><stun policy='public' address='relay.example.com' port='3478' protocol='udp'/><turn policy='public' address='relay.example.com' port='3478' protocol='udp'/><turn policy='public' address='2001:db8::1' port='3478' protocol='tcp'/></services>"},
		"node credentials":          {head + `<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' protocol='udp'/></iq>`, "<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' ttl='3600' uri='turn:relay.example.com:3478?transport=udp' " + cred + "/>"},
		"node credentials over TCP": {head + `<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' protocol='tcp'/></iq>`, "uri='turn:[2001:db8::1]:3478?transport=tcp'"},
		"a node's channel":          {head + `<channel xmlns='http://jabber.org/protocol/jinglenodes#channel' protocol='udp'/></iq>`, "service-unavailable"},
		"two children":              {head + `<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>`, "bad-request"},
		"no child":                  {head + `</iq>`, "bad-request"},
		"unknown":                   {head + `<query xmlns='jabber:iq:version'/></iq>`, "service-unavailable"},
		"set instead of get":        {strings.Replace(head, "get", "set", 1) + `<services xmlns='urn:xmpp:extdisco:2'/></iq>`, "service-unavailable"},
		"to a user here":            {strings.Replace(head, "to='", "to='x@", 1) + `<services xmlns='urn:xmpp:extdisco:2'/></iq>`, "service-unavailable"},
	} {
		got := ask(t, h, c.in)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if e := strings.Contains(got, "type='error'"); e != (!strings.Contains(c.want, "'") || strings.Contains(c.want, "<error")) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := a.got[0]; len(a.got) == 0 || got.SID != "s" || got.Requester != "romeo@example.com/orchard" || got.User != "romeo@example.com" {
		t.Errorf("%+v", got)
	}
}

// Users of other domains, banned users and look-alikes get nothing; service discovery tells them as much.
func TestOnlyNamedDomainsAreServed(t *testing.T) {
	a := &activator{}
	h := handler(t, a)
	for _, from := range []string{"eve@evil.example", "eve@sub.example.com", "example.com.evil.example", "eve@xexample.com", "mallory@example.com/x"} {
		for _, q := range []string{
			`<services xmlns='urn:xmpp:extdisco:2'/>`, `<credentials xmlns='urn:xmpp:extdisco:2'><service host='relay.example.com' type='turn'/></credentials>`,
			`<query xmlns='http://jabber.org/protocol/bytestreams'/>`, `<services xmlns='http://jabber.org/protocol/jinglenodes'/>`,
			`<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials'/>`,
		} {
			if got := ask(t, h, `<iq type='get' id='i' from='`+from+`' to='relay.example.com'>`+q+`</iq>`); !strings.Contains(got, "<forbidden") || strings.Contains(got, "password") {
				t.Errorf("%s asked %s and got %s", from, q, got)
			}
		}
		if got := ask(t, h, `<iq type='set' id='i' from='`+from+`' to='relay.example.com'><query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate>a@example.com/b</activate></query></iq>`); !strings.Contains(got, "<forbidden") {
			t.Errorf("%s activated: %s", from, got)
		}
	}
	if len(a.got) != 0 {
		t.Errorf("%+v", a.got)
	}
	for _, from := range []string{"a@example.org/x", "a@example.com", "example.com"} {
		if got := ask(t, h, `<iq type='get' id='i' from='`+from+`' to='relay.example.com'><services xmlns='urn:xmpp:extdisco:2'/></iq>`); !strings.Contains(got, "password") {
			t.Errorf("%s got %s", from, got)
		}
	}
}

// XEP-0065 section 5.3.2 rule 4: addresses are normalised before they are hashed, but a hash of the text as it stands
// is tried too.
func TestActivationNormalisesTheTarget(t *testing.T) {
	a := &activator{err: map[string]error{"target@example.org/Bar": socks5.ErrNotFound}}
	h := handler(t, a)
	got := ask(t, h, `<iq type='set' id='i' from='ROMEO@Example.COM/Orchard' to='relay.example.com'><query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate> Target@Example.ORG/Bar
</activate></query></iq>`)
	if !strings.Contains(got, "result") || len(a.got) != 2 || a.got[0].Target != "target@example.org/Bar" || a.got[1].Target != "Target@Example.ORG/Bar" || a.got[0].Requester != "romeo@example.com/Orchard" {
		t.Errorf("%s, %+v", got, a.got)
	}
}

func TestWhatIsNotAnswered(t *testing.T) {
	h := handler(t, &activator{})
	for _, in := range []string{
		`<message from='romeo@example.com' to='relay.example.com' id='i'><body>hi</body></message>`,
		`<presence from='romeo@example.com' to='relay.example.com' type='subscribe'/>`,
		`<iq type='result' from='romeo@example.com' to='relay.example.com' id='i'/>`,
		`<iq type='error' from='romeo@example.com' to='relay.example.com' id='i'/>`,
		`<iq type='get' from='romeo@example.com' to='relay.example.com'><ping xmlns='urn:xmpp:ping'/></iq>`,
		`<iq type='get' from='a@b@c' to='relay.example.com' id='i'><ping xmlns='urn:xmpp:ping'/></iq>`,
		`<iq xmlns='jabber:client' type='get' from='romeo@example.com' to='relay.example.com' id='i'><ping xmlns='urn:xmpp:ping'/></iq>`,
	} {
		if got := ask(t, h, in); got != "" {
			t.Errorf("%s was answered: %s", in, got)
		}
	}
}

func TestAnswersAreEscaped(t *testing.T) {
	h := handler(t, &activator{})
	got := ask(t, h, `<iq type='get' id='&apos;/&gt;&lt;x' from="romeo@example.com/&lt;&apos;&amp;" to='relay.example.com'><services xmlns='urn:xmpp:extdisco:2' type='&lt;&apos;'/></iq>`)
	s := newScanner(strings.NewReader("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>" + got))
	if _, err := s.open(); err != nil {
		t.Fatal(err)
	}
	e, _, err := s.next()
	if err != nil || e.attr("id") != "'/><x" || e.attr("to") != "romeo@example.com/<'&" || len(e.children) != 1 || e.children[0].attr("type") != "<'" {
		t.Errorf("%s: %v", got, err)
	}
}

func TestServicesWithoutIssuer(t *testing.T) {
	o := offer(t, &activator{})
	o.Issuer, o.Proxy = nil, nil
	h, err := NewHandler("relay.example.com", o)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, h, head+`<services xmlns='urn:xmpp:extdisco:2'/></iq>`); strings.Contains(got, "turn") || !strings.Contains(got, "stun") {
		t.Error(got)
	}
	if got := ask(t, h, head+`<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials'/></iq>`); !strings.Contains(got, "item-not-found") {
		t.Error(got)
	}
	if got := ask(t, h, head+`<query xmlns='http://jabber.org/protocol/bytestreams'/></iq>`); !strings.Contains(got, "not-allowed") {
		t.Error(got)
	}
	if got := ask(t, h, head+`<query xmlns='http://jabber.org/protocol/disco#info'/></iq>`); strings.Contains(got, "bytestreams") || strings.Contains(got, "turncredentials") || !strings.Contains(got, "generic") {
		t.Error(got)
	}
}

func TestOfferIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Offer){
		"no domain":       func(o *Offer) { o.Domains = nil },
		"a user":          func(o *Offer) { o.Domains = []string{"a@b"} },
		"a type":          func(o *Offer) { o.Services[0].Type = "ftp" },
		"no port":         func(o *Offer) { o.Services[0].Port = 0 },
		"a transport":     func(o *Offer) { o.Services[0].Transport = "tls" },
		"half of a proxy": func(o *Offer) { o.Proxy.Activator = nil },
	} {
		o := offer(t, &activator{})
		change(&o)
		if _, err := NewHandler("relay.example.com", o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// The XEPs' own requests, where the texts are at hand.
func TestExamplesOfTheXEPs(t *testing.T) {
	dir := corpus(t)
	n := 0
	h, _ := NewHandler("relay.example.com", Offer{Domains: []string{"example.com", "shakespeare.lit", "montague.lit"}, Services: offer(t, nil).Services, Issuer: offer(t, nil).Issuer, Proxy: &Proxy{Host: "192.0.2.1", Port: 7777, Activator: &activator{}}})
	for _, x := range []string{"xep-0065", "xep-0215", "xep-0278"} {
		files, _ := filepath.Glob(filepath.Join(dir, x, "*.xml"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.TrimSpace(string(b))
			if !strings.HasPrefix(text, "<iq") || strings.Contains(text, "streamhost") || !strings.Contains(text, "'get'") && !strings.Contains(text, "activate") {
				continue
			}
			s := newScanner(strings.NewReader("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>" + text))
			_, _ = s.open()
			e, over, err := s.next()
			if err != nil || over {
				continue // some examples of XEP-0215 are not well-formed
			}
			e.attrs["to"] = "relay.example.com"
			got := h.answer(now, e, over)
			n++
			if strings.Contains(got, "bad-request") || got == "" || strings.Contains(got, "forbidden") {
				t.Errorf("%s: %s", f, got)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d examples were found", n)
	}
}

func corpus(t *testing.T) string {
	t.Helper()
	dir, _ := os.Getwd()
	for range 6 {
		if d := filepath.Join(dir, "shared", "corpus"); isDir(d) {
			return d
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("the XEPs' examples are not here")
	return ""
}

func isDir(p string) bool { st, err := os.Stat(p); return err == nil && st.IsDir() }
