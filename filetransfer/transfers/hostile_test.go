package transfers_test

import (
	"encoding/xml"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// edit changes the first element of a name below e.
func edit(e *xmltree.Element, local string, f func(*xmltree.Element)) {
	for c := range e.Elements() {
		if c.Name.Local == local {
			f(c)
			return
		}
		edit(c, local, f)
	}
}

func setText(s string) func(*xmltree.Element) {
	return func(e *xmltree.Element) { e.Children = []xmltree.Node{xmltree.Text(s)} }
}

// TestLies changes what the sender says.
func TestLies(t *testing.T) {
	data := pattern(10_000)
	for name, c := range map[string]struct {
		action string
		edit   func(e *xmltree.Element)
		files  transfers.Config
		store  store.Config
		reason jingle.Condition // of both sides
		text   string           // part of the receiver's text
		done   bool             // it works all the same
	}{
		"a smaller size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("9000")) }, transfers.Config{}, store.Config{},
			jingle.MediaError, "More bytes came than the 9000", false},
		"a larger size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("10001")) }, transfers.Config{StallTimeout: 300 * time.Millisecond}, store.Config{},
			"", "", false},
		"a wrong checksum": {"session-info", func(e *xmltree.Element) {
			edit(e, "hash", setText("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		}, transfers.Config{}, store.Config{}, jingle.MediaError, "damaged", false},
		"no size": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "file", func(f *xmltree.Element) {
				f.Children = slices.DeleteFunc(f.Children, func(n xmltree.Node) bool {
					c, ok := n.(*xmltree.Element)
					return ok && c.Name.Local == "size"
				})
			})
		}, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"a negative size": {"session-initiate", func(e *xmltree.Element) { edit(e, "size", setText("-5")) }, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"too large":       {"session-initiate", func(*xmltree.Element) {}, transfers.Config{MaxSize: 9999}, store.Config{}, jingle.MediaError, "", false},
		"disk full":       {"session-initiate", func(*xmltree.Element) {}, transfers.Config{}, store.Config{Free: func(string) (int64, error) { return 5000, nil }}, jingle.MediaError, "cannot be stored", false},
		"a request": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "content", func(c *xmltree.Element) { c.Set("senders", "responder") })
		}, transfers.Config{}, store.Config{}, jingle.FailedApplication, "", false},
		"encrypted": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "content", func(c *xmltree.Element) {
				c.Add(xmltree.New(jet.NS, "security").Set("cipher", "c").Set("type", "t").Add(xmltree.New("t", "key")))
			})
		}, transfers.Config{}, store.Config{}, jingle.SecurityError, "", false},
		"an unknown transport": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "transport", func(c *xmltree.Element) { c.Name.Space = "urn:example" })
		}, transfers.Config{}, store.Config{}, jingle.UnsupportedTransports, "", false},
		"no hash, as Dino offers": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "hash-used", func(h *xmltree.Element) { h.Name.Local = "something" })
		}, transfers.Config{}, store.Config{}, "", "", true},
		"an unknown hash": {"session-initiate", func(e *xmltree.Element) {
			edit(e, "hash-used", func(h *xmltree.Element) { h.Set("algo", "tiger") })
		}, transfers.Config{}, store.Config{}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true, files: c.files, store: c.store})
			once := sync.Once{}
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				if from == romeo && e.Attr("action") == c.action {
					once.Do(func() { c.edit(e) })
				}
				return e
			}
			w.send(source("f", data))
			sent := first(w.romeo.wait())
			if c.done {
				if _, ok := sent.(transfers.Done); !ok {
					t.Fatalf("sender: %+v", sent)
				}
				// Nothing is computed that cannot be compared.
				if got, ok := first(w.juliet.wait()).(transfers.Done); !ok || got.Hash.Algo != "" || got.Verified != "" {
					t.Errorf("receiver: %+v", got)
				}
				return
			}
			if e, ok := sent.(transfers.Failed); !ok || (c.reason != "" && e.Reason != c.reason) {
				t.Errorf("sender: %+v", sent)
			}
			if c.text != "" {
				if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != c.reason || !strings.Contains(e.Text, c.text) || e.ByPeer {
					t.Errorf("receiver: %+v", e)
				}
			}
			w.stop()
			w.wg.Wait()
			if left := names(t, w.juliet.dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestSilentPeer swallows what the receiver says at the end, and what it decides.
func TestSilentPeer(t *testing.T) {
	t.Run("never confirms", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{ConfirmTimeout: 100 * time.Millisecond}})
		w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
			if a := e.Attr("action"); from == juliet && (a == "session-info" || a == "session-terminate") {
				return nil
			}
			return e
		}
		w.send(source("f", []byte("data")))
		if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || e.Confirmed {
			t.Errorf("%+v", e)
		}
	})
	t.Run("never decides", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{DecisionTimeout: 100 * time.Millisecond}})
		w.juliet.onOffer = nil
		w.send(source("f", []byte("data")))
		for _, a := range []*account{w.romeo, w.juliet} {
			if e, ok := first(a.wait()).(transfers.Failed); !ok || e.Reason != jingle.Expired {
				t.Errorf("%s: %+v", a.jid, e)
			}
		}
	})
	t.Run("never connects", func(t *testing.T) {
		w := newWorld(t, options{noS5B: true, files: transfers.Config{ConnectTimeout: 100 * time.Millisecond}})
		w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
			if from == juliet && e.Attr("action") == "session-accept" {
				return nil
			}
			return e
		}
		w.send(source("f", []byte("data")))
		if e, ok := first(w.juliet.wait()).(transfers.Failed); !ok || e.Reason != jingle.ConnectivityError {
			t.Errorf("%+v", e)
		}
	})
}

