package transfers

import (
	"errors"
	"io"
	"slices"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jet"
)

// contentName is the name of the content that we offer a file in. Conversations wants at most 16 characters.
const contentName = "file"

// SendOptions says how a file is offered; the zero value is the default.
type SendOptions struct {
	// MediaType is how the media type is written (default both ways, as Conversations reads only its own).
	MediaType filetransfer.MediaTypeSpelling
	// Transports replaces [Config.Transports] if it is not empty.
	Transports []engine.TransportFactory
	// Resumes names the transfer that this one goes on with; nil begins a new one.
	Resumes *resume.Ref
	// Envelope, if not nil, encrypts the file (XEP-0391): the peer must be able to open it.
	Envelope jet.Envelope
	// RequireEncryption ends the transfer if its bytes could be read on their way.
	RequireEncryption bool
	// Confirms is that of [filetransfer.SendingConfig].
	Confirms bool
}

// Send offers a file to a full address.
func (m *Manager) Send(e *engine.Engine, peer jid.JID, src Source, opts SendOptions) (*Transfer, error) {
	ts, err := m.SendMany(e, peer, []Source{src}, opts)
	if err != nil {
		return nil, err
	}
	return ts[0], nil
}

// Offers reports whether a session-initiate is about files, so that its session belongs to [Manager.Incoming].
func Offers(m *jingle.Message) bool {
	return slices.ContainsFunc(m.Contents, func(c jingle.Content) bool { return filetransfer.IsNS(jingle.NSOf(c.Description)) })
}

// Incoming takes a session of a peer; it has the form of [engine.Config.Incoming]. Contents that are no offers of a
// file we can take are left out when the session is accepted; if there is no other, the session is refused.
func (m *Manager) Incoming(s *engine.Session, msg *jingle.Message) (engine.Application, error) {
	app := &application{}
	app.bind(s)
	factories := m.cfg.Transports(s.Peer(), false)
	var no *jingle.Reason
	var ts []*Transfer
	for i := range msg.Contents {
		c := &msg.Contents[i]
		usable := factories
		if m.cfg.RequireEncryption && c.Security == nil {
			usable = onlyEncrypted(factories)
		}
		file, why := m.offered(c, usable)
		var sec *secured
		if why == nil {
			sec, why = m.open(s, c, file)
		}
		if why != nil {
			if no == nil {
				no = why
			}
			continue
		}
		d, _ := c.Description.(filetransfer.Description)
		if requests(c, d) {
			t := m.serving(s, c, d.NS, file)
			t.signaling = session{t, app}
			it := &item{t: t, id: c.ID(), offer: *c}
			t.demand = m.cfg.RequireEncryption
			t.secure(sec)
			it.stream = app.newStream(it, usable)
			app.items, ts = append(app.items, it), append(ts, t)
			continue
		}
		t := m.newTransfer(s.Peer(), c.ID(), file)
		t.sid, t.signaling, t.theirs = s.SID(), session{t, app}, true
		t.receiving, why = filetransfer.NewReceiving(filetransfer.ReceivingConfig{
			Content: c.ID(), NS: d.NS, Offer: file, MaxSize: m.cfg.MaxSize, ChecksumGrace: m.cfg.ChecksumGrace,
			Mend: m.cfg.Mend != nil,
		})
		if why != nil {
			no = why
			continue
		}
		t.demand = m.cfg.RequireEncryption
		t.secure(sec)
		it := &item{t: t, id: c.ID(), offer: *c}
		it.stream = app.newStream(it, usable)
		app.items, ts = append(app.items, it), append(ts, t)
	}
	if len(ts) == 0 {
		if no == nil {
			no = &jingle.Reason{Condition: jingle.UnsupportedApplications}
		}
		return nil, &engine.Rejection{Reason: no}
	}
	if err := m.start(ts...); err != nil {
		if errors.Is(err, ErrClosed) {
			err = jingle.ErrServiceUnavailable()
		}
		return nil, err
	}
	return app, nil
}

// offered returns the file that a content offers, or why it cannot be taken.
func (m *Manager) offered(c *jingle.Content, factories []engine.TransportFactory) (filetransfer.File, *jingle.Reason) {
	d, ok := c.Description.(filetransfer.Description)
	no := func(cond jingle.Condition, text string) (filetransfer.File, *jingle.Reason) {
		return filetransfer.File{}, &jingle.Reason{Condition: cond, Text: text}
	}
	ns := jingle.NSOf(c.Transport)
	switch {
	case !ok:
		return no(jingle.UnsupportedApplications, "This is not a file.")
	case requests(c, d) && m.cfg.Shared == nil:
		return filetransfer.File{}, NotAvailable()
	case len(d.More) > 0:
		return no(jingle.FailedApplication, "Each file needs a content of its own.")
	case !slices.ContainsFunc(factories, func(f engine.TransportFactory) bool { return f.NS() == ns }):
		if m.cfg.RequireEncryption && c.Security == nil {
			return no(jingle.SecurityError, textClear)
		}
		return no(jingle.UnsupportedTransports, "The offered transport is not supported here.")
	}
	return d.File, nil
}

