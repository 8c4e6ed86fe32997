package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
)

const (
	// maxHashing bounds the answers about blocks that are computed at one time.
	maxHashing = 4
	// maxMended bounds the spans that are fetched again, one by one; with more the file goes on from the first of them.
	maxMended = 32
)

// receiveBlocks answers what the hashes of a file's blocks are (package resume). It runs on the dispatcher.
func (a *account) receiveBlocks(iq *xmpp.IQ) {
	b, err := resume.ParseBlocks(iq.Payload)
	if iq.Type != "get" || err != nil || len(b.Sums) > 0 {
		iq.Fail(jingle.ErrBadRequest("This does not ask for the hashes of blocks."))
		return
	}
	x := a.sent(iq.From, b.Ref)
	if x == nil {
		iq.Fail(jingle.ErrServiceUnavailable()) // whatever the reason
		return
	}
	a.mu.Lock()
	row, t := *x.j, x.t
	busy := a.journals.hashing >= maxHashing
	if !busy {
		a.journals.hashing++
	}
	a.mu.Unlock()
	if busy {
		iq.Fail(jingle.ErrResourceConstraint("Too much is being hashed already."))
		return
	}
	if t != nil {
		t.Stir()
	}
	a.journals.tasks.Go(func() {
		defer func() {
			a.mu.Lock()
			a.journals.hashing--
			a.mu.Unlock()
		}()
		sums, err := hashOfBlocks(row, b)
		if err != nil || len(sums) == 0 {
			a.log.Info("blocks cannot be hashed", "path", row.Path, "err", err)
			iq.Fail(jingle.ErrServiceUnavailable())
			return
		}
		b.Count, b.Sums = int64(len(sums)/resume.SumSize), sums
		iq.Reply(b.Element())
	})
}

func hashOfBlocks(row state.Unfinished, b resume.Blocks) ([]byte, error) {
	if _, err := sourceOf(row); err != nil {
		return nil, err
	}
	f, err := os.Open(row.Path)
	if err != nil {
		return nil, err
	}
	sums, err := resume.Hash(f, int64(row.Size), b)
	return sums, errors.Join(err, f.Close())
}

// sent finds a transfer to a peer by the name that both sides know it by, nil if there is none that can be resumed.
func (a *account) sent(peer jid.JID, r resume.Ref) *transfer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.transfers {
		if x.j != nil && !x.incoming && x.peer.Bare() == peer.Bare() && ref(x.j) == r {
			return x
		}
	}
	return nil
}

// check compares what has come of a file with what the sender has, and returns from where to go on. What is damaged is
// fetched again alone. With other clients than ours only what is known to be on the disk counts.
func (a *account) check(sender jid.JID, row state.Unfinished, file *store.File) (int64, error) {
	there, err := fileSize(file)
	if err != nil {
		return 0, err
	}
	have := min(there, int64(row.Bytes), int64(row.Size))
	if !a.ours(sender) {
		return have, nil
	}
	// Blocks say more than the journal: what came after its last entry counts if it is right.
	size := resume.BlockSize(int64(row.Size))
	if there = min(there, int64(row.Size)); there < int64(row.Size) {
		there -= there % size
	}
	if there == 0 { // not even a block: the hash of the whole has to say it
		return have, nil
	}
	right, err := a.mend(sender, row, file, there)
	if err != nil { // then the hash of the whole has to say it
		a.log.Info("it is not known whether what has come of a file is right", "name", row.Part, "err", err)
		return have, nil
	}
	return right, nil
}

// ours reports whether a device knows package resume.
func (a *account) ours(device jid.JID) bool {
	a.mu.Lock()
	life := a.life
	a.mu.Unlock()
	_, ok := a.has(life, device, can{"say what is damaged", []string{resume.NS}})
	return ok
}

// mendAll repairs a complete file. It has the form of [transfers.Config.Mend].
func (a *account) mendAll(t *transfers.Transfer, target transfers.Target) error {
	a.mu.Lock()
	x := a.transferOf(t)
	if x == nil || x.j == nil {
		a.mu.Unlock()
		return errors.New("it is not known what is damaged")
	}
	row := *x.j
	a.mu.Unlock()
	file, ok := target.(*store.File)
	if !ok || !a.ours(t.Peer()) {
		return errors.New("the sender does not say what is damaged")
	}
	have, err := a.mend(t.Peer(), row, file, int64(row.Size))
	if err == nil && have < int64(row.Size) {
		err = errors.New("too much is damaged")
	}
	return err
}

// mend compares the first n bytes of a file, which end with a block, with the sender's, and fetches again what differs. It
// returns how many bytes are right then.
func (a *account) mend(sender jid.JID, row state.Unfinished, file *store.File, n int64) (int64, error) {
	a.mu.Lock()
	ctx := a.life
	a.mu.Unlock()
	for try := 0; ; try++ {
		spans, err := a.damaged(ctx, sender, row, file, n)
		if err != nil || len(spans) == 0 {
			return n, err
		}
		a.log.Info("what has come of a file is damaged", "name", row.Part, "places", len(spans), "try", try)
		if len(spans) > maxMended || try == 2 {
			return spans[0].Offset, nil
		}
		for _, s := range spans {
			if err := a.fetch(ctx, sender, row, file, s); err != nil {
				a.log.Info("a damaged part of a file cannot be fetched", "name", row.Part, "err", err)
				return spans[0].Offset, nil
			}
		}
	}
}

