package xmpp

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/xmltree"
)

const featCSI = `<csi xmlns='urn:xmpp:csi:0'/>`

// TestActive follows the state over a new stream, changes and a resume. Stream management does not count it.
func TestActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, smConfig(s))
		c.SetActive(false)
		stop := run(t, c)
		is := func(e *xmltree.Element, name string) {
			t.Helper()
			if !e.Is(nsCSI, name) {
				t.Errorf("want %s, got %s", name, e)
			}
		}
		p := s.accept()
		p.open(offer("SCRAM-SHA-256"))
		p.auth(scram{password: "secret"})
		p.open(featBind + featSM + featCSI)
		p.bindAs(phone)
		p.want() // enable
		p.say(`<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='600'/>`)
		if e, _ := p.stanza(); e.Name.Local != "presence" {
			t.Errorf("first came %s", e)
		}
		e, _ := p.stanza()
		is(e, "inactive")
		c.SetActive(false)
		c.SetActive(true)
		e, _ = p.stanza()
		is(e, "active")
		if !c.Active() {
			t.Error("it is active")
		}
		p.say(`<a xmlns='urn:xmpp:sm:3' h='1'/>`) // the presence is all that was sent
		synctest.Wait()
		p.Close()
		synctest.Wait()
		c.SetActive(false)

		q := s.accept()
		q.open(offer("SCRAM-SHA-256"))
		q.auth(scram{password: "secret"})
		q.open(featBind + featSM + featCSI)
		q.want() // resume
		q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/>`)
		e, _ = q.stanza()
		is(e, "inactive")
		go q.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestActiveIsNotToldWhereItIsNotAsked is at a server without XEP-0352.
func TestActiveIsNotToldWhereItIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		p, stop := online(t, s, c)
		c.SetActive(false)
		c.SetActive(true)
		p.alive() // would fail at anything else than stanzas
		stop()
	})
}

// TestRhythm counts the pings to a server that only answers them.
func TestRhythm(t *testing.T) {
	for _, tc := range []struct {
		name   string
		active bool
		want   int // within an hour
	}{{"active", true, 59}, {"inactive", false, 14}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				c := mustNew(t, s.config())
				stop := run(t, c)
				p := s.accept()
				p.login()
				p.settle("")
				c.SetActive(tc.active)
				var pings atomic.Int64
				go func() {
					for {
						e, err := p.element()
						if err != nil {
							p.Close()
							return
						}
						if e.Child(nsPing, "ping") != nil {
							pings.Add(1)
							p.trySay("<iq type='result' id='%s' from='example.test'/>", e.Attr("id"))
						}
					}
				}()
				time.Sleep(time.Hour - time.Second)
				if n := int(pings.Load()); n != tc.want {
					t.Errorf("%d pings in an hour, want %d", n, tc.want)
				}
				stop()
			})
		})
	}
}

// TestProbe finds out soon that a connection is dead, and cuts short the wait for the next attempt.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Backoff = Backoff{Min: 10 * time.Minute, Max: 10 * time.Minute}
		c := mustNew(t, cfg)
		changes := make(chan StateChange, 10)
		c.OnState(func(s StateChange) { changes <- s })
		p, stop := online(t, s, c)
		for (<-changes).State != Online {
		}
		c.Probe()
		p.say("<iq type='result' id='%s' from='example.test'/>", p.want().Attr("id"))
		time.Sleep(30 * time.Second)
		if len(changes) > 0 {
			t.Fatalf("after an answer: %+v", <-changes)
		}
		began := time.Now()
		c.Probe() // nobody reads: the network has gone
		lost := <-changes
		if took := time.Since(began); lost.State != Offline || !errors.Is(lost.Err, ErrUnreachable) || took != 5*time.Second {
			t.Errorf("%+v after %v", lost, took)
		}
		began = time.Now()
		c.Probe()
		q := s.accept()
		if took := time.Since(began); took > time.Second {
			t.Errorf("tried again after %v", took)
		}
		q.login()
		q.settle("")
		go q.goodbye()
		stop()
		p.Close()
	})
}

// TestVigil has a machine that sleeps: a late look asks, and does not take its own silence for the server's.
func TestVigil(t *testing.T) {
	asked := 0
	v := &vigil{ask: func() { asked++ }}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const interval, patience = time.Minute, 20 * time.Second
	look := func(after, idle, wantNext time.Duration, wantAsked int, wantGone bool) {
		t.Helper()
		now = now.Add(after)
		next, gone := v.look(now, idle, interval, patience)
		if gone != wantGone || !gone && next != wantNext || asked != wantAsked {
			t.Errorf("next %v, gone %v, asked %d times", next, gone, asked)
		}
	}
	look(30*time.Second, 30*time.Second, 30*time.Second, 0, false)
	look(30*time.Second, time.Minute, patience, 1, false)
	look(10*time.Second, 5*time.Second, 30*time.Second, 1, false) // it has answered
	look(30*time.Second, 35*time.Second, 25*time.Second, 1, false)
	look(time.Hour, time.Hour, patience, 2, false)   // the lid was closed
	look(time.Hour, 2*time.Hour, patience, 3, false) // and again, before the answer was read
	look(patience, 2*time.Hour, 0, 3, true)
}

// TestVigilAndClockJumps: the clock on the wall is set while a server is watched. Silence is measured all the same; a clock
// that has gone forward costs one question, as a machine that has slept looks like that.
func TestVigilAndClockJumps(t *testing.T) {
	const interval, patience = time.Minute, 20 * time.Second
	for _, c := range []struct {
		name  string
		jump  time.Duration
		asked bool // though the server was heard lately
	}{{"back by hours", -3 * time.Hour, false}, {"forward by hours", 3 * time.Hour, true}, {"back by years", -10 * 365 * 24 * time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			v := &vigil{ask: func() { asked++ }}
			now := time.Now()
			after := func(d time.Duration) time.Time { now = now.Add(d); return now }
			if next, gone := v.look(now, 0, interval, patience); gone || next != lookEvery {
				t.Fatalf("next %v, gone %v", next, gone)
			}
			v.due = v.due.Add(-c.jump) // as the new clock would have said it
			if _, gone := v.look(after(lookEvery), lookEvery, interval, patience); gone || asked > 0 != c.asked {
				t.Errorf("asked %d times, gone %v", asked, gone)
			}
			if c.asked { // it answers at once
				if _, gone := v.look(after(time.Second), 0, interval, patience); gone || asked != 1 {
					t.Errorf("after the answer: asked %d times, gone %v", asked, gone)
				}
			}
			asked = 0
			if _, gone := v.look(after(interval), interval, interval, patience); gone || asked != 1 {
				t.Errorf("after a minute of silence: asked %d times, gone %v", asked, gone)
			}
			if _, gone := v.look(after(patience), interval+patience, interval, patience); !gone {
				t.Error("it is not given up")
			}
		})
	}
}
