package xmpp

import (
	"context"
	"encoding/xml"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/blocking"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/roster"
	"github.com/jingled/jingled/xmpp/sm"
)

// Client is one account's connection. It is made by [New] and driven by [Client.Run]. Handlers are set before Run; all
// other methods are safe for concurrent use at any time.
type Client struct {
	cfg      Config
	log      *slog.Logger
	ownInfo  *disco.Info
	ownCaps  caps.Caps
	handlers handlers
	started  atomic.Bool

	inbox      *inbox
	router     *router
	unanswered *tally
	online     *onlineTable
	contacts   contactTable
	blocks     blockTable
	peers      peerInfo
	stats      counters
	dns        *staleDNS

	mu       sync.Mutex
	link     *link // nil: no connection
	jid      jid.JID
	presence Presence
	state    StateChange
	inactive bool
	unsent   unsent

	probe, rhythm chan struct{} // for watch; each holds one token

	// Of the goroutine of Run.
	lostAt    time.Time // when the connection of a stream was lost that may be resumed
	noBinding bool
	scramOnly bool
	redirect  target // where the server has sent us; without an address: nowhere
	web       target // the WebSocket or BOSH that worked last
}

type handlers struct {
	iq       map[xml.Name]func(*IQ)
	message  []func(*Message)
	presence []func(*PresenceStanza)
	state    []func(StateChange)
	contact  []func(roster.Item)
	roster   []func()
	blocked  []func(BlockList)
}

// State is where a client stands.
type State int

// The states. A client begins Offline, and ends Stopped when Run returns.
const (
	Offline    State = iota // no connection; will connect again unless Run has not begun
	Connecting              // on its way
	Online                  // logged in
	Stopped                 // for good
)

func (s State) String() string {
	return [...]string{"offline", "connecting", "online", "stopped"}[s]
}

// StateChange tells about a new [State].
type StateChange struct {
	State State
	JID   jid.JID       // Online: the full address that the server has bound
	Err   error         // Offline, Stopped: why; an [*Error] mostly. nil if Run was asked to end
	Retry time.Duration // Offline: the time until the next attempt
	// Resumed, with Online, means that the stream from before goes on: nothing was lost, and sessions, presence and
	// open requests are still good. Without it they are not.
	Resumed bool
}

// New checks the configuration and returns a client that is not connected yet.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	dns := newStaleDNS(cfg.Resolver, cfg.addresses)
	if cfg.Resolver = dns; cfg.addresses != nil {
		cfg.addresses = dns
	}
	c := &Client{
		cfg:        cfg,
		dns:        dns,
		log:        cfg.Logger.With("account", cfg.JID),
		handlers:   handlers{iq: make(map[xml.Name]func(*IQ))},
		inbox:      newInbox(cfg.Limits, cfg.JID),
		router:     newRouter(cfg.Limits.Pending),
		unanswered: newTally(cfg.Limits.Unanswered, cfg.JID),
		online:     newOnlineTable(cfg.Limits.Resources),
		jid:        cfg.JID,
		presence:   cfg.Presence,
		probe:      make(chan struct{}, 1),
		rhythm:     make(chan struct{}, 1),
	}
	if err := c.initDisco(); err != nil {
		return nil, err
	}
	c.HandleIQ(disco.NSInfo, "query", c.answerInfo)
	c.HandleIQ(disco.NSItems, "query", c.answerItems)
	c.HandleIQ(nsPing, "ping", answerPing)
	c.HandleIQ(roster.NS, "query", c.rosterPush)
	c.HandleIQ(blocking.NS, "block", c.blockPush)
	c.HandleIQ(blocking.NS, "unblock", c.blockPush)
	c.blocks.list.List = blocking.NewList(cfg.Blocked)
	return c, nil
}

// HandleIQ sets the handler of requests whose payload is {ns}local. It must not block and must see to it that the
// request is answered. A second handler for the same name panics, as that is a mistake of the program.
func (c *Client) HandleIQ(ns, local string, h func(*IQ)) {
	name := xml.Name{Space: ns, Local: local}
	if c.handlers.iq[name] != nil {
		panic("xmpp: two handlers for {" + ns + "}" + local)
	}
	c.handlers.iq[name] = h
}

// HandleMessage adds a handler of messages. Every one is called with every message, errors included.
func (c *Client) HandleMessage(h func(*Message)) { c.handlers.message = append(c.handlers.message, h) }

// HandlePresence adds a handler of presence. It is called after [Client.Resources] knows.
func (c *Client) HandlePresence(h func(*PresenceStanza)) {
	c.handlers.presence = append(c.handlers.presence, h)
}

// OnState adds a handler of changes of state.
func (c *Client) OnState(h func(StateChange)) { c.handlers.state = append(c.handlers.state, h) }

// OnContact adds a handler of changes to the contact list. One with subscription "remove" has been deleted.
func (c *Client) OnContact(h func(roster.Item)) { c.handlers.contact = append(c.handlers.contact, h) }

