package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Bounds of what a peer is told of transfers that were given up: transfers of a peer that wait for one of its devices, peers,
// devices that are told at one time, how often one is told that says nothing to it, and all of them together.
const (
	maxUntold      = 64
	maxUntoldPeers = 64
	maxTold        = 8
	maxTellings    = 5
	maxAllTellings = 100
)

// hearsOfEnds is what a device needs to hear of it.
var hearsOfEnds = can{"hear of transfers that were given up", []string{resume.NS}}

// givenUp is a transfer that was given up, and how often the devices of the other side were told since they have come. It
// waits in the journal as well, for as long as the other side would wait for the transfer.
type givenUp struct {
	id       string // of the row in the journal
	ref      resume.Ref
	device   jid.JID // that had the last session
	since    time.Time
	tellings map[jid.JID]*tellings
	all      int
}

// tellings is how often a device was told since it has come; maxTellings also stands for one that knows nothing of it.
type tellings struct{ n int }

// tellCancelled tells a peer's devices that know of such things that an interrupted transfer is given up, as soon as there is
// one to tell.
func (a *account) tellCancelled(row state.Unfinished) {
	if info := a.client.Known(jid.JID(row.Peer)); info != nil && !info.Has(resume.NS) {
		return // nothing waits there
	}
	row.Phase, row.Updated = state.GivenUp, time.Now()
	a.journals.writing.Lock()
	if a.addUntold(&row) {
		a.d.keep("transfer that was given up", func(ctx context.Context, s *state.Store) error { return s.Journal(ctx, row) })
	}
	a.journals.writing.Unlock()
	a.tellUntold(jid.JID(row.Peer).Bare())
}

// addUntold enters what a peer has to hear. It returns false if there is too much of it.
func (a *account) addUntold(row *state.Unfinished) bool {
	bare := jid.JID(row.Peer).Bare()
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.journals.untold
	if _, there := u[bare]; !there && len(u) >= maxUntoldPeers || len(u[bare]) >= maxUntold {
		return false
	}
	u[bare] = append(u[bare], &givenUp{id: row.ID, ref: ref(row), device: jid.JID(row.Peer), since: row.Updated, tellings: make(map[jid.JID]*tellings)})
	return true
}

// tellUntold tells a device what none of that peer has said it has heard, or all devices of a bare address. It may be told twice.
func (a *account) tellUntold(who jid.JID) {
	a.mu.Lock()
	waits, life := len(a.journals.untold[who.Bare()]) > 0, a.life
	a.mu.Unlock()
	if !waits {
		return
	}
	devices := 0
	for _, r := range a.client.Resources(who.Bare()) {
		if who != r.JID && !who.IsBare() {
			continue
		}
		if info := a.client.Known(r.JID); info != nil && !info.Has(resume.NS) {
			continue
		}
		if devices++; devices > maxTold {
			return
		}
		if due := a.dueTo(r.JID); len(due) > 0 {
			a.journals.tasks.Go(func() { a.tellDevice(life, r.JID, due) })
		}
	}
}

// dueTo returns what is to be told to a device now, and counts it.
func (a *account) dueTo(device jid.JID) map[*givenUp]*tellings {
	bare := device.Bare()
	a.mu.Lock()
	defer a.mu.Unlock()
	due := make(map[*givenUp]*tellings)
	for _, g := range a.journals.untold[bare] {
		told := g.tellings[device]
		if told == nil && len(g.tellings) >= maxTold {
			for other := range g.tellings {
				if _, there := a.client.Resource(other); !there {
					delete(g.tellings, other)
				}
			}
			if len(g.tellings) >= maxTold {
				continue
			}
		}
		if told == nil {
			told = &tellings{}
			g.tellings[device] = told
		}
		if told.n < maxTellings && g.all < maxAllTellings {
			told.n++
			g.all++
			due[g] = told
		}
	}
	return due
}

func (a *account) tellDevice(ctx context.Context, device jid.JID, due map[*givenUp]*tellings) {
	if _, ok := a.has(ctx, device, hearsOfEnds); !ok {
		return
	}
	for g, told := range due {
		a.client.Request(device, "set", resume.Cancelled{Ref: g.ref}.Element(), 0, func(_ *xmltree.Element, err error) { a.told(device, g, told, err) })
	}
}

// told follows a device's answer. That of a server in place of a device that has left looks the same as that of one which knows
// nothing of the transfer, and counts for nothing: its presence has gone by then.
func (a *account) told(device jid.JID, g *givenUp, asked *tellings, err error) {
	if err == nil {
		a.strikeUntold(device.Bare(), func(o *givenUp) bool { return o == g })
		return
	}
	se, ok := errors.AsType[*jingle.StanzaError](err)
	if _, there := a.client.Resource(device); !ok || se.Condition != "service-unavailable" || !there {
		return
	}
	a.mu.Lock()
	same := g.tellings[device] == asked
	asked.n = maxTellings
	a.mu.Unlock()
	if same && device == g.device { // it has heard it by the end of the session
		a.strikeUntold(device.Bare(), func(o *givenUp) bool { return o == g })
	}
}

// leftUntold forgets how often a device was told, as it has left: it was not there to hear it, or comes back with another memory.
func (a *account) leftUntold(device jid.JID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.journals.untold[device.Bare()] {
		delete(g.tellings, device)
	}
}

// strikeUntold strikes out what a peer has heard, or need not hear any more.
func (a *account) strikeUntold(bare jid.JID, which func(*givenUp) bool) {
	a.mu.Lock()
	var struck []string
	u := a.journals.untold
	u[bare] = slices.DeleteFunc(u[bare], func(g *givenUp) bool {
		if !which(g) {
			return false
		}
		struck = append(struck, g.id)
		return true
	})
	if len(u[bare]) == 0 {
		delete(u, bare)
	}
	a.mu.Unlock()
	if struck != nil {
		a.journals.tasks.Go(func() { a.strikeOut(struck...) })
	}
}

// untoldPeers are those who have something to hear.
func (a *account) untoldPeers() []jid.JID {
	a.mu.Lock()
	defer a.mu.Unlock()
	peers := make([]jid.JID, 0, len(a.journals.untold))
	for bare := range a.journals.untold {
		peers = append(peers, bare)
	}
	return peers
}

// allUntold tells everybody.
func (a *account) allUntold() {
	for _, bare := range a.untoldPeers() {
		a.tellUntold(bare)
	}
}

// expireUntold strikes out what the other side has given up itself by now, and what nobody wanted to hear.
func (a *account) expireUntold(now time.Time) {
	for _, bare := range a.untoldPeers() {
		a.strikeUntold(bare, func(g *givenUp) bool { return now.Sub(g.since) > keepPart || g.all >= maxAllTellings })
	}
}
