package daemon

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/portmap"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/telepathy"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// transfer is one file on its way, under the name that clients know it by. The account's lock guards it; id, incoming and
// since do not change.
type transfer struct {
	id          string              // the first session's sid, with a number behind a slash where that is taken
	t           *transfers.Transfer // of the session, or of the last one; nil after a restart
	peer        jid.JID
	incoming    bool
	name        string // safe to be shown
	road        string
	state       jingledv1.TransferState
	folder      *store.Folder // closed at the end of the session
	path        string        // of a file that is sent, or the folder of one that is received
	since       time.Time
	base        int64   // where in the file the session began
	rate        float64 // bytes per second
	wish        wish    // of what is sent
	unpack      bool    // into a folder, at the end
	keepArchive bool    // whatever it is
	within      within  // of a folder that is sent file by file
	// encryption is as [transfers.Encryption] says it, or "" before that is known.
	encryption string
	resumable
}

// maxPerPeer is how many files one person may offer or fetch at one time: at least as many as can be asked for at once.
const maxPerPeer = 2 * maxRequested

// roads of files, best first.
var roadNames = map[string]string{
	s5b.NS: "s5b", ibb.NS: "ibb", ice.NSDataChannel: "datachannel", ice.NSUDP: "datachannel",
	s5b.NSBytestreams: "si", ibb.NSIBB: "si", httpupload.NS: "http",
}

// files is what an account has for transfers.
type files struct {
	manager  *transfers.Manager
	router   *ibb.Router
	listener *s5b.Listener
	mapPort  bool // at the router
	log      *slog.Logger
	ibb      engine.TransportFactory
	far      *s5b.Factory            // SOCKS5 bytestreams
	near     *s5b.Factory            // the same for peers that may be on this machine
	channel  engine.TransportFactory // data channels, in the form of Conversations
	sctpMap  engine.TransportFactory // the same in the form of XEP-0343
	si       *si.Manager
	web      *httpupload.Manager
}

// stanzas sends the stanzas of bytestreams.
type stanzas struct{ client *xmpp.Client }

func (s stanzas) Request(to jid.JID, payload *xmltree.Element, done func(error)) {
	s.client.Request(to, "set", payload, 0, func(_ *xmltree.Element, err error) { done(err) })
}

