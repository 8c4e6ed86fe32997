package limits

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestBans(t *testing.T) {
	l := limiter(t, Config{})
	end := t0.Add(time.Hour)
	for _, b := range []Ban{{User: "mallory", Until: end}, {Prefix: netip.MustParsePrefix("198.51.100.7/24"), Until: end}, {Prefix: netip.MustParsePrefix("2001:db8::/32"), Until: end}} {
		if err := l.Ban(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		user, addr string
		banned     bool
	}{
		{"mallory", "192.0.2.1", true}, {"alice", "192.0.2.1", false}, {"alice", "198.51.100.255", true},
		{"alice", "::ffff:198.51.100.1", true}, {"alice", "198.51.101.1", false}, {"alice", "2001:db8:ffff::1", true},
		{"alice", "2001:db9::1", false}, {"", "198.51.100.1", true}, {"", "fe80::1%eth0", false},
	} {
		if got := l.Banned(t0, c.user, netip.MustParseAddr(c.addr)); got != c.banned {
			t.Errorf("Banned(%q, %s) = %v", c.user, c.addr, got)
		}
		_, err := l.Begin(t0, c.user, netip.AddrPortFrom(netip.MustParseAddr(c.addr), 1))
		if errors.Is(err, ErrBanned) != c.banned {
			t.Errorf("Begin(%q, %s): %v", c.user, c.addr, err)
		}
		if l.Banned(end, c.user, netip.MustParseAddr(c.addr)) {
			t.Errorf("(%q, %s) is banned for ever", c.user, c.addr)
		}
	}
	if got := l.Bans(t0); len(got) != 3 || got[0].Prefix.String() != "198.51.100.0/24" {
		t.Errorf("Bans = %v", got)
	}
	l.Unban(Ban{User: "mallory"})
	if l.Banned(t0, "mallory", netip.Addr{}) {
		t.Error("still banned")
	}
	if got := l.Bans(end); len(got) != 0 {
		t.Errorf("ended bans are listed: %v", got)
	}
	if len(l.bans.lengths) != 0 {
		t.Error("lengths are left behind")
	}
}

func TestBansThatAreTooWide(t *testing.T) {
	l := limiter(t, Config{})
	for _, p := range []string{"0.0.0.0/0", "10.0.0.0/7", "::/0", "2000::/3", "::ffff:0.0.0.0/96"} {
		if err := l.Ban(Ban{Prefix: netip.MustParsePrefix(p), Until: t0}); err == nil {
			t.Errorf("%s was taken", p)
		}
	}
	if err := l.Ban(Ban{}); err == nil {
		t.Error("nobody was banned")
	}
}

func TestBanListIsBounded(t *testing.T) {
	l := limiter(t, Config{})
	for i := range maxBans + 2 {
		a := netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
		l.bans.put(Ban{Prefix: netip.PrefixFrom(a, 32), Until: t0.Add(time.Hour + time.Duration(i))})
		if i == maxBans { // the walk for a victim is slow on purpose: two are enough
			break
		}
	}
	if n := len(l.bans.prefixes); n != maxBans {
		t.Errorf("%d bans", n)
	}
	if l.Banned(t0, "", netip.MustParseAddr("20.0.0.0")) || !l.Banned(t0, "", netip.MustParseAddr("20.0.0.1")) {
		t.Error("not the one that ends first made room")
	}
}

func TestGuardBlocksGuessing(t *testing.T) {
	l := limiter(t, Config{MaxFailures: 3, FailureWindow: time.Minute, BlockTime: 5 * time.Minute})
	a, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l.Failed(t0, a)
	l.Failed(t0.Add(2*time.Minute), a) // the first is forgotten
	l.Failed(t0.Add(2*time.Minute), a)
	if l.Blocked(t0.Add(2*time.Minute), a) {
		t.Error("blocked after two failures within a minute")
	}
	at := t0.Add(2*time.Minute + time.Second)
	l.Failed(at, a)
	if !l.Blocked(at, a) || !l.Blocked(at.Add(5*time.Minute-1), a) || l.Blocked(at.Add(5*time.Minute), a) || l.Blocked(at, other) {
		t.Error("not blocked for five minutes, or somebody else is")
	}
}

func TestGuardIsBounded(t *testing.T) {
	l := limiter(t, Config{MaxFailures: 1})
	blocked := netip.MustParseAddr("192.0.2.1")
	l.Failed(t0, blocked)
	_ = l.Set(Config{MaxFailures: 100})
	for i := range maxGuarded + 100 {
		l.Failed(t0, netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(l.guard.m); n > maxGuarded {
		t.Errorf("%d entries", n)
	}
	if !l.Blocked(t0, blocked) {
		t.Error("a flood freed a blocked address")
	}
}
