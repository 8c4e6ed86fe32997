package xmppserver

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// nsComponent is the namespace of a component's stream (XEP-0114 section 3).
const nsComponent = "jabber:component:accept"

// component is a service with a domain of its own.
type component struct {
	domain jid.JID
	out    *outbox
}

func (c *component) send(st *xmltree.Element) {
	c.out.push(renamed(st, nsClient, nsComponent).AppendXML(nil, nsComponent))
}

// renamed returns a stanza whose elements are in another namespace, as far as they were in the first.
func renamed(e *xmltree.Element, from, to string) *xmltree.Element {
	c := e.Clone()
	var walk func(*xmltree.Element)
	walk = func(e *xmltree.Element) {
		if e.Name.Space != from {
			return // a payload is its own business
		}
		e.Name.Space = to
		for child := range e.Elements() {
			walk(child)
		}
	}
	walk(c)
	return c
}

// acceptComponents serves the port of components. It returns when the listener is closed.
func (s *Server) acceptComponents(ctx context.Context, wg *sync.WaitGroup) error {
	for {
		c, err := s.components.Accept()
		if err != nil {
			return err
		}
		if !s.track(c) {
			_ = c.Close()
			continue
		}
		wg.Go(func() {
			defer s.untrack(c)
			stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(past) })
			defer stop()
			s.serveComponent(c)
		})
	}
}

// serveComponent takes a component's connection from its first byte to its last.
func (s *Server) serveComponent(c net.Conn) {
	log := s.cfg.Logger.With("remote", c.RemoteAddr())
	if err := c.SetDeadline(time.Now().Add(s.cfg.LoginTimeout)); err != nil {
		return
	}
	in := newReader(c, s.cfg.MaxStanza)
	me, err := s.handshake(c, in)
	if err != nil {
		log.Info("no component", "error", err)
		if se, ok := errors.AsType[*streamError](err); ok {
			_, _ = c.Write(append(se.xml(), "</stream:stream>"...))
		}
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = me.out.run(c, s.cfg.WriteTimeout)
		_ = c.SetReadDeadline(past)
	}()
	for {
		st, err := in.next()
		if err != nil {
			break
		}
		s.mu.Lock()
		s.hub.fromComponent(me, renamed(st, nsComponent, nsClient))
		s.mu.Unlock()
	}
	s.mu.Lock()
	delete(s.hub.components, me.domain)
	s.mu.Unlock()
	me.out.finish([]byte("</stream:stream>"))
	<-written
}

// handshake is XEP-0114 section 3.
func (s *Server) handshake(c net.Conn, in *reader) (*component, error) {
	start, err := in.header()
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	domain, err := jid.Parse(attr(start, "to"))
	if err != nil || domain.Local() != "" || !domain.IsBare() || domain == s.hub.domain {
		domain = ""
	}
	if _, err := c.Write([]byte("<?xml version='1.0'?><stream:stream xmlns='" + nsComponent + "' xmlns:stream='" + nsStream +
		"' id='" + id + "' from='" + domain.String() + "'>")); err != nil {
		return nil, err
	}
	if domain == "" {
		return nil, &streamError{"host-unknown", "a component needs a domain of its own"}
	}
	shake, err := in.next()
	if err != nil {
		return nil, err
	}
	// The protocol is what it is: SHA-1 over the stream's id and the secret.
	sum := sha1.Sum([]byte(id + s.cfg.ComponentSecret))
	if !shake.Is(nsComponent, "handshake") ||
		subtle.ConstantTimeCompare([]byte(shake.Text()), []byte(hex.EncodeToString(sum[:]))) != 1 {
		return nil, &streamError{"not-authorized", ""}
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	me := &component{domain: domain, out: newOutbox(s.cfg.MaxQueue, func() { _ = c.SetDeadline(past) })}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub.components[domain] != nil {
		return nil, &streamError{"conflict", ""}
	}
	me.out.push([]byte("<handshake/>"))
	s.hub.components[domain] = me
	return me, nil
}

// toComponent sends a client's stanza to a component, and reports whether there is one.
func (h *hub) toComponent(st *xmltree.Element, to jid.JID) bool {
	c := h.components[jid.JID(to.Domain())]
	if c != nil {
		c.send(st)
	}
	return c != nil
}

// fromComponent routes what a component sends. It speaks for its domain only.
func (h *hub) fromComponent(c *component, st *xmltree.Element) {
	from, err := jid.Parse(st.Attr("from"))
	to, err2 := jid.Parse(st.Attr("to"))
	if err != nil || err2 != nil || from.Domain() != c.domain.Domain() || st.Name.Space != nsClient {
		return
	}
	if s := h.session(to); s != nil {
		s.send(st)
		return
	}
	if a := h.accounts[to]; a != nil && st.Name.Local != "iq" {
		for _, s := range a.reachable() {
			s.send(st)
		}
		return
	}
	if t := st.Attr("type"); t != "error" && t != "result" {
		c.send(errorReply(st, "cancel", "service-unavailable", "").Set("to", from.String()))
	}
}
