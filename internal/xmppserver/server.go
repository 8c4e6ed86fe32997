package xmppserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// Server is a running or not yet running server. Its methods may be called from any goroutine.
type Server struct {
	cfg           Config
	plain, direct net.Listener
	components    net.Listener // nil if none are taken
	saltKey       []byte

	// mu guards the hub and what is below. No call under it blocks.
	mu      sync.Mutex
	hub     *hub
	conns   map[net.Conn]struct{}
	stopped bool
}

// farewell is how long a stream that has ended waits for the client to see it.
const farewell = 500 * time.Millisecond

// past is a deadline that breaks a connection at once and, other than closing, never blocks.
var past = time.Unix(1, 0)

// New opens the server's ports; clients may connect from now on and are served once [Server.Run] runs. The ports stay
// open until Run returns, so it has to be called.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, conns: make(map[net.Conn]struct{}), saltKey: []byte(rand.Text())}
	s.hub = newHub(cfg)
	for user, password := range cfg.Accounts {
		if err := s.AddAccount(user, password); err != nil {
			return nil, err
		}
	}
	if s.plain, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("xmppserver: %w", err)
	}
	if s.direct, err = net.Listen("tcp", cfg.ListenDirectTLS); err != nil {
		return nil, fmt.Errorf("xmppserver: %w", errors.Join(err, s.plain.Close()))
	}
	if cfg.ComponentSecret != "" {
		if s.components, err = net.Listen("tcp", cfg.ListenComponents); err != nil {
			return nil, fmt.Errorf("xmppserver: %w", errors.Join(err, s.plain.Close(), s.direct.Close()))
		}
	}
	return s, nil
}

// Domain returns the XMPP domain.
func (s *Server) Domain() string { return s.cfg.Domain }

// Addr returns the host:port for STARTTLS (and for no TLS, if that is allowed).
func (s *Server) Addr() string { return s.plain.Addr().String() }

// DirectTLSAddr returns the host:port for direct TLS.
func (s *Server) DirectTLSAddr() string { return s.direct.Addr().String() }

// ComponentAddr returns the host:port for components, "" if none are taken.
func (s *Server) ComponentAddr() string {
	if s.components == nil {
		return ""
	}
	return s.components.Addr().String()
}

// CA returns the authority that clients have to trust, in PEM.
func (s *Server) CA() []byte { return slices.Clone(s.cfg.Chain.CA) }

// Run serves until ctx ends, and returns when all connections and goroutines are gone. It returns nil then. It may be
// called once.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, l := range []net.Listener{s.plain, s.direct} {
		wg.Go(func() { errs <- s.accept(ctx, &wg, l, l == s.direct) })
	}
	if s.components != nil {
		wg.Go(func() { errs <- s.acceptComponents(ctx, &wg) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	cancel()
	s.shutdown()
	// A client that does not read cannot keep the server.
	hard := time.AfterFunc(farewell, s.closeAll)
	defer hard.Stop()
	wg.Wait()
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// shutdown ends all streams. The goroutines of the connections do the rest.
func (s *Server) shutdown() {
	_ = s.plain.Close()
	_ = s.direct.Close()
	if s.components != nil {
		_ = s.components.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.hub.each(func(c *session) { c.end(&streamError{"system-shutdown", ""}) })
	for c := range s.conns {
		_ = c.SetReadDeadline(past)
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *Server) accept(ctx context.Context, wg *sync.WaitGroup, l net.Listener, direct bool) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if !s.track(c) {
			_ = c.Close() // too many
			continue
		}
		wg.Go(func() {
			defer s.untrack(c)
			s.serve(ctx, c, direct)
		})
	}
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.conns) >= s.cfg.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// serve takes one connection from its first byte to its last.
func (s *Server) serve(ctx context.Context, c net.Conn, direct bool) {
	log := s.cfg.Logger.With("remote", c.RemoteAddr())
	if err := c.SetDeadline(time.Now().Add(s.cfg.LoginTimeout)); err != nil {
		return
	}
	l := &login{srv: s, conn: c, in: newReader(c, s.cfg.MaxStanza)}
	me, err := l.run(ctx, direct)
	if err != nil {
		log.Info("no login", "error", err)
		if se, ok := errors.AsType[*streamError](err); ok {
			_, _ = l.conn.Write(append(se.xml(), "</stream:stream>"...))
			linger(l.conn)
		}
		_ = l.conn.Close()
		return
	}
	log = log.With("jid", me.full)
	log.Info("session begins")
	written := make(chan struct{})
	go func() {
		defer close(written)
		deadline := past
		if me.out.run(l.conn, s.cfg.WriteTimeout) == nil {
			deadline = time.Now().Add(farewell) // for what the client still says
		}
		_ = c.SetReadDeadline(deadline)
	}()
	err = s.read(l, me)
	s.leave(me)
	me.end(err)
	<-written
	if me.out.isBroken() {
		_ = c.Close()
	} else {
		linger(l.conn)
		_ = l.conn.Close()
	}
	log.Info("session ends", "reason", err)
}

// linger reads on for a moment: a socket that is closed with unread data takes back what was written last, and the
// client would not learn why its stream ended.
func linger(c net.Conn) {
	if w, ok := c.(interface{ CloseWrite() error }); ok && w.CloseWrite() != nil {
		return
	}
	if c.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = io.CopyN(io.Discard, c, 1<<20)
	}
}

// read routes what the client sends until its stream ends.
func (s *Server) read(l *login, me *session) error {
	for {
		st, err := l.in.next()
		if err != nil {
			return err
		}
		if s.cfg.Tap != nil {
			if st = s.cfg.Tap(me.full, st); st == nil {
				continue
			}
		}
		if err := s.route(me, st); err != nil {
			return err
		}
	}
}

func (s *Server) route(me *session, st *xmltree.Element) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if me.gone {
		return nil // replaced by a newer one; the stream is about to end
	}
	return s.hub.route(me, st)
}

// enter makes the session reachable, and queues first, the answer to its binding, before anything else. It reports
// whether there was room.
func (s *Server) enter(me *session, conn net.Conn, first *xmltree.Element) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false, &streamError{"system-shutdown", ""}
	}
	// The deadline of the login ends here: from now on it is the session's way to be cut off.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return false, err
	}
	return s.hub.enter(me, first), nil
}

