package daemon

import (
	"context"
	"errors"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/transfers"
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
	var t *transfers.Transfer
	began, err := a.startAgain(x, func() (_ *transfers.Transfer, err error) {
		if t, err = a.files.web.Fetch(x.peer, row.SID, described(row), rest); err == nil {
			x.into(folder, file, rest.Offset)
		}
		return t, err
	})
	if !began {
		if err == nil {
			err = rest.Close()
		}
		return drop(err)
	}
	a.journal(x)
	t.AcceptInto(file, rest.Offset)
	return nil
}
