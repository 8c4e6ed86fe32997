package socks5

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Limiter admits streams; package limits has one. Its errors are passed on by [Server.Activate].
type Limiter interface {
	// Begin admits a stream of user. client is the requester's connection.
	Begin(now time.Time, user string, client netip.AddrPort) (Hold, error)
	// Blocked reports whether an address may not even connect.
	Blocked(now time.Time, client netip.Addr) bool
}

// Hold is one stream's place. Charge may be called from two goroutines.
type Hold interface {
	// Limited reports whether Charge can ever say no at present. If not, the kernel copies undisturbed.
	Limited() bool
	// Charge takes n bytes, at most 2048, from the allowed rates. False: try again a little later.
	Charge(now time.Time, n int) bool
	// End gives the place back.
	End()
}

// Observer hears about streams. It must not block.
type Observer interface {
	Started(Info)
	Ended(Info, EndReason)
}

// Config makes a Server. The zero value works, without limits per user.
type Config struct {
	// HandshakeTimeout is for the SOCKS5 part, default 10 s. PendingTimeout is how long a connection waits for its
	// other party and for activation, default 2 min: a person may have to accept the file first.
	HandshakeTimeout, PendingTimeout time.Duration
	// IdleTimeout ends a stream that neither side sends on, default 5 min.
	IdleTimeout time.Duration
	// MaxAge ends any stream, default 24 h.
	MaxAge time.Duration
	// MaxBytes of one stream in each direction. 0 is no limit.
	MaxBytes int64
	// MaxPending connections without a stream, in all, default 4096, and from one address or IPv6 /64, default 64.
	MaxPending, MaxPendingPerAddress int
	// MaxStreams in all, default 16384.
	MaxStreams int
	Limiter    Limiter      // nil: everybody, unlimited
	Observer   Observer     // nil: nobody
	Logger     *slog.Logger // nil discards
}

func (c Config) withDefaults() (Config, error) {
	durations := []struct {
		v *time.Duration
		d time.Duration
	}{{&c.HandshakeTimeout, 10 * time.Second}, {&c.PendingTimeout, 2 * time.Minute}, {&c.IdleTimeout, 5 * time.Minute}, {&c.MaxAge, 24 * time.Hour}}
	for _, e := range durations {
		if *e.v < 0 {
			return c, errors.New("socks5: a timeout cannot be negative")
		}
		if *e.v == 0 {
			*e.v = e.d
		}
	}
	counts := []struct {
		v *int
		d int
	}{{&c.MaxPending, 4096}, {&c.MaxPendingPerAddress, 64}, {&c.MaxStreams, 16384}}
	for _, e := range counts {
		if *e.v < 0 {
			return c, errors.New("socks5: a limit cannot be negative")
		}
		if *e.v == 0 {
			*e.v = e.d
		}
	}
	if c.MaxBytes < 0 {
		return c, errors.New("socks5: a limit of bytes cannot be negative")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Errors of [Server.Activate].
var (
	// ErrNotFound: nobody is connected with the hash of this stream id, requester and target
	// (XEP-0065 section 6.3.5: item-not-found).
	ErrNotFound = errors.New("socks5: nobody waits for this stream")
	// ErrOneParty: only one party is connected (not-allowed).
	ErrOneParty = errors.New("socks5: only one party is connected")
	// ErrFull: the proxy has as many streams as it may (resource-constraint).
	ErrFull = errors.New("socks5: the proxy is full")
)

// EndReason says why a stream ended.
type EndReason string

// Why streams end.
const (
	EndFinished EndReason = "finished"  // both parties are done
	EndBroken   EndReason = "broken"    // a connection broke
	EndIdle     EndReason = "idle"      // nothing was sent for too long
	EndMaxAge   EndReason = "max-age"   // it lasted too long
	EndMaxBytes EndReason = "max-bytes" // it carried too much
	EndKicked   EndReason = "kicked"    // the operator's word
	EndShutdown EndReason = "shutdown"  // the proxy stops
)

// Info is a copy of what is known about one stream.
type Info struct {
	ID                uint64
	User              string // who activated it
	Requester, Target netip.AddrPort
	Created           time.Time
	ToTarget          uint64 // bytes that came from the requester
	ToRequester       uint64 // bytes that came from the target
}

// Counters are totals since the start, except where "now" is said.
type Counters struct {
	Streams, Pending uint64 // now
	StreamsTotal     uint64
	Bytes            uint64 // of ended streams and of running ones
	Refused          uint64 // connections over a limit or blocked
	HandshakeErrors  uint64 // not SOCKS5, not for this protocol, too slow
	Expired          uint64 // connections nobody activated
	ActivationErrors uint64
}