// TestSeveralFiles takes a session of two files and one that cannot be taken, and declines one.
func TestSeveralFiles(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
		switch e.Attr("action") {
		case "session-initiate":
			var more []*xmltree.Element
			for i, name := range []string{"second", "third"} {
				edit(e, "content", func(c *xmltree.Element) {
					n := c.Clone().Set("name", name)
					edit(n, "name", setText(name))
					edit(n, "transport", func(tr *xmltree.Element) { tr.Set("sid", name) })
					if i == 1 {
						n.Set("senders", "responder")
					}
					more = append(more, n)
				})
			}
			return e.Add(more...)
		case "session-accept":
			n := 0
			for range e.Elements() {
				n++
			}
			if n != 1 {
				t.Errorf("accepted %s", e)
			}
		}
		return e
	}
	w.juliet.onOffer = func(o transfers.Offered) {
		if o.File.Name == "second" {
			o.Transfer.Decline()
		} else {
			o.Transfer.Accept(w.juliet.folder)
		}
	}
	w.send(source("first", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Done); !ok || !e.Confirmed {
		t.Errorf("sender: %+v", e)
	}
	done, declined := 0, 0
	for range 2 {
		switch e := first(w.juliet.wait()).(type) {
		case transfers.Done:
			done++
			if filepath.Base(e.Path) != "first" {
				t.Errorf("%+v", e)
			}
		case transfers.Failed:
			declined++
		}
	}
	if done != 1 || declined != 1 {
		t.Errorf("%d done, %d declined", done, declined)
	}
}

// TestLateCandidates offers candidates by transport-info only, before the receiver has decided.
func TestLateCandidates(t *testing.T) {
	w := newWorld(t, options{s5b: [2]bool{true, true}})
	var candidates *xmltree.Element
	w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
		switch a := from.Local() + " " + e.Attr("action"); a {
		case "romeo session-initiate":
			edit(e, "transport", func(tr *xmltree.Element) {
				candidates = tr.Clone()
				tr.Children = nil
			})
		case "juliet session-accept":
			edit(e, "transport", func(tr *xmltree.Element) { tr.Children = nil }) // so that only romeo's can work
		}
		return e
	}
	w.juliet.onOffer = func(o transfers.Offered) {
		info := xmltree.New(jingle.NS, "jingle").Set("action", "transport-info").Set("sid", o.Transfer.SID()).
			Add(xmltree.New(jingle.NS, "content").Set("creator", "initiator").Set("name", "file").Add(candidates))
		w.juliet.engine.Receive(romeo, info, func(se *jingle.StanzaError) {
			if se != nil {
				t.Errorf("the candidates are refused: %v", se)
			}
			o.Transfer.Accept(w.juliet.folder)
		})
	}
	w.send(source("f", []byte("data")))
	checkArrived(t, w, "f", s5b.NS, []byte("data"))
}

// TestPeerText shows what a peer says as plain text.
func TestPeerText(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	w.juliet.onOffer = func(o transfers.Offered) {
		o.Transfer.Cancel(&jingle.Reason{Condition: jingle.Decline, Text: "no\u202e\n" + strings.Repeat("!", 1000)})
		if o.Transfer.Name() != "x" {
			t.Errorf("%q", o.Transfer.Name())
		}
	}
	w.send(source("../x", []byte("data")))
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || !strings.HasPrefix(e.Text, "no !!!") || len(e.Text) != 500 {
		t.Errorf("%+v", e)
	}
}

