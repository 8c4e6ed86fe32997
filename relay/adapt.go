package relay

import (
	"errors"
	"net/netip"
	"time"

	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn/alloc"
)

// turnLimiter shows limits to the TURN server in its words.
type turnLimiter struct{ l *limits.Limiter }

func (t turnLimiter) Begin(now time.Time, user string, client netip.AddrPort) (alloc.Session, error) {
	h, err := t.l.Begin(now, user, client)
	switch {
	case err == nil:
		return turnHold{h}, nil
	case errors.Is(err, limits.ErrBanned):
		return nil, alloc.ErrForbidden
	case errors.Is(err, limits.ErrFull):
		return nil, alloc.ErrCapacity
	}
	return nil, alloc.ErrQuota
}

type turnHold struct{ *limits.Hold }

func (t turnHold) Charge(now time.Time, _ alloc.Direction, n int) bool { return t.Hold.Charge(now, n) }

// damper slows guessing down, and drops what comes from banned addresses.
type damper struct{ l *limits.Limiter }

func (d damper) Blocked(now time.Time, source netip.Addr) bool {
	return d.l.Blocked(now, source) || d.l.Banned(now, "", source)
}

func (d damper) Failed(now time.Time, source netip.Addr) { d.l.Failed(now, source) }

// socksLimiter shows limits to the SOCKS5 proxy.
type socksLimiter struct{ l *limits.Limiter }

func (s socksLimiter) Begin(now time.Time, user string, client netip.AddrPort) (socks5.Hold, error) {
	h, err := s.l.Begin(now, user, client)
	if err != nil {
		return nil, err // package component knows them
	}
	return h, nil
}

func (s socksLimiter) Blocked(now time.Time, client netip.Addr) bool {
	return s.l.Banned(now, "", client)
}
