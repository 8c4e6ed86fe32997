package xmpp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/blocking"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/roster"
)

// Stream is a stream that somebody else has logged in and owns, and lends to a [Client]. It carries whole stanzas that
// declare their namespace, jabber:client.
type Stream interface {
	// JID is the full address that the server has bound. It does not change.
	JID() jid.JID
	// Receive waits for the next stanza that is handed to the client. It returns [io.EOF] when the stream has ended.
	// What it returns is valid until the next call.
	Receive() ([]byte, error)
	// Send takes a stanza of the client, which is valid during the call. It must not wait for long. An error ends the
	// client's use of the stream.
	Send(stanza []byte) error
	// Close ends both of the above. It may be called more than once.
	Close() error
}

// borrow takes a stream that needs no login.
func (c *Client) borrow(ctx context.Context) (*link, error) {
	s, err := c.cfg.Borrow(ctx)
	if err != nil {
		return nil, err
	}
	if me := s.JID(); me.IsBare() || me.Bare() != c.cfg.JID {
		return nil, errors.Join(fmt.Errorf("xmpp: the stream lent is bound as %q, not as a device of %s", me, c.cfg.JID), s.Close())
	}
	raw := newBorrowed(s)
	head := header(c.cfg.JID.Domain(), "")
	if _, err := raw.out.write(head); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	raw.rest = head
	stream := newConn(raw, raw, c.cfg.Limits)
	if _, _, err := stream.next(); err != nil { // the header, for the namespaces
		return nil, errors.Join(err, s.Close())
	}
	return newLink(stream, s.JID(), false, c.cfg.Limits, nil), nil
}

// borrowed lets a stream of stanzas look like a connection with bytes.
type borrowed struct {
	s    Stream
	out  *splitter
	rest []byte // of the stanza that Read is giving out
}

func newBorrowed(s Stream) *borrowed {
	b := &borrowed{s: s}
	b.out = newSplitter(b, 1<<30) // what the client sends is bounded by itself
	return b
}

func (b *borrowed) openStream(string) error       { return nil }
func (b *borrowed) sendElement(text []byte) error { return b.s.Send(text) }
func (b *borrowed) endStream() error              { return b.s.Close() }

// Read implements [net.Conn].
func (b *borrowed) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		var err error
		if b.rest, err = b.s.Receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Write implements [net.Conn].
func (b *borrowed) Write(p []byte) (int, error) { return b.out.write(p) }

// Close implements [net.Conn].
func (b *borrowed) Close() error { return b.s.Close() }

// LocalAddr implements [net.Conn].
func (b *borrowed) LocalAddr() net.Addr { return borrowedAddr{b.s.JID()} }

// RemoteAddr implements [net.Conn].
func (b *borrowed) RemoteAddr() net.Addr { return borrowedAddr{jid.JID(b.s.JID().Domain())} }

// SetDeadline implements [net.Conn]. The owner of the stream decides how long things take.
func (b *borrowed) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements [net.Conn], see SetDeadline.
func (b *borrowed) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements [net.Conn], see SetDeadline.
func (b *borrowed) SetWriteDeadline(time.Time) error { return nil }

type borrowedAddr struct{ j jid.JID }

func (borrowedAddr) Network() string  { return "xmpp" }
func (a borrowedAddr) String() string { return a.j.String() }

// Requests returns the namespaces of the requests that somebody has set a handler for, sorted: those that the owner of a
// borrowed stream has to hand over. What this package itself answers, the owner answers.
func (c *Client) Requests() []string {
	var out []string
	for name := range c.handlers.iq {
		switch name.Space {
		case disco.NSInfo, disco.NSItems, nsPing, roster.NS, blocking.NS:
		default:
			out = append(out, name.Space)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