// damaged asks the sender for the hashes of the first n bytes and returns what differs.
func (a *account) damaged(ctx context.Context, sender jid.JID, row state.Unfinished, file *store.File, n int64) ([]resume.Span, error) {
	size := resume.BlockSize(int64(row.Size))
	var out []resume.Span
	for first, count := int64(0), resume.Count(n, size); first < count; first += resume.MaxCount {
		b := resume.Blocks{Ref: ref(&row), Size: size, First: first, Count: min(count-first, resume.MaxCount)}
		reply, err := a.client.Query(ctx, sender, "get", b.Element())
		if err != nil {
			return nil, fmt.Errorf("hashes of blocks: %w", err)
		}
		got, err := resume.ParseBlocks(reply)
		if err != nil {
			return nil, fmt.Errorf("hashes of blocks: %w", err)
		}
		if got.Sums == nil || got.First != b.First || got.Size != b.Size || got.Count != b.Count {
			return nil, errors.New("hashes of blocks: the answer is about others")
		}
		own, err := resume.Hash(file, n, b)
		if err != nil {
			return nil, err
		}
		out = append(out, resume.Differ(got, own, n)...)
	}
	return out, nil
}

// fetch asks the sender for a part of the file again.
func (a *account) fetch(ctx context.Context, sender jid.JID, row state.Unfinished, file *store.File, s resume.Span) error {
	want := selector(row)
	want.Range = &filetransfer.Range{Offset: &s.Offset, Length: &s.Length}
	want.Hashes = nil // these are of the whole
	ended := make(chan error, 1)
	caps := xmpp.Capabilities{Info: a.client.Known(sender)}
	opts, err := a.sendOptions(ctx, sender, caps, wish(row.Encryption))
	if err != nil {
		return err
	}
	opts.Transports = a.roadsTo(sender, caps)
	ts, err := a.files.manager.Request(a.engine, sender, []transfers.Request{{File: want,
		Take: func(*transfers.Transfer, filetransfer.File) (transfers.Target, error) {
			return &patch{io.NewOffsetWriter(file, s.Offset), file}, nil
		},
		Events: func(e transfers.Event) {
			switch e := e.(type) {
			case transfers.Done:
				ended <- nil
			case transfers.Failed:
				ended <- fmt.Errorf("a part of the file could not be fetched: %s (%s)", e.Text, e.Reason)
			}
		}}}, opts)
	if err != nil {
		return err
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		ts[0].Cancel(nil)
		err = context.Cause(ctx)
	}
	<-ts[0].Done()
	return err
}

// patch is a part of a file that is written over.
type patch struct {
	io.Writer
	file *store.File
}

// Sync implements [transfers.Target], as do the others.
func (p *patch) Sync() error { return p.file.Sync() }

// Commit leaves the file as it is: only a part of it is new.
func (p *patch) Commit() (string, error) { return "", nil }

// Keep does nothing.
func (p *patch) Keep() error { return nil }

// Discard does nothing: what is there was no good before either.
func (p *patch) Discard() error { return nil }

// Part returns the name of the file.
func (p *patch) Part() string { return p.file.Part() }

// hashOf makes the element of a hash in hex.
func hashOf(algo hashes.Algo, sum string) (hashes.Hash, error) {
	b, err := hex.DecodeString(sum)
	if err == nil && len(b) != algo.Size() {
		err = errors.New("wrong length")
	}
	return hashes.Of(algo, b), err
}

// shared finds what a peer asks for. It has the form of [transfers.Config.Shared].
func (a *account) shared(peer jid.JID, t *transfers.Transfer, want filetransfer.File) (transfers.Shared, *jingle.Reason) {
	r, named := resume.Find(want.Extra)
	if x := a.sent(peer, r); named && x != nil {
		a.mu.Lock()
		row, live := *x.j, x.t
		a.mu.Unlock()
		if weaker(t, &row) {
			return transfers.Shared{}, &jingle.Reason{Condition: jingle.SecurityError, Text: "The file goes on end-to-end encrypted only."}
		}
		src, err := sourceOf(row)
		if err != nil {
			return transfers.Shared{}, transfers.NotAvailable()
		}
		if want.Range != nil && want.Range.Length != nil || live != nil {
			if live != nil {
				live.Stir()
			}
			return transfers.Shared{Source: src, Quiet: true}, nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case a.transfers[x.id] != x || !x.resting():
			return transfers.Shared{}, transfers.NotAvailable()
		case x.j.Phase == state.Paused:
			return transfers.Shared{}, &jingle.Reason{Condition: jingle.Cancel, Text: "The transfer is paused.", App: resume.PausedElement()}
		}
		x.begin(t)
		return transfers.Shared{Source: src, Resumes: true}, nil
	}
	return a.sharedFile(peer, slices.Clone(want.Hashes), want)
}
