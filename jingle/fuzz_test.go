package jingle_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jingled/jingled/jingle"
)

// fuzzSession reads its input as steps: two bits say what happens, the rest which action and which content.
func fuzzSession(t *testing.T, steps []byte, initiator bool) {
	role := jingle.Responder
	if initiator {
		role = jingle.Initiator
	}
	s := jingle.NewSession(jingle.SessionConfig{SID: "s", Role: role, Local: "a@b/c", Peer: "d@e/f", MaxContents: 4, MaxRequests: 16})
	now := time.Unix(0, 0)
	open := map[string]bool{} // IQs of the peer without an answer
	ended := false
	var last uint64
	check := func(effects []jingle.Effect) {
		for _, e := range effects {
			if ended {
				if _, ok := e.(jingle.Answer); !ok {
					t.Fatalf("%T after the end", e)
				}
			}
			switch e := e.(type) {
			case jingle.Answer:
				if !open[e.IQ] {
					t.Fatalf("%s was answered twice", e.IQ)
				}
				delete(open, e.IQ)
			case jingle.InfoReceived:
				if !open[e.IQ] {
					t.Fatalf("%s was answered and then asked about", e.IQ)
				}
				delete(open, e.IQ)
			case jingle.Request:
				if e.N != last+1 || e.Message.SID != "s" {
					t.Fatalf("request %d after %d", e.N, last)
				}
				last = e.N
			case jingle.Ended:
				ended = true
				if e.Reason == nil || !e.Reason.Condition.Known() {
					t.Fatalf("ended with %v", e.Reason)
				}
			}
		}
	}
	for i, b := range steps {
		m := &jingle.Message{Action: jingle.Actions[int(b>>2)%15], SID: "s"}
		name := fmt.Sprint("c", b%3)
		m.Contents, m.Reason, m.Info = parts([]string{name + ":m@t" + fmt.Sprint(b%4) + "/both"})
		switch b % 4 {
		case 0:
			iq := fmt.Sprint(i)
			open[iq] = true
			check(s.Receive(now, iq, m))
			if open[iq] {
				t.Fatalf("%s was not answered", m.Action)
			}
		case 1:
			effects, err := s.Do(now, m)
			var ce *jingle.CommandError
			if err != nil && !errors.As(err, &ce) {
				t.Fatalf("the error of a command is %v", err)
			}
			check(effects)
		case 2:
			check(s.Replied(now, uint64(b>>2), []error{nil, jingle.ErrTieBreak(""), jingle.ErrBadRequest(""), jingle.ErrNoReply}[(b>>3)%4]))
		case 3:
			id := jingle.ContentID{Creator: jingle.Initiator, Name: name}
			s.SetTransports(id, "urn:t0", "urn:t1", "urn:t2")
			check(s.TransportFailed(now, id, "urn:t"+fmt.Sprint(b>>2%4), nil))
			now = now.Add(time.Duration(b) * time.Second)
			check(s.Advance(now))
			if d := s.Deadline(); !d.IsZero() && !d.After(now) {
				t.Fatalf("the deadline %v is past at %v", d, now)
			}
		}
		if ended != (s.State() == jingle.Done) {
			t.Fatalf("the state is %v, ended is %v", s.State(), ended)
		}
		if n := len(s.Contents()); n > 4 {
			t.Fatalf("%d contents", n)
		}
	}
}
