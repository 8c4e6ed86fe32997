package ibb_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

const hold = 20 * time.Second

func full() *jingle.StanzaError {
	return &jingle.StanzaError{Type: "cancel", Condition: "internal-server-error", Text: "The disk is full."}
}

// held returns both ends of a stream, the receiver's with hold.
func held(t *testing.T, s *server) (a, b *ibb.Stream) {
	t.Helper()
	b, err := s.routers[juliet].Expect(ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: 100, Window: 1, Hold: hold}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err = s.routers[romeo].Open(ibb.StreamConfig{Peer: juliet, SID: "s", BlockSize: 100, Window: 1}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return a, b
}

func closesTo(s *server, who jid.JID) *int {
	n := new(int)
	s.tap = func(to jid.JID, e *xmltree.Element) {
		if to == who && e.Name.Local == "close" {
			*n++
		}
	}
	return n
}

// TestFinishHears has a receiver say how it went, a minute or a moment after the sender has closed the stream, or before.
func TestFinishHears(t *testing.T) {
	disk := time.Sleep
	for name, c := range map[string]struct {
		receiver func(b *ibb.Stream)
		after    time.Duration // that the sender waits
		want     string        // condition
		closes   int           // that the receiver sends
	}{
		"it is stored":             {func(b *ibb.Stream) { disk(time.Second); _ = b.Close() }, time.Second, "", 0},
		"it was stored before":     {func(b *ibb.Stream) { _ = b.Close() }, 0, "", 1},
		"it is not stored":         {func(b *ibb.Stream) { disk(time.Second); b.Abort(full()); _ = b.Close() }, time.Second, "internal-server-error", 0},
		"it was not stored before": {func(b *ibb.Stream) { b.Abort(full()); _ = b.Close() }, 0, "internal-server-error", 0},
		"the disk hangs":           {func(b *ibb.Stream) { disk(time.Minute); b.Abort(full()) }, hold, "", 0},
		"the disk hangs for less":  {func(b *ibb.Stream) { disk(hold - 1); b.Abort(full()) }, hold - 1, "internal-server-error", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			closes := closesTo(s, romeo)
			a, b := held(t, s)
			go func() {
				if _, err := io.ReadFull(b, make([]byte, 250)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				c.receiver(b)
			}()
			_, err := a.Write(make([]byte, 250))
			if err = errors.Join(err, a.Flush()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait() // what needs no time is done before the stream is closed
			began := time.Now()
			err = a.Finish(t.Context())
			got := ""
			if se, ok := errors.AsType[*jingle.StanzaError](err); ok {
				got = se.Condition
			} else if err != nil {
				got = err.Error()
			}
			if after := time.Since(began); got != c.want || after != c.after {
				t.Errorf("%s: %q after %v", name, got, after)
			}
			if err := a.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 || *closes != c.closes {
				t.Errorf("%s: %d streams are left, the receiver sent <close/> %d times", name, n, *closes)
			}
		})
	}
}

// TestCloseIsAnsweredAtOnce where nobody has asked for it to wait.
func TestCloseIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := open(t, s, 100, 1)
		began := time.Now()
		if err := a.Finish(t.Context()); err != nil || !time.Now().Equal(began) {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		b.Abort(full()) // nobody hears that
	})
}

// TestAbort tells a sender that has not come to its end yet.
func TestAbort(t *testing.T) {
	t.Run("the next block", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			closes := closesTo(s, romeo)
			a, b := held(t, s)
			b.Abort(full())
			_, err := a.Write(make([]byte, 250))
			if se, ok := errors.AsType[*jingle.StanzaError](err); !ok || se.Text != full().Text {
				t.Errorf("%v", err)
			}
			a.Close()
			time.Sleep(time.Minute)
			if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 || *closes != 0 {
				t.Errorf("%d streams are left, %d closes", n, *closes)
			}
		})
	})
	t.Run("a block that waits for room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			a, b := held(t, s)
			go a.Write(make([]byte, 1<<20))
			synctest.Wait()
			b.Abort(full())
			synctest.Wait()
			if se, ok := errors.AsType[*jingle.StanzaError](a.Flush()); !ok || se.Text != full().Text {
				t.Errorf("%v", se)
			}
			if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 {
				t.Errorf("%d streams are left", n)
			}
		})
	})
	t.Run("nothing comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			a, b := held(t, s)
			b.Abort(full())
			began := time.Now()
			if _, err := a.Read(make([]byte, 1)); err != io.EOF || time.Since(began) > 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			a.Close()
			if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 {
				t.Errorf("%d streams are left", n)
			}
		})
	})
	t.Run("not open", func(t *testing.T) {
		r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: mute{}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Expect(ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: 100, Hold: hold}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Abort(full())
		if r.Len() != 0 {
			t.Error("the stream is left")
		}
	})
}

