package xmpp

import "github.com/jingled/jingled/jid"

// quota shares out a number of places, so that one who takes many leaves some to others: a bare address may have a
// quarter of them, and a domain that is not our own, where one person can make as many addresses as they like, half.
type quota struct {
	limit int
	own   string // our domain

	all  int
	used map[jid.JID]int // by bare address, and by foreign domain with an @ before it
}

func newQuota(limit int, own jid.JID) quota {
	return quota{limit: limit, own: own.Domain(), used: make(map[jid.JID]int)}
}

// domain is the key that a foreign domain is counted under, "" for our own.
func (q *quota) domain(sender jid.JID) jid.JID {
	if d := sender.Domain(); d != q.own {
		return jid.JID("@" + d)
	}
	return ""
}

// take gives a place to a sender, if there is one.
func (q *quota) take(sender jid.JID) bool {
	bare, domain := sender.Bare(), q.domain(sender)
	if q.all >= q.limit || q.used[bare] >= max(1, q.limit/4) || domain != "" && q.used[domain] >= max(1, q.limit/2) {
		return false
	}
	q.all++
	q.used[bare]++
	if domain != "" {
		q.used[domain]++
	}
	return true
}

// give takes a place back.
func (q *quota) give(sender jid.JID) {
	q.all--
	q.drop(sender.Bare())
	if domain := q.domain(sender); domain != "" {
		q.drop(domain)
	}
}

func (q *quota) drop(key jid.JID) {
	if q.used[key]--; q.used[key] <= 0 {
		delete(q.used, key)
	}
}
