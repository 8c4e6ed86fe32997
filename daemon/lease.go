package daemon

import (
	"time"

	"github.com/jingled/jingled/ice/extdisco"
)

// leased returns the STUN and TURN servers of an answer that came now, and when to ask again. The ends of their credentials
// become times of our monotonic clock: a clock on the wall that is set, or has always been wrong, takes no relay away. clocks
// reports whether ours and the server's can agree.
func leased(found []extdisco.Service, now time.Time) (servers []extdisco.Service, again time.Duration, clocks bool) {
	again, clocks = refreshAfter, true
	for _, s := range found {
		if !s.Expires.IsZero() {
			life := s.Expires.Sub(now)
			if life <= 0 {
				life, clocks = unsureLife, false
			}
			s.Expires = now.Add(life)
			again = min(again, life-expiryMargin)
		}
		if s.Valid(now) {
			servers = append(servers, s)
		}
	}
	return servers, max(again, minRefresh), clocks
}
