package transfers

import (
	"errors"
	"io"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// Signaling is how one transfer speaks with its peer. Jingle's is built in; protocols that know no sessions bring
// their own to [Manager.Outgoing] and [Manager.Offer]. The methods are called on the transfer's goroutine and must not
// block; what they find out they tell the [Driver].
type Signaling interface {
	// Accept tells the peer that the offered file is wanted, as answer says, and begins to connect.
	Accept(answer filetransfer.File)
	// Sent tells that the connection has taken the last byte, and the hashes of the whole file (nil if a part was sent, or
	// they have no use). Where receivers say when they have everything, that is waited for; a protocol without such a word
	// ends the stream in order and then calls [Driver.Drained].
	Sent(whole hashes.Sums)
	// Info sends a <checksum/> or <received/> of XEP-0234. Protocols without them do nothing.
	Info(p jingle.Payload)
	// End ends the transfer for a reason of ours, with success when a receiver has everything. The connection, if there
	// is one, is closed afterwards.
	End(r *jingle.Reason)
	// Heard tells that bytes move, so that the peer is there.
	Heard()
	// Lasts reports whether a transfer that is interrupted can go on in another session of this protocol, if only from its
	// beginning.
	Lasts() bool
}

// Attempt says which earlier transfer one goes on with. The zero value is the first attempt.
type Attempt struct {
	// Again is set for every attempt but the first.
	Again bool
	// Ref names the earlier transfer to the peer; nil where the protocol has no place for it.
	Ref *resume.Ref
}

// Hashing says whether a protocol has a use for the hash of what is sent.
type Hashing bool

// The values of Hashing.
const (
	// Unhashed leaves the bytes to the kernel, where it can move them from the file to the connection.
	Unhashed Hashing = false
	// Hashed computes the SHA-256 for [Signaling.Sent].
	Hashed Hashing = true
)

// Driver is what a [Signaling] tells its transfer by. The methods may be called from any goroutine and do not block;
// after the end of the transfer they do nothing.
type Driver struct{ t *Transfer }

// Transfer returns the transfer that is driven.
func (d Driver) Transfer() *Transfer { return d.t }

// Offered tells the user of the peer's offer.
func (d Driver) Offered() { d.t.offered() }

// Accepted tells that the peer wants the file. answer is what it said about it, or nil.
func (d Driver) Accepted(answer *filetransfer.File) { d.t.accepted(answer) }

// Sized tells how large an offered file is whose offer did not say so. It comes before [Driver.Connected].
func (d Driver) Sized(size int64) { d.t.sized(size) }

// Connected hands over the connection. ns is the namespace of the transport that it came by.
func (d Driver) Connected(conn io.ReadWriteCloser, ns string) { d.t.connected(conn, ns) }

// Drained tells a sender that everything has left, and that this is all that can be known.
func (d Driver) Drained() {
	d.t.post(func() {
		if d.t.sending != nil {
			d.t.perform(d.t.sending.Drained(time.Now()))
		}
	})
}

// Received tells a sender that the receiver has everything.
func (d Driver) Received() { d.t.received(filetransfer.Received{}) }

// Ended tells that the transfer was ended, by the peer or by a failure on the way to it.
func (d Driver) Ended(r *jingle.Reason, byPeer bool, err error) { d.t.ended(r, byPeer, err) }

// Outgoing begins to send a file to a full address by another protocol than Jingle. signal is called once, before
// anything else; sid names the transfer. The caller then offers the file and tells the driver of the answer.
func (m *Manager) Outgoing(peer jid.JID, sid string, src Source, h Hashing, a Attempt, signal func(Driver) Signaling) (*Transfer, error) {
	if src.Open == nil || src.Name == "" || src.Size < 0 {
		return nil, errors.New("transfers: a source needs Name, Size and Open")
	}
	id := jingle.ContentID{Creator: jingle.Initiator, Name: contentName}
	file := src.describe(filetransfer.MediaTypeDashed)
	file.HashUsed = nil // there is no <checksum/> to follow
	if a.Ref != nil {
		file.Extra = append(file.Extra, a.Ref.Element())
	}
	t := m.newTransfer(peer, id, file)
	t.sid, t.source, t.out, t.resumed = sid, &src, true, a.Again
	t.sending = filetransfer.NewSending(filetransfer.SendingConfig{
		Content: id, Offer: file, ConfirmTimeout: m.cfg.ConfirmTimeout, Resumes: a.Again, Hash: bool(h) && len(src.Hashes) == 0,
	})
	t.signaling = signal(Driver{t})
	if err := m.start(t); err != nil {
		return nil, err
	}
	return t, nil
}

// Offer begins a transfer for a file that a peer offers by another protocol than Jingle. The file may have no size if
// [Driver.Sized] tells it later. The error is an [*engine.Rejection] if the file cannot be taken, a
// [*jingle.StanzaError] if there are too many.
func (m *Manager) Offer(peer jid.JID, sid string, file filetransfer.File, signal func(Driver) Signaling) (*Transfer, error) {
	t, err := m.incoming(peer, sid, file, true, signal)
	if err == nil {
		t.offered()
	}
	return t, err
}

// Fetch begins a transfer that goes on with one that the user has agreed to: nobody is asked. It waits for
// [Transfer.AcceptInto].
func (m *Manager) Fetch(peer jid.JID, sid string, file filetransfer.File, signal func(Driver) Signaling) (*Transfer, error) {
	return m.incoming(peer, sid, file, false, signal)
}

func (m *Manager) incoming(peer jid.JID, sid string, file filetransfer.File, theirs bool, signal func(Driver) Signaling) (*Transfer, error) {
	if m.cfg.RequireEncryption {
		return nil, m.refuseClear(peer)
	}
	id := jingle.ContentID{Creator: jingle.Initiator, Name: contentName}
	receiving, no := filetransfer.NewReceiving(filetransfer.ReceivingConfig{
		Content: id, Offer: file, MaxSize: m.cfg.MaxSize, ChecksumGrace: m.cfg.ChecksumGrace, SizeLater: true,
		Mend: m.cfg.Mend != nil,
	})
	if no != nil {
		return nil, &engine.Rejection{Reason: no}
	}
	t := m.newTransfer(peer, id, file)
	t.sid, t.receiving, t.theirs, t.resumed = sid, receiving, theirs, !theirs
	t.signaling = signal(Driver{t})
	if err := m.start(t); err != nil {
		return nil, err
	}
	return t, nil
}

// session is the signaling of a transfer in a Jingle session.
type session struct {
	t   *Transfer
	app *application
}

func (s session) Accept(answer filetransfer.File) {
	s.t.inSession(func(*engine.Session) { s.app.decide(s.t, &answer) })
}

func (s session) Sent(hashes.Sums) {} // the receiver says so

func (s session) Info(p jingle.Payload) {
	if _, ok := p.(filetransfer.Received); ok && s.t.transport == ice.NSUDP {
		return // stanza.js, whose transport this is, hangs at it; the end of the session says the same
	}
	p = s.t.prove(p)
	s.t.inSession(func(es *engine.Session) {
		if err := es.Do(&jingle.Message{Action: jingle.SessionInfo, Info: []jingle.Payload{p}}); err != nil {
			es.Log().Debug("session-info", "err", err)
		}
	})
}

func (s session) End(r *jingle.Reason) { s.t.inSession(func(*engine.Session) { s.app.end(s.t, r) }) }

// Lasts implements [Signaling].
func (s session) Lasts() bool { return true }

func (s session) Heard() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.t.session != nil {
		s.t.session.Heard()
	}
}
