package si_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// closed answers the sender's <close/> of an in-band bytestream in place of the receiver.
func closed(from jid.JID, e *xmltree.Element) bool { return e.Is(ibb, "close") && from == romeo }

// lose removes what has come of a file, so that it cannot get its name.
func lose(t *testing.T, a *account) {
	parts, err := filepath.Glob(filepath.Join(a.folder.Dir(), "*"))
	if err != nil || len(parts) != 1 {
		t.Errorf("%v, %v", parts, err)
	}
	for _, p := range parts {
		if err := os.Remove(p); err != nil {
			t.Error(err)
		}
	}
}

// TestNotStored has a receiver that gets everything and cannot keep it. The file is small, so that the sender is done before
// the receiver knows, or large; what the sender hears does not depend on who is faster.
func TestNotStored(t *testing.T) {
	for _, size := range []int{1, 300_000} {
		for _, faster := range []string{"sender", "receiver"} {
			t.Run(faster, func(t *testing.T) {
				w := newWorld(t, false)
				closing := make(chan struct{})
				w.tamper = func(from jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
					if faster == "sender" && closed(from, e) {
						close(closing)
					}
					return e, nil
				}
				w.people[juliet].storing = func() {
					if faster == "sender" {
						<-closing
					}
					lose(t, w.people[juliet])
				}
				w.send(pattern(size), ibb)
				got, ok := w.people[juliet].last().(transfers.Failed)
				if !ok || got.Reason != jingle.MediaError || got.ByPeer {
					t.Errorf("receiver: %+v", got)
				}
				sent, ok := w.people[romeo].last().(transfers.Failed)
				if !ok || sent.Reason != jingle.MediaError || !sent.ByPeer || sent.Interruption != transfers.Ended ||
					sent.Text != "The other side did not keep the file: The file cannot be stored." {
					t.Errorf("sender: %+v", sent)
				}
			})
		}
	}
}

// TestStoredLate has the sender wait for a receiver that takes its time to store the file.
func TestStoredLate(t *testing.T) {
	w := newWorld(t, false)
	closing, stored := make(chan struct{}), make(chan struct{})
	w.tamper = func(from jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
		if closed(from, e) {
			close(closing)
		}
		return e, nil
	}
	w.people[juliet].storing = func() {
		<-closing
		if e := early(w.people[romeo]); e != nil {
			t.Errorf("the sender is done: %+v", e)
		}
		close(stored)
	}
	data := pattern(10_000)
	w.send(data, ibb)
	<-stored
	w.arrived(data, ibb)
}

// TestStoppedBeforeItWasStored is a receiver that may go on later, as its program ends.
func TestStoppedBeforeItWasStored(t *testing.T) {
	w := newWorld(t, false)
	heard := make(chan struct{})
	w.people[juliet].storing = func() { <-heard } // so that it is not the first to close the stream
	w.tamper = func(from jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
		if closed(from, e) {
			return nil, &jingle.StanzaError{Type: "wait", Condition: "internal-server-error"}
		}
		return e, nil
	}
	w.send(pattern(10), ibb)
	if sent, ok := w.people[romeo].last().(transfers.Failed); !ok || sent.Reason != jingle.Gone || !sent.ByPeer {
		t.Errorf("%+v", sent)
	}
	close(heard)
	w.people[juliet].last()
}

// TestRefusal says why a file was not kept as XEP-0047 can, and hears it.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		why  jingle.Reason
		want jingle.Condition // that the sender hears; "" if it is not told
	}{
		{jingle.Reason{Condition: jingle.MediaError}, jingle.MediaError},
		{jingle.Reason{Condition: jingle.FailedApplication, Text: "Why."}, jingle.MediaError},
		{jingle.Reason{Condition: jingle.Cancel}, jingle.MediaError},
		{jingle.Reason{Condition: jingle.Cancel, App: resume.PausedElement()}, jingle.Gone},
		{jingle.Reason{Condition: jingle.Gone}, jingle.Gone},
		{jingle.Reason{Condition: jingle.Timeout}, jingle.Gone},
		{jingle.Reason{Condition: jingle.ConnectivityError}, ""}, // the sender's own doing
	} {
		var got jingle.Condition
		if se := si.Refusal(&c.why); se != nil {
			got = si.Refused(se).Condition
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.why, got, c.want)
		}
	}
	for _, silence := range []error{nil, io.ErrClosedPipe, context.Canceled} {
		if r := si.Refused(silence); r != nil {
			t.Errorf("%v: %+v", silence, r)
		}
	}
}

// TestClosesOfStrangers are answers to the end of a stream that say nothing about the file.
func TestClosesOfStrangers(t *testing.T) {
	for _, condition := range []string{"item-not-found", "service-unavailable", "feature-not-implemented", "undefined-condition", "remote-server-timeout"} {
		w := newWorld(t, false)
		w.tamper = func(from jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
			if closed(from, e) {
				return nil, &jingle.StanzaError{Type: "cancel", Condition: condition}
			}
			return e, nil
		}
		data := pattern(10)
		w.send(data, ibb)
		w.arrived(data, ibb)
	}
}
