package xmpp

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	mellium "mellium.im/xmpp"

	"github.com/jingled/jingled/xmltree"
)

const nsLimits = "urn:xmpp:stream-limits:0"

// streamLimits is what a server takes from us on one stream (XEP-0478); 0 is what it does not say.
type streamLimits struct {
	stanza int           // bytes of one stanza
	idle   time.Duration // without anything from us
}

// leastStanza is what every server has to take (RFC 6120 section 13.12).
const leastStanza = 10000

// leastIdle keeps a server from making us talk all the time.
const leastIdle = 10 * time.Second

// parseLimits reads <limits/>, which may be nil. What cannot be is left out.
func parseLimits(e *xmltree.Element) (s streamLimits) {
	if e == nil {
		return s
	}
	number := func(name string) int {
		n, err := strconv.ParseUint(strings.TrimSpace(e.ChildText(nsLimits, name)), 10, 31)
		if err != nil {
			return 0
		}
		return int(n)
	}
	if n := number("max-bytes"); n > 0 {
		s.stanza = max(n, leastStanza)
	}
	if n := number("idle-seconds"); n > 0 {
		s.idle = max(time.Duration(n)*time.Second, leastIdle)
	}
	return s
}

// limitsFeature only takes note. Before and after the login there may be different limits.
func (l *login) limitsFeature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name: xml.Name{Space: nsLimits, Local: "limits"},
		Parse: func(_ context.Context, d *xml.Decoder, start *xml.StartElement) (bool, any, error) {
			e, err := xmltree.Read(*start, d, xmltree.Limits{})
			l.limits = parseLimits(e)
			return false, nil, err
		},
	}
}

// theirs holds the limits of a link, which may change while it is used: a server that resumes a stream with the login tells
// its features afterwards. It keeps the time of the last write, too.
type theirs struct {
	limits atomic.Pointer[streamLimits] // nil: none
	wrote  atomic.Int64                 // when, in nanoseconds since the connection began
}

func (t *theirs) set(s streamLimits) { t.limits.Store(&s) }

func (t *theirs) get() streamLimits {
	if s := t.limits.Load(); s != nil {
		return *s
	}
	return streamLimits{}
}

// noteWrite is told of each write.
func (l *link) noteWrite() { l.theirs.wrote.Store(int64(time.Since(l.conn.start))) }

// keepOpen asks for a sign of life, which is one of ours, too, when the server has not heard from us for most of the time that it
// allows. It returns the time until the next look.
func (l *link) keepOpen(ask func()) time.Duration {
	limit := l.theirs.get().idle
	if limit == 0 {
		return forever
	}
	every := limit - limit/4
	quiet := time.Since(l.conn.start) - time.Duration(l.theirs.wrote.Load())
	if quiet >= every {
		ask()
		return every
	}
	return every - quiet
}

// maxStanza is the largest stanza, in bytes, that a stream takes, which may be nil.
func (c *Client) maxStanza(l *link) int {
	most := c.cfg.Limits.Send
	if l == nil {
		return most
	}
	if n := l.theirs.get().stanza; n > 0 {
		most = min(most, n-declaration)
	}
	return most
}

// declaration is what WebSockets and BOSH add to a stanza.
const declaration = len(` xmlns="` + nsClient + `"`)

// MaxStanza returns the size in bytes of the largest stanza that can be sent: the lesser of [Limits].Send and what the server of
// the current stream takes (XEP-0478). More is [ErrTooLarge].
func (c *Client) MaxStanza() int {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	return c.maxStanza(l)
}

// checkSize keeps back what the server would end the stream for.
func (c *Client) checkSize(l *link, text []byte) error {
	if most := c.maxStanza(l); len(text) > most {
		return fmt.Errorf("%w: %d bytes, at most %d are taken", ErrTooLarge, len(text), most)
	}
	return nil
}
