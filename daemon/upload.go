package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/disco"
)

// newWeb makes the transfers by the web server of an XMPP server.
func (f *files) newWeb(a *account) (*httpupload.Manager, error) {
	a.client.HandleMessage(a.receiveShare)
	var roots *x509.CertPool
	if a.d.cfg.Loopback || len(a.d.cfg.FetchNetworks) > 0 { // a network of one's own may have an authority of its own
		roots = a.cfg.RootCAs
	}
	cfg := httpupload.Config{
		Request: func(to jid.JID, payload *xmltree.Element, done func(*xmltree.Element, error)) {
			a.client.Request(to, "get", payload, 0, done)
		},
		Send: a.client.Send, Transfers: f.manager, Allow: a.d.cfg.fetches, RootCAs: roots, UploadRootCAs: a.cfg.RootCAs, Log: a.log,
	}
	if a.client.HasProxy() {
		cfg.Proxy = func(ctx context.Context, hostPort string, at netip.AddrPort) (net.Conn, error) {
			conn, err := a.client.DialByProxy(ctx, hostPort, at)
			if errors.Is(err, xmpp.ErrNoProxy) {
				err = httpupload.ErrNoProxy
			}
			return conn, err
		}
	}
	return httpupload.NewManager(cfg)
}

// fetches reports whether a shared file may be fetched from an address.
func (c *Config) fetches(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	switch {
	case c.Loopback:
		return from.IsLoopback()
	case slices.ContainsFunc(c.FetchNetworks, func(p netip.Prefix) bool { return p.Contains(from) }):
		return true
	}
	return httpupload.Public(from)
}

// receiveShare offers a file that a message shares. It runs on the dispatcher.
func (a *account) receiveShare(m *xmpp.Message) {
	if m.Kind != carbons.Direct || m.From.Bare() == a.cfg.JID {
		return
	}
	s, ok := httpupload.Find(m.Element)
	if !ok || !a.admits(m.From, false) {
		return
	}
	if _, err := a.files.web.Offer(m.From, s); err != nil {
		a.log.Info("a shared file is not taken", "from", m.From.String(), "err", err)
	}
}

// noteUploadService keeps a service that was found among those of our server.
func (r *relays) noteUploadService(service jid.JID, info *disco.Info) {
	if !info.Has(httpupload.NS) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.uploads {
		if s.JID == service {
			r.uploads[i].MaxSize = httpupload.MaxSize(info.Forms)
			return
		}
	}
	r.uploads = append(r.uploads, httpupload.Service{JID: service, MaxSize: httpupload.MaxSize(info.Forms)})
}

// uploadServices returns what was found.
func (a *account) uploadServices() []httpupload.Service {
	a.relays.mu.Lock()
	defer a.relays.mu.Unlock()
	return append([]httpupload.Service(nil), a.relays.uploads...)
}

// errNoUpload says that the server stores no files.
var errNoUpload = errors.New("the server stores no files for others (XEP-0363)")

// byWeb is the way by the server. The peer need not be online. again says that an earlier upload was interrupted.
func (a *account) byWeb(ctx context.Context, peer jid.JID, again bool) (way, error) {
	services := a.uploadServices()
	if len(services) == 0 {
		a.findProxies(ctx) // the search after the login may not have come so far
		services = a.uploadServices()
	}
	if len(services) == 0 {
		return way{}, connect.NewError(connect.CodeUnavailable, errNoUpload)
	}
	return way{via: jingledv1.Via_VIA_HTTP, send: func(src transfers.Source) (*transfers.Transfer, error) {
		return a.files.web.Send(services[0], peer, src, again)
	}}, nil
}
