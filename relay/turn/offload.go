package turn

import (
	"context"
	"math"
	"net/netip"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// Shortcut is a channel that may be relayed below the sockets.
type Shortcut = alloc.Shortcut

// Offloader relays channels below the sockets; relay/offload has the one of Linux. What it does not relay comes to the sockets as
// ever, so nothing depends on it. Its methods are called by several loops at once and must be quick.
type Offloader interface {
	// Acquire takes a slot for an allocation. False: none is left.
	Acquire() (slot uint32, ok bool)
	// Release gives a slot back. Its shortcuts have been removed.
	Release(slot uint32)
	// Put adds a shortcut to a slot, or renews its times.
	Put(slot uint32, s Shortcut) error
	// Remove takes a shortcut away.
	Remove(s Shortcut)
	// Grant says how many bytes of payload a slot may relay in all since it was acquired: to peers and to the client.
	// math.MaxUint64 is no limit. A new slot may relay nothing.
	Grant(slot uint32, bytes [2]uint64)
	// Used reads what a slot has relayed since it was acquired.
	Used(slot uint32) OffloadUsage
	// Snapshot reads what all slots have relayed, by slot, into a slice that it may use.
	Snapshot(into []OffloadUsage) []OffloadUsage
	// Close ends all relaying.
	Close() error
}

// OffloadUsage is what was relayed below the sockets: to peers and to the client.
type OffloadUsage struct {
	Packets, Bytes [2]uint64
}

const (
	// offloadTick is how often counters are read, limits granted and permissions looked at.
	offloadTick = 250 * time.Millisecond
	minGrant    = 16 << 10
	maxGrant    = 4 << 20
)

// shortcuts are a shard's allocations that are relayed below the sockets. They belong to whoever holds the shard's lock.
type shortcuts struct {
	dev     Offloader
	by      map[*alloc.Allocation]*offloaded
	packets uint64
}

// offloaded is one of them.
type offloaded struct {
	slot    uint32
	born    time.Time
	have    map[uint16]Shortcut
	seen    OffloadUsage
	granted [2]uint64
}

// openOffload makes the offloader. Without one, the sockets do all.
func (s *Server) openOffload() Offloader {
	if s.cfg.Offload == nil {
		return nil
	}
	seen := map[netip.Addr]bool{}
	var addrs []netip.Addr
	add := func(a netip.Addr) {
		if a = a.Unmap(); !seen[a] {
			seen[a] = true
			addrs = append(addrs, a)
		}
	}
	for _, l := range s.listens {
		if l.Transport == alloc.UDP {
			add(l.Address.Addr())
		}
	}
	for _, r := range s.tableConfig().Relays {
		add(r.Bind)
	}
	dev, err := s.cfg.Offload(addrs)
	if err != nil {
		s.log.Warn("channels are not offloaded", "err", err)
		return nil
	}
	for _, sh := range s.shards {
		sh.short = &shortcuts{dev: dev, by: map[*alloc.Allocation]*offloaded{}}
	}
	return dev
}

// tendOffload keeps counters, limits and times of offloaded channels until ctx ends.
func (s *Server) tendOffload(ctx context.Context, dev Offloader) {
	t := time.NewTicker(offloadTick)
	defer t.Stop()
	var all []OffloadUsage
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		taken := time.Now()
		all = dev.Snapshot(all)
		for _, sh := range s.shards {
			sh.mu.Lock()
			if !sh.stopped {
				sh.tendShortcuts(taken, all)
			}
			sh.mu.Unlock()
		}
	}
}

// tendShortcuts looks after all of a shard's, with what was read at the time taken.
func (sh *shard) tendShortcuts(taken time.Time, all []OffloadUsage) {
	now := time.Now()
	for a, o := range sh.short.by {
		// A younger one may have got the slot of an older one since.
		if int(o.slot) < len(all) && o.born.Before(taken) {
			recent := sh.settle(now, a, o, all[o.slot])
			sh.grant(now, a, o, recent)
		}
		sh.syncShortcuts(now, a, o)
	}
}

