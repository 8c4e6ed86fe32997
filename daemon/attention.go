package daemon

import (
	"context"
	"sync"
	"time"
)

// backSoon is how long a request waits for what the server has held back.
const backSoon = 2 * time.Second

// attention knows whether anybody uses an account.
type attention struct {
	mu    sync.Mutex
	timer *time.Timer // runs while nobody does; nil before
}

// inUse reports whether there is a call, a transfer, a room, or a client of the API that reads events.
func (a *account) inUse() bool {
	if a.d.hub.readers() > 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls) > 0 || len(a.transfers) > 0 || len(a.groups) > 0
}

// attend tells the XMPP server when that has changed (XEP-0352), so that it need not wake a laptop for every contact that
// comes and goes. It is called after everything that can have changed it.
func (a *account) attend() {
	used := a.inUse()
	t := &a.attention
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case used:
		if t.timer != nil {
			t.timer.Stop()
			t.timer = nil
		}
		a.client.SetActive(true)
	case t.timer == nil && a.d.cfg.IdleAfter > 0:
		t.timer = time.AfterFunc(a.d.cfg.IdleAfter, func() {
			if !a.inUse() {
				a.client.SetActive(false)
			}
		})
	}
}

// rouse is for a request that needs to know who is online: it waits for what the server has held back until now.
func (a *account) rouse(ctx context.Context) {
	if a.client.Active() {
		return
	}
	a.client.SetActive(true)
	ctx, cancel := context.WithTimeout(ctx, backSoon)
	defer cancel()
	// The server answers after it has sent the rest (XEP-0352 section 5.1).
	if err := a.client.Ping(ctx, ""); err != nil {
		a.log.Debug("ping", "err", err)
	}
	t := &a.attention
	t.mu.Lock()
	t.timer = nil
	t.mu.Unlock()
	a.attend()
}

// rest ends the watch when the account ends.
func (a *account) rest() {
	t := &a.attention
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
}

// readers counts the subscriptions that are open.
func (h *hub) readers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs)
}