// OnRoster adds a handler that is called when the whole contact list has come, after login.
func (c *Client) OnRoster(h func()) { c.handlers.roster = append(c.handlers.roster, h) }

// JID returns the full address that the server has bound, which is kept while the connection is away, and the bare
// address of the account before the first login.
func (c *Client) JID() jid.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.jid
}

// Account returns the bare address of the account.
func (c *Client) Account() jid.JID { return c.JID().Bare() }

// State returns where the client stands.
func (c *Client) State() StateChange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run connects, serves, and connects again until ctx ends, and then says goodbye and returns nil. It returns an error
// that trying again cannot mend, such as a wrong password (see [Permanent]), or any error of the first attempt with
// [Config].FailFast. A certificate that is not trusted after an earlier login counts as passing: hotels' networks do
// that. When Run returns, all that it started has ended and every open request has been told. It can be called once.
func (c *Client) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("xmpp: Run was called before")
	}
	dispatched := make(chan struct{})
	go func() {
		defer close(dispatched)
		c.inbox.drain()
	}()
	err := c.keepConnected(ctx)
	c.dns.close()
	c.setState(StateChange{State: Stopped, Err: err})
	c.router.failAll(ErrOffline)
	c.inbox.close()
	<-dispatched
	return err
}

// steady is how long a stream has to hold for the next attempt to be made at once again.
const steady = 5 * time.Second

func (c *Client) keepConnected(ctx context.Context) error {
	back := backoff{cfg: c.cfg.Backoff}
	loggedIn := false
	for {
		c.setState(StateChange{State: Connecting})
		l, err := c.connect(ctx)
		lost := false
		if err == nil {
			loggedIn = true
			began := time.Now()
			err = c.serve(ctx, l)
			lost, c.lostAt = true, time.Now()
			if time.Since(began) >= min(c.cfg.Backoff.Max, steady) {
				back.reset()
			}
		}
		if ctx.Err() != nil {
			c.abandon()
			return nil
		}
		if Permanent(err) && !(loggedIn && errors.Is(err, ErrCertificate)) || c.cfg.FailFast && !loggedIn {
			c.log.Debug("giving up", "err", err) // whoever runs us tells why
			c.abandon()
			return err
		}
		limit := c.cfg.Backoff.Max
		if c.suspended() != nil {
			limit = min(limit, resumeMost)
		}
		wait := back.next(limit, rand.Int64N)
		if lost && (c.suspended() != nil || errors.Is(err, errDeaf)) {
			soon := resumeSoon
			if c.web.url != nil {
				soon = resumeSoonByWeb
			}
			wait = min(wait, soon) // calls go on as if nothing had happened if we are quick
		}
		c.log.Warn("not connected", "err", err, "retry", wait)
		c.setState(StateChange{State: Offline, Err: err, Retry: wait})
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			c.abandon()
			return nil
		case <-c.probe:
			t.Stop()
			back.reset() // the network is another one
		case <-t.C:
		}
		if c.suspended() == nil {
			c.abandon()
		}
	}
}

const (
	// resumeSoon is how long to wait before the first attempt to resume a stream.
	resumeSoon = 100 * time.Millisecond
	// resumeSoonByWeb is the same for WebSockets. Prosody 0.12 ends a stream for good if it is resumed before the server
	// has noticed that the WebSocket is gone.
	resumeSoonByWeb = 400 * time.Millisecond
	// resumeMost is the longest wait while there is a stream to resume: on a bad line it would be given up for want of trying.
	resumeMost = 10 * time.Second
)

// suspended returns the link whose stream may still be resumed, nil if there is none.
func (c *Client) suspended() *link {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if limit, ok := l.resumable(); ok && time.Since(c.lostAt) < limit {
		return l
	}
	return nil
}

// abandon gives up a stream that was to be resumed.
func (c *Client) abandon() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		c.goOffline(l, c.lostAt)
		l.out.end()
	}
}

// connect looks for a way to the server: what DNS or the user says, and then, where the user has not said how, what the
// domain's web server knows (XEP-0156). A web way that has worked before comes first.
func (c *Client) connect(ctx context.Context) (*link, error) {
	if c.cfg.Borrow != nil {
		return c.borrow(ctx)
	}
	var worst error
	first := c.named()
	if c.web.url != nil {
		if l, final, err := c.try(ctx, append(first, c.web), &worst); final {
			return l, err
		}
		first = nil
	}
	targets, err := c.cfg.targets(ctx)
	if err != nil {
		worst = err
	}
	targets = append(first, targets...)
	if l, final, err := c.try(ctx, targets[:min(len(targets), maxTargets)], &worst); final {
		return l, err
	}
	if c.cfg.Connect == "" && c.cfg.TLS == TLSAuto && ctx.Err() == nil {
		if l, final, err := c.try(ctx, c.cfg.discoverWeb(ctx), &worst); final {
			return l, err
		}
	}
	return nil, worst
}

