package limits

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxBans bounds the list; beyond it the ban that ends first makes room.
const maxBans = 65536

// Ban keeps a user or an address prefix out until a time.
type Ban struct {
	User   string       // "" if Prefix is meant
	Prefix netip.Prefix // the zero value if User is meant
	Until  time.Time
}

// key is the ban's name in the fleet: "u:" and a user, or "a:" and a prefix.
func (b Ban) key() string {
	if b.User != "" {
		return "u:" + b.User
	}
	return "a:" + b.Prefix.Masked().String()
}

// parseBan reads key back.
func parseBan(key string, until time.Time) (Ban, bool) {
	switch kind, v, _ := strings.Cut(key, ":"); kind {
	case "u":
		return Ban{User: v, Until: until}, v != ""
	case "a":
		p, err := netip.ParsePrefix(v)
		return Ban{Prefix: p, Until: until}, err == nil
	}
	return Ban{}, false
}

// Ban keeps somebody out. IPv4 prefixes have at least 8 bits and IPv6 ones 16, so that a slip does not shut the world
// out. Sessions that are there are not ended by it.
func (l *Limiter) Ban(b Ban) error {
	if b.User == "" {
		least := 8
		if b.Prefix.Addr().Is6() {
			least = 16
		}
		if !b.Prefix.IsValid() || b.Prefix.Bits() < least || b.Prefix.Addr().Is4In6() {
			return fmt.Errorf("limits: a ban needs a user or an address prefix of at least %d bits", least)
		}
		b.Prefix = b.Prefix.Masked()
	}
	l.mu.Lock()
	l.bans.put(b)
	fleet := l.fleet
	l.mu.Unlock()
	if fleet != nil {
		fleet.Ban(b)
	}
	return nil
}

// Unban lets somebody in again.
func (l *Limiter) Unban(b Ban) {
	b.Until = time.Time{}
	l.mu.Lock()
	l.bans.remove(b)
	fleet := l.fleet
	l.mu.Unlock()
	if fleet != nil {
		fleet.Ban(b)
	}
}

// Bans lists who is kept out at the time now, in the order of their end.
func (l *Limiter) Bans(now time.Time) []Ban {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.bans.list(now)
	slices.SortFunc(out, func(a, b Ban) int {
		if c := a.Until.Compare(b.Until); c != 0 {
			return c
		}
		return strings.Compare(a.key(), b.key())
	})
	return out
}

// Banned reports whether a user or a client address is kept out. An empty user asks for the address alone.
func (l *Limiter) Banned(now time.Time, user string, client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bans.match(now, user, client)
}

// banList finds a ban without walking over all: by user, and by prefix for each prefix length in use.
type banList struct {
	users    map[string]time.Time
	prefixes map[netip.Prefix]time.Time
	lengths  map[int]int // of prefixes by family and length: 4 or 6, times 1000, plus bits
}

func newBanList() banList {
	return banList{users: map[string]time.Time{}, prefixes: map[netip.Prefix]time.Time{}, lengths: map[int]int{}}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 4000
	}
	return 6000
}

func (l *banList) put(b Ban) {
	if _, there := l.until(b); !there && len(l.users)+len(l.prefixes) >= maxBans {
		if all := l.list(time.Time{}); len(all) > 0 {
			l.remove(slices.MinFunc(all, func(a, b Ban) int { return a.Until.Compare(b.Until) }))
		}
	}
	if b.User != "" {
		l.users[b.User] = b.Until
		return
	}
	if _, there := l.prefixes[b.Prefix]; !there {
		l.lengths[family(b.Prefix.Addr())+b.Prefix.Bits()]++
	}
	l.prefixes[b.Prefix] = b.Until
}

func (l *banList) until(b Ban) (time.Time, bool) {
	if b.User != "" {
		t, ok := l.users[b.User]
		return t, ok
	}
	t, ok := l.prefixes[b.Prefix]
	return t, ok
}

func (l *banList) remove(b Ban) {
	if b.User != "" {
		delete(l.users, b.User)
		return
	}
	if _, there := l.prefixes[b.Prefix]; !there {
		return
	}
	delete(l.prefixes, b.Prefix)
	n := family(b.Prefix.Addr()) + b.Prefix.Bits()
	if l.lengths[n]--; l.lengths[n] <= 0 {
		delete(l.lengths, n)
	}
}

// list returns the bans that hold at the time now, and drops the others.
func (l *banList) list(now time.Time) []Ban {
	var out, gone []Ban
	add := func(b Ban) {
		if now.Before(b.Until) {
			out = append(out, b)
		} else {
			gone = append(gone, b)
		}
	}
	for u, t := range l.users {
		add(Ban{User: u, Until: t})
	}
	for p, t := range l.prefixes {
		add(Ban{Prefix: p, Until: t})
	}
	for _, b := range gone {
		l.remove(b)
	}
	return out
}

func (l *banList) match(now time.Time, user string, client netip.Addr) bool {
	if t, ok := l.users[user]; ok && user != "" && now.Before(t) {
		return true
	}
	client = client.Unmap().WithZone("")
	if !client.IsValid() {
		return false
	}
	f := family(client)
	for n := range l.lengths {
		if bits := n - f; bits >= 0 && bits <= client.BitLen() {
			p, _ := client.Prefix(bits)
			if t, ok := l.prefixes[p]; ok && now.Before(t) {
				return true
			}
		}
	}
	return false
}
