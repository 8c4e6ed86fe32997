package muc

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var update = flag.Bool("update", false, "rewrite the traces of testdata/*.txt")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScripts runs testdata/*.txt. A script is lines of commands, each followed by the trace it must give, indented by
// a tab.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("trace differs; got:\n%s", got)
		})
	}
}

func runScript(t *testing.T, script string) string {
	var out strings.Builder
	now := epoch
	var r *Room
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line)
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		var effects []Effect
		var err error
		switch word {
		case "", "#":
			continue
		case "room": // ADDRESS NICK [show] [password=P] [first=NICK] [create] [create-call]
			f := strings.Fields(rest)
			cfg := Config{Room: jid.JID(f[0]), Nick: f[1], Extra: []*xmltree.Element{xmltree.New("urn:x", "extra")}}
			for _, o := range f[2:] {
				k, v, _ := strings.Cut(o, "=")
				switch k {
				case "show":
					cfg.ShowAddress = true
				case "password":
					cfg.Password = v
				case "first":
					cfg.First = v
				case "create":
					cfg.Create = &Creation{}
				case "create-call":
					cfg.Create = &Creation{Name: "A call", MembersOnly: true, NonAnonymous: true}
				}
			}
			if r, err = New(cfg); err != nil {
				fmt.Fprintf(&out, "\terror: %v\n", err)
			}
			continue
		case "join":
			effects = r.Join(now)
		case "leave":
			effects = r.Leave(now)
		case "update":
			effects, err = r.Update(element(t, rest))
		case "grant":
			effects, err = r.Grant("member", jid.JID(rest))
		case "destroy":
			effects, err = r.Destroy(rest)
		case "at":
			d, perr := time.ParseDuration(rest)
			if perr != nil {
				t.Fatal(perr)
			}
			now = epoch.Add(d)
			effects = r.Advance(now)
		case "recv":
			effects = r.Receive(now, element(t, strings.Replace(rest, " ", " xmlns='jabber:client' ", 1)))
		case "reply": // ID [XML], or ID error CONDITION, or ID lost
			id, what, _ := strings.Cut(rest, " ")
			switch f := strings.Fields(what); {
			case len(f) == 0:
				effects = r.Replied(now, id, nil, nil)
			case f[0] == "error":
				effects = r.Replied(now, id, nil, &jingle.StanzaError{Type: "cancel", Condition: f[1]})
			case f[0] == "lost":
				effects = r.Replied(now, id, nil, errors.New("no reply"))
			default:
				effects = r.Replied(now, id, element(t, what), nil)
			}
		case "who":
			for _, o := range r.Occupants() {
				fmt.Fprintf(&out, "\t%s %s %s %s\n", o.Nick, o.JID, o.Affiliation, o.Role)
			}
		default:
			t.Fatalf("unknown command %q", line)
		}
		if err != nil {
			fmt.Fprintf(&out, "\terror: %v\n", err)
		}
		for _, e := range effects {
			fmt.Fprintf(&out, "\t%s\n", show(e))
		}
	}
	return out.String()
}

func element(t *testing.T, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

func show(e Effect) string {
	switch e := e.(type) {
	case Send:
		return "send " + e.Stanza.String()
	case Ask:
		return fmt.Sprintf("ask %s %s %s %s", e.ID, e.Type, e.To, e.Payload)
	case Entered:
		return fmt.Sprintf("ENTERED as %q created=%v members=%v addresses=%v", e.Nick, e.Created, e.Info.MembersOnly, e.Info.NonAnonymous)
	case Present:
		return fmt.Sprintf("PRESENT %q %s new=%v self=%v", e.Occupant.Nick, e.Occupant.JID, e.New, e.Self)
	case Gone:
		text := fmt.Sprintf("GONE %q renamed=%q", e.Occupant.Nick, e.Renamed)
		if e.PutOut {
			text += " put out"
		}
		return text
	case Granted:
		return fmt.Sprintf("GRANTED %s %v", e.ID, e.Err)
	case Left:
		return fmt.Sprintf("LEFT by %s: %s", e.Cause, e.Text())
	}
	return fmt.Sprintf("%#v", e)
}