func newFiles(a *account) (*files, error) {
	f := &files{mapPort: a.d.cfg.PortMapping && !a.d.cfg.Loopback && !a.d.cfg.RelayOnly, log: a.log}
	var err error
	if f.router, err = ibb.NewRouter(ibb.RouterConfig{Stanzas: stanzas{a.client}, MaxStanza: a.client.MaxStanza}); err != nil {
		return nil, err
	}
	a.client.HandleIQ(ibb.NSIBB, "open", a.receiveIBB)
	a.client.HandleIQ(ibb.NSIBB, "data", a.receiveIBB)
	a.client.HandleIQ(ibb.NSIBB, "close", a.receiveIBB)
	a.client.HandleIQ(resume.NS, "cancelled", a.receiveCancelled)
	if f.ibb, err = ibb.NewFactory(ibb.Config{Router: f.router, BlockSizeFor: a.blockSize}); err != nil {
		return nil, err
	}
	listen := s5b.ListenerConfig{Addr: a.cfg.Bytestreams.Listen, Advertise: a.cfg.Bytestreams.Advertise, Log: a.log}
	cfg := s5b.Config{Proxies: a.streamHosts, Request: stanzas{a.client}.Request, Log: a.log}
	if a.d.cfg.Loopback {
		listen.Addr = "127.0.0.1:0"
		cfg.Allow = func(p netip.AddrPort) bool { return p.Addr().Unmap().IsLoopback() && p.Port() != 0 }
	}
	if f.listener, err = s5b.NewListener(listen); err != nil {
		return nil, err
	}
	if cfg.Listener = f.listener; a.d.cfg.RelayOnly {
		cfg.Listener, cfg.Allow = nil, a.isProxy
	}
	f.far = s5b.NewFactory(cfg)
	cfg.Loopback = true
	f.near = s5b.NewFactory(cfg)
	f.manager, err = transfers.New(transfers.Config{
		Events: a.transferEvent,
		Transports: func(p jid.JID, outgoing bool) []engine.TransportFactory {
			if outgoing {
				return a.allRoads(p)
			}
			// A file that is offered by telepathy (XEP-0183) is taken as any other: the transport reports itself
			// unreachable, and the sender replaces it.
			return append(a.allRoads(p), telepathy.Factory{})
		},
		MaxSize:    a.d.cfg.MaxFileSize,
		MaxPerPeer: maxPerPeer,
		Checkpoint: a.checkpoint(),
		Shared:     a.shared,
		Mend:       a.mendAll,
		Upload:     a.d.up,
		Download:   a.d.down,
		Envelopes:  a.envelopes(), RequireEncryption: a.d.cfg.RequireEncryption,
		Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	return f, f.addRoads(a)
}

// s5b returns the SOCKS5 bytestreams for a peer.
func (a *account) s5b(peer jid.JID) *s5b.Factory {
	if a.near(peer) {
		return a.files.near
	}
	return a.files.far
}

func (a *account) receiveIBB(iq *xmpp.IQ) {
	if iq.Type != "set" {
		iq.Fail(jingle.ErrBadRequest("A bytestream needs an IQ of type set."))
		return
	}
	a.files.router.Handle(iq.From, iq.Payload, func(e *jingle.StanzaError) {
		if e != nil {
			iq.Fail(e)
			return
		}
		iq.Reply(nil)
	})
}

func (a *account) incomingFile(s *engine.Session, m *jingle.Message) (engine.Application, error) {
	if !a.admits(s.Peer(), false) && !a.expects(s.Peer()) && !a.sharesWith(s.Peer()) {
		return nil, jingle.ErrServiceUnavailable()
	}
	return a.files.manager.Incoming(s, m)
}

// enter gives a transfer the name that clients know it by; a.mu is held. Session ids are chosen by peers, so two may
// have the same.
func (a *account) enter(t *transfers.Transfer, x *transfer) {
	if a.transferOf(t) != nil {
		return
	}
	x.t, x.id, x.since, x.peer, x.incoming = t, t.SID(), time.Now(), t.Peer(), !t.Outgoing()
	for n := 2; a.transfers[x.id] != nil; n++ {
		x.id = fmt.Sprintf("%s/%d", t.SID(), n)
	}
	x.name = t.Name()
	x.state = jingledv1.TransferState_TRANSFER_STATE_OFFERED
	a.transfers[x.id] = x
}

// transferOf finds a transfer; a.mu is held.
func (a *account) transferOf(t *transfers.Transfer) *transfer {
	for _, x := range a.transfers {
		if x.t == t {
			return x
		}
	}
	return nil
}

func (a *account) transferByID(id string) (*transfer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.transfers[id]; x != nil {
		return x, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no such transfer, or it has ended"))
}

func (a *account) listTransfers() []*jingledv1.Transfer {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*jingledv1.Transfer
	for _, x := range a.transfers {
		out = append(out, &jingledv1.Transfer{
			Account: a.cfg.JID.String(), Peer: x.peer.String(), Sid: x.id, Incoming: x.incoming, State: x.state,
			Name: x.name, Size: x.size(), Bytes: x.bytes(), Transport: x.road, Path: x.path, BytesPerSecond: x.rate,
			Since: timestamppb.New(x.since), Encryption: x.encryption,
		})
	}
	return out
}

// size returns how many bytes the file has, as far as it is known.
func (x *transfer) size() uint64 {
	if x.j != nil {
		return x.j.Size
	}
	return sizeOf(x.t)
}

// bytes returns how many of them have come or gone.
func (x *transfer) bytes() uint64 {
	if x.t == nil || x.state >= jingledv1.TransferState_TRANSFER_STATE_WAITING {
		return x.j.Bytes
	}
	return uint64(max(x.base+x.t.Copied(), 0))
}

func sizeOf(t *transfers.Transfer) uint64 {
	if t == nil {
		return 0
	}
	if s := t.File().Size; s != nil && *s > 0 {
		return uint64(*s)
	}
	return 0
}

// transferEvent tells clients what happens to a transfer. It runs on the transfer's goroutine.
func (a *account) transferEvent(e transfers.Event) {
	switch e := e.(type) {
	case transfers.Offered:
		if a.continues(e) {
			return
		}
		x := a.update(e.Transfer, func(x *transfer) { x.encryption = encryptionOf(e.Transfer, false) })
		desc := ""
		if len(e.File.Desc) > 0 {
			desc = filetransfer.PlainText(e.File.Desc[0].Text, 1024)
		}
		told := &jingledv1.TransferOffered{Name: x.name, Size: sizeOf(e.Transfer), MediaType: e.File.MediaType, Description: desc,
			Encrypted: e.Transfer.Encryption() == transfers.EndToEnd, Fingerprint: e.Transfer.Identity(), FolderFiles: folderFiles(e.Transfer),
			FolderPath: folderPath(e.Transfer)}
		if m, ok := e.File.ModTime(); ok {
			told.Modified = timestamppb.New(m)
		}
		if dir := a.rule(e.Transfer); dir != "" {
			if err := a.takeFile(x, dir, false); err != nil {
				a.log.Warn("a file that a rule takes cannot be taken", "name", x.name, "folder", dir, "err", err)
			} else {
				told.AcceptedInto = dir
			}
		}
		a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferOffered{TransferOffered: told}})
		a.look(x, e.Transfer)
	case transfers.Started:
		x := a.update(e.Transfer, func(x *transfer) {
			x.state, x.road, x.base = jingledv1.TransferState_TRANSFER_STATE_RUNNING, roadNames[e.Transport], e.Offset
			x.name, x.rate, x.encryption = e.Transfer.Name(), 0, encryptionOf(e.Transfer, true)
			a.noteOrigin(x, e.Transfer)
		})
		a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferStarted{TransferStarted: &jingledv1.TransferStarted{
			Transport: x.road, Encryption: x.encryption, Offset: uint64(max(e.Offset, 0))}}})
	case transfers.Checkpoint:
		a.journal(a.update(e.Transfer, func(x *transfer) {
			if x.j != nil {
				x.j.Bytes = uint64(max(e.Bytes, 0))
			}
		}))
	case transfers.Storing:
		a.journal(a.update(e.Transfer, func(x *transfer) {
			if x.j != nil {
				x.j.Phase, x.j.Hash = state.Storing, journalHash(e.Agreed)
			}
		}))
	case transfers.Progress:
		rate := 0.0
		if s := e.Elapsed.Seconds(); s > 0 {
			rate = float64(e.Bytes) / s
		}
		x := a.update(e.Transfer, func(x *transfer) { x.rate = rate })
		a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferProgress{TransferProgress: &jingledv1.TransferProgress{
			Bytes: uint64(max(x.base+e.Bytes, 0)), Size: uint64(max(x.base+e.Total, 0)), BytesPerSecond: rate,
			SecondsLeft: left(e.Total-e.Bytes, rate)}}})
	case transfers.Done:
		x := a.update(e.Transfer, nil)
		done := &jingledv1.TransferDone{Bytes: uint64(max(x.base+e.Bytes, 0)), Seconds: e.Elapsed.Seconds(),
			Transport: roadNames[e.Transport], Encryption: x.encryption, Path: e.Path, Hash: map[string]string{},
			Verified: e.Verified != "" || e.Confirmed}
		if !x.incoming {
			done.Path = x.path
		}
		if len(e.Hash.Sum) > 0 {
			done.Hash[string(e.Hash.Algo)] = hex.EncodeToString(e.Hash.Sum)
		}
		a.done(x, done)
	case transfers.Failed:
		if a.withdrawn(e.Transfer) {
			return
		}
		if e.Interruption != transfers.Ended && a.interrupted(e) {
			return
		}
		x := a.update(e.Transfer, nil)
		a.failed(x, &jingledv1.TransferFailed{Reason: string(e.Reason), Text: e.Text, ByPeer: e.ByPeer})
		if !x.incoming && !e.ByPeer {
			a.tellEnded(x)
		}
	}
}

