package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
)

// How interrupted transfers go on: docs/architecture.md says who begins. What the peer begins comes to continues.

const (
	// firstDelay and lastDelay are how long an interrupted transfer waits before it is tried again, if nothing else says
	// that the peer is back.
	firstDelay, lastDelay = time.Second, 5 * time.Minute
	// soon is the same after a session that brought something.
	soon = 100 * time.Millisecond
	// maxFruitless is how many tries in a row may bring no byte before the user has to say whether to go on.
	maxFruitless = 20
	// maxTries bounds the tries at one time.
	maxTries = 8
)

// acceptFile takes an offered file into a folder, which is the transfer's.
func (a *account) acceptFile(x *transfer, folder *store.Folder) {
	if !x.t.Continues() {
		x.t.Accept(folder)
		return
	}
	file, err := folder.Create(x.t.File().Name, int64(x.size()))
	if err != nil {
		a.log.Info("a file cannot be stored", "folder", folder.Dir(), "err", err)
		x.t.Cancel(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored.", App: filetransfer.FileTooLarge()})
		return
	}
	a.mu.Lock()
	x.j = a.rowOfReceived(x, folder.Dir(), file.Part())
	a.mu.Unlock()
	a.journal(x)
	x.t.AcceptInto(file, 0)
}

// interrupted keeps a transfer whose session has ended. It returns false if it cannot go on.
func (a *account) interrupted(e transfers.Failed) bool {
	x := a.update(e.Transfer, nil)
	a.mu.Lock()
	if x.j == nil {
		a.mu.Unlock()
		return false
	}
	if x.j.Fruitless++; x.gained(e) {
		x.j.Fruitless, x.delay = 0, 0
	}
	if x.incoming || e.Transfer.Copied() > 0 {
		x.j.Bytes = uint64(max(e.Bytes, 0))
	}
	x.t = nil
	switch {
	case e.Interruption == transfers.Paused || x.j.Fruitless >= maxFruitless:
		x.rest(state.Paused)
	case e.Interruption == transfers.PausedByPeer:
		x.rest(state.PausedByPeer)
	default:
		x.rest(state.Waiting)
		if x.j.Fruitless == 0 {
			x.next = time.Now().Add(soon)
		}
	}
	told := &jingledv1.TransferInterrupted{Bytes: x.j.Bytes, Size: x.j.Size, Reason: string(e.Reason), Text: e.Text,
		ByPeer: e.ByPeer, State: x.state}
	cancelled := x.cancelled
	a.mu.Unlock()
	a.closeFolder(x)
	a.journal(x)
	a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferInterrupted{TransferInterrupted: told}})
	if cancelled != nil {
		a.cancel(x, cancelled)
		return true
	}
	a.wake()
	return true
}

// rest sets the phase of a transfer without a session; the account's lock is held.
func (x *transfer) rest(phase string) {
	x.j.Phase, x.rate = phase, 0
	switch phase {
	case state.Paused:
		x.state = jingledv1.TransferState_TRANSFER_STATE_PAUSED
	case state.PausedByPeer:
		x.state = jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER
	default:
		x.state = jingledv1.TransferState_TRANSFER_STATE_WAITING
		x.delay = min(max(2*x.delay, firstDelay), lastDelay)
		x.next = time.Now().Add(x.delay)
	}
}

// begin notes that a transfer has a session again; the account's lock is held.
func (x *transfer) begin(t *transfers.Transfer) {
	x.t, x.peer, x.base = t, t.Peer(), 0
	x.unpack = x.incoming && unpacks(t) && !x.keepArchive
	x.state, x.j.Phase = jingledv1.TransferState_TRANSFER_STATE_CONNECTING, state.Running
}

// resting reports whether a transfer is interrupted; the account's lock is held.
func (x *transfer) resting() bool {
	return x.j != nil && !x.over && x.state >= jingledv1.TransferState_TRANSFER_STATE_WAITING
}

func (a *account) wake() {
	select {
	case a.journals.wake <- struct{}{}:
	default:
	}
}

// expects reports whether a transfer with a peer is interrupted, which the peer may go on with whatever the policy says:
// the user has agreed to it.
func (a *account) expects(peer jid.JID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.transfers {
		if x.j != nil && x.peer.Bare() == peer.Bare() {
			return true
		}
	}
	return false
}

// peerBack tries at once what waits for a peer, one device of which has shown itself, or for anybody if device is "".
func (a *account) peerBack(device jid.JID) {
	bare := device.Bare()
	if device == "" {
		a.allUntold()
	} else {
		a.tellUntold(device)
	}
	a.mu.Lock()
	found := false
	for _, x := range a.transfers {
		if x.resting() && x.j.Phase == state.Waiting && (bare == "" || x.peer.Bare() == bare) {
			x.next, x.delay, found = time.Now(), 0, true
		}
	}
	a.mu.Unlock()
	if found {
		a.wake()
	}
}

