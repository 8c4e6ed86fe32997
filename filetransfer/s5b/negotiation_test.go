package s5b_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/jingle"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func show(effects []s5b.Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case s5b.Probe:
			out = append(out, "probe "+e.Candidate.CID)
		case s5b.Drop:
			out = append(out, "drop "+e.CID)
		case s5b.Tell:
			switch {
			case e.Info.CandidateUsed != "":
				out = append(out, "used "+e.Info.CandidateUsed)
			case e.Info.CandidateError:
				out = append(out, "candidate-error")
			case e.Info.Activated != "":
				out = append(out, "activated "+e.Info.Activated)
			case e.Info.ProxyError:
				out = append(out, "proxy-error")
			}
		case s5b.OpenProxy:
			out = append(out, "open "+e.Candidate.CID)
		case s5b.UseOutgoing:
			out = append(out, "outgoing "+e.CID)
		case s5b.UseIncoming:
			out = append(out, "incoming "+e.CID)
		case s5b.Fail:
			switch {
			case errors.Is(e.Err, s5b.ErrNoCandidate):
				out = append(out, "fail: nothing reachable")
			case errors.Is(e.Err, s5b.ErrProxy):
				out = append(out, "fail: proxy")
			case errors.Is(e.Err, s5b.ErrPeerSilent):
				out = append(out, "fail: silent")
			}
		}
	}
	return strings.Join(out, "; ")
}

// cand makes a candidate; a cid that begins with p is a proxy.
func cand(cid string, priority uint32) s5b.Candidate {
	c := s5b.Candidate{CID: cid, Host: "192.0.2.1", Port: 1, Priority: priority}
	if strings.HasPrefix(cid, "p") {
		c.Type = s5b.Proxy
	}
	return c
}

// TestNegotiation runs scripts of one input a line: "400ms" lets time pass in the steps that the deadlines ask for,
// "ok r1" and "no r1" are results of attempts, "in" is a connection of the peer, "< used l1" is a transport-info of
// the peer, "proxy ok l1" the result of an OpenProxy. What follows "->" are the effects.
func TestNegotiation(t *testing.T) {
	for name, script := range map[string]string{
		"we connect, the peer cannot": `
			start -> probe r1
			ok r1 -> used r1
			< candidate-error -> outgoing r1`,
		"the peer connects, we cannot": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			no p3 -> candidate-error
			in ->
			< used l1 -> incoming l1`,
		"neither can": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			< candidate-error ->
			no p3 -> candidate-error; fail: nothing reachable`,
		"staggered": `
			start -> probe r1
			199ms ->
			1ms -> probe r2
			699ms ->
			1ms -> probe p3
			1099ms ->
			1ms -> drop r1
			200ms -> drop r2
			3699ms ->
			1ms -> drop p3; candidate-error
			ok p3 ->`,
		"the second is faster, the first is dropped": `
			start -> probe r1
			200ms -> probe r2
			ok r2 -> drop r1; used r2
			ok r1 ->`,
		"both used, theirs is higher": `
			start -> probe r1
			no r1 -> probe r2
			ok r2 -> used r2
			in ->
			< used l1 -> drop r2; incoming l1`,
		"both used, ours is higher": `
			start -> probe r1
			ok r1 -> used r1
			< used l2 -> outgoing r1`,
		"both used, equal: the initiator's choice, and we are it": `
			start -> probe r1
			ok r1 -> used r1
			< used l1 -> outgoing r1`,
		"both used, equal, as responder": `
			responder
			start -> probe r1
			ok r1 -> used r1
			in ->
			< used l1 -> drop r1; incoming l1`,
		"after the peer's result only better ones are tried": `
			start -> probe r1
			200ms -> probe r2
			< used l2 -> drop r2
			no r1 -> candidate-error
			in -> incoming l2`,
		"after the peer's best result none is tried": `
			start -> probe r1
			< used l0 -> drop r1; candidate-error
			in -> incoming l0`,
		"after the peer's result an equal one is no better": `
			start -> probe r1
			no r1 -> probe r2
			< used l3 -> drop r2; candidate-error
			in -> incoming l3`,
		"the peer's connection never comes": `
			start -> probe r1
			< used l0 -> drop r1; candidate-error
			4999ms ->
			1ms -> fail: silent`,
		"the peer never tells its result": `
			start -> probe r1
			ok r1 -> used r1
			39999ms ->
			1ms -> fail: silent`,
		"proxy of the peer": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			ok p3 -> used p3
			< candidate-error ->
			< activated other ->
			< activated p3 -> outgoing p3`,
		"proxy of the peer, activated too early": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			ok p3 -> used p3
			< activated p3 ->
			< candidate-error -> outgoing p3`,
		"proxy of the peer, never activated": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			ok p3 -> used p3
			< candidate-error ->
			20s -> fail: silent`,
		"proxy of the peer fails": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			ok p3 -> used p3
			< candidate-error ->
			< proxy-error -> fail: proxy`,
		"our proxy": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			no p3 -> candidate-error
			< used pl -> open pl
			proxy ok pl -> activated pl; outgoing pl`,
		"our proxy cannot be used by us": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			no p3 -> candidate-error
			< used pl -> open pl
			proxy no pl -> proxy-error; fail: proxy`,
		"our proxy does not answer": `
			start -> probe r1
			no r1 -> probe r2
			no r2 -> probe p3
			no p3 -> candidate-error
			< used pl -> open pl
			20s -> proxy-error; fail: silent`,
		"no candidates": `
			none
			start ->
			999ms ->
			1ms -> candidate-error
			< candidate-error -> fail: nothing reachable`,
		"no candidates, but the peer finds ours": `
			none
			start ->
			in ->
			< used l1 -> candidate-error; incoming l1`,
		"candidates come late": `
			none
			start ->
			500ms ->
			< candidate late -> probe late
			ok late -> used late`,
		"a candidate that we do not have": `
			start -> probe r1
			< used r1 -> fail: silent ! bad-request`,
		"a second result": `
			start -> probe r1
			< candidate-error ->
			< used l1 -> ! unexpected-request
			ok r1 -> used r1; outgoing r1`,
		"after the end": `
			start -> probe r1
			ok r1 -> used r1
			< candidate-error -> outgoing r1
			< used l1 ->
			< proxy-error ->
			in ->
			proxy ok pl ->
			60s ->`,
	} {
		t.Run(name, func(t *testing.T) { runScript(t, script) })
	}
}

