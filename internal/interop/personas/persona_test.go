package personas

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/jingled/jingled/xmltree"
)

//go:embed testdata/*.txt
var files embed.FS

// persona is a client as its file in testdata describes it.
type persona struct {
	name, version, notes string
	features             []string
	node                 string          // of its capabilities; "" is that of nobody known
	names                []string        // of its contents: audio, video
	jmi                  bool            // it proposes by XEP-0353, and awaits proposals
	bundle               bool            // all contents on one transport
	oneCodec             bool            // it answers with a single payload type
	sameMedia            bool            // it ends a call whose answer leaves out a medium
	unencrypted          bool            // plain RTP
	sdes                 bool            // SRTP with keys in the signalling
	raw                  bool            // raw UDP
	speaks               string          // the codec, Opus if empty
	silent               map[string]bool // actions that it does not answer
	refuses              map[string]bool // actions that it answers with feature-not-implemented
	stanzas              map[string]*template.Template
}

var section = regexp.MustCompile(`(?m)^-- ([a-z-]+) --\n`)

func personas(t *testing.T) []*persona {
	t.Helper()
	var out []*persona
	for _, file := range []string{"conversations", "dino", "monal", "movim", "stanza", "psi", "pidgin", "gajim", "gateway"} {
		b, err := fs.ReadFile(files, "testdata/"+file+".txt")
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, p)
	}
	return out
}

func parse(text string) (*persona, error) {
	p := &persona{stanzas: make(map[string]*template.Template)}
	set := func(s string) map[string]bool {
		m := make(map[string]bool)
		for f := range strings.FieldsSeq(s) {
			m[f] = true
		}
		return m
	}
	marks := section.FindAllStringSubmatchIndex(text, -1)
	head := text[:marks[0][0]]
	for line := range strings.Lines(head) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		switch key {
		case "name":
			p.name = value
		case "version":
			p.version = value
		case "notes":
			p.notes = value
		case "features":
			p.features = strings.Fields(value)
		case "node":
			p.node = value
		case "names":
			p.names = strings.Fields(value)
		case "jmi":
			p.jmi = value == "yes"
		case "bundle":
			p.bundle = value == "yes"
		case "one-codec":
			p.oneCodec = value == "yes"
		case "same-media":
			p.sameMedia = value == "yes"
		case "unencrypted":
			p.unencrypted = value == "yes"
		case "sdes":
			p.sdes = value == "yes"
		case "raw":
			p.raw = value == "yes"
		case "speaks":
			p.speaks = value
		case "silent":
			p.silent = set(value)
		case "refuses":
			p.refuses = set(value)
		default:
			return nil, fmt.Errorf("unknown key %q", key)
		}
	}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := text[m[2]:m[3]]
		tmpl, err := template.New(name).Funcs(template.FuncMap{"upper": strings.ToUpper}).Parse(text[m[1]:end])
		if err != nil {
			return nil, err
		}
		p.stanzas[name] = tmpl
	}
	return p, nil
}

// script is what the stanzas of a persona are filled with.
type script struct {
	ID, SID, Peer, PeerBare, Me, MeBare string
	Reason, ReceiptFor                  string
	Media                               []*medium
	// medium and C are those of a single candidate.
	*medium
	C any
}

// Reversed is Media with video first.
func (s script) Reversed() []*medium {
	var out []*medium
	for _, m := range s.Media {
		out = append([]*medium{m}, out...)
	}
	return out
}

var betweenTags = regexp.MustCompile(`>\s+<`)

// stanza returns one that the client sends, or nil.
func (p *persona) stanza(name string, data script) (*xmltree.Element, error) {
	tmpl := p.stanzas[name]
	if tmpl == nil {
		return nil, nil
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, data); err != nil {
		return nil, err
	}
	text := strings.TrimSpace(betweenTags.ReplaceAllString(b.String(), "><"))
	text = strings.Replace(text, " ", " xmlns='jabber:client' ", 1)
	return xmltree.Parse([]byte(text), xmltree.Limits{})
}