// requests reports whether a content asks for a file (XEP-0234 section 4.1, and the form of version :3).
func requests(c *jingle.Content, d filetransfer.Description) bool {
	return c.Senders == jingle.SendersResponder || d.Form == "request"
}

// application is one session with files. It belongs to the session's goroutine.
type application struct {
	s     *engine.Session
	items []*item
}

// item is one file of a session.
type item struct {
	t       *Transfer
	id      jingle.ContentID
	offer   jingle.Content // the peer's
	stream  *engine.Stream
	answer  *filetransfer.File // what we accept it with, once decided
	decided bool
	over    bool
	early   []jingle.InfoReceived // of the transport, from before we answered
}

// maxEarly bounds the transport-infos that are kept while the user decides.
const maxEarly = 32

func (a *application) bind(s *engine.Session) {
	a.s = s
	for _, it := range a.items {
		it.t.setSession(s)
	}
}

func (a *application) newStream(it *item, factories []engine.TransportFactory) *engine.Stream {
	it.t.setSession(a.s)
	return engine.NewStream(engine.StreamConfig{
		Session: a.s, Content: it.id, Factories: factories,
		Connected: func(conn io.ReadWriteCloser, ns string) { it.t.connected(conn, ns) },
	})
}

// Handle implements [engine.Application].
func (a *application) Handle(s *engine.Session, ev jingle.Event) error {
	handled, err := false, error(nil)
	for _, it := range a.items {
		if it.stream == nil {
			continue
		}
		if info, ok := ev.(jingle.InfoReceived); ok && it.keepEarly(info) {
			handled = true
			continue
		}
		h, e := it.stream.Handle(ev)
		handled = handled || h
		if err == nil {
			err = e
		}
	}
	switch ev := ev.(type) {
	case jingle.Initiated:
		for _, it := range a.items {
			it.stream.Ready()
			if it.t.out {
				it.t.serve()
			} else {
				it.t.offered()
			}
		}
	case jingle.Accepted:
		a.accepted(ev.Message)
	case jingle.InfoReceived:
		if ev.Message.Action == jingle.TransportInfo && handled {
			return err
		}
		return a.info(ev.Message)
	case jingle.ContentAdded:
		// XEP-0234 section 6.3. Another session does as well.
		return s.Do(&jingle.Message{Action: jingle.ContentReject, Contents: bare(ev.Message.Contents),
			Reason: &jingle.Reason{Condition: jingle.FailedApplication, Text: "Offer further files in a session of their own."}})
	case jingle.ContentRemoved:
		for _, c := range ev.Message.Contents {
			a.ended(c.ID(), ev.Message.Reason, !ev.Local)
		}
	case jingle.Ended:
		for _, it := range a.items {
			it.over = true
			it.t.ended(ev.Reason, ev.ByPeer, ev.Err)
		}
	}
	return nil
}

// keepEarly keeps a transport-info that comes before the answer: candidates may follow an offer at once (XEP-0260
// section 2.2).
func (it *item) keepEarly(ev jingle.InfoReceived) bool {
	mine := slices.ContainsFunc(ev.Message.Contents, func(c jingle.Content) bool { return c.ID() == it.id })
	if ev.Message.Action != jingle.TransportInfo || !mine || it.over || it.stream.NS() != "" {
		return false
	}
	if len(it.early) < maxEarly {
		it.early = append(it.early, ev)
	}
	return true
}

// groupsOf returns the group that Conversations puts the content of a data channel into (XEP-0338), as WebRTC has it.
func groupsOf(transport jingle.Payload, name string) []jingle.Group {
	if jingle.NSOf(transport) != ice.NSDataChannel {
		return nil
	}
	return []jingle.Group{{Semantics: "BUNDLE", Contents: []string{name}}}
}

// bare returns contents by their identity only.
func bare(cs []jingle.Content) []jingle.Content {
	out := make([]jingle.Content, len(cs))
	for i, c := range cs {
		out[i] = jingle.Content{Creator: c.Creator, Name: c.Name, Senders: c.Senders}
	}
	return out
}

func (a *application) find(id jingle.ContentID) *item {
	for _, it := range a.items {
		if it.id == id {
			return it
		}
	}
	return nil
}

