package daemon

import (
	"testing"
	"time"

	"github.com/jingled/jingled/ice/extdisco"
)

// TestClockJumpsKeepRelays: what a server has just given can be used, whatever our clock says, and for as long as it was meant
// to be if the clocks agree.
func TestClockJumpsKeepRelays(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name         string
		ahead, life  time.Duration // of our clock; of the credentials
		until, again time.Duration
		clocks       bool
	}{
		{"the clocks agree", 0, day, day, refreshAfter, true},
		{"they are short", 0, 20 * time.Minute, 20 * time.Minute, 20*time.Minute - expiryMargin, true},
		{"they are very short", 0, time.Minute, time.Minute, minRefresh, true},
		{"ours is hours ahead", 3 * time.Hour, time.Hour, unsureLife, unsureLife - expiryMargin, false},
		{"ours is years ahead", 10 * 365 * day, day, unsureLife, unsureLife - expiryMargin, false},
		{"ours is hours behind", -3 * time.Hour, time.Hour, 4 * time.Hour, refreshAfter, true},
		{"ours is at the epoch", -50 * 365 * day, day, 50*365*day + day, refreshAfter, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			theirs := now.Round(0).Add(-c.ahead)
			found := []extdisco.Service{
				{Type: "turn", Host: "turn.example", Username: "u", Password: "p", Expires: theirs.Add(c.life)},
				{Type: "stun", Host: "stun.example"},
				{Type: "ftp", Host: "other.example"},
			}
			servers, again, clocks := leased(found, now)
			if len(servers) != 2 || again != c.again || clocks != c.clocks {
				t.Fatalf("%d servers, asked again after %v, clocks agree %v", len(servers), again, clocks)
			}
			if got := servers[0].Expires.Sub(now); got != c.until {
				t.Errorf("the credentials are used for %v, want %v", got, c.until)
			}
			// The clock on the wall is set forward: what has a reading of the monotonic clock does not care.
			if later := now.Add(again - time.Second); !servers[0].Valid(later) && c.again != minRefresh {
				t.Error("the credentials end before new ones come")
			}
			if servers[0].Valid(now.Add(c.until)) || !servers[1].Valid(now.Add(100*365*day)) {
				t.Error("what ends does not, or the other way round")
			}
		})
	}
}
