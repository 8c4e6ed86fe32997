package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/roster"
)

const (
	contactsPause  = 50 * time.Millisecond // changes within it become one event for each contact
	maxContactNews = 64                    // more contacts that change at once become one event for all
	maxRequests    = 256                   // requests for subscription that may wait
	maxScouts      = 4                     // devices asked at once what they can do
	maxUnscouted   = 4096                  // devices that wait to be asked
	scoutTime      = 10 * time.Second      // for a device to answer
)

// contacts turns changes of the contact list and of presence into events, not more often than a reader can follow, and
// finds out what the devices of contacts can do. It is woken by handlers, which never wait, and works in run.
type contacts struct {
	account *account
	wake    chan struct{} // holds one token
	scouts  tasks

	mu       sync.Mutex
	all      bool             // list again
	changed  map[jid.JID]bool // bare addresses
	requests map[jid.JID]string
	granted  map[jid.JID]bool // those whom we have asked may ask as well
	unasked  map[jid.JID]bool // full addresses of devices to be asked
	scouting int
	presence *jingledv1.OwnPresence
}

func newContacts(a *account) *contacts {
	return &contacts{account: a, wake: make(chan struct{}, 1), changed: make(map[jid.JID]bool),
		requests: make(map[jid.JID]string), granted: make(map[jid.JID]bool), unasked: make(map[jid.JID]bool),
		presence: &jingledv1.OwnPresence{Account: a.cfg.JID.String(), Availability: jingledv1.Availability_AVAILABILITY_AVAILABLE}}
}

// run ends with ctx.
func (c *contacts) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	defer c.scouts.Wait()
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		pause.Reset(contactsPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		c.tell()
		c.scout(ctx)
	}
}

// touch notes that something about a contact has changed; "" is the whole list.
func (c *contacts) touch(bare jid.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case bare == "" || len(c.changed) > maxContactNews:
		c.all = true
		clear(c.changed)
	case !c.all:
		c.changed[bare] = true
	}
	c.alarm()
}

func (c *contacts) alarm() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// tell sends the events.
func (c *contacts) tell() {
	c.mu.Lock()
	all, changed := c.all, slices.Sorted(maps.Keys(c.changed))
	c.all = false
	clear(c.changed)
	c.mu.Unlock()
	a := c.account
	if all {
		a.publish("", "", &jingledv1.Event{Body: &jingledv1.Event_ContactsReset{ContactsReset: &jingledv1.ContactsReset{}}})
		return
	}
	for _, bare := range changed {
		if i, ok := a.client.Contact(bare); ok {
			a.publish(bare, "", &jingledv1.Event{Body: &jingledv1.Event_ContactChanged{ContactChanged: a.contact(i)}})
		} else {
			a.publish(bare, "", &jingledv1.Event{Body: &jingledv1.Event_ContactRemoved{ContactRemoved: &jingledv1.ContactRemoved{}}})
		}
	}
}

// scout asks devices what they can do, a few at a time. Most need not be asked: they tell a hash of it, and others with
// the same program have been asked before.
func (c *contacts) scout(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for full := range c.unasked {
		if c.scouting == maxScouts {
			return // whoever is done wakes us
		}
		delete(c.unasked, full)
		c.scouting++
		c.scouts.Go(func() {
			c.ask(ctx, full)
			c.mu.Lock()
			c.scouting--
			c.mu.Unlock()
			c.alarm()
		})
	}
}

func (c *contacts) ask(ctx context.Context, full jid.JID) {
	ctx, cancel := context.WithTimeout(ctx, scoutTime)
	defer cancel()
	if _, ok := c.account.client.Resource(full); !ok {
		return // gone meanwhile
	}
	if _, err := c.account.client.Capabilities(ctx, full); err != nil {
		c.account.log.Debug("capabilities", "of", full.String(), "err", err)
		return
	}
	c.touch(full.Bare())
}

// contactChanged is told by the server: the list has changed.
func (c *contacts) contactChanged(i roster.Item) {
	if i.Subscription == roster.Remove {
		c.revoke(i.JID)
	}
	if i.Subscription.SeesUs() {
		c.answered(i.JID) // perhaps by another device
		// What was not asked while it could not see us can be asked now.
		for _, r := range c.account.client.Resources(i.JID) {
			c.consider(r)
		}
	}
	c.touch(i.JID)
}

// presenceChanged is told by the client after it has noted it.
func (c *contacts) presenceChanged(p *xmpp.PresenceStanza) {
	bare := p.From.Bare()
	switch p.Type {
	case "subscribe":
		c.requested(bare, p.Element.ChildText("jabber:client", "status"))
		return
	case "unsubscribe":
		c.answered(bare)
		return
	case "", "unavailable", "error":
	default:
		return // the list changes with it
	}
	if _, ok := c.account.client.Contact(bare); !ok {
		return
	}
	c.touch(bare)
	if p.Type == "" {
		if r, ok := c.account.client.Resource(p.From); ok {
			c.consider(r)
		}
	}
}

// consider has a device asked, if it is not known what it can do. Only those are asked that see our presence: asking
// shows them our full address.
func (c *contacts) consider(r xmpp.Resource) {
	i, ok := c.account.client.Contact(r.JID.Bare())
	if !ok || !i.Subscription.SeesUs() || r.JID.IsBare() || c.account.client.Known(r.JID) != nil {
		return
	}
	c.mu.Lock()
	if len(c.unasked) < maxUnscouted {
		c.unasked[r.JID] = true
	}
	c.mu.Unlock()
	c.alarm()
}

// grant lets somebody see our presence as soon as they ask for it.
func (c *contacts) grant(bare jid.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.granted) < maxRequests {
		c.granted[bare] = true
	}
}

// revoke takes back what grant has promised.
func (c *contacts) revoke(bare jid.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.granted, bare)
}

