// Package ours runs the daemon for tests that put it before strangers, and watches what it tells.
package ours

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/media/audio"
)

// Patience is how long one step may take.
const Patience = 20 * time.Second

// Tone is what the daemon says, in Hz.
const Tone = 440

// Side is a daemon with one account. Its methods belong to the goroutine of the test.
type Side struct {
	D *daemon.Daemon
	// Film is sent in calls with video; "" is none.
	Film   string
	events chan *jingledv1.Event
	seen   []*jingledv1.Event
}

// Run starts a daemon and waits until it is online. It ends with the test.
func Run(t *testing.T, cfg daemon.Config) *Side {
	t.Helper()
	s := RunIdle(t, cfg)
	s.Await(t, "", "account online", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return s
}

// RunIdle is [Run] for a daemon that has no account yet.
func RunIdle(t *testing.T, cfg daemon.Config) *Side {
	t.Helper()
	d, err := daemon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &Side{D: d, events: make(chan *jingledv1.Event, 10000)}
	sub, err := d.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, read := make(chan error, 1), make(chan struct{})
	go func() { ended <- d.Run(ctx) }()
	go func() {
		defer close(read)
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			s.events <- e
		}
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-read
		sub.Close()
	})
	return s
}

// Await waits for an event of a call, also one that was there already; an end that is not waited for fails the test.
func (s *Side) Await(t *testing.T, sid, what string, is func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	for _, e := range s.seen {
		if e.GetSid() == sid && is(e) {
			return e
		}
	}
	deadline := time.After(Patience)
	for {
		select {
		case e := <-s.events:
			s.seen = append(s.seen, e)
			if e.GetSid() == sid && is(e) {
				return e
			}
			if sid != "" && e.GetSid() == sid && e.GetCallEnded() != nil {
				t.Fatalf("no %s: the call has ended: %v", what, e.GetCallEnded())
			}
		case <-deadline:
			t.Fatalf("no %s among %v", what, s.seen)
		}
	}
}

// Forget makes Await wait for news only.
func (s *Side) Forget() { s.seen = nil }

// Saw reports whether there was such an event up to now.
func (s *Side) Saw(is func(*jingledv1.Event) bool) bool {
	for {
		select {
		case e := <-s.events:
			s.seen = append(s.seen, e)
			continue
		default:
		}
		return slices.ContainsFunc(s.seen, is)
	}
}

// JID returns the full address of the daemon's account.
func (s *Side) JID(t *testing.T) string {
	t.Helper()
	res, err := s.D.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetAccounts()[0].GetBoundJid()
}

// Meets waits until the daemon knows what a device of a contact can do: how a call is begun depends on it.
func (s *Side) Meets(t *testing.T, contact string) {
	t.Helper()
	for deadline := time.After(Patience); ; {
		res, err := s.D.ListContacts(t.Context(), &jingledv1.ListContactsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range res.GetContacts() {
			if c.GetJid() == contact && c.GetAbilities() != nil {
				return
			}
		}
		select {
		case e := <-s.events: // each change of a contact is one
			s.seen = append(s.seen, e)
		case <-deadline:
			t.Fatalf("%s is not there, with what it can do: %v", contact, res)
		}
	}
}

func (s *Side) media(record string) *jingledv1.Media {
	return &jingledv1.Media{AudioIn: "tone:440", Record: record, Video: s.Film != "", VideoIn: s.Film}
}

// Call calls, saying [Tone] and recording to a file, unless that is "".
func (s *Side) Call(t *testing.T, to, record string) (sid string) {
	t.Helper()
	res, err := s.D.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: to, Media: s.media(record)})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetSid()
}

// Incoming waits for a call to come in.
func (s *Side) Incoming(t *testing.T, sid string) *jingledv1.CallIncoming {
	t.Helper()
	return s.Await(t, sid, "incoming call", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil }).GetCallIncoming()
}

// Answer takes a call, as [Side.Call] makes one.
func (s *Side) Answer(t *testing.T, sid, record string) {
	t.Helper()
	if _, err := s.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: s.media(record)}); err != nil {
		t.Fatal(err)
	}
}

// End ends a call.
func (s *Side) End(t *testing.T, sid, reason string) {
	t.Helper()
	if _, err := s.D.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid, Reason: reason}); err != nil {
		t.Fatal(err)
	}
}

// Press sends keys.
func (s *Side) Press(t *testing.T, sid, digits string) {
	t.Helper()
	if _, err := s.D.SendDtmf(t.Context(), &jingledv1.SendDtmfRequest{Sid: sid, Digits: digits}); err != nil {
		t.Fatal(err)
	}
}

// Control mutes or holds.
func (s *Side) Control(t *testing.T, req *jingledv1.ControlCallRequest) {
	t.Helper()
	if _, err := s.D.ControlCall(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// Keys returns what the peer has pressed.
func (s *Side) Keys(sid string) string {
	var out strings.Builder
	for _, e := range s.seen {
		if e.GetSid() == sid && e.GetCallDtmf() != nil {
			out.WriteString(e.GetCallDtmf().GetDigit())
		}
	}
	return out.String()
}

// Connected waits until the peer is heard.
func (s *Side) Connected(t *testing.T, sid string) *jingledv1.CallConnected {
	t.Helper()
	return s.Await(t, sid, "connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil }).GetCallConnected()
}

// Ended waits for the end of a call.
func (s *Side) Ended(t *testing.T, sid string) *jingledv1.CallEnded {
	t.Helper()
	return s.Await(t, sid, "end", func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }).GetCallEnded()
}

// WantEnd waits for the end of a call, which must be this one.
func (s *Side) WantEnd(t *testing.T, sid, reason string, byPeer bool) {
	t.Helper()
	if e := s.Ended(t, sid); e.GetReason() != reason || e.GetByPeer() != byPeer {
		t.Errorf("ended: %v, want %s", e, reason)
	}
}

// enough is in how many tenths of a second a tone must be most of what is heard. On a machine that is busy, sound has gaps,
// which spread what is around them.
const enough = 3

// Hears waits until a recording that goes on has enough of a tone; what is written to an Ogg file shows late.
func Hears(t *testing.T, path string, hz float64) {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(20 * time.Millisecond) {
		with, all, err := tenths(path+audio.PartSuffix, hz)
		if err == nil && with >= enough {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon hears %.0f Hz in %d of %d tenths of a second (%v)", hz, with, all, err)
		}
	}
}

// WantTone looks for a tone in a recording, of which there must be enough.
func WantTone(t *testing.T, path string, hz float64) {
	t.Helper()
	with, all, err := tenths(path, hz)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s: %.0f Hz in %d of %d tenths of a second", filepath.Base(path), hz, with, all)
	if with < enough {
		t.Errorf("%s: %.0f Hz is hardly to be heard", filepath.Base(path), hz)
	}
}

// tenths counts the tenths of a second of a recording, and those with a tone.
func tenths(path string, hz float64) (with, all int, err error) {
	src, err := audio.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = src.Close() }()
	buf := make([]float32, audio.SampleRate/10)
	for {
		n, err := src.Read(buf)
		if n == len(buf) {
			all++
			if audio.Share(buf, audio.SampleRate, hz) > 0.6 {
				with++
			}
		}
		if err != nil {
			return with, all, nil // its end
		}
	}
}
