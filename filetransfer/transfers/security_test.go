package transfers_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// glass is an envelope that hides nothing, but is bound to its context as a real one.
type glass struct{ broken bool }

const nsGlass = "urn:test:glass"

func (glass) Type() string { return nsGlass }

func (g glass) Seal(c jet.Context, b []byte) ([]*xmltree.Element, error) {
	if g.broken {
		return nil, errors.New("the envelope is broken")
	}
	return []*xmltree.Element{xmltree.New(nsGlass, "key").Set("for", text(c)).AddText(base64.StdEncoding.EncodeToString(b))}, nil
}

func (glass) Open(c jet.Context, e []*xmltree.Element) ([]byte, string, error) {
	if e[0].Attr("for") != text(c) {
		return nil, "", errors.New("it is for something else")
	}
	b, err := base64.StdEncoding.DecodeString(e[0].Text())
	return b, "a glass identity", err
}

func text(c jet.Context) string { return fmt.Sprintf("%v %x", c, c.Subject) }

func withGlass(o options) options {
	o.files.Envelopes = []jet.Envelope{glass{}}
	return o
}

func (w *world) seal(src transfers.Source, opts transfers.SendOptions) *transfers.Transfer {
	w.t.Helper()
	opts.Envelope = glass{}
	t, err := w.romeo.files.Send(w.romeo.engine, juliet, src, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

func TestEncrypted(t *testing.T) {
	for name, c := range map[string]struct {
		options
		transport string
	}{
		"S5B":                        {options{s5b: [2]bool{true, true}}, s5b.NS},
		"S5B fails, IBB replaces it": {options{}, ibb.NS},
		"IBB":                        {options{noS5B: true}, ibb.NS},
	} {
		for _, size := range []int{0, 1, 4079, 4080, 4096, 65536, 300_000} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				o := withGlass(c.options)
				o.s5bTiming.EmptyGrace = 10 * time.Millisecond
				w := newWorld(t, o)
				data := bytes.Repeat([]byte("attack at dawn "), size/15+1)[:size]
				var read []byte
				w.inBand = func(e *xmltree.Element) {
					b, err := base64.StdEncoding.DecodeString(e.Text())
					if e.Name.Local == "data" && err == nil {
						read = append(read, b...)
					}
				}
				tr := w.seal(source("a file.txt", data), transfers.SendOptions{RequireEncryption: true})
				checkArrived(t, w, "a file.txt", c.transport, data)
				if tr.Encryption() != transfers.EndToEnd {
					t.Errorf("it is said to be %v", tr.Encryption())
				}
				if c.transport == ibb.NS && (len(read) != size+jet.TagSize || bytes.Contains(read, []byte("dawn"))) {
					t.Errorf("the server has read %d bytes: %.100q", len(read), read)
				}
			})
		}
	}
}

func TestEncryptedEvents(t *testing.T) {
	w := newWorld(t, withGlass(options{s5b: [2]bool{true, true}}))
	offers := make(chan string, 2)
	w.juliet.onOffer = func(o transfers.Offered) {
		offers <- fmt.Sprint(o.Transfer.Encryption(), ", ", o.Transfer.Identity())
		o.Transfer.Accept(w.juliet.folder)
	}
	w.seal(source("x", pattern(10)), transfers.SendOptions{})
	for _, a := range []*account{w.juliet, w.romeo} {
		last, all := a.wait()
		i := slices.IndexFunc(all, func(e transfers.Event) bool { _, ok := e.(transfers.Started); return ok })
		if d, ok := last.(transfers.Done); !ok || d.Encryption != transfers.EndToEnd || all[i].(transfers.Started).Encryption != transfers.EndToEnd {
			t.Errorf("%s: %+v, %+v", a.jid, all, last)
		}
	}
	w.send(source("y", pattern(10)))
	if d, ok := first(w.juliet.wait()).(transfers.Done); !ok || d.Encryption != transfers.Clear {
		t.Errorf("a clear one: %+v", d)
	}
	w.romeo.wait()
	if a, b := <-offers, <-offers; a != "end-to-end, a glass identity" || b != "none, " {
		t.Errorf("%q, %q", a, b)
	}
}