// requested notes that somebody asks to see our presence.
func (c *contacts) requested(bare jid.JID, text string) {
	c.mu.Lock()
	granted := c.granted[bare]
	delete(c.granted, bare)
	c.mu.Unlock()
	if granted {
		if err := c.account.client.Approve(bare); err == nil {
			return
		}
	}
	c.mu.Lock()
	_, known := c.requests[bare]
	full := len(c.requests) >= maxRequests
	if known || !full {
		c.requests[bare] = text
	}
	c.mu.Unlock()
	switch {
	case known:
	case full:
		c.account.log.Warn("too many requests for subscription wait: this one was dropped", "from", bare.String())
	default:
		c.account.publish(bare, "", &jingledv1.Event{Body: &jingledv1.Event_SubscriptionRequested{
			SubscriptionRequested: c.request(bare, text)}})
	}
}

// answered forgets a request.
func (c *contacts) answered(bare jid.JID) {
	c.mu.Lock()
	_, waits := c.requests[bare]
	delete(c.requests, bare)
	c.mu.Unlock()
	if waits {
		c.account.publish(bare, "", &jingledv1.Event{Body: &jingledv1.Event_SubscriptionAnswered{
			SubscriptionAnswered: &jingledv1.SubscriptionAnswered{}}})
	}
}

func (c *contacts) waits(bare jid.JID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.requests[bare]
	return ok
}

func (c *contacts) request(bare jid.JID, text string) *jingledv1.SubscriptionRequest {
	return &jingledv1.SubscriptionRequest{Account: c.account.cfg.JID.String(), Jid: bare.String(), Text: text}
}

// stateChanged is told by the client.
func (c *contacts) stateChanged(s xmpp.StateChange) {
	if s.State == xmpp.Online && !s.Resumed {
		c.mu.Lock()
		clear(c.requests) // the server sends again what still waits (RFC 6121 section 3.1.3)
		c.mu.Unlock()
	}
	if s.State == xmpp.Online || s.State == xmpp.Offline {
		c.touch("")
	}
}

// list adds the account's part to an answer.
func (c *contacts) list(out *jingledv1.ListContactsResponse) {
	for _, i := range c.account.client.Roster() {
		out.Contacts = append(out.Contacts, c.account.contact(i))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, bare := range slices.Sorted(maps.Keys(c.requests)) {
		out.Requests = append(out.Requests, c.request(bare, c.requests[bare]))
	}
	out.Presences = append(out.Presences, c.presence)
}

// contact describes an entry of the list as things are now.
func (a *account) contact(i roster.Item) *jingledv1.Contact {
	out := &jingledv1.Contact{Account: a.cfg.JID.String(), Jid: i.JID.String(), Name: i.Name, Groups: i.Groups, Asked: i.Asked,
		Subscription: subscriptions[i.Subscription], Availability: jingledv1.Availability_AVAILABILITY_OFFLINE}
	if a.client.State().State != xmpp.Online {
		return out
	}
	for n, r := range a.client.Resources(i.JID) {
		d := &jingledv1.Device{Jid: r.JID.String(), Availability: availabilities[r.Show], Status: r.Status, Priority: int32(r.Priority)}
		if info := a.client.Known(r.JID); info != nil {
			d.Abilities = abilities(info)
			d.Client, d.ClientType = identity(info)
			out.Abilities = anyOf(out.Abilities, d.Abilities)
		}
		if n == 0 {
			out.Availability, out.Status = d.Availability, d.Status
		}
		out.Devices = append(out.Devices, d)
	}
	return out
}

// abilities reads them from what service discovery tells.
func abilities(info *disco.Info) *jingledv1.Abilities {
	calls := info.Has(canTakeCalls.features...) && (info.Has(ice.NSUDP) || info.Has(ice.NSRawUDP))
	return &jingledv1.Abilities{
		Audio: calls,
		Video: calls && info.Has("urn:xmpp:jingle:apps:rtp:video"),
		Files: info.Has(canTakeFiles.features...) || info.Has(canTakeSI.features...) ||
			info.Has(filetransfer.NS4) || info.Has(filetransfer.NS3),
		Dtmf: calls && info.Has(dtmf.NS),
	}
}

func anyOf(a, b *jingledv1.Abilities) *jingledv1.Abilities {
	if a == nil {
		return b
	}
	return &jingledv1.Abilities{Audio: a.GetAudio() || b.GetAudio(), Video: a.GetVideo() || b.GetVideo(),
		Files: a.GetFiles() || b.GetFiles(), Dtmf: a.GetDtmf() || b.GetDtmf()}
}

// identity returns the name of a program and what kind of device it runs on.
func identity(info *disco.Info) (name, typ string) {
	for _, i := range info.Identities {
		if i.Category == "client" {
			name, typ = cmp.Or(name, i.Name), cmp.Or(typ, i.Type)
		}
	}
	return name, typ
}

var subscriptions = map[roster.Subscription]jingledv1.Subscription{
	roster.None: jingledv1.Subscription_SUBSCRIPTION_NONE, roster.To: jingledv1.Subscription_SUBSCRIPTION_TO,
	roster.From: jingledv1.Subscription_SUBSCRIPTION_FROM, roster.Both: jingledv1.Subscription_SUBSCRIPTION_BOTH,
}

// availabilities is by <show/>.
var availabilities = map[string]jingledv1.Availability{
	"": jingledv1.Availability_AVAILABILITY_AVAILABLE, "chat": jingledv1.Availability_AVAILABILITY_CHAT,
	"away": jingledv1.Availability_AVAILABILITY_AWAY, "xa": jingledv1.Availability_AVAILABILITY_XA,
	"dnd": jingledv1.Availability_AVAILABILITY_DND,
}
