package dtmf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	tests := map[string]struct {
		known bool
		event uint8
		ms    uint32
	}{
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='7' duration='400' volume='42'/>`: {true, 7, 400},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='#'/>`:                            {true, 11, 100},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='*' duration='0'/>`:               {true, 10, 0},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='D' volume='0'/>`:                 {true, 15, 100},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='a'/>`:                            {false, 0, 100},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='12'/>`:                           {false, 0, 100},
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1'><x xmlns='y'/></dtmf>`:        {true, 1, 100},
	}
	for in, want := range tests {
		e := parse(t, in)
		tone, err := Parse(e)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := tone.Element(); !got.Equal(e) {
			t.Errorf("%s: written back as %s", in, got)
		}
		event, known := tone.Event()
		if known != want.known || event != want.event || tone.Milliseconds() != want.ms {
			t.Errorf("%s: event %d known %t, %d ms; want %+v", in, event, known, tone.Milliseconds(), want)
		}
	}
}

func TestNew(t *testing.T) {
	want := parse(t, `<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='5' duration='250'/>`)
	if got := New('5', 250).Element(); !got.Equal(want) {
		t.Errorf("got %s", got)
	}
}

func TestHostile(t *testing.T) {
	for _, in := range []string{
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:1' code='1'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code=''/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='11111111111111111'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1' duration='-1'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1' duration='4294967296'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1' volume='64'/>`,
		`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='1' volume='loud'/>`,
	} {
		_, err := Parse(parse(t, in))
		if _, ok := errors.AsType[*xmltree.Error](err); !ok {
			t.Errorf("%s: error %v, want an xmltree.Error", in, err)
		}
	}
}

// TestErrors pins the conditions that XEP-0181 section 2 asks for.
func TestErrors(t *testing.T) {
	for want, e := range map[string]*jingle.StanzaError{
		"service-unavailable":     ErrUnsupported(),
		"feature-not-implemented": ErrUnknownCode(),
		"not-acceptable":          ErrUseRTP(),
	} {
		if e.Condition != want || e.Type != "cancel" {
			t.Errorf("%s %s, want cancel %s", e.Type, e.Condition, want)
		}
	}
}

func TestCorpus(t *testing.T) {
	var reg jingle.Registry
	Register(&reg)
	path := filepath.Join("..", "..", "..", "shared", "corpus", "xep-0181", "example-01.xml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no corpus of XEP examples: %v", err)
	}
	e := parse(t, string(b)).First().First()
	p, err := reg.Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	if tone, ok := p.(Tone); !ok || tone.Code != "7" || !p.Element().Equal(e) {
		t.Errorf("%s read as %+v", e, p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='7' duration='400' volume='42'/>`))
	f.Add([]byte(`<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='#'><x xmlns='y'>z</x></dtmf>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			return
		}
		tone, err := Parse(e)
		if err != nil {
			return
		}
		again, err := Parse(tone.Element())
		if err != nil || !again.Element().Equal(tone.Element()) {
			t.Fatalf("%s does not survive: %v", tone.Element(), err)
		}
	})
}