// TestForgedOnTheWay has a server that changes what it carries.
func TestForgedOnTheWay(t *testing.T) {
	w := newWorld(t, withGlass(options{noS5B: true}))
	blocks := 0
	w.inBand = func(e *xmltree.Element) {
		if blocks++; e.Name.Local == "data" && blocks == 5 {
			b, _ := base64.StdEncoding.DecodeString(e.Text())
			b[100] ^= 1
			e.Children = []xmltree.Node{xmltree.Text(base64.StdEncoding.EncodeToString(b))}
		}
	}
	w.seal(source("x", pattern(100_000)), transfers.SendOptions{})
	for _, a := range []*account{w.juliet, w.romeo} {
		if f, ok := first(a.wait()).(transfers.Failed); !ok || f.Reason != jingle.SecurityError || f.ByPeer != (a == w.romeo) {
			t.Errorf("%s: %+v", a.jid, f)
		}
	}
	if left := names(t, w.juliet.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRefusedEnvelopes are offers that must not be taken as clear ones, whatever is wrong with them.
func TestRefusedEnvelopes(t *testing.T) {
	security := func(e *xmltree.Element) *xmltree.Element {
		return e.Child(jingle.NS, "content").Child(jet.NS, "security")
	}
	for name, tamper := range map[string]func(*xmltree.Element){
		"another name of the file": func(e *xmltree.Element) { edit(e, "name", setText("run me.exe")) },
		"another size":             func(e *xmltree.Element) { edit(e, "size", setText("5")) },
		"an unknown envelope":      func(e *xmltree.Element) { security(e).Set("type", "urn:other") },
		"an unknown cipher":        func(e *xmltree.Element) { security(e).Set("cipher", "urn:xmpp:ciphers:null:0") },
		"another cipher":           func(e *xmltree.Element) { security(e).Set("cipher", string(jet.AES128GCM)) },
		"another content":          func(e *xmltree.Element) { security(e).Set("name", "other") },
		"another kind of security": func(e *xmltree.Element) { security(e).Name.Space = "urn:xmpp:jingle:security:xtls:0" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withGlass(options{s5b: [2]bool{true, true}}))
			w.tamper = func(_ jid.JID, e *xmltree.Element) *xmltree.Element {
				if e.Attr("action") == "session-initiate" {
					tamper(e)
				}
				return e
			}
			w.seal(source("x", pattern(10)), transfers.SendOptions{})
			f, ok := first(w.romeo.wait()).(transfers.Failed)
			if !ok || f.Reason != jingle.SecurityError || !f.ByPeer || !strings.Contains(f.Text, "cannot be opened") {
				t.Errorf("%+v", f)
			}
			if len(w.juliet.events) > 0 || len(names(t, w.juliet.dir)) > 0 {
				t.Error("the receiver was asked")
			}
		})
	}
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	_, err := w.romeo.files.Send(w.romeo.engine, juliet, source("x", pattern(10)), transfers.SendOptions{Envelope: glass{broken: true}})
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := first(w.romeo.wait()).(transfers.Failed); !ok || f.Reason != jingle.SecurityError || !strings.Contains(f.Text, "broken") {
		t.Errorf("an envelope that cannot be sealed: %+v", f)
	}
	if len(w.seen) > 0 {
		t.Errorf("something was sent: %v", w.seen)
	}
}

// TestRequired is about those who take nothing that others can read.
func TestRequired(t *testing.T) {
	o := withGlass(options{s5b: [2]bool{true, true}})
	o.files.RequireEncryption = true
	w := newWorld(t, o)
	w.send(source("x", pattern(10)))
	f, ok := first(w.romeo.wait()).(transfers.Failed)
	if !ok || f.Reason != jingle.SecurityError || !f.ByPeer || !strings.Contains(f.Text, "only if they are encrypted") {
		t.Errorf("%+v", f)
	}
	data := pattern(1000)
	w.seal(source("x", data), transfers.SendOptions{})
	checkArrived(t, w, "x", s5b.NS, data)
	// And what a sender that requires it does without an envelope.
	_, err := w.romeo.files.Send(w.romeo.engine, juliet, source("x", data), transfers.SendOptions{RequireEncryption: true})
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := first(w.romeo.wait()).(transfers.Failed); !ok || f.ByPeer {
		t.Errorf("%+v", f)
	}
	if b, err := os.ReadFile(filepath.Join(w.juliet.dir, "x")); err != nil || !bytes.Equal(b, data) {
		t.Error(err)
	}
}

// TestProofOfNothing resumes an encrypted file whose beginning somebody has changed, by a server that sees to it that the
// sender's checksum, which is proved to be the sender's, cannot be compared.
func TestProofOfNothing(t *testing.T) {
	data := pattern(300_000)
	damaged := bytes.Clone(data[:100_000])
	damaged[5] ^= 1
	for name, tamper := range map[string]func(*xmltree.Element){
		"no function":      func(e *xmltree.Element) { e.Name.Local = "something" },
		"another function": func(e *xmltree.Element) { e.Set("algo", "sha-512") },
		"the sender's own": func(*xmltree.Element) {},
	} {
		t.Run(name, func(t *testing.T) {
			o := withGlass(options{noS5B: true})
			o.files.Checkpoint, o.files.ChecksumGrace = time.Hour, 100*time.Millisecond
			w := newWorld(t, o)
			w.tamper = func(_ jid.JID, e *xmltree.Element) *xmltree.Element {
				if e.Attr("action") == "session-initiate" {
					edit(e, "hash-used", tamper)
				}
				return e
			}
			w.juliet.onOffer = func(o transfers.Offered) { o.Transfer.AcceptInto(w.juliet.part(t, "x", damaged), int64(len(damaged))) }
			w.seal(source("x", data), transfers.SendOptions{})
			if f, ok := first(w.juliet.wait()).(transfers.Failed); !ok || f.Reason != jingle.SecurityError && f.Reason != jingle.MediaError {
				t.Errorf("%+v", f)
			}
			if left := names(t, w.juliet.dir); slices.Contains(left, "x") {
				t.Error("it was taken")
			}
		})
	}
}
