package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/datachannel"
	"github.com/jingled/jingled/filetransfer/folder"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/disco"
)

// channelTimeout is how long a data channel may take to be there.
const channelTimeout = 15 * time.Second

// addRoads makes what goes besides SOCKS5 and in-band bytestreams.
func (f *files) addRoads(a *account) error {
	// Conversations never says that its side has failed: what comes next is tried when this is over.
	cfg := datachannel.Config{Certificate: a.certificate, CertificateFor: a.certificateFor, ICE: a.fileICE, ConnectTimeout: channelTimeout, Log: a.log}
	own, err := datachannel.NewFactory(cfg)
	if err != nil {
		return err
	}
	cfg.Form = datachannel.SCTPMap
	mapped, err := datachannel.NewFactory(cfg)
	if err != nil {
		return err
	}
	f.channel, f.sctpMap = own, mapped
	if f.si, err = f.newSI(a); err != nil {
		return err
	}
	f.web, err = f.newWeb(a)
	return err
}

// fileICE is how a path for a data channel is looked for.
func (a *account) fileICE(peer jid.JID) agent.Config {
	cfg := a.iceConfig(peer)
	if a.d.cfg.RelayOnly {
		cfg.Policy = agent.RelayOnly
	}
	return cfg
}

// allRoads are the transports that a peer may offer to us, and that we fall back to.
func (a *account) allRoads(peer jid.JID) []engine.TransportFactory {
	return []engine.TransportFactory{a.s5b(peer), a.files.channel, a.files.sctpMap, a.files.ibb}
}

// The nodes of capabilities (XEP-0115) of clients that want something of their own.
const (
	nodeConversations = "conversations.im"
	nodeDino          = "dino.im"
	nodeGajim         = "gajim.org"
)

// isClient reports whether a device runs a client: by the node of its capabilities, or where we do not see its presence by the
// name that it has for people.
func isClient(c xmpp.Capabilities, node string) bool {
	if c.Caps.Node != "" || c.Info == nil {
		return strings.Contains(c.Caps.Node, node)
	}
	name, _, _ := strings.Cut(node, ".")
	return slices.ContainsFunc(c.Identities, func(d disco.Identity) bool { return strings.Contains(strings.ToLower(d.Name), name) })
}

// roadsTo are the transports to offer to a device, best first.
func (a *account) roadsTo(device jid.JID, c xmpp.Capabilities) []engine.TransportFactory {
	var out []engine.TransportFactory
	add := func(f engine.TransportFactory, feature string) {
		if c.Info == nil || c.Has(feature) {
			out = append(out, f)
		}
	}
	stream := func() { add(a.s5b(device), s5b.NS) }
	// A data channel gets through NATs, but a SOCKS5 bytestream is ten times faster where it gets through.
	channel := func() {
		if c.Info != nil {
			add(a.files.channel, ice.NSDataChannel)
		}
	}
	switch {
	case isClient(c, nodeConversations):
		// Its own order; it knows neither direct candidates behind NATs nor a proxy of a server without one.
		channel()
		stream()
	case isClient(c, nodeDino):
		// Its fallback does not work: what is offered first has to.
		if len(a.streamHosts()) > 0 || a.near(device) {
			stream()
		}
	default:
		stream()
		channel()
	}
	if c.Info != nil && !c.Has(s5b.NS) && !c.Has(ice.NSDataChannel) {
		add(a.files.sctpMap, ice.NSSCTP) // stanza.js, which has nothing else; Psi's is older than that
	}
	add(a.files.ibb, ibb.NS)
	if len(out) == 0 {
		out = []engine.TransportFactory{a.s5b(device), a.files.ibb} // it says nothing of either; older ones do not
	}
	return out
}

// way is how a file gets to somebody.
type way struct {
	send   func(transfers.Source) (*transfers.Transfer, error)
	sealed bool // end to end
	via    jingledv1.Via
	// sendAll offers several files, in one session if the client takes them so; nil where there are no sessions. What it
	// returns besides an error was offered all the same.
	sendAll func([]transfers.Source) ([]*transfers.Transfer, error)
	unpacks bool // the client takes archives of folders apart
}

// canTakeSI is what a peer must have for stream initiation.
var canTakeSI = can{"receive files by stream initiation (XEP-0096)", []string{si.NS, si.NSFile}}

// wayTo finds out how a file gets to a person or a device, as asked for or, if that is left to us, the best that both
// have.
func (a *account) wayTo(ctx context.Context, peer jid.JID, via jingledv1.Via, w wish) (way, error) {
	if w == required && (via == jingledv1.Via_VIA_SI || via == jingledv1.Via_VIA_HTTP) {
		return way{}, errNotEncrypted("nothing is encrypted by this road")
	}
	switch via {
	case jingledv1.Via_VIA_UNSPECIFIED:
		return a.bestWay(ctx, peer, w)
	case jingledv1.Via_VIA_SI:
		device, _, err := a.find(ctx, peer, canTakeSI)
		return a.bySI(device, transfers.Attempt{}), err
	case jingledv1.Via_VIA_HTTP:
		return a.byWeb(ctx, peer, false)
	}
	device, c, err := a.find(ctx, peer, canTakeFiles)
	if err != nil {
		return way{}, err
	}
	roads := a.roadsBy(via, device, c)
	if len(roads) == 0 {
		return way{}, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("there is no road %s", via))
	}
	return a.byJingle(ctx, device, c, w, roads...)
}

