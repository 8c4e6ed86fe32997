package transfers

import (
	"errors"
	"fmt"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// MaxFiles bounds the files that are offered in one session.
const MaxFiles = 32

// SendMany offers files to a full address in one session, each as a content of its own (XEP-0234 section 6.3). The peer may
// take some of them and leave others.
func (m *Manager) SendMany(e *engine.Engine, peer jid.JID, srcs []Source, opts SendOptions) ([]*Transfer, error) {
	if len(srcs) == 0 || len(srcs) > MaxFiles {
		return nil, fmt.Errorf("transfers: %d files are offered; from 1 to %d can be", len(srcs), MaxFiles)
	}
	if opts.MediaType == filetransfer.MediaTypeDashed {
		opts.MediaType = filetransfer.MediaTypeBoth
	}
	app := &application{}
	var ts []*Transfer
	sid := engine.NewSID()
	for i, src := range srcs {
		if src.Open == nil || src.Name == "" || src.Size < 0 {
			return nil, errors.New("transfers: a source needs Name, Size and Open")
		}
		file := src.describe(opts.MediaType)
		if opts.Resumes != nil {
			file.Extra = append(file.Extra, opts.Resumes.Element())
		}
		id := jingle.ContentID{Creator: jingle.Initiator, Name: contentNumber(i)}
		t := m.newTransfer(peer, id, file)
		t.sid, t.source, t.out, t.resumed, t.demand = sid, &src, true, opts.Resumes != nil, opts.RequireEncryption
		t.sending = filetransfer.NewSending(filetransfer.SendingConfig{
			Content: id, Offer: file, ConfirmTimeout: m.cfg.ConfirmTimeout, Resumes: t.resumed, Confirms: opts.Confirms,
		})
		t.signaling = session{t, app}
		app.items, ts = append(app.items, &item{t: t, id: id}), append(ts, t)
	}
	if err := m.begin(e, peer, app, jingle.SendersInitiator, opts); err != nil {
		return nil, err
	}
	return ts, nil
}

// contentNumber is the name of the n-th content that we offer files in, from 0.
func contentNumber(n int) string {
	if n == 0 {
		return contentName
	}
	return fmt.Sprintf("%s-%d", contentName, n+1)
}

// begin starts the session of what we offer or ask for.
func (m *Manager) begin(e *engine.Engine, peer jid.JID, app *application, senders jingle.Senders, opts SendOptions) error {
	ts := make([]*Transfer, len(app.items))
	for i, it := range app.items {
		ts[i] = it.t
	}
	if err := m.start(ts...); err != nil {
		return err
	}
	_, err := e.Start(peer, ts[0].sid, app, func(s *engine.Session) error {
		app.bind(s)
		factories := opts.Transports
		if len(factories) == 0 {
			factories = m.cfg.Transports(peer, true)
		}
		msg := &jingle.Message{Action: jingle.SessionInitiate}
		for _, it := range app.items {
			security, usable, err := it.t.protect(opts, s, it.t.file, factories)
			if err != nil {
				return err
			}
			it.stream = app.newStream(it, usable)
			transport, err := it.stream.Offer()
			if err != nil {
				return &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.ConnectivityError, Text: err.Error()}}
			}
			msg.Groups = append(msg.Groups, groupsOf(transport, it.id.Name)...)
			msg.Contents = append(msg.Contents, jingle.Content{
				Creator: it.id.Creator, Name: it.id.Name, Senders: senders,
				Description: filetransfer.Description{File: it.t.file}, Transport: transport, Security: security,
			})
		}
		err := s.Do(msg)
		for _, it := range app.items {
			if err == nil {
				it.stream.Ready()
			}
		}
		return err
	})
	if err != nil {
		for _, t := range ts {
			t.post(func() {
				t.quiet = true // the caller is told
				t.fail(&jingle.Reason{Condition: jingle.GeneralError, Text: err.Error()}, err)
			})
		}
	}
	return err
}