func (s *Server) leave(me *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.leave(me)
}

// AddAccount makes an account. The user name is the part of the address before the @.
func (s *Server) AddAccount(user, password string) error {
	bare, err := jid.Parse(user + "@" + s.cfg.Domain)
	if err != nil {
		return fmt.Errorf("xmppserver: %w", err)
	}
	secrets := make(map[string]secret, len(hashes))
	for mech, h := range hashes {
		if secrets[mech], err = newSecret(h, password, []byte(rand.Text())); err != nil {
			return fmt.Errorf("xmppserver: account %s: %w", bare, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub.accounts[bare] != nil {
		return fmt.Errorf("xmppserver: account %s exists", bare)
	}
	s.hub.accounts[bare] = newAccount(bare, secrets)
	return nil
}

// secret returns what is stored for a user, and whether there is such a user.
func (s *Server) secret(user, mech string) (secret, bool) {
	bare, err := jid.Parse(user + "@" + s.cfg.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.hub.accounts[bare]; err == nil && a != nil {
		return a.secrets[mech], true
	}
	return secret{salt: fakeSalt(s.saltKey, user), storedKey: make([]byte, hashes[mech]().Size())}, false
}

// Befriend gives two accounts, by their user names, a mutual subscription. Clients that are connected see it at once.
func (s *Server) Befriend(a, b string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, y := s.hub.account(a), s.hub.account(b)
	if x == nil || y == nil || x == y {
		return fmt.Errorf("xmppserver: Befriend needs two accounts, there are not both of %q and %q", a, b)
	}
	s.hub.befriend(x, y)
	return nil
}

// Sessions returns the full addresses of the clients that are connected, sorted.
func (s *Server) Sessions() []jid.JID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []jid.JID
	s.hub.each(func(c *session) { out = append(out, c.full) })
	slices.Sort(out)
	return out
}

// Drop breaks the TCP connection of a client without a word, as a network does. It reports whether there was one.
func (s *Server) Drop(full jid.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.hub.session(full)
	if c == nil {
		return false
	}
	c.out.breakOff()
	return true
}

// Deliver gives a stanza to a client as it is, whoever it claims to be from. It reports whether the client is there.
func (s *Server) Deliver(full jid.JID, stanza *xmltree.Element) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.hub.session(full)
	if c == nil {
		return false
	}
	c.send(stanza)
	return true
}

// session is a client with a bound resource. All but full and out is guarded by Server.mu.
type session struct {
	full jid.JID
	out  *outbox
	gone bool // no longer in the hub

	presence   *xmltree.Element // the last one that was broadcast, nil while unavailable
	priority   int
	interested bool // wants roster pushes (RFC 6121 section 2.1.6)
	carbons    bool
	directed   map[jid.JID]struct{} // who got directed presence
}

func (s *session) send(e *xmltree.Element) { s.out.push(e.AppendXML(nil, nsClient)) }

// end closes the stream, with an error if the client is to be told one.
func (s *session) end(err error) {
	var last []byte
	if se, ok := errors.AsType[*streamError](err); ok {
		last = se.xml()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		s.out.finish(nil)
		return
	}
	s.out.finish(append(last, "</stream:stream>"...))
}