// shorten offloads a channel that was bound or renewed.
func (sh *shard) shorten(a *alloc.Allocation) {
	if sh.short == nil || a.Dead() {
		return
	}
	now := time.Now()
	o := sh.short.by[a]
	if o == nil {
		possible := false
		sh.table.Shortcuts(a, func(Shortcut) bool { possible = true; return false })
		if !possible {
			return
		}
		slot, ok := sh.short.dev.Acquire()
		if !ok {
			return
		}
		o = &offloaded{slot: slot, born: now, have: map[uint16]Shortcut{}}
		sh.short.by[a] = o
		sh.grant(now, a, o, [2]uint64{})
	}
	sh.syncShortcuts(now, a, o)
}

// lengthen takes a channel back that is gone; number 0 all channels of an allocation whose addresses changed. An allocation that has
// ended is accounted for when its last channel goes.
func (sh *shard) lengthen(a *alloc.Allocation, number uint16) {
	if sh.short == nil || sh.short.by[a] == nil {
		return
	}
	o := sh.short.by[a]
	for n, s := range o.have {
		if number == 0 || n == number {
			sh.short.dev.Remove(s)
			delete(o.have, n)
		}
	}
	if a.Dead() && len(o.have) == 0 {
		sh.settle(time.Now(), a, o, sh.short.dev.Used(o.slot))
		sh.short.dev.Release(o.slot)
		delete(sh.short.by, a)
	}
}

// syncShortcuts makes what is offloaded what the table has.
func (sh *shard) syncShortcuts(now time.Time, a *alloc.Allocation, o *offloaded) {
	var there map[uint16]bool
	sh.table.Shortcuts(a, func(s Shortcut) bool {
		if there == nil {
			there = make(map[uint16]bool, len(o.have))
		}
		if !s.ToPeer.After(now) {
			return true
		}
		there[s.Channel] = true
		if o.have[s.Channel] == s {
			return true
		}
		if err := sh.short.dev.Put(o.slot, s); err != nil {
			delete(there, s.Channel)
			return true
		}
		o.have[s.Channel] = s
		return true
	})
	for n, s := range o.have {
		if !there[n] {
			sh.short.dev.Remove(s)
			delete(o.have, n)
		}
	}
}

// settle accounts for what was relayed since the last time, and returns the bytes of it.
func (sh *shard) settle(now time.Time, a *alloc.Allocation, o *offloaded, u OffloadUsage) (recent [2]uint64) {
	for d := range recent {
		// A snapshot that was read before the last word on this slot is old news.
		if u.Packets[d] <= o.seen.Packets[d] {
			continue
		}
		packets, bytes := u.Packets[d]-o.seen.Packets[d], u.Bytes[d]-min(u.Bytes[d], o.seen.Bytes[d])
		sh.table.Relayed(now, a, alloc.Direction(d), packets, bytes)
		sh.short.packets += packets
		o.seen.Packets[d], o.seen.Bytes[d] = u.Packets[d], u.Bytes[d]
		recent[d] = bytes
	}
	return recent
}

// grant pays in advance for about twice of what went through lately. What was not paid for comes to the sockets, which ask the limiter
// for each packet: so limits are the same as without offloading.
func (sh *shard) grant(now time.Time, a *alloc.Allocation, o *offloaded, recent [2]uint64) {
	granted := o.granted
	if !sh.table.Limited(a) {
		granted = [2]uint64{math.MaxUint64, math.MaxUint64}
	} else {
		for d := range granted {
			if granted[d] == math.MaxUint64 {
				granted[d] = o.seen.Bytes[d]
			}
			left := granted[d] - min(granted[d], o.seen.Bytes[d])
			want := min(max(2*recent[d], minGrant), maxGrant)
			if left >= want/2 {
				continue
			}
			if n := want - left; sh.table.Prepay(now, a, alloc.Direction(d), int(n)) {
				granted[d] = o.seen.Bytes[d] + want
			}
		}
	}
	if granted != o.granted {
		o.granted = granted
		sh.short.dev.Grant(o.slot, granted)
	}
}
