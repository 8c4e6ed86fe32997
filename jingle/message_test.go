package jingle_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func element(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

func TestMessageRoundTrip(t *testing.T) {
	const head = `<jingle xmlns='urn:xmpp:jingle:1' `
	for name, s := range map[string]string{
		"terminate":   head + `action='session-terminate' sid='a'><reason><success/><text>Bye</text></reason></jingle>`,
		"alternative": head + `action='session-terminate' sid='a'><reason><alternative-session><sid>b</sid></alternative-session></reason></jingle>`,
		"app reason": head + `action='content-reject' sid='a'><content creator='responder' name='v'/>` +
			`<reason><media-error/><file-too-large xmlns='urn:xmpp:jingle:apps:file-transfer:errors:0'/></reason></jingle>`,
		"ping": head + `action='session-info' sid='a'/>`,
		"unknown payloads": head + `action='session-initiate' initiator='a@b/c' sid='a'>` +
			`<content creator='initiator' disposition='early-session' name='x' senders='none'>` +
			`<description xmlns='urn:u:1' a='b'><c>d</c></description><transport xmlns='urn:u:2'/><security xmlns='urn:u:3'/>` +
			`<thing xmlns='urn:u:4'/></content>` +
			`<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='x'/><content name='y'/></group>` +
			`<muji xmlns='urn:xmpp:jingle:muji:0' room='r@s'/></jingle>`,
		"accept": head + `action='session-accept' responder='a@b/c' sid='a'><content creator='initiator' name='x'/></jingle>`,
	} {
		x := element(t, s)
		m, err := jingle.ParseMessage(x, &jingle.Registry{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.Element(); !got.Equal(x) {
			t.Errorf("%s: %s was written as %s", name, x, got)
		}
	}
}

func TestEveryActionAndReason(t *testing.T) {
	if len(jingle.Actions) != 15 || len(jingle.Conditions) != 17 {
		t.Fatalf("%d actions and %d conditions", len(jingle.Actions), len(jingle.Conditions))
	}
	for _, a := range jingle.Actions {
		for _, c := range jingle.Conditions {
			m := &jingle.Message{Action: a, SID: "s", Reason: &jingle.Reason{Condition: c}}
			got, err := jingle.ParseMessage(element(t, m.Element().String()), &jingle.Registry{})
			if err != nil || got.Action != a || !got.Action.Known() || got.Reason.Condition != c || got.Reason.Raw != "" {
				t.Errorf("%s with %s was read as %+v, %v", a, c, got, err)
			}
		}
	}
}

func TestReasonLeniency(t *testing.T) {
	for s, want := range map[string]jingle.Condition{
		`<reason xmlns='urn:xmpp:jingle:1'/>`:                                                    jingle.GeneralError,
		`<reason xmlns='urn:xmpp:jingle:1'><text>x</text></reason>`:                              jingle.GeneralError,
		`<reason xmlns='urn:xmpp:jingle:1'><failed_application/></reason>`:                       jingle.FailedApplication,
		`<reason xmlns='urn:xmpp:jingle:1'><failed_transport/></reason>`:                         jingle.FailedTransport,
		`<reason xmlns='urn:xmpp:jingle:1'><application-error/></reason>`:                        jingle.FailedApplication,
		`<reason xmlns='urn:xmpp:jingle:1'><no-idea/></reason>`:                                  jingle.GeneralError,
		`<reason xmlns='urn:xmpp:jingle:1'><no-idea/><busy/></reason>`:                           jingle.Busy,
		`<reason xmlns='urn:xmpp:jingle:1'><busy/><gone/></reason>`:                              jingle.Busy,
		`<reason xmlns='urn:xmpp:jingle:1'><busy xmlns='urn:other'/></reason>`:                   jingle.GeneralError,
		`<reason xmlns='urn:xmpp:jingle:1'><x xmlns='urn:o'/><busy/><y xmlns='urn:o'/></reason>`: jingle.Busy,
	} {
		r := jingle.ParseReason(element(t, s))
		if r.Condition != want {
			t.Errorf("%s was read as %s", s, r.Condition)
		}
		// What we write always has exactly one standard condition.
		n := 0
		for c := range r.Element().Elements() {
			if c.Name.Space == jingle.NS && c.Name.Local != "text" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was written as %s", s, r.Element())
		}
	}
	if e := (&jingle.Reason{Condition: "nonsense"}).Element(); e.Child(jingle.NS, "general-error") == nil {
		t.Errorf("a condition that is not standard was written as %s", e)
	}
}

func TestMessageRefused(t *testing.T) {
	const head = `<jingle xmlns='urn:xmpp:jingle:1' `
	for s, want := range map[string]string{
		`<jingle xmlns='urn:xmpp:jingle:0' action='a' sid='b'/>`: "<jingle/> is not a <jingle/> element of urn:xmpp:jingle:1",
		head + `sid='b'/>`:           "attribute 'action' of <jingle/> is missing",
		head + `action='a'/>`:        "attribute 'sid' of <jingle/> is missing",
		head + `action='a' sid=''/>`: "attribute 'sid' of <jingle/> is missing",
		head + `action='a' sid='b'><content creator='initiator'/></jingle>`:                                           "attribute 'name' of <content/> is missing",
		head + `action='a' sid='b'><content creator='me' name='x'/></jingle>`:                                         "attribute 'creator' of <content/> is not one of initiator, responder",
		head + `action='a' sid='b'><content creator='initiator' name='x' senders='all'/></jingle>`:                    "attribute 'senders' of <content/> is not one of both, initiator, none, responder",
		head + `action='a' sid='b'><content name='x'><transport xmlns='u'/><transport xmlns='v'/></content></jingle>`: "<content/> has more than one <transport/>",
		head + `action='a' sid='b'><group xmlns='urn:xmpp:jingle:apps:grouping:0'/></jingle>`:                         "attribute 'semantics' of <group/> is missing",
	} {
		_, err := jingle.ParseMessage(element(t, s), &jingle.Registry{})
		var x *xmltree.Error
		if !errors.As(err, &x) || x.Error() != want {
			t.Errorf("%s: error %v, want %q", s, err, want)
		}
	}
}

func TestMessageLeniency(t *testing.T) {
	m, err := jingle.ParseMessage(element(t, `<jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='s'
		initiator='not a jid' responder='@'><content name='x'/></jingle>`), &jingle.Registry{})
	if err != nil {
		t.Fatal(err)
	}
	c := m.Contents[0]
	if m.Initiator != "" || m.Responder != "" || c.Creator != jingle.Initiator || c.Disposition != "session" || c.Senders != "" {
		t.Errorf("read as %+v", m)
	}
}

func TestStanzaErrors(t *testing.T) {
	for _, e := range []*jingle.StanzaError{
		jingle.ErrUnknownSession(), jingle.ErrOutOfOrder("x"), jingle.ErrTieBreak("x"), jingle.ErrUnsupportedInfo("x"),
		jingle.ErrSecurityRequired("x"), jingle.ErrBadRequest("x"), jingle.ErrServiceUnavailable(),
		jingle.ErrResourceConstraint("x"), jingle.ErrRedirect("xmpp:voicemail@capulet.lit"),
	} {
		x := e.Element("jabber:client")
		got := jingle.ParseStanzaError(element(t, x.String()))
		if got.Error() != e.Error() || got.Type != e.Type || !got.Element("jabber:client").Equal(x) {
			t.Errorf("%s was read as %s", x, got.Element("jabber:client"))
		}
	}
	if e := jingle.ParseStanzaError(element(t, `<error xmlns='jabber:client'/>`)); e.Condition != "undefined-condition" {
		t.Errorf("an empty error was read as %v", e)
	}
	// XEP-0166 example 14: the address is the text of the condition.
	redirect := element(t, `<error xmlns='jabber:client' type='modify'>
		<redirect xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:voicemail@capulet.lit</redirect></error>`)
	if got := jingle.ErrRedirect("xmpp:voicemail@capulet.lit").Element("jabber:client"); !got.Equal(redirect) {
		t.Errorf("a redirect is written as %s", got)
	}
	var none *jingle.StanzaError
	if none.HasApp("tie-break") || !jingle.ErrTieBreak("").HasApp("tie-break") {
		t.Error("HasApp is wrong")
	}
}

func TestRegistry(t *testing.T) {
	var r jingle.Registry
	fail := &xmltree.Error{Element: "description", Problem: "is bad"}
	r.Register("urn:a", "description", func(*xmltree.Element) (jingle.Payload, error) { return nil, fail })
	if !r.Known("urn:a", "description") || r.Known("urn:b", "description") {
		t.Error("Known is wrong")
	}
	_, err := jingle.ParseMessage(element(t, `<jingle xmlns='urn:xmpp:jingle:1' action='content-add' sid='s'>
		<content name='x'><description xmlns='urn:a'/></content></jingle>`), &r)
	if !errors.Is(err, fail) {
		t.Errorf("the codec's error came out as %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the same name was registered twice")
		}
	}()
	r.Register("urn:a", "description", nil)
}

// corpus calls f with every <jingle/> element of the examples of XEP-0166 and XEP-0338, where they are at hand.
func corpus(tb testing.TB, f func(file string, x *xmltree.Element)) (found bool) {
	tb.Helper()
	var files []string
	for _, xep := range []string{"xep-0166", "xep-0338"} {
		m, err := filepath.Glob(filepath.Join("..", "..", "shared", "corpus", xep, "*.xml"))
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, m...)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		x, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil || bytes.Contains(b, []byte("[ ... ]")) {
			continue // abridged, several stanzas, or broken on purpose
		}
		if j := x.Child(jingle.NS, "jingle"); j != nil {
			x = j
		}
		if x.Is(jingle.NS, "jingle") {
			f(file, x)
		}
	}
	return len(files) > 0
}

func TestCorpus(t *testing.T) {
	n := 0
	if !corpus(t, func(file string, x *xmltree.Element) {
		m, err := jingle.ParseMessage(x, &jingle.Registry{})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		if got := m.Element(); !got.Equal(x) {
			t.Errorf("%s: %s was written as %s", file, x, got)
		}
		n++
	}) {
		t.Skip("the examples of the XEPs are not here")
	}
	if n < 20 {
		t.Errorf("only %d examples were found", n)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='a@b/c' sid='s'><content creator='initiator' name='v' senders='both'><description xmlns='u'/><transport xmlns='v'/></content><reason><busy/><text>x</text></reason></jingle>`))
	f.Add([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='x' sid='s'><group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='LS'><content name='a'/></group></jingle>`))
	corpus(f, func(_ string, x *xmltree.Element) { f.Add([]byte(x.String())) })
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			return
		}
		m, err := jingle.ParseMessage(x, &jingle.Registry{})
		if err != nil {
			return
		}
		once := m.Element()
		again, err := jingle.ParseMessage(element(t, once.String()), &jingle.Registry{})
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", once, err)
		}
		if !again.Element().Equal(once) {
			t.Fatalf("%s became %s", once, again.Element())
		}
	})
}

// FuzzSession throws any order of messages at a session: no panic, one answer for each IQ, nothing after the end.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, true)
	f.Add([]byte{9, 1, 2, 60, 2, 61, 14, 30, 70, 10}, false)
	f.Fuzz(fuzzSession)
}