// roadsBy are the transports to offer to a device where the user has asked for a road: only that one. There are none by a road
// that is not Jingle's.
func (a *account) roadsBy(via jingledv1.Via, device jid.JID, c xmpp.Capabilities) []engine.TransportFactory {
	switch via {
	case jingledv1.Via_VIA_UNSPECIFIED:
		return a.roadsTo(device, c)
	case jingledv1.Via_VIA_S5B:
		return []engine.TransportFactory{a.s5b(device)}
	case jingledv1.Via_VIA_IBB:
		return []engine.TransportFactory{a.files.ibb}
	case jingledv1.Via_VIA_DATACHANNEL:
		return []engine.TransportFactory{a.files.channel}
	}
	return nil
}

// bestWay takes what is there at once before it waits for a device to show itself.
func (a *account) bestWay(ctx context.Context, peer jid.JID, w wish) (way, error) {
	for _, r := range a.devices(peer.Bare()) {
		if !peer.IsBare() && r.JID != peer {
			continue
		}
		if _, ok := a.has(ctx, r.JID, canTakeFiles); !ok {
			if _, ok := a.has(ctx, r.JID, canTakeSI); ok && !a.anyone(ctx, peer, canTakeFiles) {
				if w == required {
					return way{}, errNotEncrypted("the client of %s can receive files by stream initiation only", r.JID)
				}
				a.show(r.JID)
				return a.bySI(r.JID, transfers.Attempt{}), nil
			}
		}
	}
	device, c, err := a.find(ctx, peer, canTakeFiles)
	if err != nil && w != required && ctx.Err() == nil {
		// A device that only knows stream initiation may have shown itself meanwhile.
		if device, ok := a.old(ctx, peer); ok {
			return a.bySI(device, transfers.Attempt{}), nil
		}
	}
	if err == nil {
		return a.byJingle(ctx, device, c, w, a.roadsTo(device, c)...)
	}
	if ctx.Err() != nil {
		return way{}, err
	}
	if w == required {
		return way{}, err
	}
	if !a.d.cfg.Upload {
		if len(a.uploadServices()) > 0 {
			err = connect.NewError(connect.CodeOf(err), fmt.Errorf("%w; by the road http the server would keep a copy for them",
				errors.Unwrap(err)))
		}
		return way{}, err
	}
	web, webErr := a.byWeb(ctx, peer, false)
	if webErr != nil {
		return way{}, connect.NewError(connect.CodeUnavailable, errors.Join(err, webErr))
	}
	return web, nil
}

// old finds a device that knows stream initiation only.
func (a *account) old(ctx context.Context, peer jid.JID) (jid.JID, bool) {
	devices := []jid.JID{peer}
	if peer.IsBare() {
		devices = nil
		for _, r := range a.devices(peer) {
			devices = append(devices, r.JID)
		}
	}
	for _, d := range devices {
		if _, ok := a.has(ctx, d, canTakeSI); ok {
			a.show(d)
			return d, true
		}
	}
	return "", false
}

// anyone reports whether a device of a peer that is online has all the features.
func (a *account) anyone(ctx context.Context, peer jid.JID, need can) bool {
	return peer.IsBare() && slices.ContainsFunc(a.devices(peer), func(r xmpp.Resource) bool {
		_, ok := a.has(ctx, r.JID, need)
		return ok
	})
}

func (a *account) byJingle(ctx context.Context, device jid.JID, c xmpp.Capabilities, w wish, roads ...engine.TransportFactory) (way, error) {
	opts, err := a.sendOptions(ctx, device, c, w)
	if err == nil && opts.RequireEncryption && opts.Envelope == nil && !slices.ContainsFunc(roads, ownEncryption) {
		err = errNotEncrypted("end to end it cannot be with %s: only a data channel is encrypted by itself", device)
	}
	opts.Transports = roads
	to := way{sealed: opts.Envelope != nil, unpacks: c.Has(folder.NS)}
	to.send = func(src transfers.Source) (*transfers.Transfer, error) {
		return a.files.manager.Send(a.engine, device, src, opts)
	}
	to.sendAll = func(srcs []transfers.Source) (out []*transfers.Transfer, err error) {
		if !oneByOne(c) {
			return a.files.manager.SendMany(a.engine, device, srcs, opts)
		}
		for i := 0; i < len(srcs) && err == nil; i++ {
			var t *transfers.Transfer
			if t, err = to.send(srcs[i]); err == nil {
				out = append(out, t)
			}
		}
		return out, err
	}
	return to, err
}

// ownEncryption reports whether the connections of a transport are encrypted by themselves.
func ownEncryption(f engine.TransportFactory) bool {
	e, ok := f.(interface{ Encrypted() bool })
	return ok && e.Encrypted()
}

func (a *account) bySI(device jid.JID, at transfers.Attempt) way {
	return way{via: jingledv1.Via_VIA_SI, send: func(src transfers.Source) (*transfers.Transfer, error) {
		return a.files.si.Send(device, src, si.SendOptions{Attempt: at})
	}}
}

// canTakeFiles is what a peer must have for a Jingle file transfer.
var canTakeFiles = can{"receive files directly", []string{jingle.NS, filetransfer.NS}}
