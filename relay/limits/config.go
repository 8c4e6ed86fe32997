package limits

import (
	"fmt"
	"net/netip"
	"time"
)

// Config are the limits. The zero value means the defaults; a negative number means no limit. Rates are bytes per
// second of payload, both directions together; 0 means no limit.
type Config struct {
	Total      int // sessions on this node, default 32768
	PerUser    int // sessions of one user in the fleet, default 64
	PerAddress int // sessions of one client address (IPv6: /64) on this node, default 512

	SessionRate int64 // of one session
	UserRate    int64 // of all of a user's sessions on this node
	TotalRate   int64 // of this node

	// MaxFailures wrong passwords from one address within FailureWindow block it for BlockTime. Defaults: 20,
	// 1 minute, 2 minutes. Negative MaxFailures: never.
	MaxFailures   int
	FailureWindow time.Duration
	BlockTime     time.Duration
}

// burst is how much of a rate may be used at once: a video key frame must not be cut.
const burst = time.Second

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Total, 32768)
	def(&c.PerUser, 64)
	def(&c.PerAddress, 512)
	def(&c.MaxFailures, 20)
	if c.FailureWindow == 0 {
		c.FailureWindow = time.Minute
	}
	if c.BlockTime == 0 {
		c.BlockTime = 2 * time.Minute
	}
	return c
}

// Validate says what is wrong with the limits.
func (c Config) Validate() error {
	for _, r := range []struct {
		name string
		v    int64
	}{{"session rate", c.SessionRate}, {"user rate", c.UserRate}, {"total rate", c.TotalRate}} {
		// Below this a single full packet would exceed the burst and nothing would ever pass.
		if r.v > 0 && r.v < 2048 {
			return fmt.Errorf("limits: a %s of %d bytes per second lets no full packet through; give at least 2048 or 0 for none", r.name, r.v)
		}
	}
	if c.FailureWindow < 0 || c.BlockTime < 0 {
		return fmt.Errorf("limits: failure window and block time cannot be negative")
	}
	return nil
}

// Group returns the prefix that one client is counted by: an IPv4 address, or an IPv6 /64, which is what one
// subscriber has at least.
func Group(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
