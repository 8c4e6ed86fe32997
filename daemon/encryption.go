package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer/datachannel"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/jingle/jet/pinned"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// keyTimeout is how long a device may take to tell its key.
const keyTimeout = 15 * time.Second

// wish is what a user wants of the encryption of a file.
type wish uint8

const (
	// ifPossible encrypts end to end where both sides can.
	ifPossible wish = iota
	// required sends nothing that could be read on its way.
	required
	// unencrypted sends in the clear.
	unencrypted
	// endToEnd is for what goes on with a transfer that was encrypted end to end.
	endToEnd
)

func (d *Daemon) wishOf(req *jingledv1.SendFileRequest) (wish, error) {
	switch {
	case req.GetNoEncryption() && (req.GetRequireEncryption() || d.cfg.RequireEncryption):
		return 0, connect.NewError(connect.CodeInvalidArgument, errors.New("encryption is required, by the request or by the configuration"))
	case req.GetRequireEncryption():
		return required, nil
	case req.GetNoEncryption():
		return unencrypted, nil
	}
	return d.wish(), nil
}

// wish is what the configuration wants where nobody says anything.
func (d *Daemon) wish() wish {
	if d.cfg.RequireEncryption {
		return required
	}
	return ifPossible
}

// wishFor is what a transfer is written down with: what was once end to end goes on so or not at all.
func (x *transfer) wishFor() wish {
	if x.t.Encryption() == transfers.EndToEnd {
		return endToEnd
	}
	return x.wish
}

// weaker reports whether a session is less than what goes on in it was encrypted with.
func weaker(t *transfers.Transfer, u *state.Unfinished) bool {
	return wish(u.Encryption) == endToEnd && t.Encryption() != transfers.EndToEnd
}

// errNotEncrypted refuses what would be readable on its way.
func errNotEncrypted(why string, args ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("encryption is required, and "+why, args...))
}

// sendOptions are how a file goes to a device, and above all how it is encrypted. What goes wrong here ends the transfer: it is never sent in the clear
// instead (XEP-0391 section 7).
func (a *account) sendOptions(ctx context.Context, device jid.JID, c xmpp.Capabilities, w wish) (transfers.SendOptions, error) {
	opts := transfers.SendOptions{RequireEncryption: w == required || w == endToEnd, Confirms: c.Has(resume.NS)}
	both := a.trust.keys != nil && !a.unnamedTo(device) && c.Has(jet.NS) && c.Has(pinned.NS)
	switch {
	case w == unencrypted:
		return opts, nil
	case !both && (w == endToEnd || w == required && !c.Has(ice.NSDataChannel)):
		if a.trust.keys == nil && c.Has(pinned.NS) {
			return opts, errNotEncrypted("there is no identity here that lasts, by which %s could know us again: give the daemon a state folder", device)
		}
		return opts, errNotEncrypted("the client of %s cannot do it", device)
	case !both:
		return opts, nil
	}
	key, err := a.keyOf(ctx, device)
	if err != nil {
		return opts, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the file cannot be encrypted: %w", err))
	}
	if err := a.trust.meet(device, key.Identity()); err != nil {
		return opts, connect.NewError(connect.CodeFailedPrecondition,
			fmt.Errorf("the file cannot be encrypted: %w (a new device is trusted with jingle trust)", err))
	}
	opts.Envelope = &pinned.Envelope{Keys: a.trust.keys, Trust: a.trust.check, Peer: key}
	return opts, nil
}

// envelopes open what comes.
func (a *account) envelopes() []jet.Envelope {
	if a.trust.keys == nil {
		return nil
	}
	return []jet.Envelope{&pinned.Envelope{Keys: a.trust.keys, Trust: a.trust.check}}
}

// keyOf asks a device for the key to seal envelopes with.
func (a *account) keyOf(ctx context.Context, device jid.JID) (*pinned.Key, error) {
	type answer struct {
		e   *xmltree.Element
		err error
	}
	got := make(chan answer, 1)
	a.client.Request(device, "get", xmltree.New(pinned.NS, "key"), keyTimeout, func(e *xmltree.Element, err error) { got <- answer{e, err} })
	select {
	case r := <-got:
		if r.err != nil {
			return nil, fmt.Errorf("%s does not tell its key: %w", device, r.err)
		}
		key, err := pinned.ParseKey(r.e, device, time.Now())
		if err != nil {
			return nil, fmt.Errorf("the key of %s: %w", device, err)
		}
		return key, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// tellKey answers those who may offer files.
func (a *account) tellKey(iq *xmpp.IQ) {
	if iq.Type != "get" || a.trust.keys == nil || a.unnamedTo(iq.From) || iq.From.Bare() != a.cfg.JID && !a.admits(iq.From, false) {
		iq.Fail(jingle.ErrServiceUnavailable())
		return
	}
	e, err := a.trust.keys.Element(time.Now())
	if err != nil {
		a.log.Error("a key for encryption", "err", err)
		iq.Fail(jingle.ErrServiceUnavailable())
		return
	}
	iq.Reply(e)
}

// acquaint trusts who has sealed a file that the user takes, if it is the first.
func (a *account) acquaint(t *transfers.Transfer) error {
	if t.Identity() == "" {
		return nil
	}
	f, err := pinned.ParseFingerprint(t.Identity())
	if err != nil {
		return err
	}
	return a.trust.meet(t.Peer(), f)
}

// encryptionOf is how a transfer is told to be protected.
func encryptionOf(t *transfers.Transfer, connected bool) string {
	if e := t.Encryption(); connected || e == transfers.EndToEnd {
		return e.String()
	}
	return ""
}

// The data channels are encrypted by themselves, which transfers look for.
var _ interface{ Encrypted() bool } = (*datachannel.Conn)(nil)