// TestDialects changes the wire to how clients write it.
func TestDialects(t *testing.T) {
	drop := func(names ...string) func(*xmltree.Element) {
		return func(e *xmltree.Element) {
			e.Children = slices.DeleteFunc(e.Children, func(n xmltree.Node) bool {
				c, ok := n.(*xmltree.Element)
				return ok && slices.Contains(names, c.Name.Local)
			})
		}
	}
	for name, tamper := range map[string]func(who, action string, e *xmltree.Element) *xmltree.Element{
		"Dino: name and size only, no received": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "file", drop("hash-used", "media-type", "mediaType", "range", "date"))
			if action == "session-info" {
				return nil
			}
			return e
		},
		"Conversations: mediaType, a checksum without creator": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "file", drop("hash-used", "media-type", "range", "date"))
			edit(e, "checksum", func(c *xmltree.Element) {
				c.Attrs = slices.DeleteFunc(c.Attrs, func(a xml.Attr) bool { return a.Name.Local == "creator" })
			})
			return e
		},
		"received without a name": func(who, action string, e *xmltree.Element) *xmltree.Element {
			edit(e, "received", func(c *xmltree.Element) { c.Attrs = nil })
			return e
		},
		"an answer without a description": func(who, action string, e *xmltree.Element) *xmltree.Element {
			if action == "session-accept" {
				edit(e, "file", drop("name", "size", "hash-used", "range", "media-type", "mediaType", "date"))
			}
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{noS5B: true})
			w.tamper = func(from jid.JID, e *xmltree.Element) *xmltree.Element {
				return tamper(from.Local(), e.Attr("action"), e)
			}
			w.send(source("f", []byte("data")))
			for _, a := range []*account{w.romeo, w.juliet} {
				if e, ok := first(a.wait()).(transfers.Done); !ok || (a == w.romeo && !e.Confirmed) {
					t.Errorf("%s: %+v", a.jid, e)
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, options{noS5B: true, files: transfers.Config{MaxPerPeer: 2}})
	w.juliet.onOffer = nil
	for range 3 {
		w.send(source("f", []byte("x")))
	}
	if e, ok := first(w.romeo.wait()).(transfers.Failed); !ok || e.Reason != jingle.Busy {
		t.Errorf("%+v", e)
	}
	if n := len(w.juliet.files.Active()); n != 2 {
		t.Errorf("%d transfers", n)
	}
	w.stop()
	w.wg.Wait()
	if _, err := w.romeo.files.Send(w.romeo.engine, juliet, source("f", nil), transfers.SendOptions{}); !errors.Is(err, transfers.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := w.romeo.files.Send(w.romeo.engine, juliet, transfers.Source{}, transfers.SendOptions{}); err == nil {
		t.Error("a source without anything")
	}
	if _, err := transfers.New(transfers.Config{}); err == nil {
		t.Error("a manager without anything")
	}
}

// TestUnknownInfos: what is not about files is refused, what is about other files does no harm.
func TestUnknownInfos(t *testing.T) {
	w := newWorld(t, options{noS5B: true})
	offered := make(chan *transfers.Transfer, 1)
	w.juliet.onOffer = func(o transfers.Offered) { offered <- o.Transfer }
	out := w.send(source("f", []byte("x")))
	in := <-offered
	ask := func(info string) string {
		e, err := xmltree.Parse([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='`+in.SID()+`'>`+info+`</jingle>`), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		w.juliet.engine.Receive(romeo, e, func(se *jingle.StanzaError) {
			if se == nil {
				got <- ""
			} else {
				got <- se.Condition
			}
		})
		return <-got
	}
	for info, want := range map[string]string{
		``: "", // a ping
		`<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>`:                                      "feature-not-implemented",
		`<received xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='other'/>`:                   "",
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='other'><file/></checksum>`:  "",
		`<checksum xmlns='urn:xmpp:jingle:apps:file-transfer:5' name='file'/>`:                    "bad-request",
		`<abort xmlns='urn:xmpp:jingle:apps:file-transfer:3'><file><name>f</name></file></abort>`: "",
	} {
		if info != "" && strings.Contains(info, "abort") {
			continue // last, as it ends the transfer
		}
		if got := ask(info); got != want {
			t.Errorf("%s: %q, want %q", info, got, want)
		}
	}
	if got := ask(`<abort xmlns='urn:xmpp:jingle:apps:file-transfer:3'><file/></abort>`); got != "" {
		t.Errorf("abort: %q", got)
	}
	<-in.Done()
	<-out.Done()
}
