package daemon

import (
	"context"
	"errors"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// How transfers go on that are not Jingle's: by stream initiation the sender offers the file again, and a receiver answers
// with where it is (XEP-0096 section 3); what is fetched by https goes on by a range (RFC 9110 section 14); an upload begins
// anew, with another slot.

// gained reports whether a session that has broken has brought the transfer on: more than any before it, where it had to
// begin anew. The account's lock is held.
func (x *transfer) gained(e transfers.Failed) bool {
	n := uint64(max(e.Bytes, 0))
	on := e.Transfer.Copied() > 0 && (x.base > 0 || n > x.most)
	x.most = max(x.most, n)
	return on
}

// noteOrigin writes down where a file that is fetched comes from and how large it is; the account's lock is held.
func (a *account) noteOrigin(x *transfer, t *transfers.Transfer) {
	o, ok := a.files.web.Origin(t)
	if !ok || x.j == nil {
		return
	}
	x.j.URL, x.j.Validator, x.j.Pull, x.j.Size = o.URL, o.Validator, true, sizeOf(t)
	a.journals.tasks.Go(func() { a.journal(x) })
}

// offerAgain offers a file again by stream initiation, or uploads it again.
func (a *account) offerAgain(ctx context.Context, x *transfer, row state.Unfinished, peer jid.JID, src transfers.Source) error {
	var send func() (*transfers.Transfer, error)
	if jingledv1.Via(row.Via) == jingledv1.Via_VIA_HTTP {
		w, err := a.byWeb(ctx, peer, true)
		if err != nil {
			return err
		}
		send = func() (*transfers.Transfer, error) { return w.send(src) }
	} else {
		device, _, err := a.find(ctx, peer, canTakeSI)
		if err != nil {
			return err
		}
		r := ref(&row)
		send = func() (*transfers.Transfer, error) {
			return a.files.si.Send(device, src, si.SendOptions{Attempt: transfers.Attempt{Again: true, Ref: &r}})
		}
	}
	a.mu.Lock() // its first event waits until it has its name
	defer a.mu.Unlock()
	if a.transfers[x.id] != x || !x.resting() || x.j.Phase != state.Waiting {
		return nil
	}
	t, err := send()
	if err == nil {
		x.begin(t)
	}
	return err
}

// fetchRest fetches what is missing of a file from where it was fetched before.
func (a *account) fetchRest(ctx context.Context, x *transfer, row state.Unfinished) error {
	folder, file, have, err := a.reopen(row)
	if err != nil {
		return err
	}
	drop := func(err error) error { return errors.Join(err, file.Keep(), folder.Close()) }
	rest, err := a.files.web.Reopen(ctx, httpupload.Origin{URL: row.URL, Validator: row.Validator}, int64(row.Size), have)
	if err != nil {
		if _, ok := errors.AsType[*httpupload.FailedForGoodError](err); ok {
			err = drop(err)
			a.end(x, &jingledv1.TransferFailed{Reason: string(jingle.FailedTransport), Text: filetransfer.PlainText(err.Error(), 500)})
			return err
		}
		return drop(err)
	}
	known := filetransfer.File{Name: row.Name, Date: row.Date, MediaType: row.MediaType}
	if row.Size > 0 {
		known.Size = new(int64(row.Size))
	}
	if algo, sum, ok := cutHash(row.Hash); ok {
		if h, err := hashOf(algo, sum); err == nil {
			known.Hashes = append(known.Hashes, h)
		}
	}
	a.mu.Lock() // its first event waits until it has its name
	if a.transfers[x.id] != x || !x.resting() || x.j.Phase != state.Waiting {
		a.mu.Unlock()
		return drop(rest.Close())
	}
	t, err := a.files.web.Fetch(x.peer, row.SID, known, rest)
	if err != nil {
		a.mu.Unlock()
		return drop(err)
	}
	x.begin(t)
	x.folder = folder
	x.j.Part, x.j.Bytes = file.Part(), uint64(rest.Offset)
	a.mu.Unlock()
	a.journal(x)
	t.AcceptInto(file, rest.Offset)
	return nil
}
