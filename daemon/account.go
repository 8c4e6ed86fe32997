package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/thumbnail"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jet/pinned"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/muc"
)

// account is one XMPP account with its sessions. Its lock guards what is below mu and is never held while something
// waits.
type account struct {
	d        *Daemon
	cfg      Account
	log      *slog.Logger
	registry *jingle.Registry
	client   *xmpp.Client
	engine   *engine.Engine
	files    *files
	contacts *contacts
	rooms    *muc.Driver
	caps     *caps.Cache // of all accounts
	relays   relays
	media    tasks // the goroutines of calls
	journals journals
	share    *store.Shared
	// certificate is shown in every call's DTLS handshake.
	certificate *dtlssrtp.Certificate
	trust       *trust
	pictures    pictures
	hooks       chan struct{} // holds one for each hook that runs
	blockedMu   sync.Mutex    // held while the block list is written down and told
	attention   attention
	placing     sync.Mutex // of the files of a folder, one after another
	names       sync.Map   // our addresses in rooms that we are in or come back to, by theirs: jid.JID of jid.JID

	stopped context.Context // ends with stop
	stop    context.CancelFunc
	ended   chan struct{} // is closed when the account's run has returned

	mu        sync.Mutex
	place     secrets.Place   // of the password; "" before the first login
	life      context.Context // ends with the sessions; nil before Run
	proposals *jmi.Set        // nil before the first login
	jmiTimer  *time.Timer
	calls     map[sessionKey]*call
	transfers map[string]*transfer // by the name that clients have for it
	lastPlace lastWithin
	bound     jid.JID          // as which we are logged in
	settled   bool             // and can be reached
	waits     int              // reasons for proposals not to ring yet
	greeted   map[jid.JID]bool // strangers, by full address, that got our presence
	waiting   map[jid.JID][]chan jid.JID
	stopping  bool

	groups      map[jid.JID]*room // by the room's address
	invitations []*roomInvitation
}

// sessionKey names a call: the peer's bare address is part of it, as peers choose session ids.
type sessionKey struct {
	peer jid.JID
	sid  string
}