// TestFinishEnds where no answer comes.
func TestFinishEnds(t *testing.T) {
	// silent is a stream with a peer that answers <open/> and nothing else.
	silent := func(t *testing.T) (*ibb.Router, *ibb.Stream) {
		r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: polite{}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Open(ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: 100}, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		return r, s
	}
	over := errors.New("over")
	for name, c := range map[string]struct {
		end  func(r *ibb.Router, s *ibb.Stream, stop context.CancelCauseFunc)
		want error
	}{
		"given up":         {func(_ *ibb.Router, _ *ibb.Stream, stop context.CancelCauseFunc) { stop(over) }, over},
		"closed meanwhile": {func(_ *ibb.Router, s *ibb.Stream, _ context.CancelCauseFunc) { _ = s.Close() }, io.ErrClosedPipe},
		"closed by the peer, which does not answer": {func(r *ibb.Router, _ *ibb.Stream, _ context.CancelCauseFunc) {
			r.Handle(romeo, ibb.Close{SID: "s"}.Element(), func(se *jingle.StanzaError) {
				if se != nil {
					panic(se)
				}
			})
		}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, s := silent(t)
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			got := make(chan error, 1)
			go func() { got <- s.Finish(ctx) }()
			synctest.Wait()
			if len(got) > 0 {
				t.Errorf("%s: it does not wait", name)
			}
			c.end(r, s, stop)
			if err := <-got; !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if err := s.Finish(ctx); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: again: %v", name, err)
			}
			if r.Len() != 0 {
				t.Errorf("%s: the stream is left", name)
			}
		})
	}
}

// polite answers an <open/>.
type polite struct{}

func (polite) Request(_ jid.JID, e *xmltree.Element, done func(error)) {
	if e.Name.Local == "open" {
		done(nil)
	}
}

// oneBlock returns a stream with a block that waits for its answer.
func oneBlock(t *testing.T) (*asker, *ibb.Router, *ibb.Stream) {
	t.Helper()
	blocks := &asker{}
	r, err := ibb.NewRouter(ibb.RouterConfig{Stanzas: blocks})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Open(ibb.StreamConfig{Peer: romeo, SID: "s", BlockSize: 100}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return blocks, r, s
}

// TestClosedBeforeTheLastAnswer is what libpurple does as a receiver: the stream is closed, and then the last block answered.
func TestClosedBeforeTheLastAnswer(t *testing.T) {
	for name, answer := range map[string]*jingle.StanzaError{"result": nil, "error": full()} {
		synctest.Test(t, func(t *testing.T) {
			blocks, r, s := oneBlock(t)
			got := make(chan error, 1)
			go func() { got <- s.Flush() }()
			r.Handle(romeo, ibb.Close{SID: "s"}.Element(), func(*jingle.StanzaError) {})
			synctest.Wait()
			if len(got) > 0 {
				t.Errorf("%s: it does not wait for the answer", name)
			}
			if answer == nil {
				blocks.done(nil)
			} else {
				blocks.done(answer)
			}
			if err := <-got; (err == nil) != (answer == nil) {
				t.Errorf("%s: %v", name, err)
			}
			blocks.closes = 0
			if err := s.Finish(t.Context()); err != nil || blocks.closes != 0 {
				t.Errorf("%s: %v, and %d closes of what is closed", name, err, blocks.closes)
			}
		})
	}
}

// TestLostBlockIsNotFlushed has a block refused while somebody waits for its answer, or is about to: again and again, as the two
// meet in different places.
func TestLostBlockIsNotFlushed(t *testing.T) {
	for range 5000 {
		blocks, _, s := oneBlock(t)
		go blocks.done(full())
		if err := s.Flush(); err == nil {
			t.Fatal("it was refused, and taken for answered")
		}
	}
}

// asker answers an <open/>, and keeps how to answer data.
type asker struct {
	done   func(error)
	closes int
}

func (a *asker) Request(_ jid.JID, e *xmltree.Element, done func(error)) {
	switch e.Name.Local {
	case "open":
		done(nil)
	case "data":
		a.done = done
	case "close":
		a.closes++
	}
}