func runScript(t *testing.T, script string) {
	t.Helper()
	cfg := s5b.NegotiationConfig{Role: jingle.Initiator, Local: []s5b.Candidate{cand("l0", 900), cand("l1", 800), cand("l2", 600), cand("l3", 550), cand("pl", 10)}}
	remote := []s5b.Candidate{cand("p3", 20), cand("r2", 550), cand("r1", 800)}
	var n *s5b.Negotiation
	now := start
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		in, want, _ := strings.Cut(strings.TrimSpace(line), "->")
		want, wantErr, _ := strings.Cut(want, "!")
		in, want, wantErr = strings.TrimSpace(in), strings.TrimSpace(want), strings.TrimSpace(wantErr)
		words := strings.Fields(in)
		last := words[len(words)-1]
		var got []s5b.Effect
		var err error
		switch {
		case in == "responder":
			cfg.Role = jingle.Responder
			continue
		case in == "none":
			remote = nil
			continue
		case in == "start":
			n = s5b.NewNegotiation(cfg)
			if early := n.AddRemote(now, remote...); len(early) > 0 {
				t.Fatalf("before the start: %s", show(early))
			}
			got = n.Start(now)
		case words[0] == "ok":
			got = n.Probed(now, last, nil)
		case words[0] == "no":
			got = n.Probed(now, last, errors.New("unreachable"))
		case in == "in":
			got = n.Incoming(now)
		case words[0] == "proxy" && words[1] == "ok":
			got = n.ProxyOpened(now, last, nil)
		case words[0] == "proxy":
			got = n.ProxyOpened(now, last, errors.New("not-allowed"))
		case words[0] == "<":
			info := map[string]s5b.Transport{
				"used": {CandidateUsed: last}, "candidate-error": {CandidateError: true}, "activated": {Activated: last},
				"proxy-error": {ProxyError: true}, "candidate": {Candidates: []s5b.Candidate{cand(last, 5)}},
			}[words[1]]
			got, err = n.Info(now, info)
		default:
			d, perr := time.ParseDuration(in)
			if perr != nil {
				t.Fatalf("line %d: %v", i+1, perr)
			}
			end := now.Add(d)
			for dl := n.Deadline(); !dl.IsZero() && !dl.After(end); dl = n.Deadline() {
				if dl.After(now) {
					now = dl
				}
				more := n.Advance(now)
				got = append(got, more...)
				if len(more) == 0 && !n.Deadline().After(now) && !n.Deadline().IsZero() {
					t.Fatalf("line %d: the deadline %v stays in the past", i+1, n.Deadline())
				}
			}
			now = end
		}
		var se *jingle.StanzaError
		errors.As(err, &se)
		if show(got) != want || (wantErr == "") != (err == nil) || (se != nil && se.Condition != wantErr) {
			t.Fatalf("line %d %q: %q and error %v, want %q and %q", i+1, in, show(got), err, want, wantErr)
		}
	}
}

