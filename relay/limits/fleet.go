package limits

import (
	"context"
	"net/netip"
)

// Fleet shares counts and bans among nodes. Touch and Ban only post; Run does the work.
type Fleet interface {
	// Run works until ctx ends.
	Run(ctx context.Context, l *Limiter) error
	// Touch says that a user's sessions on this node have changed.
	Touch(user string)
	// Ban tells the other nodes of a ban; one with a zero Until is lifted.
	Ban(Ban)
	// Healthy reports whether the others can be reached.
	Healthy() bool
}

// here returns the numbers of a user's sessions on this node, and the user's limit (0: none).
func (l *Limiter) here(user string) (ids []uint64, limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.users[user]; u != nil {
		for id := range u.here {
			ids = append(ids, id)
		}
	}
	return ids, max(l.cfg.PerUser, 0)
}

// usersHere lists the users with sessions on this node.
func (l *Limiter) usersHere() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, 0, len(l.users))
	for u := range l.users {
		out = append(out, u)
	}
	return out
}

// setOthers notes how many sessions a user has on other nodes, and gives back those the fleet has no room for.
func (l *Limiter) setOthers(user string, others int, refused []uint64) {
	l.mu.Lock()
	var clients []netip.AddrPort
	if u := l.users[user]; u != nil {
		u.others = others
		for _, id := range refused {
			if c, ok := u.here[id]; ok {
				clients = append(clients, c)
			}
		}
	}
	revoked := l.revoked
	l.mu.Unlock()
	if revoked != nil {
		for _, c := range clients {
			revoked(user, c)
		}
	}
}

// forgetOthers makes the limits this node's alone.
func (l *Limiter) forgetOthers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.users {
		u.others = 0
	}
}

// setBans replaces the bans by the fleet's, and puts those on top that the fleet has not heard of yet.
func (l *Limiter) setBans(fleet, own []Ban) {
	list := newBanList()
	for _, b := range fleet {
		list.put(b)
	}
	for _, b := range own {
		if b.Until.IsZero() {
			list.remove(b)
		} else {
			list.put(b)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bans = list
}
