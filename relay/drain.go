package relay

import (
	"context"
	"sync"
	"time"
)

// drain is the state of ending gently.
type drain struct {
	mu       sync.Mutex
	on       bool
	deadline time.Time // zero: wait until empty
	changed  chan struct{}
}

func (d *drain) init() { d.changed = make(chan struct{}, 1) }

func (d *drain) set(on bool, deadline time.Time) {
	d.mu.Lock()
	d.on, d.deadline = on, deadline
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *drain) state() (on bool, deadline time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on, d.deadline
}

// wait returns nil when a drain is done: nobody is left, or its deadline has come.
func (d *drain) wait(ctx context.Context, sessions func() int) error {
	for {
		on, deadline := d.state()
		var tick <-chan time.Time
		if on {
			now := time.Now()
			if sessions() == 0 || !deadline.IsZero() && !now.Before(deadline) {
				return nil
			}
			next := 250 * time.Millisecond
			if !deadline.IsZero() {
				next = min(next, deadline.Sub(now))
			}
			tick = time.After(next)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.changed:
		case <-tick:
		}
	}
}

// Drain takes no new sessions: TURN clients are told of the alternates (300), or refused (508). Run returns when no
// session is left, or after timeout; 0 waits as long as it takes.
func (r *Relay) Drain(timeout time.Duration) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	r.log.Info("draining", "sessions", r.sessionCount(), "timeout", timeout)
	r.turn.Drain(true)
	if r.socks5 != nil {
		r.socks5.Drain(true)
	}
	r.drain.set(true, deadline)
}

// Undrain takes sessions again, if Run has not returned yet.
func (r *Relay) Undrain() {
	r.log.Info("no longer draining")
	r.drain.set(false, time.Time{})
	r.turn.Drain(false)
	if r.socks5 != nil {
		r.socks5.Drain(false)
	}
}

// DrainTimeout is what the configuration says about ending: how long SIGTERM waits.
func (r *Relay) DrainTimeout() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.plan.cfg.Drain.Timeout)
}
