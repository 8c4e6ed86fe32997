package jingle_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var update = flag.Bool("update", false, "write the traces of testdata/*.txt anew")

// TestScripts runs the call flows of testdata. A line that starts in the first column is an input, the indented lines
// below it are the effects that it must have. testdata/README has the words.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { runScript(t, f) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{now: time.Unix(0, 0), local: "romeo@montague.lit/orchard", peer: "juliet@capulet.lit/balcony", sid: "a73s"}
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, " ") {
			continue
		}
		got.WriteString(line)
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, effect := range p.play(t, strings.Fields(line)) {
			got.WriteString("  " + effect + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(text) {
		t.Errorf("the trace differs; got:\n%s", got.String())
	}
}

// player interprets scripts. It is the second interpreter of sessions, beside the engine.
type player struct {
	now         time.Time
	local, peer jid.JID
	sid         string
	table       jingle.Table
	iqs         int
	all         map[string]*jingle.Session // ended ones too, by sid
}

func (p *player) play(t *testing.T, words []string) []string {
	t.Helper()
	args := words[1:]
	if p.all == nil {
		p.all = make(map[string]*jingle.Session)
	}
	s := p.all[p.sid]
	before := state(s)
	var effects []jingle.Effect
	var lines []string
	switch words[0] {
	case "local":
		p.local = jid.MustParse(args[0])
	case "peer":
		p.peer = jid.MustParse(args[0])
	case "sid":
		p.sid = args[0]
	case "initiate":
		s = jingle.NewSession(jingle.SessionConfig{SID: p.sid, Role: jingle.Initiator, Local: p.local, Peer: p.peer})
		if err := p.table.Add(s); err != nil {
			return []string{"refused: " + errorWords(err)}
		}
		effects, lines = p.do(s, "session-initiate", args)
		p.table.Initiating(s, message(t, "session-initiate", p.sid, args))
	case "do":
		if s == nil {
			t.Fatalf("no session %s", p.sid)
		}
		effects, lines = p.do(s, args[0], args[1:])
	case "recv":
		p.iqs++
		iq := fmt.Sprintf("iq%d", p.iqs)
		m := message(t, args[0], p.sid, args[1:])
		to, accept, err := p.table.Route(p.local, p.peer, m)
		switch {
		case err != nil:
			return []string{iq + " answer " + errorWords(err)}
		case accept:
			to = jingle.NewSession(jingle.SessionConfig{SID: p.sid, Role: jingle.Responder, Local: p.local, Peer: p.peer})
			if err := p.table.Add(to); err != nil {
				t.Fatal(err)
			}
			before = "none"
		}
		s = to
		effects = s.Receive(p.now, iq, m)
	case "reply":
		n, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			p.table.Initiating(s, nil)
		}
		effects = s.Replied(p.now, n, reply(args[1:]))
	case "unavailable":
		effects = s.PeerUnavailable(p.now)
	case "heard":
		s.Heard()
	case "ask":
		effects = s.Ask(p.now, len(args) > 0 && args[0] == "connected")
	case "advance":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(d)
		effects = s.Advance(p.now)
	case "transports":
		s.SetTransports(jingle.ContentID{Creator: jingle.Initiator, Name: args[0]}, nsOf(args[1:])...)
	case "failed":
		effects = s.TransportFailed(p.now, jingle.ContentID{Creator: jingle.Initiator, Name: args[0]}, "urn:"+args[1], reason(args[2:]))
	case "contents":
		for _, id := range s.Contents() {
			senders, accepted, _ := s.Content(id)
			lines = append(lines, fmt.Sprintf("%s %s senders=%s accepted=%t", id.Creator, id.Name, senders, accepted))
		}
	default:
		t.Fatalf("unknown word %q", words[0])
	}
	if words[0] == "initiate" || words[0] == "recv" {
		p.all[p.sid] = s
	}
	for _, e := range effects {
		lines = append(lines, effectWords(e))
	}
	if after := state(s); after != before && s != nil {
		lines = append(lines, "state "+after)
	}
	if s != nil && s.State() == jingle.Done {
		p.table.Remove(s)
	}
	return lines
}

func state(s *jingle.Session) string {
	if s == nil {
		return "none"
	}
	return s.State().String()
}

func (p *player) do(s *jingle.Session, action string, args []string) ([]jingle.Effect, []string) {
	m := &jingle.Message{Action: jingle.Action(action), SID: p.sid}
	m.Contents, m.Reason, m.Info = parts(args)
	effects, err := s.Do(p.now, m)
	if err != nil {
		return nil, []string{"error: " + err.Error()}
	}
	return effects, nil
}

// payload is a stand-in for a description or a transport.
func payload(local, ns, media string) jingle.Payload {
	return jingle.Opaque{XML: xmltree.New(ns, local).SetOpt("media", media)}
}

func nsOf(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "urn:" + n
	}
	return out
}