// left is how many seconds so many bytes take, 0 if it is not known.
func left(bytes int64, rate float64) float64 {
	if bytes <= 0 || rate <= 0 {
		return 0
	}
	return float64(bytes) / rate
}

// failed tells that a transfer has come to nothing. It stays on the list until the history has it.
func (a *account) failed(x *transfer, failed *jingledv1.TransferFailed) {
	a.keepTransfer(x, nil, failed)
	a.strike(x)
	a.drop(x)
	a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferFailed{TransferFailed: failed}})
}

// update changes what is known of a transfer and returns it. Events can come before Send has returned, so one that is
// not known yet is entered.
func (a *account) update(t *transfers.Transfer, change func(*transfer)) *transfer {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enter(t, &transfer{})
	x := a.transferOf(t)
	if change != nil {
		change(x)
	}
	return x
}

// drop takes a transfer off the list.
func (a *account) drop(x *transfer) {
	a.mu.Lock()
	delete(a.transfers, x.id)
	a.mu.Unlock()
	a.closeFolder(x)
}

// closeFolder closes the folder that a session's file goes to.
func (a *account) closeFolder(x *transfer) {
	a.mu.Lock()
	folder := x.folder
	x.folder = nil
	a.mu.Unlock()
	if folder != nil {
		if err := folder.Close(); err != nil {
			a.log.Debug("close folder", "err", err)
		}
	}
}

