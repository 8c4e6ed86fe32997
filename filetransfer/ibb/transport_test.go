package ibb_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

// host is the session of one side of a transport.
type host struct {
	s         *server
	tr        engine.Transport
	connected io.ReadWriteCloser
	failed    error
}

func (h *host) Post(f func())                  { h.s.enqueue(f) }
func (h *host) SendInfo(jingle.Payload)        {}
func (h *host) Connected(c io.ReadWriteCloser) { h.connected = c }
func (h *host) Failed(err error)               { h.failed = err }

func TestTransport(t *testing.T) {
	for name, c := range map[string]struct {
		offer, max  int
		forPeer     int
		byResponder bool
		want        uint16
	}{
		"as offered":                {4096, 0, 0, false, 4096},
		"lowered by the answer":     {8192, 2048, 0, false, 2048},
		"offered by the responder":  {4096, 0, 0, true, 4096},
		"lowered, by the initiator": {4096, 1000, 0, true, 1000},
		"more for this peer":        {0, 0, 16 << 10, false, 16 << 10},
		"more than there is":        {0, 0, 1 << 20, false, 65535},
		"nothing for this peer":     {0, 0, -1, false, 4096},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			var openSize string
			var opener jid.JID
			s.tap = func(to jid.JID, e *xmltree.Element) {
				if e.Name.Local == "open" {
					openSize, opener = e.Attr("block-size"), map[jid.JID]jid.JID{romeo: juliet, juliet: romeo}[to]
				}
			}
			build := func(who, peer jid.JID, role jingle.Role, cfg ibb.Config) *host {
				cfg.Router = s.routers[who]
				f, err := ibb.NewFactory(cfg)
				if err != nil {
					t.Fatal(err)
				}
				h := &host{s: s}
				if h.tr, err = f.New(engine.TransportConfig{Local: who, Peer: peer, Role: role, Host: h}); err != nil {
					t.Fatal(err)
				}
				return h
			}
			first, second := ibb.Config{BlockSize: c.offer, BlockSizeFor: func(who jid.JID) int {
				if who != juliet && !c.byResponder {
					t.Errorf("asked about %s", who)
				}
				return c.forPeer
			}}, ibb.Config{MaxBlockSize: c.max}
			if c.byResponder {
				first, second = second, first
			}
			initiator, responder := build(romeo, juliet, jingle.Initiator, first), build(juliet, romeo, jingle.Responder, second)
			a, b := initiator, responder
			if c.byResponder {
				a, b = responder, initiator
			}
			offer, err := a.tr.Offer()
			if err != nil {
				t.Fatal(err)
			}
			answer, err := b.tr.Answer(offer)
			if err != nil || answer.(ibb.Transport).BlockSize != c.want {
				t.Fatalf("%s: %+v, %v", name, answer, err)
			}
			if err := a.tr.Accepted(answer); err != nil {
				t.Fatal(err)
			}
			b.Post(b.tr.Start)
			a.Post(a.tr.Start)
			synctest.Wait()
			if a.connected == nil || b.connected == nil || a.failed != nil || b.failed != nil {
				t.Fatalf("%s: %v, %v", name, a.failed, b.failed)
			}
			if opener != romeo || openSize != fmt.Sprint(c.want) {
				t.Errorf("%s: opened by %s with %s", name, opener, openSize)
			}
			go a.connected.Write([]byte("hello"))
			got := [5]byte{}
			if _, err := io.ReadFull(b.connected, got[:]); err != nil || string(got[:]) != "hello" {
				t.Error(err)
			}
			a.tr.Close()
			b.tr.Close()
			go b.connected.Write([]byte("still")) // it belongs to the application
			if _, err := io.ReadFull(a.connected, got[:]); err != nil || string(got[:]) != "still" {
				t.Error(err)
			}
			a.connected.Close()
			b.connected.Close()
			synctest.Wait()
			if n := s.routers[romeo].Len() + s.routers[juliet].Len(); n != 0 {
				t.Errorf("%s: %d streams are left", name, n)
			}
		})
	}
}

func TestTransportFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		f, _ := ibb.NewFactory(ibb.Config{Router: s.routers[romeo]})
		h := &host{s: s}
		h.tr, _ = f.New(engine.TransportConfig{Local: romeo, Peer: juliet, Role: jingle.Initiator, Host: h})
		if _, err := h.tr.Answer(ibb.Open{}); err == nil {
			t.Error("another payload is accepted")
		}
		offer, _ := h.tr.Offer()
		if err := h.tr.Accepted(ibb.Transport{SID: "other", BlockSize: 1}); err == nil {
			t.Error("another stream is accepted")
		}
		if err := h.tr.Accepted(offer); err != nil {
			t.Error(err)
		}
		if err := h.tr.Info(offer); err == nil {
			t.Error("a second stream is accepted")
		}
		h.Post(h.tr.Start) // juliet expects nothing
		synctest.Wait()
		var se *jingle.StanzaError
		if !errors.As(h.failed, &se) || se.Condition != "not-acceptable" {
			t.Errorf("%v", h.failed)
		}
		h.tr.Close()
		if n := s.routers[romeo].Len(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}
