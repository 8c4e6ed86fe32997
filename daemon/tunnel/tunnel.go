// Package tunnel is the daemon's end of an XMPP stream that another program owns: that program, the host, hands over the
// stanzas that concern calls and files, and sends those of the daemon.
//
//	XMPP server <--> host --Push--> Tunnel --Receive--> xmpp.Client
//	                 host <--Next-- Tunnel <--Send----- xmpp.Client
//
// Nothing here waits for the other side: both directions are bounded queues. A host that does not fetch what is to be sent
// loses the tunnel, one that hands over too much is refused.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

const nsClient = "jabber:client"

// The bounds of one direction.
const (
	maxStanza = 256 << 10 // bytes; a roster is larger at times, see maxQueue
	maxQueue  = 8 << 20   // bytes that wait
	maxCount  = 4096      // stanzas that wait
)

// ErrBusy says that too much waits already.
var ErrBusy = errors.New("too many stanzas wait in the tunnel")

// ErrClosed says that the tunnel has ended.
var ErrClosed = errors.New("the tunnel is closed")

// Tunnel is an [xmpp.Stream] with a host at its other end. Its methods may be called from any goroutine.
//
// [xmpp.Stream]: https://pkg.go.dev/github.com/jingled/jingled/xmpp#Stream
type Tunnel struct {
	jid     jid.JID
	in, out *queue
	closed  chan struct{}
	once    sync.Once
}

// New returns an open tunnel for a stream that the server has bound to a full address.
func New(full jid.JID) (*Tunnel, error) {
	if full.Local() == "" || full.IsBare() {
		return nil, fmt.Errorf("%q is not the full address of a device, such as alice@example.org/desk", full)
	}
	return &Tunnel{jid: full, in: newQueue(), out: newQueue(), closed: make(chan struct{})}, nil
}

// JID returns the full address that the server has bound.
func (t *Tunnel) JID() jid.JID { return t.jid }

// Push takes stanzas from the host, all or none. One that is no stanza is the host's fault; [ErrBusy] passes.
func (t *Tunnel) Push(stanzas ...string) error {
	texts := make([][]byte, len(stanzas))
	for i, s := range stanzas {
		text, err := normal(s)
		if err != nil {
			return fmt.Errorf("stanza %d: %w", i+1, err)
		}
		texts[i] = text
	}
	if t.ended() {
		return ErrClosed
	}
	if !t.in.put(texts) {
		return ErrBusy
	}
	return nil
}

// normal reads a stanza and writes it again, so that exactly one element goes on, whatever stood there.
func normal(s string) ([]byte, error) {
	if len(s) > maxQueue/2 {
		return nil, fmt.Errorf("%w: %d bytes", xmltree.ErrLimit, len(s))
	}
	lim := xmltree.Limits{Bytes: len(s) + 100}
	if len(s) > maxStanza {
		lim.Elements = len(s) / 16 // a roster
	}
	root, err := xmltree.Parse([]byte(`<x xmlns="`+nsClient+`">`+s+`</x>`), lim)
	if err != nil {
		return nil, err
	}
	e, n := root.First(), 0
	for range root.Elements() {
		n++
	}
	if n != 1 || strings.TrimSpace(root.Text()) != "" || e.Name.Space != nsClient {
		return nil, errors.New("not one iq, message or presence of jabber:client")
	}
	switch e.Name.Local {
	case "iq", "message", "presence":
		return e.AppendXML(nil, ""), nil
	}
	return nil, fmt.Errorf("<%s/> is no stanza", e.Name.Local)
}

// Next waits for a stanza that the host is to send. After the end it gives what is left and then [ErrClosed].
func (t *Tunnel) Next(ctx context.Context) (string, error) {
	for {
		if text := t.out.take(); text != nil {
			return string(text), nil
		}
		select {
		case <-t.out.wake:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-t.closed:
			if text := t.out.take(); text != nil {
				return string(text), nil
			}
			return "", ErrClosed
		}
	}
}

// Receive gives the daemon the next stanza of the host, and [io.EOF] after the end.
func (t *Tunnel) Receive() ([]byte, error) {
	for {
		if text := t.in.take(); text != nil {
			return text, nil
		}
		select {
		case <-t.in.wake:
		case <-t.closed:
			return nil, io.EOF
		}
	}
}

// Send takes a stanza of the daemon for the host. [ErrBusy] means that the host fetches nothing.
func (t *Tunnel) Send(stanza []byte) error {
	if t.ended() {
		return ErrClosed
	}
	if !t.out.put([][]byte{append([]byte(nil), stanza...)}) {
		return ErrBusy
	}
	return nil
}

// Close ends the tunnel for both sides. It may be called more than once.
func (t *Tunnel) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// Done is closed with the tunnel.
func (t *Tunnel) Done() <-chan struct{} { return t.closed }

func (t *Tunnel) ended() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// queue is one direction, with one reader.
type queue struct {
	wake chan struct{} // has a value if there may be something

	mu    sync.Mutex
	texts [][]byte
	bytes int
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put adds all texts, or none and reports false.
func (q *queue) put(texts [][]byte) bool {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.texts)+len(texts) > maxCount || q.bytes+n > maxQueue {
		return false
	}
	q.texts, q.bytes = append(q.texts, texts...), q.bytes+n
	q.poke()
	return true
}

// take removes the first text; nil means that there is none.
func (q *queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.texts) == 0 {
		return nil
	}
	t := q.texts[0]
	q.texts[0] = nil
	q.texts, q.bytes = q.texts[1:], q.bytes-len(t)
	if len(q.texts) > 0 {
		q.poke()
	}
	return t
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