// parts reads words of the forms name[:media][@transport][/senders][!disposition][^creator], reason=condition, info=name.
func parts(words []string) (cs []jingle.Content, r *jingle.Reason, info []jingle.Payload) {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, "reason="); ok {
			r = reason([]string{v})
			continue
		}
		if v, ok := strings.CutPrefix(w, "info="); ok {
			info = append(info, jingle.Opaque{XML: xmltree.New("urn:info", v)})
			continue
		}
		c := jingle.Content{Creator: jingle.Initiator, Disposition: "session"}
		cut := func(sep string) string {
			head, tail, _ := strings.Cut(w, sep)
			w = head
			return tail
		}
		if cut("^") == "responder" {
			c.Creator = jingle.Responder
		}
		if d := cut("!"); d != "" {
			c.Disposition = d
		}
		c.Senders = jingle.Senders(cut("/"))
		if tr := cut("@"); tr != "" {
			c.Transport = payload("transport", "urn:"+tr, "")
		}
		if media := cut(":"); media != "" {
			c.Description = payload("description", "urn:app", media)
		}
		c.Name = w
		cs = append(cs, c)
	}
	return cs, r, info
}

// message goes through text, as on the wire.
func message(t *testing.T, action, sid string, words []string) *jingle.Message {
	t.Helper()
	m := &jingle.Message{Action: jingle.Action(action), SID: sid}
	m.Contents, m.Reason, m.Info = parts(words)
	x, err := xmltree.Parse([]byte(m.Element().String()), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = jingle.ParseMessage(x, &jingle.Registry{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func reason(words []string) *jingle.Reason {
	if len(words) == 0 {
		return nil
	}
	return &jingle.Reason{Condition: jingle.Condition(words[0])}
}

func reply(words []string) error {
	switch words[0] {
	case "ok":
		return nil
	case "lost":
		return errors.New("the connection was lost")
	case "tie-break":
		return jingle.ErrTieBreak("")
	case "unknown-session":
		return jingle.ErrUnknownSession()
	}
	return &jingle.StanzaError{Type: "cancel", Condition: words[0]}
}

func errorWords(err error) string {
	var e *jingle.StanzaError
	if !errors.As(err, &e) {
		return err.Error()
	}
	w := e.Type + " " + e.Condition
	if e.App != nil {
		w += " " + e.App.Name.Local
	}
	return w
}

func effectWords(e jingle.Effect) string {
	switch e := e.(type) {
	case jingle.Answer:
		if e.Err != nil {
			return e.IQ + " answer " + errorWords(e.Err)
		}
		return e.IQ + " answer ok"
	case jingle.Request:
		return fmt.Sprintf("send %d %s", e.N, messageWords(e.Message))
	case jingle.InfoReceived:
		return e.IQ + " ask application: " + messageWords(e.Message)
	case jingle.Initiated:
		return "event initiated" + contentWords(e.Message)
	case jingle.Accepted:
		return "event accepted" + contentWords(e.Message)
	case jingle.ContentAdded:
		return "event content added" + contentWords(e.Message)
	case jingle.ContentAccepted:
		return "event content accepted" + contentWords(e.Message)
	case jingle.ContentRejected:
		return "event content rejected" + contentWords(e.Message)
	case jingle.ContentRemoved:
		who := "by the peer"
		if e.Local {
			who = "by us"
		}
		return "event content removed " + who + contentWords(e.Message)
	case jingle.ContentModified:
		return fmt.Sprintf("event content modified %s %s -> %s", e.ID.Name, e.Old, e.New)
	case jingle.TransportOffered:
		return "event transport offered" + contentWords(e.Message)
	case jingle.TransportReplaced:
		return "event transport replaced" + contentWords(e.Message)
	case jingle.TransportNeeded:
		return "event transport needed " + e.ID.Name + " " + strings.TrimPrefix(e.NS, "urn:")
	case jingle.RequestFailed:
		return "event request failed " + string(e.Message.Action) + ": " + errorWords(e.Err)
	case jingle.Ended:
		who := "by us"
		if e.ByPeer {
			who = "by the peer"
		}
		return "event ended " + who + " " + string(e.Reason.Condition)
	}
	return fmt.Sprintf("%T", e)
}

func messageWords(m *jingle.Message) string {
	s := string(m.Action) + contentWords(m)
	for _, p := range m.Info {
		s += " info=" + p.Element().Name.Local
	}
	if m.Reason != nil {
		s += " reason=" + string(m.Reason.Condition)
	}
	return s
}

func contentWords(m *jingle.Message) string {
	var b strings.Builder
	for i := range m.Contents {
		c := &m.Contents[i]
		b.WriteString(" " + c.Name)
		if c.Description != nil {
			b.WriteString(":" + c.Description.Element().Attr("media"))
		}
		if c.Transport != nil {
			b.WriteString("@" + strings.TrimPrefix(jingle.NSOf(c.Transport), "urn:"))
		}
		if c.Senders != "" {
			b.WriteString("/" + string(c.Senders))
		}
	}
	return b.String()
}
