package httpupload

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Service is an upload service, as service discovery has found it.
type Service struct {
	JID jid.JID
	// MaxSize is the largest file that it takes, in bytes; 0 is not known.
	MaxSize int64
}

// Config says how a [Manager] works. Request, Send and Transfers must be set.
type Config struct {
	// Request sends an IQ of type get and later calls done once, with the payload of the result or with an error, which
	// is a [*jingle.StanzaError] if it is the other side's. It does not block.
	Request func(to jid.JID, payload *xmltree.Element, done func(*xmltree.Element, error))
	// Send sends a message. It does not block.
	Send func(message *xmltree.Element) error
	// Transfers runs the transfers.
	Transfers *transfers.Manager
	// Allow says from which addresses files may be fetched; nil is [Public]. It is not asked for uploads, which go to the
	// user's own server.
	Allow func(netip.Addr) bool
	// RootCAs are whom the certificates of servers that files are fetched from are checked with, and UploadRootCAs those
	// of the user's own server; nil are the system's.
	RootCAs, UploadRootCAs *x509.CertPool
	// Proxy connects to a host and port by a proxy, or returns [ErrNoProxy]; nil stands for no proxy at all. Where at is set,
	// it is the address of the host that is to be connected to.
	Proxy func(ctx context.Context, hostPort string, at netip.AddrPort) (net.Conn, error)
	// Log may be nil.
	Log *slog.Logger
}

// Manager uploads and fetches files, as transfers of a [transfers.Manager]. Its methods may be called from any goroutine
// and do not block.
type Manager struct {
	cfg          Config
	upload, down *http.Client

	mu      sync.Mutex
	fetches map[*transfers.Transfer]*request
	ctx     context.Context // of everything that runs
	stop    context.CancelFunc
	closed  bool
	running sync.WaitGroup
}

// NewManager returns a manager.
func NewManager(cfg Config) (*Manager, error) {
	if cfg.Request == nil || cfg.Send == nil || cfg.Transfers == nil {
		return nil, errors.New("httpupload: Request, Send and Transfers must be set")
	}
	if cfg.Allow == nil {
		cfg.Allow = Public
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, upload: cfg.newClient(nil, cfg.UploadRootCAs), down: cfg.newClient(cfg.Allow, cfg.RootCAs),
		fetches: make(map[*transfers.Transfer]*request)}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m, nil
}

// Run waits until ctx is done and every request has ended.
func (m *Manager) Run(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.running.Wait()
	return context.Cause(ctx)
}

// begin runs f on a goroutine that Run waits for.
func (m *Manager) begin(f func(ctx context.Context)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.running.Go(func() { f(m.ctx) })
	}
}

// request is what an upload and a fetch have in common: the signaling of a transfer with one request.
type request struct {
	m      *Manager
	driver transfers.Driver
	ctx    context.Context
	cancel context.CancelFunc
	accept func() // of a file that is offered
	sent   func(hashes.Sums)
	origin Origin // of a file that is fetched; the manager's lock guards it
}

func (m *Manager) newRequest() *request {
	r := &request{m: m}
	ctx, cancel := context.WithCancel(context.Background())
	r.ctx, r.cancel = ctx, func() {
		cancel()
		m.mu.Lock()
		defer m.mu.Unlock()
		if r.driver != (transfers.Driver{}) {
			delete(m.fetches, r.driver.Transfer())
		}
	}
	return r
}

// signal makes r the signaling of a transfer.
func (r *request) signal(d transfers.Driver) transfers.Signaling {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.driver = d
	if r.origin.URL != "" {
		r.m.fetches[d.Transfer()] = r
	}
	return r
}

// Accept implements [transfers.Signaling].
func (r *request) Accept(filetransfer.File) {
	if r.accept != nil {
		r.accept()
	}
}

// Sent implements [transfers.Signaling].
func (r *request) Sent(whole hashes.Sums) {
	if r.sent != nil {
		r.sent(whole)
	}
}

// Info implements [transfers.Signaling]: there is no such thing here.
func (r *request) Info(jingle.Payload) {}

// Heard implements [transfers.Signaling].
func (r *request) Heard() {}

// Lasts implements [transfers.Signaling]: a fetch goes on where it stopped, where the server can (see [Manager.Reopen]), and
// an upload begins anew, with another slot.
func (r *request) Lasts() bool { return true }

// End implements [transfers.Signaling].
func (r *request) End(*jingle.Reason) { r.cancel() }