// TestBothAgree lets two negotiations talk over a slow wire, with random candidates and random paths between them, and
// checks that both end with the two ends of one connection, or both without.
func TestBothAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wire{t: t, now: start}
		for i, role := range []jingle.Role{jingle.Initiator, jingle.Responder} {
			s := &side{name: role.String(), reach: map[string]bool{}}
			for j := range rapid.IntRange(0, 4).Draw(t, "candidates") {
				cid := fmt.Sprintf("%s%d%d", rapid.SampledFrom([]string{"c", "p"}).Draw(t, "kind"), i, j)
				// Few priorities, so that there are ties.
				s.local = append(s.local, cand(cid, uint32(rapid.IntRange(1, 3).Draw(t, "priority"))))
				s.reach[cid] = rapid.Bool().Draw(t, "reachable")
			}
			s.n = s5b.NewNegotiation(s5b.NegotiationConfig{Role: role, Local: s.local})
			w.sides[i] = s
		}
		for i, s := range w.sides {
			w.carry(i, s.n.AddRemote(w.now, w.sides[1-i].local...))
			delay := time.Duration(rapid.IntRange(0, 3000).Draw(t, "start")) * time.Millisecond
			w.at(delay, func() { w.carry(i, s.n.Start(w.now)) })
		}
		w.run()
		a, b := w.sides[0].end, w.sides[1].end
		if a == "" || b == "" {
			t.Fatalf("no end: %q and %q", a, b)
		}
		if (a == "fail") != (b == "fail") || (a != "fail" && a != b) {
			t.Fatalf("the initiator uses %s, the responder %s", a, b)
		}
		anyPath := false
		for _, s := range w.sides {
			for cid, ok := range s.reach {
				anyPath = anyPath || (ok && !strings.HasPrefix(cid, "p"))
			}
		}
		if anyPath && a == "fail" && !w.proxyFailed {
			t.Fatal("there was a direct path, and it was not found")
		}
	})
}

type side struct {
	name  string
	n     *s5b.Negotiation
	local []s5b.Candidate
	reach map[string]bool // whether the other side reaches our candidate
	end   string          // cid of the connection in use, or "fail"
}

type wire struct {
	t           *rapid.T
	now         time.Time
	sides       [2]*side
	events      []event
	proxyFailed bool
}

type event struct {
	at time.Time
	do func()
}

func (w *wire) at(d time.Duration, do func()) { w.events = append(w.events, event{w.now.Add(d), do}) }

func (w *wire) delay() time.Duration {
	return time.Duration(rapid.IntRange(1, 900).Draw(w.t, "delay")) * time.Millisecond
}

func (w *wire) run() {
	for range 10000 {
		// The next thing to happen: an event or a deadline.
		slices.SortStableFunc(w.events, func(a, b event) int { return a.at.Compare(b.at) })
		next, who := time.Time{}, -1
		if len(w.events) > 0 {
			next = w.events[0].at
		}
		for i, s := range w.sides {
			if d := s.n.Deadline(); s.end == "" && !d.IsZero() && (next.IsZero() || d.Before(next)) {
				next, who = d, i
			}
		}
		if next.IsZero() {
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		if who >= 0 {
			w.carry(who, w.sides[who].n.Advance(w.now))
			continue
		}
		e := w.events[0]
		w.events = w.events[1:]
		e.do()
	}
	w.t.Fatal("it never ends")
}

func (w *wire) carry(i int, effects []s5b.Effect) {
	me, peer := w.sides[i], w.sides[1-i]
	for _, e := range effects {
		switch e := e.(type) {
		case s5b.Probe:
			ok := peer.reach[e.Candidate.CID]
			w.at(w.delay(), func() {
				if !ok {
					w.carry(i, me.n.Probed(w.now, e.Candidate.CID, errors.New("unreachable")))
					return
				}
				if !e.Candidate.IsProxy() {
					w.carry(1-i, peer.n.Incoming(w.now))
				}
				w.carry(i, me.n.Probed(w.now, e.Candidate.CID, nil))
			})
		case s5b.Tell:
			// IQs stay in order.
			at := w.now.Add(w.delay())
			for _, o := range w.events {
				if o.at.After(at) {
					at = o.at
				}
			}
			w.events = append(w.events, event{at, func() {
				more, err := peer.n.Info(w.now, e.Info)
				if err != nil && peer.end == "" {
					w.t.Fatalf("%s refuses %s: %v", peer.name, show([]s5b.Effect{e}), err)
				}
				w.carry(1-i, more)
			}})
		case s5b.OpenProxy:
			ok := rapid.Bool().Draw(w.t, "proxy works")
			w.proxyFailed = w.proxyFailed || !ok
			w.at(w.delay(), func() {
				var err error
				if !ok {
					err = errors.New("forbidden")
				}
				w.carry(i, me.n.ProxyOpened(w.now, e.Candidate.CID, err))
			})
		case s5b.UseOutgoing:
			me.finish(w, e.CID)
		case s5b.UseIncoming:
			me.finish(w, e.CID)
		case s5b.Fail:
			me.finish(w, "fail")
		}
	}
}

func (s *side) finish(w *wire, end string) {
	if s.end != "" {
		w.t.Fatalf("%s ends twice: %s and %s", s.name, s.end, end)
	}
	s.end = end
}
