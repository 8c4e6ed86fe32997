package limits

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	t0 = time.Unix(1_700_000_000, 0)
	ap = netip.MustParseAddrPort
)

func limiter(t testing.TB, c Config) *Limiter {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestQuotas(t *testing.T) {
	l := limiter(t, Config{Total: 4, PerUser: 2, PerAddress: 3})
	begin := func(user, client string, want error) *Hold {
		t.Helper()
		h, err := l.Begin(t0, user, ap(client))
		if !errors.Is(err, want) {
			t.Errorf("Begin(%s, %s): %v, want %v", user, client, err, want)
		}
		return h
	}
	a := begin("a", "192.0.2.1:1", nil)
	begin("a", "192.0.2.2:1", nil)
	begin("a", "192.0.2.3:1", ErrUserQuota)
	begin("b", "192.0.2.1:2", nil)
	begin("c", "[::ffff:192.0.2.1]:3", nil) // the same address in IPv6's clothes
	begin("d", "192.0.2.1:4", ErrFull)
	a.End()
	a.End() // counts once
	begin("d", "192.0.2.1:4", nil)
	begin("e", "192.0.2.9:4", ErrFull)
	if l.Sessions() != 4 || l.Refused() != 3 {
		t.Errorf("%d sessions, %d refused", l.Sessions(), l.Refused())
	}
}

func TestAddressesAreCountedBySubscriber(t *testing.T) {
	l := limiter(t, Config{PerAddress: 1})
	if _, err := l.Begin(t0, "a", ap("[2001:db8:1:2::1]:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t0, "b", ap("[2001:db8:1:2:ffff::9]:1")); !errors.Is(err, ErrAddressQuota) {
		t.Errorf("another address of the same /64: %v", err)
	}
	if _, err := l.Begin(t0, "c", ap("[2001:db8:1:3::1]:1")); err != nil {
		t.Errorf("another /64: %v", err)
	}
}

func TestReloadKeepsSessions(t *testing.T) {
	l := limiter(t, Config{})
	for i := range 5 {
		if _, err := l.Begin(t0, "a", netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Set(Config{PerUser: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Begin(t0, "a", ap("192.0.2.1:9")); !errors.Is(err, ErrUserQuota) || l.Sessions() != 5 {
		t.Errorf("%v, %d sessions", err, l.Sessions())
	}
	if err := l.Set(Config{SessionRate: 5}); err == nil {
		t.Error("a rate that lets no packet through was taken")
	}
}

func TestRates(t *testing.T) {
	for name, c := range map[string]Config{
		"session": {SessionRate: 10_000}, "user": {UserRate: 10_000}, "total": {TotalRate: 10_000},
	} {
		l := limiter(t, c)
		h, _ := l.Begin(t0, "a", ap("192.0.2.1:1"))
		passed := 0
		for ms := range 10_000 { // ten seconds of twice the rate
			for range 2 {
				if h.Charge(t0.Add(time.Duration(ms)*time.Millisecond), 10) {
					passed += 10
				}
			}
		}
		if passed < 100_000 || passed > 110_100 {
			t.Errorf("%s: %d bytes passed in 10 s at 10,000 per second and a burst of one second", name, passed)
		}
	}
}

func TestUserRateIsShared(t *testing.T) {
	l := limiter(t, Config{UserRate: 10_000})
	h1, _ := l.Begin(t0, "a", ap("192.0.2.1:1"))
	h2, _ := l.Begin(t0, "a", ap("192.0.2.2:1"))
	h3, _ := l.Begin(t0, "b", ap("192.0.2.1:2"))
	if !h1.Charge(t0, 9_999) || h2.Charge(t0, 9_999) || !h3.Charge(t0, 9_999) {
		t.Error("the user's sessions do not share one rate, or others share it too")
	}
}

func TestChargeAllocatesNothing(t *testing.T) {
	l := limiter(t, Config{SessionRate: 1 << 30, UserRate: 1 << 30, TotalRate: 1 << 30})
	h, _ := l.Begin(t0, "a", ap("192.0.2.1:1"))
	if n := testing.AllocsPerRun(100, func() { h.Charge(t0, 100) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// However sessions begin and end, counts are what a plain model says, and nothing is left behind.
func TestCountsMatchAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, _ := New(Config{Total: 12, PerUser: 3, PerAddress: 5})
		type open struct {
			h    *Hold
			u, a int
		}
		var all []open
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(all) > 0 && rapid.Bool().Draw(t, "end") {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				all[i].h.End()
				all = append(all[:i], all[i+1:]...)
				continue
			}
			u, a := rapid.IntRange(0, 5).Draw(t, "user"), rapid.IntRange(0, 3).Draw(t, "addr")
			nu, na := 0, 0
			for _, o := range all {
				if o.u == u {
					nu++
				}
				if o.a == a {
					na++
				}
			}
			h, err := l.Begin(t0, string(rune('a'+u)), netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(a)}), 1))
			want := len(all) < 12 && nu < 3 && na < 5
			if (err == nil) != want {
				t.Fatalf("Begin: %v with %d in all, %d of the user, %d of the address", err, len(all), nu, na)
			}
			if err == nil {
				all = append(all, open{h, u, a})
			}
		}
		for _, o := range all {
			o.h.End()
		}
		if l.Sessions() != 0 || len(l.users) != 0 || len(l.addrs) != 0 {
			t.Fatalf("left behind: %d sessions, %d users, %d addresses", l.Sessions(), len(l.users), len(l.addrs))
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	l := limiter(t, Config{Total: 50, PerUser: 10, UserRate: 1 << 20})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				h, err := l.Begin(t0, string(rune('a'+(g+i)%7)), ap("192.0.2.1:1"))
				if err == nil {
					h.Charge(t0, 100)
					h.End()
				}
				l.Failed(t0, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
				_ = l.Ban(Ban{User: "z", Until: t0})
				l.Bans(t0)
			}
		})
	}
	wg.Wait()
	if l.Sessions() != 0 || len(l.users) != 0 {
		t.Errorf("%d sessions left", l.Sessions())
	}
}

func BenchmarkCharge(b *testing.B) {
	l := limiter(b, Config{SessionRate: 1 << 40, UserRate: 1 << 40, TotalRate: 1 << 40})
	h, _ := l.Begin(t0, "a", ap("192.0.2.1:1"))
	now := time.Now()
	for b.Loop() {
		h.Charge(now, 172)
	}
}
