package media

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
)

// Restarting ICE (XEP-0176 section 5.9, XEP-0371 section 5.10) finds another path for the same DTLS association. It is
// told by new credentials in a transport-info, to which new ones of the other side are the answer. Conversations sends
// its offer without candidates and tells an answer by their presence; others send them along. So what comes while our own
// offer is unanswered is an answer if it has candidates, and if it has none, an offer that crosses ours.
//
// A restart is a second agent beside the first, so the old path goes on until the new one works.

const (
	// restartLimit is how long restarts are waited for when the path in use has been given up.
	restartLimit = 10 * time.Second
	// linger is how long the old path is still read, as the peer may change later than we.
	linger = 5 * time.Second
	// A restart costs sockets, and the peer can cause it: some at once, and then one every few seconds.
	restartBurst = 8
	restartEvery = 10 * time.Second
)

var (
	// ErrRestart says that ICE cannot be restarted before there is a first path.
	ErrRestart = errors.New("ICE cannot be restarted before it has connected")
	// ErrRestartTieBreak says that the peer's restart has crossed ours, which goes first (XEP-0371 section 5.10).
	ErrRestartTieBreak = errors.New("a restart of ours is under way")
	// ErrTooManyRestarts says that restarts come faster than paths can be found.
	ErrTooManyRestarts = errors.New("ICE is restarted too often")
	// ErrNewFingerprint says that a restart names another certificate, which would be another peer.
	ErrNewFingerprint = errors.New("the certificate cannot change when ICE is restarted")
)

// Restart begins to look for another path and returns the transport that tells the peer: new credentials, no candidates.
// A restart that has not succeeded yet is given up for the new one.
func (g *Group) Restart() (ice.Transport, error) {
	if g.conn.Load() == nil || g.old != nil {
		return ice.Transport{}, ErrRestart
	}
	l, err := g.replaceNext(nil)
	if err != nil {
		return ice.Transport{}, err
	}
	return l.local.WithCandidates(), nil
}

// replaceNext makes a link for a restart, ours if remote is nil.
func (g *Group) replaceNext(remote *ice.Transport) (*link, error) {
	g.mu.Lock()
	refused := g.restarts >= restartBurst+int(time.Since(g.origin)/restartEvery)
	g.restarts++
	generation := g.restarts
	g.mu.Unlock()
	if refused {
		return nil, ErrTooManyRestarts
	}
	l, err := g.newLink(generation)
	if err != nil {
		return nil, err
	}
	l.remote = remote
	g.mu.Lock()
	over := g.over
	if !over {
		g.retire(g.next)
		g.next = l
		if remote == nil {
			g.unanswered++
		} else {
			g.unanswered = 0
		}
	}
	g.mu.Unlock()
	if over {
		return nil, errors.Join(ErrRestart, l.close())
	}
	g.poke()
	return l, l.gather()
}

// retire has a link closed; g.mu is held.
func (g *Group) retire(l *link) {
	if l == nil {
		return
	}
	g.retired = append(g.retired, l)
	if l.remote != nil {
		g.past = append(g.past, l.remote.Ufrag) // bounded by the restarts
	}
}

// Add takes what came in a transport-info, and reports whether it restarts ICE by the peer's wish. Candidates that are of
// no use are passed over. The error is one of those above, or an *xmltree.Error.
func (g *Group) Add(info ice.Transport) (restarts bool, err error) {
	g.mu.Lock()
	cur, next, unanswered := g.cur, g.next, g.unanswered
	stale := slices.Contains(g.past, info.Ufrag)
	g.mu.Unlock()
	switch {
	case cur.remote == nil || !info.Restarts(*cur.remote):
		cur.add(info)
		return false, nil
	case stale:
		return false, nil // a candidate of a path that was given up
	case next != nil && next.remote != nil && !info.Restarts(*next.remote):
		next.add(info)
		return false, nil
	}
	if err := info.ValidateCredentials(); err != nil {
		return false, err
	}
	for _, f := range info.Fingerprints {
		if !slices.ContainsFunc(g.remote.Fingerprints, f.Same) {
			return false, ErrNewFingerprint
		}
	}
	if next != nil && unanswered > 0 {
		if len(info.Candidates) == 0 && g.cfg.Controlling {
			return false, ErrRestartTieBreak
		}
		g.answered(next, info)
		return false, nil
	}
	if g.conn.Load() == nil || g.old != nil {
		return false, ErrRestart
	}
	remote := info
	l, err := g.replaceNext(&remote)
	if err != nil {
		return false, err
	}
	l.add(info)
	return true, nil
}

// answered takes the peer's credentials for a restart of ours. The answers to offers that were replaced come first.
func (g *Group) answered(next *link, info ice.Transport) {
	g.mu.Lock()
	g.unanswered--
	last := g.unanswered == 0
	if last {
		next.remote = &info
	} else {
		g.past = append(g.past, info.Ufrag)
	}
	g.mu.Unlock()
	if last {
		next.add(info)
		g.poke()
	}
}

// GiveUp ends a restart of ours that the peer has refused, by an error to what told it or one of its candidates.
func (g *Group) GiveUp(told ice.Transport) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.next; l != nil && l.remote == nil && l.local.Ufrag == told.Ufrag {
		g.retire(l)
		g.next, g.unanswered = nil, 0
		g.poke()
	}
}

// poke has [Group.supervise] look.
func (g *Group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// supervise follows the links until ctx ends.
func (g *Group) supervise(ctx context.Context, end context.CancelCauseFunc) {
	var wg sync.WaitGroup
	defer wg.Wait()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		g.mu.Lock()
		retired := g.retired
		g.retired = nil
		if l := g.next; l != nil && l.dead {
			retired = append(retired, l)
			g.next = nil
		}
		next := g.next
		lost := g.cur.dead
		if lost && next != nil && g.conn.Load() != nil {
			left := restartLimit - time.Since(g.cur.died)
			lost = left <= 0
			again.Reset(max(left, 0) + time.Millisecond)
		}
		begin := next != nil && next.remote != nil && !next.runs
		if begin {
			next.runs = true
		}
		g.mu.Unlock()
		if lost {
			end(g.pathError())
		}
		for _, l := range retired {
			wg.Go(func() { _ = l.close() })
		}
		if begin {
			wg.Go(func() { g.change(ctx, next) })
		}
		select {
		case <-g.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// change looks for a path by a new link, and uses it from then on.
func (g *Group) change(ctx context.Context, l *link) {
	raw, err := l.start(ctx, g.cfg.Controlling)
	if err != nil {
		l.die()
		return
	}
	g.mu.Lock()
	if g.next != l {
		g.mu.Unlock()
		return // replaced meanwhile, or it is over
	}
	old := g.cur
	g.cur, g.next = l, nil
	g.past = append(g.past, old.remote.Ufrag)
	g.past = g.past[max(0, len(g.past)-restartBurst*8):]
	state := l.state
	g.mu.Unlock()
	(*g.conn.Load()).Move(ctx, raw)
	g.cfg.Log.Debug("ICE was restarted")
	if g.cfg.State != nil && state != agent.Failed {
		g.cfg.State(agent.Connected)
	}
	if p, ok := l.agent.Selected(); ok && g.cfg.Pair != nil {
		g.cfg.Pair(p)
	}
	select {
	case <-time.After(linger):
	case <-ctx.Done():
	}
	_ = old.close()
}
