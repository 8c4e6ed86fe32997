package xmppserver

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// TestScripts runs the scripts of testdata through the hub. A line is one of
//
//	enter alice/phone      a session begins; its answer to the binding is not shown
//	leave alice/phone      its connection is gone
//	befriend alice bob     a mutual subscription
//	alice/phone: <xml/>    it sends a stanza
//	bob/pc < <xml/>        the stanza that bob/pc is sent by the line above; the order within one session does not count
//	bob/pc < stream error conflict
//
// Everything that is sent has to be in the script. {d} stands for the domain.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, p := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".txt"), func(t *testing.T) { runScript(t, p) })
	}
}

type script struct {
	t        *testing.T
	at       string
	hub      *hub
	sessions map[string]*session
	sent     map[string][]string // what each session has been sent and the script has not named
	errs     map[string]error
}

func newTestHub(t testing.TB, users ...string) *hub {
	t.Helper()
	cfg, err := Config{MaxRoster: 3, MaxResources: 3}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(cfg)
	for _, u := range users {
		bare := jid.MustParse(u + "@" + cfg.Domain)
		h.accounts[bare] = newAccount(bare, nil)
	}
	return h
}

func runScript(t *testing.T, path string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &script{
		t: t, hub: newTestHub(t, "alice", "bob", "carol"), sessions: make(map[string]*session),
		sent: make(map[string][]string), errs: make(map[string]error),
	}
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.ReplaceAll(sc.Text(), "{d}", s.hub.cfg.Domain))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if who, want, ok := strings.Cut(line, " < "); ok {
			s.expect(n, who, want)
			continue
		}
		s.nothingElse()
		s.at = fmt.Sprintf("line %d: %s", n, line)
		s.do(line)
		s.collect()
	}
	s.nothingElse()
}

func (s *script) do(line string) {
	s.t.Helper()
	if who, xml, ok := strings.Cut(line, ": <"); ok {
		all, err := xmltree.Parse([]byte("<x xmlns='jabber:client'><"+xml+"</x>"), xmltree.Limits{})
		if err != nil {
			s.t.Fatalf("%s: %v", s.at, err)
		}
		st := all.First()
		s.errs[who] = s.hub.route(s.sessions[who], st)
		return
	}
	words := strings.Fields(line)
	switch words[0] {
	case "enter":
		full := jid.MustParse(strings.Replace(words[1], "/", "@"+s.hub.cfg.Domain+"/", 1))
		me := &session{full: full, out: newOutbox(1<<20, func() {})}
		ok := s.hub.enter(me, xmltree.New(nsClient, "bound"))
		if ok == (len(words) == 3) {
			s.t.Fatalf("%s: entered=%t", s.at, ok)
		}
		if !ok {
			return
		}
		if old := s.sessions[words[1]]; old != nil {
			if b, _ := old.out.take(nil); len(b) > 0 {
				s.sent[words[1]] = append(s.sent[words[1]], string(b))
			}
		}
		if b, _ := me.out.take(nil); string(b) != "<bound/>" {
			s.t.Fatalf("%s: the first thing it is sent is %s", s.at, b)
		}
		s.sessions[words[1]] = me
	case "leave":
		s.hub.leave(s.sessions[words[1]])
	case "befriend":
		s.hub.befriend(s.hub.account(words[1]), s.hub.account(words[2]))
	default:
		s.t.Fatalf("%s: unknown", s.at)
	}
}

// collect takes what the sessions were sent.
func (s *script) collect() {
	s.t.Helper()
	for who, me := range s.sessions {
		b, _ := me.out.take(nil)
		all, err := xmltree.Parse(append(append([]byte("<x xmlns='jabber:client'>"), b...), "</x>"...), xmltree.Limits{})
		if err != nil {
			s.t.Fatalf("%s: %s was sent %s: %v", s.at, who, b, err)
		}
		for e := range all.Elements() {
			s.sent[who] = append(s.sent[who], e.String())
		}
	}
}

func (s *script) expect(n int, who, want string) {
	s.t.Helper()
	if cond, ok := strings.CutPrefix(want, "stream error "); ok {
		if err := s.errs[who]; err != nil && strings.HasPrefix(err.Error(), "stream error "+cond+":") {
			delete(s.errs, who)
			return
		}
		for i, got := range s.sent[who] {
			if strings.Contains(got, "<"+cond+" ") && strings.HasSuffix(got, "</stream:stream>") {
				s.sent[who] = append(s.sent[who][:i], s.sent[who][i+1:]...)
				return
			}
		}
		s.t.Errorf("line %d: no stream error %s", n, cond)
		return
	}
	w, err := xmltree.Parse([]byte("<x xmlns='jabber:client'>"+want+"</x>"), xmltree.Limits{})
	if err != nil {
		s.t.Fatalf("line %d: %v", n, err)
	}
	for i, got := range s.sent[who] {
		g, err := xmltree.Parse([]byte(got), xmltree.Limits{})
		if err == nil && g.Equal(w.First()) {
			s.sent[who] = append(s.sent[who][:i], s.sent[who][i+1:]...)
			return
		}
	}
	s.t.Errorf("line %d, after %s\n%s was not sent\n  %s\nbut\n  %s", n, s.at, who, w.First(), strings.Join(s.sent[who], "\n  "))
}

func (s *script) nothingElse() {
	s.t.Helper()
	for who, all := range s.sent {
		for _, got := range all {
			s.t.Errorf("%s\n%s was sent, but the script does not have it:\n  %s", s.at, who, got)
		}
	}
	for who, err := range s.errs {
		if err != nil {
			s.t.Errorf("%s\n%s: %v", s.at, who, err)
		}
	}
	clear(s.sent)
	clear(s.errs)
}