// elsewhere ends in-band sessions with a device of a peer that is gone, as another one shows itself: it is the same
// program, started again, or the one to go on with. Other roads tell by themselves whether they still lead there.
func (a *account) elsewhere(shown jid.JID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.transfers {
		if x.j == nil || x.t == nil || x.road != roadNames[ibb.NS] || x.peer.Bare() != shown.Bare() || x.peer == shown {
			continue
		}
		if _, there := a.client.Resource(x.peer); !there {
			x.t.Interrupt(&jingle.Reason{Condition: jingle.Gone, Text: "The other side has been started again."})
		}
	}
}

// continues takes an offer that goes on with an interrupted transfer. It returns false if it is something new.
func (a *account) continues(e transfers.Offered) bool {
	peer := e.Transfer.Peer()
	r, named := resume.Find(e.File.Extra)
	a.mu.Lock()
	var x *transfer
	for _, o := range a.transfers {
		if o.j == nil || !o.incoming || o.peer.Bare() != peer.Bare() || !same(o.j, e.File) {
			continue
		}
		// Other clients do not name it. Then it has to be the only one that looks the same.
		if named && ref(o.j) == r || !named && o.resting() && o.j.Phase != state.Paused {
			x = o
			break
		}
	}
	weak := x != nil && weaker(e.Transfer, x.j)
	paused := x != nil && x.j.Phase == state.Paused
	sure := x != nil && (named || certain(x.j, e.File))
	if x != nil && !weak && !paused {
		x.offered = e.Transfer
	}
	a.mu.Unlock()
	switch {
	case weak:
		e.Transfer.Dismiss(&jingle.Reason{Condition: jingle.SecurityError, Text: "The transfer began end-to-end encrypted and goes on only so."})
		return true
	case paused:
		e.Transfer.Dismiss(&jingle.Reason{Condition: jingle.Cancel, Text: "The transfer is paused.", App: resume.PausedElement()})
		return true
	case x != nil:
		a.journals.tasks.Go(func() { a.goOn(x, e.Transfer, sure) })
		return true
	case named:
		if why := a.whyEnded(peer, r.SID); why != nil {
			e.Transfer.Dismiss(why)
			return true
		}
	}
	if !a.admits(peer, false) { // it came in because it could have gone on with something
		e.Transfer.Dismiss(&jingle.Reason{Condition: jingle.Decline})
		return true
	}
	return false
}

// whyEnded tells a sender that offers a file again how it ended here: it was killed before it heard of it. The reason is nil
// if nothing is known of such a file.
func (a *account) whyEnded(peer jid.JID, id string) *jingle.Reason {
	if a.d.state == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	known, complete, err := a.d.state.Ended(ctx, a.cfg.JID.String(), peer.Bare().String(), id, true)
	switch {
	case err != nil:
		a.log.Error("history", "err", err)
		return &jingle.Reason{Condition: jingle.Busy, Text: "It is not known here just now what became of the transfer."}
	case complete:
		return &jingle.Reason{Condition: jingle.Success}
	case known:
		return &jingle.Reason{Condition: jingle.Decline}
	}
	return nil
}

// withdrawn reports whether a failed transfer was the offer to go on with one, which nobody has begun to. Then that one
// stays as it is.
func (a *account) withdrawn(t *transfers.Transfer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.transfers {
		if x.offered == t {
			x.offered = nil
			return true
		}
	}
	return false
}

// goOn lets an offer go on with an interrupted transfer: from where it stopped, if that is sure to be the same file. Of
// several offers only the last one counts: the sender made it because it lost the others.
func (a *account) goOn(x *transfer, t *transfers.Transfer, sure bool) {
	a.mu.Lock()
	old, last := x.t, x.offered == t
	a.mu.Unlock()
	if last && old != nil { // the peer knows better than we that the session is dead
		old.Interrupt(&jingle.Reason{Condition: jingle.Gone, Text: "The transfer goes on in another session."})
		<-old.Done()
	}
	a.mu.Lock()
	if last = x.offered == t; last {
		x.offered = nil
	}
	if !last || a.transfers[x.id] != x || !x.resting() || x.j.Phase == state.Paused {
		a.mu.Unlock()
		why := a.whyEnded(t.Peer(), x.id)
		switch {
		case why != nil:
		case last:
			why = &jingle.Reason{Condition: jingle.Cancel}
		default:
			why = &jingle.Reason{Condition: jingle.Gone, Text: "The transfer goes on in another session."}
		}
		t.Dismiss(why)
		return
	}
	x.begin(t)
	row := *x.j
	a.mu.Unlock()
	folder, file, have, err := a.reopen(row)
	if err == nil && !sure {
		have = 0
	}
	if err == nil && sure {
		if have, err = a.check(t.Peer(), row, file); err != nil {
			a.log.Info("what has come of a file is not used", "name", row.Part, "err", err)
			have, err = 0, nil
		}
	}
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Keep(), folder.Close())
		}
		a.log.Info("a file cannot be stored", "folder", row.Path, "err", err)
		t.Cancel(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored."})
		return
	}
	a.mu.Lock()
	x.into(folder, file, have)
	a.mu.Unlock()
	a.journal(x)
	t.AcceptInto(file, have)
}