func (r *request) fail(c jingle.Condition, err error) {
	r.cancel()
	r.driver.Ended(&jingle.Reason{Condition: c, Text: err.Error()}, false, err)
}

// Send uploads a file to a service and tells the peer, by its bare or full address, where it is. The transfer ends when
// the message is sent: whether the peer fetches the file is not known. again says that an earlier attempt did not come so
// far; nothing is left of that.
func (m *Manager) Send(service Service, peer jid.JID, src transfers.Source, again bool) (*transfers.Transfer, error) {
	if service.MaxSize > 0 && src.Size > service.MaxSize {
		return nil, &TooLargeError{service.MaxSize}
	}
	r := m.newRequest()
	t, err := m.cfg.Transfers.Outgoing(peer, "http-"+rand.Text(), src, transfers.Hashed, transfers.Attempt{Again: again}, r.signal)
	if err != nil {
		r.cancel()
		return nil, err
	}
	ask := Request{Name: filetransfer.SafeName(src.Name), Size: src.Size, ContentType: src.MediaType}
	m.cfg.Request(service.JID, ask.Element(), func(e *xmltree.Element, err error) {
		m.begin(func(ctx context.Context) {
			if err != nil {
				r.fail(whether(later(err)), fmt.Errorf("the server gives no place for the file: %w", refusal(err)))
				return
			}
			if e == nil {
				e = xmltree.New(NS, "none")
			}
			slot, err := ParseSlot(e)
			if err != nil {
				r.fail(jingle.FailedApplication, err)
				return
			}
			m.put(ctx, r, slot, ask, peer)
		})
	})
	return t, nil
}

// put uploads what the transfer writes.
func (m *Manager) put(ctx context.Context, r *request, slot Slot, ask Request, peer jid.JID) {
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	defer r.cancel()
	body, w := io.Pipe()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPut, slot.Put, body)
	if err != nil {
		r.fail(jingle.FailedApplication, err)
		return
	}
	req.Header = slot.Header.Clone()
	req.ContentLength = ask.Size
	if ask.Size == 0 {
		req.Body = http.NoBody // otherwise 0 means that it is not known
	}
	if ask.ContentType != "" {
		req.Header.Set("Content-Type", ask.ContentType)
	}
	sums := make(chan hashes.Sums, 1)
	r.sent = func(whole hashes.Sums) {
		sums <- whole
		_ = w.Close()
	}
	r.driver.Accepted(nil)
	r.driver.Connected(&upload{w, r.cancel}, NS)
	res, err := m.upload.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
			err = &StatusError{res.StatusCode}
		}
	}
	if err != nil {
		_ = body.CloseWithError(err)
		r.fail(whether(later(err)), fmt.Errorf("upload: %w", err))
		return
	}
	var whole hashes.Sums
	select {
	case whole = <-sums: // the server has everything, so it is there or on its way
	case <-r.ctx.Done():
		return
	}
	f := r.driver.Transfer().File()
	if h, ok := whole.Best(); ok {
		f.Hashes = []hashes.Hash{h}
	}
	if err := m.cfg.Send(Message(peer.String(), rand.Text(), Share{Disposition: "attachment", File: f, URL: slot.Get})); err != nil {
		r.fail(jingle.ConnectivityError, fmt.Errorf("the file is at the server, but the other side could not be told: %w", err))
		return
	}
	r.driver.Drained()
}

// upload is what the transfer writes into.
type upload struct {
	*io.PipeWriter
	cancel context.CancelFunc
}

// Read implements [io.Reader]: nothing comes back.
func (*upload) Read([]byte) (int, error) { return 0, io.EOF }

// Close gives the upload up, if it is not complete.
func (u *upload) Close() error {
	u.cancel()
	return u.PipeWriter.Close()
}

// Offer offers the user a file that a message of a peer shares; see [Find]. Whether the peer may offer files is for the
// caller to know.
func (m *Manager) Offer(from jid.JID, s Share) (*transfers.Transfer, error) {
	if _, err := ParseURL(s.URL); err != nil {
		return nil, err
	}
	r := m.newRequest()
	r.origin.URL = s.URL
	r.accept = func() { m.begin(func(ctx context.Context) { m.get(ctx, r, s) }) }
	f := s.File
	f.HashUsed, f.Range = nil, nil
	t, err := m.cfg.Transfers.Offer(from, "http-"+rand.Text(), f, r.signal)
	if err != nil {
		r.cancel()
		return nil, err
	}
	return t, nil
}