func (a *application) accepted(m *jingle.Message) {
	for _, it := range a.items {
		i := slices.IndexFunc(m.Contents, func(c jingle.Content) bool { return c.ID() == it.id })
		if i < 0 {
			a.ended(it.id, &jingle.Reason{Condition: jingle.Decline}, true)
			continue
		}
		var file *filetransfer.File
		if d, ok := m.Contents[i].Description.(filetransfer.Description); ok {
			file = &d.File
		}
		it.t.accepted(file)
	}
}

func (a *application) ended(id jingle.ContentID, r *jingle.Reason, byPeer bool) {
	if it := a.find(id); it != nil && !it.over {
		it.over = true
		it.stream.Close()
		if r == nil {
			r = &jingle.Reason{Condition: jingle.Cancel}
		}
		it.t.ended(r, byPeer, nil)
	}
}

// info takes a session-info.
func (a *application) info(m *jingle.Message) error {
	if m.Action != jingle.SessionInfo {
		return jingle.ErrUnsupportedInfo("This says nothing about a file.")
	}
	for _, p := range m.Info {
		switch p := p.(type) {
		case filetransfer.Checksum:
			a.each(p.Name, func(t *Transfer) { t.checksum(p) })
		case filetransfer.Received:
			a.each(p.Name, func(t *Transfer) { t.received(p) })
		case filetransfer.Abort:
			r := &jingle.Reason{Condition: jingle.Cancel}
			a.each("", func(t *Transfer) { t.Cancel(r) })
		default:
			return jingle.ErrUnsupportedInfo("This says nothing about a file.")
		}
	}
	return nil
}

// each gives every transfer that a name can mean to f. The machines look at the name again.
func (a *application) each(name string, f func(*Transfer)) {
	for _, it := range a.items {
		if name == "" || name == it.id.Name {
			f(it.t)
		}
	}
}

// decide takes the user's decision about an offer; answer is nil for no.
func (a *application) decide(t *Transfer, answer *filetransfer.File) {
	for _, it := range a.items {
		if it.t == t {
			it.decided, it.answer = true, answer
		}
	}
	if a.s.State() != jingle.Pending || slices.ContainsFunc(a.items, func(it *item) bool { return !it.decided }) {
		return
	}
	// XEP-0166 section 7.2.8: what is left out is declined.
	msg := &jingle.Message{Action: jingle.SessionAccept}
	var streams []*engine.Stream
	var no *jingle.Reason
	for _, it := range a.items {
		if it.answer == nil {
			continue
		}
		transport, err := it.stream.Answer(it.offer.Transport)
		if err != nil {
			no = &jingle.Reason{Condition: jingle.FailedTransport, Text: err.Error()}
			a.ended(it.id, no, false)
			continue
		}
		for _, ev := range it.early {
			if _, err := it.stream.Handle(ev); err != nil {
				a.s.Log().Debug("early transport-info", "err", err)
			}
		}
		it.early = nil
		d, _ := it.offer.Description.(filetransfer.Description)
		d.File = *it.answer
		streams = append(streams, it.stream)
		msg.Groups = append(msg.Groups, groupsOf(transport, it.id.Name)...)
		msg.Contents = append(msg.Contents, jingle.Content{
			Creator: it.id.Creator, Name: it.id.Name, Senders: it.offer.Senders, Description: d, Transport: transport,
		})
	}
	if len(msg.Contents) == 0 {
		if no == nil {
			no = &jingle.Reason{Condition: jingle.Decline}
		}
		a.s.Terminate(no)
		return
	}
	if err := a.s.Do(msg); err != nil {
		a.s.Terminate(&jingle.Reason{Condition: jingle.GeneralError, Text: err.Error()})
		return
	}
	for _, st := range streams {
		st.Start()
	}
}

// end ends one file for a reason of ours, and the session with its last one.
func (a *application) end(t *Transfer, r *jingle.Reason) {
	i := slices.IndexFunc(a.items, func(it *item) bool { return it.t == t })
	if i < 0 || a.items[i].over || a.s.State() == jingle.Done {
		return
	}
	it := a.items[i]
	it.over = true
	others := slices.ContainsFunc(a.items, func(o *item) bool { return !o.over })
	switch {
	case !others:
		// XEP-0234 section 6.6: by the one who is last to have everything.
		a.s.Terminate(r)
	case a.s.State() == jingle.Pending && it.offer.Name != "":
		a.decide(t, nil)
	case r.Condition != jingle.Success:
		it.stream.Close()
		err := a.s.Do(&jingle.Message{Action: jingle.ContentRemove, Reason: r,
			Contents: []jingle.Content{{Creator: it.id.Creator, Name: it.id.Name}}})
		if err != nil {
			a.s.Log().Debug("content-remove", "err", err)
		}
	}
}
