package transfers

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// maxRequests bounds the files that are asked for in one session.
const maxRequests = 32

// Request is a file to ask a peer for (XEP-0234 section 6.2).
type Request struct {
	// File says which: a name, a hash or anything else that the peer knows it by. Its range, if it has one, is the part that
	// is wanted.
	File filetransfer.File
	// Take is called on the transfer's goroutine when the peer has agreed, and returns where the bytes go. What it answers
	// has a size; its name is not safe. A range that begins later than 0 and has no length goes on with a file, which has
	// what lies before.
	Take func(t *Transfer, answer filetransfer.File) (Target, error)
	// Events replaces [Config.Events], if it is set.
	Events func(Event)
}

// Shared is a file that a peer gets because it has asked for it.
type Shared struct {
	Source Source
	// Quiet is a transfer that nobody is told of.
	Quiet bool
	// Resumes says that it goes on with an earlier one.
	Resumes bool
}

// NotAvailable is the reason for a file that is not there, or not for this peer, or that no files are shared: a peer cannot
// tell these apart (XEP-0234 section 9.1).
func NotAvailable() *jingle.Reason {
	return &jingle.Reason{Condition: jingle.FailedApplication, Text: "There is no such file.", App: filetransfer.FileNotAvailable()}
}

// Request asks a full address for files, in one session.
func (m *Manager) Request(e *engine.Engine, peer jid.JID, requests []Request, opts SendOptions) ([]*Transfer, error) {
	if len(requests) == 0 || len(requests) > maxRequests {
		return nil, fmt.Errorf("transfers: %d files are asked for; from 1 to %d can be", len(requests), maxRequests)
	}
	app := &application{}
	var ts []*Transfer
	sid := engine.NewSID()
	for i, r := range requests {
		if r.Take == nil {
			return nil, errors.New("transfers: a request needs Take")
		}
		id := jingle.ContentID{Creator: jingle.Initiator, Name: contentNumber(i)}
		t := m.newTransfer(peer, id, r.File)
		t.demand = opts.RequireEncryption
		t.sid, t.request, t.events = sid, &r, r.Events
		if r.File.Range != nil && r.File.Range.Length == nil { // it goes on with what is there before
			t.have = r.File.Range.Start()
			t.resumed = t.have > 0
		}
		t.receiving, _ = filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: id, SizeLater: true})
		t.signaling = session{t, app}
		app.items = append(app.items, &item{t: t, id: id})
		ts = append(ts, t)
	}
	if err := m.begin(e, peer, app, jingle.SendersResponder, opts); err != nil {
		return nil, err
	}
	return ts, nil
}

// granted takes the peer's answer to a request.
func (t *Transfer) granted(answer *filetransfer.File) {
	if t.finished {
		return
	}
	no := func(text string) { t.fail(&jingle.Reason{Condition: jingle.FailedApplication, Text: text}, nil) }
	if answer == nil || answer.Size == nil {
		no("The answer does not say how large the file is.")
		return
	}
	asked, file := t.request.File.Range, *answer
	offset, length, ok := asked.Span(*file.Size)
	if ok && file.Range != nil && (file.Range.Offset != nil || file.Range.Length != nil) {
		o, l, fits := file.Range.Span(*file.Size)
		ok = fits && o == offset && l == length
	}
	if !ok {
		no("The file is not the one that was asked for: its range is another.")
		return
	}
	if file.Range = nil; offset > 0 {
		file.Range = &filetransfer.Range{}
	}
	if file.Name == "" {
		file.Name = t.request.File.Name
	}
	file.Hashes = append(slices.Clip(file.Hashes), t.request.File.Hashes...)
	receiving, why := filetransfer.NewReceiving(filetransfer.ReceivingConfig{
		Content: t.content, Offer: file, MaxSize: t.m.cfg.MaxSize, ChecksumGrace: t.m.cfg.ChecksumGrace,
		Mend: t.m.cfg.Mend != nil && (asked == nil || asked.Length == nil),
	})
	if why != nil {
		t.fail(why, nil)
		return
	}
	t.mu.Lock()
	t.file = file
	t.mu.Unlock()
	target, err := t.request.Take(t, file)
	if err != nil {
		t.fail(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored.", App: filetransfer.FileTooLarge()}, err)
		return
	}
	t.receiving, t.target, t.total = receiving, target, length
	if asked != nil && asked.Length != nil {
		t.receiving.AcceptRange(offset, length)
		t.proceed()
		return
	}
	part, ok := target.(partial)
	switch {
	case offset == 0:
		t.receiving.Accept(0)
		t.proceed()
	case ok:
		t.prepare(part, offset, func() {
			t.receiving.Accept(offset)
			t.proceed()
		})
	default:
		no("The file cannot go on in the middle.")
	}
}

// proceed copies if the stream is there already.
func (t *Transfer) proceed() {
	t.limit = time.Now().Add(t.m.cfg.ConnectTimeout)
	if t.conn != nil {
		t.perform(t.receiving.Connected(time.Now()))
	}
}

// serving makes the transfer of a file that a peer asks for. Nobody is told of it before it is found.
func (m *Manager) serving(s *engine.Session, c *jingle.Content, ns string, want filetransfer.File) *Transfer {
	t := m.newTransfer(s.Peer(), c.ID(), want)
	t.sid, t.theirs, t.out, t.quiet, t.ns = s.SID(), true, true, true, ns
	t.sending = filetransfer.NewSending(filetransfer.SendingConfig{Content: c.ID(), NS: ns, Offer: filetransfer.File{Size: new(int64)}})
	return t
}

// serve looks for the file.
func (t *Transfer) serve() {
	t.post(func() {
		t.m.running.Go(func() {
			found, why := t.m.cfg.Shared(t.peer, t, t.File())
			t.post(func() { t.found(found, why) })
		})
	})
}

func (t *Transfer) found(s Shared, why *jingle.Reason) {
	if t.finished {
		return
	}
	if why == nil && (s.Source.Open == nil || s.Source.Name == "" || s.Source.Size < 0) {
		why = NotAvailable()
	}
	if why != nil {
		t.fail(why, nil)
		return
	}
	file := s.Source.describe(filetransfer.MediaTypeBoth)
	if want := t.file.Range; want != nil {
		if _, _, ok := want.Span(s.Source.Size); !ok {
			t.fail(&jingle.Reason{Condition: jingle.FailedApplication, Text: "The range that was asked for reaches over the end of the file."}, nil)
			return
		}
		file.Range = &filetransfer.Range{Offset: want.Offset, Length: want.Length}
	}
	t.mu.Lock()
	t.file = file
	t.mu.Unlock()
	t.source, t.quiet, t.resumed, t.decision = &s.Source, s.Quiet, s.Resumes, true
	t.sending = filetransfer.NewSending(filetransfer.SendingConfig{
		Content: t.content, NS: t.ns, Offer: file, ConfirmTimeout: t.m.cfg.ConfirmTimeout,
	})
	t.limit = time.Now().Add(t.m.cfg.ConnectTimeout)
	t.signaling.Accept(file)
	t.perform(t.sending.Accepted(time.Now(), nil))
}
