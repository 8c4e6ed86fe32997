package component

import (
	"context"
	"crypto/sha1" // #nosec G505 -- XEP-0114 section 3
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	outQueue     = 256 // answers that wait for the server; more are dropped
)

// ErrRefused is wrapped where the server did not take the component: a wrong secret, an unknown name.
var ErrRefused = errors.New("the XMPP server refused the component")

// Component keeps the connection to the XMPP server.
type Component struct {
	cfg       Config
	handler   atomic.Pointer[Handler]
	connected atomic.Bool
	problem   atomic.Pointer[string] // of the last connection; nil while there is none

	answered, dropped, connects atomic.Uint64
}

// Counters are totals since the start.
type Counters struct {
	Connected bool   // now
	Problem   string // why it is not connected; empty while it is, and until the first attempt has failed
	Connects  uint64 // times the connection came up
	Answered  uint64 // requests
	Dropped   uint64 // answers that the server did not take in time
}

// New returns a Component. Nothing is dialled before Run.
func New(cfg Config) (*Component, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Component{cfg: cfg}
	return c, c.SetOffer(cfg.Offer)
}

// SetOffer replaces what users get, without a reconnect.
func (c *Component) SetOffer(o Offer) error {
	h, err := NewHandler(c.cfg.Domain, o)
	if err != nil {
		return err
	}
	c.handler.Store(h)
	return nil
}

// Connected reports whether the component is joined now.
func (c *Component) Connected() bool { return c.connected.Load() }

// Counters returns totals.
func (c *Component) Counters() Counters {
	n := Counters{Connected: c.connected.Load(), Connects: c.connects.Load(), Answered: c.answered.Load(), Dropped: c.dropped.Load()}
	if why := c.problem.Load(); why != nil {
		n.Problem = *why
	}
	return n
}

// Run connects, answers, and connects again when the connection is lost, until ctx ends. A server that is away or
// refuses is tried for ever: it may be restarting, or its configuration be about to be mended.
func (c *Component) Run(ctx context.Context) error {
	pause := c.cfg.MinBackoff
	for {
		before := c.connects.Load()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.connects.Load() != before {
			pause = c.cfg.MinBackoff
		}
		why := err.Error()
		c.problem.Store(&why)
		c.cfg.Logger.Warn("not joined to the XMPP server", "component", c.cfg.Domain, "server", c.cfg.Server, "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause + rand.N(pause/4+1)): // a fleet must not come back in step
		}
		pause = min(2*pause, c.cfg.MaxBackoff)
	}
}

// session is one connection's life.
func (c *Component) session(ctx context.Context) error {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", c.cfg.Server)
	if err != nil {
		return err
	}
	return c.serve(ctx, conn)
}

// serve joins over conn and answers until it ends. It closes conn and returns when its writer has ended too.
func (c *Component) serve(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	// The end wakes whoever waits for the network, but leaves the connection open for a closing tag.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer conn.Close()
	defer cancel()
	sc := newScanner(conn)
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := c.join(conn, sc); err != nil {
		return err
	}
	c.connects.Add(1)
	c.connected.Store(true)
	c.problem.Store(nil)
	defer c.connected.Store(false)
	c.cfg.Logger.Info("joined the XMPP server", "component", c.cfg.Domain, "server", c.cfg.Server)

	out := make(chan string, outQueue)
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer conn.Close() // a writer that failed wakes the reader
		c.write(ctx, conn, out)
	}()
	err := c.read(ctx, conn, sc, out)
	cancel()
	<-written
	return err
}

// join is XEP-0114 section 3.
func (c *Component) join(conn net.Conn, sc *scanner) error {
	var b builder
	b.WriteString("<?xml version='1.0'?>")
	b.tag("stream:stream", "xmlns", nsComponent, "xmlns:stream", nsStream, "to", c.cfg.Domain).more()
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return err
	}
	head, err := sc.open()
	if err != nil {
		return err
	}
	if id := head.attr("id"); id != "" {
		sum := sha1.Sum([]byte(id + c.cfg.Secret)) // #nosec G401
		if _, err := io.WriteString(conn, "<handshake>"+hex.EncodeToString(sum[:])+"</handshake>"); err != nil {
			return err
		}
	}
	e, _, err := sc.next()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it closed the stream; check the component's name and secret", ErrRefused)
	case err != nil:
		return err
	case e.local == "error" && e.space == nsStream:
		return fmt.Errorf("%w: %s; check the component's name and secret", ErrRefused, streamError(e))
	case e.local != "handshake":
		return fmt.Errorf("%w: <%s/> instead of a handshake", ErrRefused, e.local)
	}
	return nil
}

// streamError names the defined condition (RFC 6120 section 4.9).
func streamError(e *element) string {
	for _, c := range e.children {
		if c.space == nsStreamErr && c.local != "text" {
			return c.local
		}
	}
	return "an error without a name"
}

// read answers what comes. It never waits for the writer, and no stanza makes it return.
func (c *Component) read(ctx context.Context, conn net.Conn, sc *scanner, out chan<- string) error {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(2 * c.cfg.Ping))
		if ctx.Err() != nil { // the end may have come before the new deadline
			return ctx.Err()
		}
		e, over, err := sc.next()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, io.EOF) {
				return errors.New("component: the XMPP server closed the stream")
			}
			return err
		}
		if e.local == "error" && e.space == nsStream {
			return fmt.Errorf("component: the XMPP server ended the stream: %s", streamError(e))
		}
		reply := c.handler.Load().answer(time.Now(), e, over)
		if reply == "" {
			continue
		}
		select {
		case out <- reply:
			c.answered.Add(1)
		default:
			c.dropped.Add(1)
		}
	}
}

// write sends answers, and a ping when there is nothing to send: any reply to it keeps the reader content.
func (c *Component) write(ctx context.Context, conn net.Conn, out <-chan string) {
	tick := time.NewTicker(c.cfg.Ping)
	defer tick.Stop()
	n := 0
	for {
		var text string
		select {
		case <-ctx.Done():
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(conn, "</stream:stream>")
			return
		case text = <-out:
		case <-tick.C:
			n++
			var b builder
			b.tag("iq", "type", "get", "from", c.cfg.Domain, "to", c.cfg.Domains[0], "id", "ping-"+strconv.Itoa(n)).more()
			text = b.tag("ping", "xmlns", nsPing).empty().end("iq").String()
		}
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}
