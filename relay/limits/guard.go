package limits

import (
	"net/netip"
	"time"
)

// maxGuarded bounds how many addresses are watched. A stranger's flood of addresses can push an entry out; it cannot
// make the relay grow.
const maxGuarded = 1 << 16

type failures struct {
	since   time.Time
	count   int
	blocked time.Time // until
}

// guard counts wrong passwords by address.
type guard struct {
	m map[netip.Prefix]failures
}

// Failed counts one wrong password from source. Callers count only requests that carried a nonce which was given to
// that very address, so that nobody gets another one's address blocked by forging it.
func (l *Limiter) Failed(now time.Time, source netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.MaxFailures < 0 {
		return
	}
	g := Group(source)
	if l.guard.m == nil {
		l.guard.m = map[netip.Prefix]failures{}
	}
	f, there := l.guard.m[g]
	if !there && len(l.guard.m) >= maxGuarded {
		l.guard.makeRoom(now, l.cfg.FailureWindow)
	}
	if now.Sub(f.since) > l.cfg.FailureWindow {
		f.since, f.count = now, 0
	}
	if f.count++; f.count >= l.cfg.MaxFailures {
		f.blocked, f.count = now.Add(l.cfg.BlockTime), 0
	}
	l.guard.m[g] = f
}

// Blocked reports whether source has failed too often of late.
func (l *Limiter) Blocked(now time.Time, source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.guard.m[Group(source)]
	return ok && now.Before(f.blocked)
}

// makeRoom drops what no longer counts, and if that is nothing, some entry that is not a block, or any.
func (g *guard) makeRoom(now time.Time, window time.Duration) {
	var victim netip.Prefix
	for k, f := range g.m {
		if now.Sub(f.since) > window && !now.Before(f.blocked) {
			delete(g.m, k)
			continue
		}
		if !victim.IsValid() || !now.Before(f.blocked) {
			victim = k
		}
	}
	if len(g.m) >= maxGuarded {
		delete(g.m, victim)
	}
}