func newAccount(d *Daemon, cfg Account) (*account, error) {
	a := &account{
		d: d, cfg: cfg, log: d.cfg.Log.With("account", cfg.JID.String()), registry: newRegistry(),
		caps: d.caps, hooks: make(chan struct{}, maxHooks), calls: make(map[sessionKey]*call), transfers: make(map[string]*transfer),
		ended:   make(chan struct{}),
		greeted: make(map[jid.JID]bool), waiting: make(map[jid.JID][]chan jid.JID),
		groups: make(map[jid.JID]*room),
	}
	a.stopped, a.stop = context.WithCancel(context.Background())
	password := cfg.Password
	if password == nil {
		password = a.askPassword
	}
	a.journals.wake, a.share = make(chan struct{}, 1), store.NewShared(cfg.Share.Dir)
	a.journals.untold = make(map[jid.JID][]*givenUp)
	var err error
	if err = a.openTrust(); err != nil {
		return nil, err
	}
	stream := xmpp.Config{
		JID: cfg.JID, Password: password, Resource: d.resource(cfg), Connect: cfg.Connect, Proxy: cfg.Proxy, TLS: cfg.TLS,
		RootCAs: cfg.RootCAs, PinnedSHA256: cfg.PinnedSHA256, Resolver: cfg.Resolver, FailFast: cfg.FailFast,
		Features: a.features(), Caps: d.caps, Blocked: d.lastBlocked(cfg.JID), Presence: xmpp.Presence{Priority: cfg.Priority},
		Bind2: cfg.Bind2, Tokens: tokens{a}, Logger: d.cfg.Log,
	}
	if cfg.tunnel != nil {
		stream.Borrow, stream.Backoff, stream.Resource = borrowOnce(cfg.tunnel), tunnelBackoff, cfg.tunnel.JID().Resource()
	}
	if a.client, err = xmpp.New(stream); err != nil {
		return nil, err
	}
	a.rooms = muc.NewDriver(a.client, a.roomEffect)
	a.engine, err = engine.New(engine.Config{
		Local: a.client.JID, LocalTo: a.localTo, Signaler: signaler{a.client}, Registry: a.registry, Incoming: a.incoming, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	if a.files, err = newFiles(a); err != nil {
		return nil, err
	}
	if err := a.recall(context.Background()); err != nil {
		return nil, err
	}
	a.client.HandleIQ(jingle.NS, "jingle", a.receiveJingle)
	a.client.HandleIQ(resume.NS, "blocks", a.receiveBlocks)
	a.client.HandleIQ(pinned.NS, "key", a.tellKey)
	a.client.HandleIQ(thumbnail.NSBoB, "data", a.tellBits)
	a.client.HandleMessage(a.receiveMessage)
	a.client.HandleMessage(a.receiveInvitation)
	a.client.HandleMessage(a.receiveFromRoom)
	a.client.HandlePresence(a.receivePresence)
	a.client.OnState(a.stateChanged)
	a.contacts = newContacts(a)
	a.client.HandlePresence(a.contacts.presenceChanged)
	a.client.OnContact(a.contacts.contactChanged)
	a.client.OnBlocked(a.blockedChanged)
	a.client.OnRoster(func() { a.contacts.touch("") })
	return a, nil
}

// run returns when the account is stopped for good or ctx has ended.
func (a *account) run(ctx context.Context) error {
	// The stream outlives the sessions, so that peers hear of their end.
	streamCtx, closeStream := context.WithCancel(context.WithoutCancel(ctx))
	defer closeStream()
	sessionCtx, endSessions := context.WithCancel(ctx)
	defer endSessions()
	streamEnded := make(chan error, 1)
	a.mu.Lock()
	a.life = sessionCtx
	a.mu.Unlock()
	go func() {
		err := a.client.Run(streamCtx)
		endSessions()
		streamEnded <- err
	}()
	contactsEnded := make(chan struct{})
	go func() {
		defer close(contactsEnded)
		a.contacts.run(sessionCtx)
	}()
	filesEnded := make(chan error, 1)
	go func() { filesEnded <- a.files.run(sessionCtx) }()
	resumingEnded := make(chan struct{})
	go func() {
		defer close(resumingEnded)
		a.resumeLoop(sessionCtx)
	}()
	engineErr := a.engine.Run(sessionCtx)
	a.endProposals()
	a.media.Wait()
	filesErr := <-filesEnded
	<-resumingEnded
	<-contactsEnded
	closeStream()
	err := <-streamEnded
	a.journals.tasks.Wait() // no handler runs any more that could begin another
	a.rest()
	a.stopSearch() // no handler runs any more that could begin another
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(engineErr, context.Canceled) {
		engineErr = nil
	}
	return errors.Join(err, engineErr, filesErr)
}

func (a *account) stateChanged(c xmpp.StateChange) {
	a.mu.Lock()
	a.settled = c.Resumed
	a.mu.Unlock()
	a.contacts.stateChanged(c)
	acc := a.describe(c)
	if c.Resumed {
		a.catchUp()
		a.peerBack("")
	}
	if c.State == xmpp.Online && !c.Resumed {
		a.roomsBack()
		a.mu.Lock()
		var lost []*call
		if a.proposals == nil || a.bound != c.JID {
			// Under another address nobody finds us who answers what the old one has proposed.
			a.proposals = jmi.NewSet(jmi.Config{Self: c.JID, Unanswered: a.d.cfg.RingTimeout, Ringing: a.d.cfg.RingTimeout})
			for _, pending := range a.calls {
				if pending.proposed && pending.phone == nil {
					lost = append(lost, pending)
				}
			}
		}
		a.bound = c.JID
		clear(a.greeted)
		life := a.life
		a.mu.Unlock()
		for _, pending := range lost {
			pending.finish(&jingledv1.CallEnded{Reason: string(jingle.ConnectivityError), Text: "The connection to the server was lost."})
		}
		a.catchUp()
		a.searchRelays(life)
		a.greet()
		a.settle(c)
		return
	}
	a.publish("", "", &jingledv1.Event{Body: &jingledv1.Event_AccountChanged{AccountChanged: acc}})
}

// settle asks the server something: when it answers, it has seen our presence, and we its contact list. Only then the
// account counts as online towards clients of the API, who may call it at once.
func (a *account) settle(c xmpp.StateChange) {
	a.client.Request("", "get", xmltree.New(nsPing, "ping"), 0, func(_ *xmltree.Element, err error) {
		a.mu.Lock()
		now := a.client.State()
		a.settled = !errors.Is(err, xmpp.ErrOffline) && now.State == xmpp.Online && now.JID == c.JID
		settled := a.settled
		a.mu.Unlock()
		if settled {
			a.peerBack("")
			a.engine.Ping("") // while we were away an end may have missed us
			a.publish("", "", &jingledv1.Event{Body: &jingledv1.Event_AccountChanged{AccountChanged: a.describe(now)}})
		}
	})
}

const nsPing = "urn:xmpp:ping" // XEP-0199

func (a *account) describe(c xmpp.StateChange) *jingledv1.Account {
	acc := &jingledv1.Account{Jid: a.cfg.JID.String()}
	a.mu.Lock()
	settled := a.settled
	a.mu.Unlock()
	if c.State == xmpp.Online && !settled {
		c.State = xmpp.Connecting
	}
	switch c.State {
	case xmpp.Online:
		acc.State, acc.BoundJid = jingledv1.AccountState_ACCOUNT_STATE_ONLINE, c.JID.String()
	case xmpp.Offline:
		acc.State = jingledv1.AccountState_ACCOUNT_STATE_OFFLINE
	case xmpp.Stopped:
		acc.State = jingledv1.AccountState_ACCOUNT_STATE_STOPPED
	default:
		acc.State = jingledv1.AccountState_ACCOUNT_STATE_CONNECTING
	}
	var why *xmpp.Error
	if c.Err != nil {
		acc.Error = c.Err.Error()
	}
	if errors.As(c.Err, &why) && errors.Is(why, xmpp.ErrCertificate) {
		acc.UntrustedSha256 = why.Fingerprint
	}
	a.describeOrigin(acc)
	return acc
}

func (a *account) publish(peer jid.JID, sid string, e *jingledv1.Event) {
	e.Account, e.Peer, e.Sid = a.cfg.JID.String(), peer.String(), sid
	a.d.hub.publish(e)
	a.attend()
}

func (a *account) receiveJingle(iq *xmpp.IQ) {
	if iq.Type != "set" {
		iq.Fail(jingle.ErrBadRequest("A <jingle/> needs an IQ of type set."))
		return
	}
	if iq.From.IsBare() {
		iq.Fail(jingle.ErrServiceUnavailable())
		return
	}
	a.engine.Receive(iq.From, iq.Payload, func(e *jingle.StanzaError) {
		if e != nil {
			iq.Fail(e)
			return
		}
		iq.Reply(nil)
	})
}

// incoming decides about a session-initiate. It runs on the new session's goroutine.
func (a *account) incoming(s *engine.Session, m *jingle.Message) (engine.Application, error) {
	switch kindOf(m) {
	case kindCall:
		if address := roomOf(m); address != "" {
			return a.incomingGroup(s, m, address)
		}
		return a.incomingCall(s, m)
	case kindFile:
		return a.incomingFile(s, m)
	}
	if !a.admits(s.Peer(), true) && !a.admits(s.Peer(), false) {
		return nil, jingle.ErrServiceUnavailable()
	}
	return nil, &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.UnsupportedApplications,
		Text: "Only calls and file transfers are taken here."}}
}

// admits applies the block list, the policy for calls (or else files), and what current subscribers let in.
func (a *account) admits(peer jid.JID, calls bool) bool {
	if a.blocks(peer) {
		return false
	}
	p := a.cfg.Files
	if calls {
		p = a.cfg.Calls
	}
	contact := a.isContact(peer)
	if p.admits(peer, contact) {
		return true
	}
	for _, w := range a.d.admitted(a.cfg.JID) {
		if (calls && w.calls || !calls && w.files) && w.policy.admits(peer, contact) {
			return true
		}
	}
	return false
}

// near reports whether a peer may be on this machine: it is at our server, and that is here.
func (a *account) near(peer jid.JID) bool {
	host, _, err := net.SplitHostPort(a.cfg.Connect)
	if err != nil || peer.Domain() != a.cfg.JID.Domain() {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// signaler sends Jingle by IQ.
type signaler struct{ client *xmpp.Client }

func (s signaler) Send(to jid.JID, m *jingle.Message, done func(error)) {
	s.client.Request(to, "set", m.Element(), 0, func(_ *xmltree.Element, err error) { done(err) })
}