// try connects to targets, mostly in their order, and logs in at the first that works. final says that there is nothing
// more to be tried; otherwise the error that says most is in worst.
func (c *Client) try(ctx context.Context, targets []target, worst *error) (l *link, final bool, err error) {
	dials := newRace(ctx, len(targets), func(ctx context.Context, i int) (net.Conn, error) {
		return c.cfg.dialTarget(ctx, targets[i])
	})
	defer dials.close()
	for o, ok := dials.next(); ok; o, ok = dials.next() {
		t := targets[o.i]
		if err = o.err; err == nil {
			l, err = c.attempt(ctx, t, o.conn)
		}
		if err == nil {
			c.web = target{}
			if l.via.method != overTCP {
				c.web = l.via
			}
			return l, true, nil
		}
		err = t.explain(err)
		if ctx.Err() != nil || Permanent(err) && !errors.Is(err, ErrCertificate) && !errors.Is(err, ErrTLSRequired) {
			return nil, true, err
		}
		c.log.Debug("attempt failed", "addr", t.addr, "method", t.method.String(), "err", err)
		if *worst == nil || telling(err) > telling(*worst) {
			*worst = err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, true, err
	}
	return nil, false, nil
}

// maxTargets bounds the servers that are tried before there is a pause.
const maxTargets = 16

// telling ranks errors of several attempts: the one that came furthest says most.
func telling(err error) int {
	for i, kind := range []error{ErrUnreachable, ErrNotXMPP, ErrTLS, ErrProtocol, ErrTLSRequired, ErrCertificate} {
		if errors.Is(err, kind) {
			return i + 1
		}
	}
	return 0
}

// attempt logs in at one target, over a connection to it.
func (c *Client) attempt(ctx context.Context, t target, raw net.Conn) (*link, error) {
	noBinding, noToken, redirects := c.noBinding, false, 0
	for {
		if raw == nil {
			var err error
			if raw, err = c.cfg.dialTarget(ctx, t); err != nil {
				return nil, err
			}
		}
		l := &login{cfg: &c.cfg, addr: t.addr, resource: c.cfg.Resource, noBinding: noBinding, noToken: noToken, scramOnly: c.scramOnly, previous: c.suspended()}
		err := l.run(ctx, raw, t)
		raw = nil
		if err == nil {
			c.noBinding = noBinding
			c.scramOnly = c.scramOnly || l.mechanism != "PLAIN"
			c.log.Info("logged in", "jid", l.jid, "addr", t.addr, "method", t.method.String(), "mechanism", l.mechanism, "tls", l.private, "resumed", l.resumed)
			if l.resumed {
				lnk := l.previous.continued(l.conn, l.private)
				lnk.csi, lnk.via = l.csi, t
				lnk.theirs.set(l.limits)
				return lnk, nil
			}
			c.abandon()
			lnk := newLink(l.conn, l.jid, l.private, c.cfg.Limits, l.sm)
			lnk.csi, lnk.carbons, lnk.via = l.csi, l.carbons, t
			lnk.theirs.set(l.limits)
			return lnk, nil
		}
		if errors.Is(err, sm.ErrAck) || errors.Is(err, sm.ErrMalformed) {
			c.abandon() // it would be resumed like that again
		}
		var refused *SASLError
		if l.usedToken && errors.As(err, &refused) {
			// XEP-0484 section 4.1: it has expired or was revoked; the password is asked for instead.
			c.log.Debug("token refused", "condition", refused.Condition)
			c.cfg.Tokens.Keep(Token{})
			noToken, noBinding = true, c.noBinding
			continue
		}
		if l.bindingGuessed && errors.As(err, &refused) && refused.Condition == "not-authorized" {
			// The server offers channel binding but not the kind that this TLS version has, and does not say so
			// (XEP-0440 section 1). A wrong password will be refused once more.
			noBinding = true
			continue
		}
		if there, ok := l.follow(t, err); ok && redirects < maxRedirects { // RFC 6120 section 4.9.3.19
			c.log.Debug("sent elsewhere", "from", t.addr, "to", there.addr)
			t, redirects = there, redirects+1
			continue
		}
		return nil, err
	}
}

func (c *Client) setState(s StateChange) {
	c.mu.Lock()
	c.state = s
	c.mu.Unlock()
	c.inbox.post(func() {
		for _, h := range c.handlers.state {
			c.guard(nil, func() { h(s) })
		}
	})
}

// backoff is the wait before the next attempt.
type backoff struct {
	cfg  Backoff
	last time.Duration
}

func (b *backoff) reset() { b.last = 0 }

// next returns how long to wait, at most for limit.
func (b *backoff) next(limit time.Duration, random func(int64) int64) time.Duration {
	b.last = min(max(b.cfg.Min, 2*b.last), max(b.cfg.Max, b.cfg.Min))
	wait := min(b.last, max(limit, b.cfg.Min))
	return wait - time.Duration(random(int64(wait/2)+1))
}
