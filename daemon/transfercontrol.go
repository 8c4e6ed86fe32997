package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
)

// PauseTransfer lets a transfer rest until the user goes on with it.
func (d *Daemon) PauseTransfer(_ context.Context, req *jingledv1.PauseTransferRequest) (*jingledv1.PauseTransferResponse, error) {
	a, x, err := d.resumable(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	if !x.resting() {
		t, offered := x.t, x.state == jingledv1.TransferState_TRANSFER_STATE_OFFERED
		a.mu.Unlock()
		if offered || t == nil {
			return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the transfer has not begun"))
		}
		t.Pause() // what follows comes as an event
		return &jingledv1.PauseTransferResponse{}, nil
	}
	was := x.j.Phase
	x.rest(state.Paused)
	told := &jingledv1.TransferInterrupted{Bytes: x.j.Bytes, Size: x.j.Size, Reason: string(jingle.Cancel),
		Text: "The transfer is paused.", State: x.state}
	a.mu.Unlock()
	if was != state.Paused {
		a.journal(x)
		a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferInterrupted{TransferInterrupted: told}})
	}
	return &jingledv1.PauseTransferResponse{}, nil
}

// ResumeTransfer goes on with an interrupted transfer at once, or as soon as the peer is there.
func (d *Daemon) ResumeTransfer(_ context.Context, req *jingledv1.ResumeTransferRequest) (*jingledv1.ResumeTransferResponse, error) {
	a, x, err := d.resumable(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	resting := x.resting()
	if resting {
		x.delay, x.j.Fruitless = 0, 0
		x.rest(state.Waiting)
		// A receiver asks: the sender may have been told that the transfer is paused.
		x.next, x.j.Pull = time.Now(), x.incoming
	}
	a.mu.Unlock()
	if !resting {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the transfer is not interrupted"))
	}
	a.journal(x)
	a.wake()
	return &jingledv1.ResumeTransferResponse{}, nil
}

// resumable finds a transfer that can be interrupted.
func (d *Daemon) resumable(account, sid string) (*account, *transfer, error) {
	a, err := d.account(account)
	if err != nil {
		return nil, nil, err
	}
	x, err := a.transferByID(sid)
	if err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	can := x.j != nil || x.state == jingledv1.TransferState_TRANSFER_STATE_OFFERED
	a.mu.Unlock()
	switch {
	case can:
		return a, x, nil
	case d.state == nil:
		err = errors.New("this daemon cannot go on with transfers later: give it a state folder")
	default:
		err = errors.New("a transfer by this road cannot be interrupted")
	}
	return nil, nil, connect.NewError(connect.CodeFailedPrecondition, err)
}

// cancel ends a transfer for good, with a session or without.
func (a *account) cancel(x *transfer, why *jingle.Reason) {
	a.mu.Lock()
	t := x.t
	x.cancelled = why // should the session end in another way before it hears of this
	var row state.Unfinished
	if x.j != nil {
		row = *x.j
	}
	a.mu.Unlock()
	switch {
	case a.end(x, &jingledv1.TransferFailed{Reason: string(why.Condition), Text: why.Text}):
		a.tellCancelled(row)
	case t != nil:
		t.Cancel(why)
	}
}

// tellEnded tells it of a file whose sending has failed for good: the receiver may have seen more of it than we, and wait
// for the rest.
func (a *account) tellEnded(x *transfer) {
	a.mu.Lock()
	j := x.j
	var row state.Unfinished
	if j != nil {
		row = *j
	}
	a.mu.Unlock()
	if j != nil {
		a.tellCancelled(row)
	}
}

// receiveCancelled hears it. It runs on the dispatcher.
func (a *account) receiveCancelled(iq *xmpp.IQ) {
	c, err := resume.ParseCancelled(iq.Payload)
	if iq.Type != "set" || err != nil {
		iq.Fail(jingle.ErrBadRequest("This does not say which transfer is given up."))
		return
	}
	a.mu.Lock()
	var x *transfer
	for _, o := range a.transfers {
		if o.j != nil && o.peer.Bare() == iq.From.Bare() && ref(o.j) == c.Ref {
			x = o
			if !x.resting() { // its session is just ending
				x.cancelled = &jingle.Reason{Condition: jingle.Cancel}
			}
		}
	}
	a.mu.Unlock()
	if x == nil {
		iq.Fail(jingle.ErrServiceUnavailable()) // whatever the reason
		return
	}
	iq.Reply(nil)
	a.journals.tasks.Go(func() {
		a.end(x, &jingledv1.TransferFailed{Reason: string(jingle.Cancel), ByPeer: true})
	})
}

// maxRequested bounds the files that are asked for in one session.
const maxRequested = 32

// RequestFiles asks a peer for files that it shares.
func (d *Daemon) RequestFiles(ctx context.Context, req *jingledv1.RequestFilesRequest) (*jingledv1.RequestFilesResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	invalid := func(err error) (*jingledv1.RequestFilesResponse, error) {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	peer, err := jid.Parse(req.GetPeer())
	if err != nil {
		return invalid(err)
	}
	dir := req.GetDir()
	if dir == "" {
		dir = d.cfg.Downloads
	}
	if dir == "" || !filepath.IsAbs(dir) {
		return invalid(fmt.Errorf("%q is no absolute path of a folder", dir))
	}
	if folder, err := store.Open(dir, store.Config{}); err != nil {
		return invalid(err)
	} else if err := folder.Close(); err != nil {
		return nil, err
	}
	var files []filetransfer.File
	for _, s := range req.GetFiles() {
		f := filetransfer.File{Name: s.GetName()}
		if s.GetHash() != "" {
			algo, sum, ok := cutHash(s.GetHash())
			h, err := hashOf(algo, strings.ToLower(sum))
			if !ok || !algo.Known() || err != nil {
				return invalid(fmt.Errorf("%q is no hash such as sha-256:e3b0", s.GetHash()))
			}
			f.Hashes = append(f.Hashes, h)
		}
		if f.Name == "" && len(f.Hashes) == 0 {
			return invalid(errors.New("a file needs a name or a hash"))
		}
		files = append(files, f)
	}
	if len(files) == 0 || len(files) > maxRequested {
		return invalid(fmt.Errorf("%d files are asked for; from 1 to %d can be", len(files), maxRequested))
	}
	if a.client.State().State != xmpp.Online {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is not connected", a.cfg.JID))
	}
	device, caps, err := a.find(ctx, peer, canTakeFiles)
	if err != nil {
		return nil, err
	}
	opts, err := a.sendOptions(ctx, device, caps, d.wish())
	if err != nil {
		return nil, err
	}
	opts.Transports = a.roadsTo(device, caps)
	var requests []transfers.Request
	for _, f := range files {
		requests = append(requests, transfers.Request{File: f, Take: func(t *transfers.Transfer, answer filetransfer.File) (transfers.Target, error) {
			return a.take(t, answer, dir)
		}})
	}
	out := &jingledv1.RequestFilesResponse{}
	a.mu.Lock()
	defer a.mu.Unlock() // their first events wait until they have names
	ts, err := a.files.manager.Request(a.engine, device, requests, opts)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	for i, t := range ts {
		x := &transfer{path: dir}
		a.enter(t, x)
		x.state = jingledv1.TransferState_TRANSFER_STATE_CONNECTING
		if x.name = t.Name(); files[i].Name == "" {
			x.name = req.GetFiles()[i].GetHash()
		}
		out.Sids = append(out.Sids, x.id)
	}
	return out, nil
}

// take makes the file for what was asked for, when the peer has agreed to send it.
func (a *account) take(t *transfers.Transfer, answer filetransfer.File, dir string) (transfers.Target, error) {
	folder, err := store.Open(dir, store.Config{})
	if err != nil {
		return nil, err
	}
	file, err := folder.Create(answer.Name, *answer.Size)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	x := a.update(t, nil)
	a.mu.Lock()
	x.folder, x.name = folder, t.Name()
	if x.j = a.rowOfReceived(x, dir, file.Part()); x.j != nil {
		x.j.Pull = true
	}
	a.mu.Unlock()
	a.journal(x)
	return file, nil
}