func (a *account) publishTransfer(x *transfer, e *jingledv1.Event) {
	a.mu.Lock()
	peer := x.peer
	a.mu.Unlock()
	a.publish(peer, x.id, e)
}

// SendFile offers a file to a person or a device.
func (d *Daemon) SendFile(ctx context.Context, req *jingledv1.SendFileRequest) (*jingledv1.SendFileResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	peer, err := jid.Parse(req.GetPeer())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if !filepath.IsAbs(req.GetPath()) {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the path %q is not absolute", req.GetPath()))
	}
	src, err := sourceAt(req.GetPath())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	src.Desc = req.GetDescription()
	if a.client.State().State != xmpp.Online {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is not connected", a.cfg.JID))
	}
	if peer == a.client.JID() {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s is this device itself", peer))
	}
	if a.blocks(peer) {
		return nil, errBlocked(peer)
	}
	a.rouse(ctx)
	w, err := d.wishOf(req)
	if err != nil {
		return nil, err
	}
	way, err := a.wayTo(ctx, peer, req.GetVia(), w)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, connect.NewError(connect.CodeCanceled, context.Cause(ctx))
	}
	if way.sealed {
		w = endToEnd
	}
	if st, err := os.Stat(req.GetPath()); err == nil && st.IsDir() {
		files, err := pieces(req.GetPath(), req.GetFolderForm(), way)
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			return a.sendPieces(files, req, peer, way, w)
		}
	}
	x := &transfer{path: req.GetPath(), wish: w}
	if !way.sealed && !req.GetNoThumbnail() {
		// XEP-0264 section 5: of what is encrypted a small picture would tell too much.
		a.depict(&src, peer)
	}
	a.mu.Lock() // its first event waits until it has a name
	t, err := way.send(src)
	if err == nil {
		a.enter(t, x)
		x.j = a.rowOfSent(x, src, cmp.Or(way.via, req.GetVia()))
	}
	a.mu.Unlock()
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	a.journal(x)
	return &jingledv1.SendFileResponse{Sid: x.id}, nil
}

// AcceptFile takes a file that is offered.
func (d *Daemon) AcceptFile(_ context.Context, req *jingledv1.AcceptFileRequest) (*jingledv1.AcceptFileResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	x, err := a.transferByID(req.GetSid())
	if err != nil {
		return nil, err
	}
	dir := req.GetDir()
	if dir == "" {
		dir = d.cfg.Downloads
	}
	if dir == "" || !filepath.IsAbs(dir) {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%q is no absolute path of a folder", dir))
	}
	if err := a.takeFile(x, dir, req.GetKeepArchive()); err != nil {
		return nil, err
	}
	return &jingledv1.AcceptFileResponse{}, nil
}

// EndTransfer declines or cancels.
func (d *Daemon) EndTransfer(_ context.Context, req *jingledv1.EndTransferRequest) (*jingledv1.EndTransferResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	x, err := a.transferByID(req.GetSid())
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.GetReason())
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	t, waiting := x.t, x.incoming && x.state == jingledv1.TransferState_TRANSFER_STATE_OFFERED
	a.mu.Unlock()
	switch {
	case reason == nil && waiting:
		t.Decline()
	case reason == nil:
		a.cancel(x, &jingle.Reason{Condition: jingle.Cancel})
	default:
		if reason.Condition == jingle.MediaError && waiting {
			reason.App = filetransfer.FileTooLarge()
			reason.Text = "The file is larger than what is taken here."
		} else if reason.Condition == jingle.FailedApplication && waiting {
			reason.Text = "The file cannot be stored."
		}
		a.cancel(x, reason)
	}
	return &jingledv1.EndTransferResponse{}, nil
}

// run serves bytestreams until ctx ends.
func (f *files) run(ctx context.Context) error {
	var wg sync.WaitGroup
	var listenErr error
	wg.Go(func() { listenErr = f.listener.Run(ctx) })
	if f.mapPort {
		wg.Go(func() { portmap.Keep(ctx, f.listener.Port(), f.listener.SetMapped, portmap.Config{Log: f.log}) })
	}
	wg.Go(func() { _ = f.si.Run(ctx) }) // ends with ctx, and with nothing to tell
	wg.Go(func() { _ = f.web.Run(ctx) })
	err := f.manager.Run(ctx)
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, listenErr)
}
