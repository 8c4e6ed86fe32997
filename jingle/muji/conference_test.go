package muji

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func able() []rtp.Capabilities {
	return []rtp.Capabilities{{Media: "audio", PayloadTypes: []rtp.PayloadType{
		{ID: 111, Name: "opus", Clockrate: 48000, Channels: 2}, {ID: 0, Name: "PCMU", Clockrate: 8000},
	}}}
}

// room is a chat room in which everything is told to everybody in one order, but to each in its own time.
type room struct {
	t      *testing.T
	log    []entry
	people []*person
	calls  map[[2]string]int // who has called whom
}

type entry struct {
	nick string
	muji *Muji
	gone bool
}

type person struct {
	nick string
	conf *Conference
	next int // in the log
	told map[string]bool
	full bool
}

func (r *room) enter(nick string, cfg Config) *person {
	p := &person{nick: nick, conf: New(cfg), told: make(map[string]bool)}
	r.people = append(r.people, p)
	r.log = append(r.log, entry{nick: nick})
	return p
}

func (r *room) do(p *person, out []Effect) {
	for _, e := range out {
		switch e := e.(type) {
		case Announce:
			r.log = append(r.log, entry{nick: p.nick, muji: e.Muji})
		case Call:
			r.calls[[2]string{p.nick, e.Participant.Nick}]++
		case Appeared:
			if p.told[e.Participant.Nick] {
				r.t.Errorf("%s is told twice of %s", p.nick, e.Participant.Nick)
			}
			p.told[e.Participant.Nick] = true
		case Disappeared:
			delete(p.told, e.Participant.Nick)
		case Full:
			p.full = true
		}
	}
}

// step has one person hear one thing, and reports whether there was one.
func (r *room) step(p *person) bool {
	if p.next >= len(r.log) {
		return false
	}
	e := r.log[p.next]
	p.next++
	switch {
	case e.gone:
		r.do(p, p.conf.Gone(epoch, e.nick))
	case e.nick == p.nick:
		r.do(p, p.conf.Self(epoch, e.muji))
	default:
		r.do(p, p.conf.Seen(epoch, e.nick, jid.JID(e.nick+"@example.org/x"), e.muji))
	}
	return true
}

func (r *room) settle() {
	for again := true; again; {
		again = false
		for _, p := range r.people {
			again = r.step(p) || again
		}
	}
}

// TestCrossingJoins has people join in any order, each hearing of the others in its own time: each pair has exactly one
// session, and whoever comes later has called.
func TestCrossingJoins(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		r := &room{t: t, calls: make(map[[2]string]int)}
		n := 2 + rnd.IntN(5)
		for i := range n {
			r.enter(fmt.Sprintf("p%d", i), Config{Able: able()})
		}
		joined := make(map[*person]bool)
		for range 200 {
			p := r.people[rnd.IntN(n)]
			if !joined[p] && rnd.IntN(4) == 0 {
				joined[p] = true
				r.do(p, p.conf.Join(epoch))
				continue
			}
			r.step(p)
		}
		for _, p := range r.people {
			if !joined[p] {
				r.do(p, p.conf.Join(epoch))
			}
		}
		r.settle()
		for i, a := range r.people {
			if !a.conf.Inside() || len(a.told) != n-1 {
				t.Fatalf("seed %d: %s is inside: %v, and knows %v", seed, a.nick, a.conf.Inside(), a.told)
			}
			for _, b := range r.people[i+1:] {
				if c := r.calls[[2]string{a.nick, b.nick}] + r.calls[[2]string{b.nick, a.nick}]; c != 1 {
					t.Fatalf("seed %d: %d sessions between %s and %s", seed, c, a.nick, b.nick)
				}
			}
		}
		// One leaves the call, another the room.
		r.do(r.people[0], r.people[0].conf.Leave())
		r.log = append(r.log, entry{nick: "p1", gone: true})
		r.settle()
		for _, p := range r.people[2:] {
			if p.told["p0"] || p.told["p1"] || len(p.told) != n-3 {
				t.Fatalf("seed %d: %s still knows %v", seed, p.nick, p.told)
			}
		}
		if len(r.people[0].told) != 0 || r.people[0].conf.Leave() != nil {
			t.Fatalf("seed %d: who has left has %v", seed, r.people[0].told)
		}
	}
}