// reopen opens what there is of a file, or begins it anew.
func (a *account) reopen(u state.Unfinished) (*store.Folder, *store.File, int64, error) {
	folder, err := store.Open(u.Path, store.Config{})
	if err != nil {
		return nil, nil, 0, err
	}
	if u.Part != "" {
		file, err := folder.Reopen(u.Name, u.Part)
		if err == nil {
			var there int64
			if there, err = fileSize(file); err == nil {
				return folder, file, min(there, int64(u.Bytes)), nil
			}
			err = errors.Join(err, file.Keep())
		}
		a.log.Info("what has come of a file is lost", "name", u.Part, "err", err)
	}
	file, err := folder.Create(u.Name, int64(u.Size))
	if err != nil {
		return nil, nil, 0, errors.Join(err, folder.Close())
	}
	return folder, file, 0, nil
}

func fileSize(f *store.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// resumeLoop tries interrupted transfers again until ctx ends.
func (a *account) resumeLoop(ctx context.Context) {
	defer a.journals.tasks.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		a.expire(now)
		timer.Reset(a.tryDue(ctx, now))
		select {
		case <-a.journals.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// tryDue tries what is due and returns when to look again.
func (a *account) tryDue(ctx context.Context, now time.Time) time.Duration {
	wait := time.Hour
	if a.client.State().State != xmpp.Online {
		return wait
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.settled {
		return wait
	}
	tries := 0
	for _, x := range a.transfers {
		if x.attempting {
			tries++
		}
	}
	for _, x := range a.transfers {
		if !x.resting() || x.j.Phase != state.Waiting || x.attempting || x.incoming && !x.j.Pull {
			continue
		}
		if x.next.After(now) || tries >= maxTries {
			wait = min(wait, max(x.next.Sub(now), 100*time.Millisecond))
			continue
		}
		tries++
		x.attempting = true
		a.journals.tasks.Go(func() {
			err := a.try(ctx, x)
			a.mu.Lock()
			x.attempting = false
			if err != nil && x.resting() && x.j.Phase == state.Waiting {
				a.log.Debug("an interrupted transfer cannot go on yet", "sid", x.id, "err", err)
				if x.rest(state.Waiting); x.next.Before(now) {
					x.next = now.Add(firstDelay)
				}
			}
			a.mu.Unlock()
			a.wake()
		})
	}
	return wait
}

// try offers a file again, or asks for the rest of it.
func (a *account) try(ctx context.Context, x *transfer) error {
	a.mu.Lock()
	row, peer := *x.j, x.peer
	a.mu.Unlock()
	if x.incoming && row.URL != "" {
		return a.fetchRest(ctx, x, row)
	}
	var src transfers.Source
	if !x.incoming {
		var err error
		if src, err = sourceOf(row); err != nil {
			a.end(x, &jingledv1.TransferFailed{Reason: string(jingle.FailedApplication), Text: err.Error()})
			return err
		}
	}
	// The same device, if it is there: it has what was sent. Its resource may be another after a restart.
	if _, ok := a.client.Resource(peer); !ok {
		peer = peer.Bare()
	}
	if x.incoming {
		return a.pullRest(ctx, x, row, peer)
	}
	send, err := a.sendAgain(ctx, row, peer)
	if err != nil {
		return err
	}
	_, err = a.startAgain(x, func() (*transfers.Transfer, error) { return send(src) })
	return err
}

// startAgain gives an interrupted transfer a session, if it still waits for one. start is called with the account's lock
// held, so that the session's first event waits until the transfer is known by it.
func (a *account) startAgain(x *transfer, start func() (*transfers.Transfer, error)) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.transfers[x.id] != x || !x.resting() || x.j.Phase != state.Waiting {
		return false, nil
	}
	t, err := start()
	if err != nil {
		return false, err
	}
	x.begin(t)
	return true, nil
}

// into notes where a file goes to, and how much of it is there; the account's lock is held.
func (x *transfer) into(folder *store.Folder, file *store.File, have int64) {
	x.folder = folder
	x.j.Part, x.j.Bytes = file.Part(), uint64(have)
}

// sendAgain finds out how the rest of a file gets to a peer: by the protocol that it began with.
func (a *account) sendAgain(ctx context.Context, row state.Unfinished, peer jid.JID) (func(transfers.Source) (*transfers.Transfer, error), error) {
	r := ref(&row)
	switch jingledv1.Via(row.Via) {
	case jingledv1.Via_VIA_SI:
		device, _, err := a.find(ctx, peer, canTakeSI)
		return a.bySI(device, transfers.Attempt{Again: true, Ref: &r}).send, err
	case jingledv1.Via_VIA_HTTP:
		w, err := a.byWeb(ctx, peer, true)
		return w.send, err
	}
	device, opts, err := a.jingleAgain(ctx, row, peer)
	opts.Resumes = &r
	return func(src transfers.Source) (*transfers.Transfer, error) {
		return a.files.manager.Send(a.engine, device, src, opts)
	}, err
}

// jingleAgain finds the device to go on with by Jingle, protected and by the roads as the user wished at first.
func (a *account) jingleAgain(ctx context.Context, row state.Unfinished, peer jid.JID) (jid.JID, transfers.SendOptions, error) {
	device, caps, err := a.find(ctx, peer, canTakeFiles)
	if err != nil {
		return "", transfers.SendOptions{}, err
	}
	opts, err := a.sendOptions(ctx, device, caps, wish(row.Encryption))
	opts.Transports = a.roadsBy(jingledv1.Via(row.Via), device, caps)
	return device, opts, err
}

// sourceOf opens the file of an interrupted transfer, if it is still what it was.
func sourceOf(u state.Unfinished) (transfers.Source, error) {
	src, err := sourceAt(u.Path)
	if err == nil && (uint64(src.Size) != u.Size || !src.ModTime.Equal(u.ModTime)) {
		err = fmt.Errorf("%s has changed since it was offered", u.Path)
	}
	src.Desc = u.Desc
	return src, err
}

// pullRest asks for what is missing of a file (XEP-0234 section 6.2).
func (a *account) pullRest(ctx context.Context, x *transfer, row state.Unfinished, peer jid.JID) error {
	device, opts, err := a.jingleAgain(ctx, row, peer)
	if err != nil {
		return err
	}
	folder, file, _, err := a.reopen(row)
	if err != nil {
		return err
	}
	drop := func(err error) error { return errors.Join(err, file.Keep(), folder.Close()) }
	have, err := a.check(device, row, file)
	if err != nil {
		return drop(err)
	}
	want := selector(row)
	if have > 0 {
		want.Range = &filetransfer.Range{Offset: &have}
	}
	taken := false
	take := func(_ *transfers.Transfer, answer filetransfer.File) (transfers.Target, error) {
		if answer.Name == "" {
			answer.Name = row.Name
		}
		if !same(&row, answer) {
			return nil, errors.New("the file has changed at the other side")
		}
		taken = true
		return file, nil
	}
	var t *transfers.Transfer
	began, err := a.startAgain(x, func() (*transfers.Transfer, error) {
		ts, err := a.files.manager.Request(a.engine, device, []transfers.Request{{File: want, Take: take}}, opts)
		if err != nil {
			return nil, err
		}
		t = ts[0]
		x.into(folder, file, have)
		return t, nil
	})
	if !began {
		return drop(err)
	}
	a.journal(x)
	a.journals.tasks.Go(func() {
		if <-t.Done(); !taken { // nobody else closes it
			if err := file.Keep(); err != nil {
				a.log.Debug("close a part", "err", err)
			}
		}
	})
	return nil
}

// described returns all that is known of an interrupted file.
func described(u state.Unfinished) filetransfer.File {
	f := filetransfer.File{Name: u.Name, Date: u.Date, MediaType: u.MediaType}
	if u.Size > 0 {
		f.Size = new(int64(u.Size))
	}
	if algo, sum, ok := cutHash(u.Hash); ok {
		if h, err := hashOf(algo, sum); err == nil {
			f.Hashes = append(f.Hashes, h)
		}
	}
	return f
}

// selector says which file of a peer is meant.
func selector(u state.Unfinished) filetransfer.File {
	r, f := ref(&u), described(u)
	f.MediaType, f.Extra = "", append(f.Extra, r.Element())
	return f
}
