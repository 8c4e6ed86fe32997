package daemon

import (
	"slices"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// Bounds of what a peer is told of transfers that were given up: devices, transfers of a peer that wait for one, peers, and how
// often a peer is told of which no device says that it has heard it.
const (
	maxTold        = 8
	maxUntold      = 64
	maxUntoldPeers = 64
	maxTellings    = 5
)

// givenUp is a transfer that was given up, and how often its receiver was told.
type givenUp struct {
	ref      resume.Ref
	tellings int
}

// tellCancelled tells a peer's devices that know of such things that an interrupted transfer is given up, as soon as there is
// one to tell.
func (a *account) tellCancelled(row state.Unfinished) {
	bare := jid.JID(row.Peer).Bare()
	a.mu.Lock()
	u := a.journals.untold
	if _, there := u[bare]; (there || len(u) < maxUntoldPeers) && len(u[bare]) < maxUntold {
		u[bare] = append(u[bare], givenUp{ref: ref(&row)})
	}
	a.mu.Unlock()
	a.tellUntold(bare)
}

// tellUntold tells a peer what none of its devices has said it has heard. It may be told twice.
func (a *account) tellUntold(bare jid.JID) {
	var devices []jid.JID
	for _, r := range a.client.Resources(bare) {
		if info := a.client.Known(r.JID); info != nil && info.Has(resume.NS) && len(devices) < maxTold {
			devices = append(devices, r.JID)
		}
	}
	if len(devices) == 0 {
		return
	}
	a.mu.Lock()
	now := a.journals.untold[bare]
	for i := range now {
		now[i].tellings++
	}
	now = slices.Clone(now)
	a.mu.Unlock()
	for _, g := range now {
		for _, device := range devices {
			a.client.Request(device, "set", resume.Cancelled{Ref: g.ref}.Element(), 0, func(_ *xmltree.Element, err error) {
				if err == nil {
					a.forgetUntold(bare, g.ref)
				}
			})
		}
		if g.tellings >= maxTellings {
			a.forgetUntold(bare, g.ref)
		}
	}
}

func (a *account) forgetUntold(bare jid.JID, told resume.Ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.journals.untold
	if u[bare] = slices.DeleteFunc(u[bare], func(g givenUp) bool { return g.ref == told }); len(u[bare]) == 0 {
		delete(u, bare)
	}
}

// allUntold tells everybody.
func (a *account) allUntold() {
	a.mu.Lock()
	peers := make([]jid.JID, 0, len(a.journals.untold))
	for bare := range a.journals.untold {
		peers = append(peers, bare)
	}
	a.mu.Unlock()
	for _, bare := range peers {
		a.tellUntold(bare)
	}
}