func TestFull(t *testing.T) {
	r := &room{t: t, calls: make(map[[2]string]int)}
	for i := range 4 {
		p := r.enter(fmt.Sprintf("p%d", i), Config{Able: able(), Max: 3})
		r.settle()
		r.do(p, p.conf.Join(epoch))
		r.settle()
	}
	last := r.people[3]
	if !last.full || last.conf.Inside() || len(r.people[0].told) != 2 {
		t.Errorf("full: %v, inside: %v, the first knows %v", last.full, last.conf.Inside(), r.people[0].told)
	}
	if (Full{3}).Text() == "" {
		t.Error("nobody is told why")
	}
}

// TestSlowOnes has somebody prepare for ever, and a room that does not tell our own presence.
func TestSlowOnes(t *testing.T) {
	c := New(Config{Able: able()})
	c.Seen(epoch, "slow", "slow@example.org/x", &Muji{Preparing: true})
	c.Join(epoch)
	if out := c.Self(epoch, &Muji{Preparing: true}); len(out) != 0 {
		t.Fatalf("it does not wait: %v", out)
	}
	if out := c.Advance(epoch.Add(9 * time.Second)); len(out) != 0 || c.Deadline() != epoch.Add(10*time.Second) {
		t.Fatalf("it does not wait: %v, %v", out, c.Deadline())
	}
	out := c.Advance(epoch.Add(10 * time.Second))
	if a, ok := out[0].(Announce); !ok || len(a.Muji.Contents) != 1 {
		t.Fatalf("%v", out)
	}
	if out := c.Advance(epoch.Add(20 * time.Second)); !c.Inside() || len(out) != 1 {
		t.Fatalf("%v", out)
	}
	// The slow one comes after us, and so it calls.
	out = c.Seen(epoch, "slow", "slow@example.org/x", &Muji{Contents: Plan(nil, able())})
	if _, ok := out[0].(Appeared); !ok || len(out) != 1 {
		t.Errorf("%v", out)
	}
	c.Renamed("slow", "quick")
	if p, ok := c.Find("slow@example.org/x"); !ok || p.Nick != "quick" || !p.Sends("audio") || p.Sends("video") {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := c.Find("stranger@example.org/x"); ok {
		t.Error("a stranger is of the conference")
	}
}

// TestPlan is section 3: one number stands for one encoding, whoever says it.
func TestPlan(t *testing.T) {
	others := []Participant{{Nick: "a", Contents: []jingle.Content{{Name: "voice", Description: rtp.Description{Media: "audio",
		PayloadTypes: []rtp.PayloadType{
			{ID: 96, Name: "OPUS", Clockrate: 48000, Channels: 2}, {ID: 111, Name: "speex", Clockrate: 8000},
			{ID: 127, Name: "x", Clockrate: 8000},
		}}}}}}
	us := able()
	us[0].PayloadTypes = append(us[0].PayloadTypes, rtp.PayloadType{ID: 111, Name: "G7221", Clockrate: 16000})
	us = append(us, rtp.Capabilities{Media: "video", PayloadTypes: []rtp.PayloadType{{ID: 96, Name: "VP8", Clockrate: 90000}}})
	got := Plan(others, us)
	if len(got) != 2 || got[0].Name != "voice" || got[1].Name != "video" {
		t.Fatalf("%+v", got)
	}
	want := map[string]uint8{"opus": 96, "PCMU": 0, "G7221": 126}
	for _, pt := range got[0].Description.(rtp.Description).PayloadTypes {
		if want[pt.Name] != pt.ID {
			t.Errorf("%s is %d, not %d", pt.Name, pt.ID, want[pt.Name])
		}
		delete(want, pt.Name)
	}
	if len(want) != 0 {
		t.Errorf("not there: %v", want)
	}
}
