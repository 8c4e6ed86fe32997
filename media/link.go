package media

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
)

// link is one run of ICE with its credentials: the first one of a group, or a restart.
type link struct {
	g     *Group
	agent agent.Path
	rtcp  agent.Path // component 2, or nil
	// endRTCP closes it, once.
	endRTCP func() error
	local   ice.Transport  // without candidates and fingerprint
	remote  *ice.Transport // nil until the peer's credentials are known
	state   agent.State    // guarded by the group's lock, as the rest
	dead    bool           // no path was found, or it was lost
	died    time.Time
	runs    bool
	// gathering counts the components that are not done.
	gathering atomic.Int32
}

// newLink returns a link with new credentials, which gathers once it is told to.
func (g *Group) newLink(generation int) (*link, error) {
	l := &link{g: g}
	cfg := g.cfg.ICE
	cfg.Generation = generation
	var err error
	candidate := func(c ice.Candidate) {
		if g.cfg.Candidate != nil {
			g.cfg.Candidate(l.local.WithCandidates(c))
		}
	}
	l.gathering.Store(1)
	l.agent, err = g.newPath(cfg, agent.Handler{
		Candidate: candidate, Gathered: l.onGathered,
		State: l.onState,
		Pair: func(p agent.Pair) {
			if g.cfg.Pair != nil && g.isCurrent(l) {
				g.cfg.Pair(p)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	l.local.NS = g.cfg.NS
	l.local.Ufrag, l.local.Pwd = l.agent.Credentials()
	switch g.cfg.NS {
	case ice.NSRawUDP:
	case ice.NSICE:
		l.local.ICE2 = true // XEP-0371 section 5.3
	default:
		// Conversations takes its absence for a peer that cannot trickle.
		l.local.Trickle = true
	}
	if g.cfg.RTCPComponent && generation == 0 {
		cfg.Component, cfg.Ufrag, cfg.Pwd = 2, l.local.Ufrag, l.local.Pwd
		l.gathering.Store(2)
		if l.rtcp, err = g.newPath(cfg, agent.Handler{Candidate: candidate, Gathered: l.onGathered}); err != nil {
			return nil, errors.Join(err, l.agent.Close())
		}
		l.endRTCP = sync.OnceValue(l.rtcp.Close)
	}
	return l, nil
}

func (g *Group) newPath(cfg agent.Config, h agent.Handler) (agent.Path, error) {
	if g.cfg.NS == ice.NSRawUDP {
		return agent.NewRaw(cfg, h)
	}
	return agent.NewAgent(cfg, h)
}

// gather begins to look for candidates.
func (l *link) gather() error {
	err := l.agent.Gather()
	if l.rtcp != nil {
		err = errors.Join(err, l.rtcp.Gather())
	}
	return err
}

// onGathered is told once for each component.
func (l *link) onGathered() {
	if l.gathering.Add(-1) > 0 || !l.g.isCurrent(l) {
		return
	}
	if l.g.cfg.NS == ice.NSICE && l.g.cfg.Candidate != nil { // XEP-0371 section 7
		last := l.local.WithCandidates()
		last.GatheringComplete = true
		l.g.cfg.Candidate(last)
	}
	if l.g.cfg.Gathered != nil {
		l.g.cfg.Gathered()
	}
}

// close ends the components.
func (l *link) close() error {
	if l.rtcp == nil {
		return l.agent.Close()
	}
	return errors.Join(l.agent.Close(), l.endRTCP())
}

// link returns the one in use.
func (g *Group) link() *link {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cur
}

func (g *Group) isCurrent(l *link) bool { return g.link() == l }

func (l *link) onState(s agent.State) {
	l.g.mu.Lock()
	l.state = s
	current := l.g.cur == l
	l.g.mu.Unlock()
	if s == agent.Failed {
		l.die()
	}
	if current && l.g.cfg.State != nil {
		l.g.cfg.State(s)
	}
}

// die says that nothing is to be hoped from the link.
func (l *link) die() {
	l.g.mu.Lock()
	l.dead, l.died = true, time.Now()
	l.g.mu.Unlock()
	l.g.poke()
}

// add takes the peer's candidates.
func (l *link) add(t ice.Transport) {
	for _, c := range t.Candidates {
		path := l.agent
		if c.Component == 2 && l.rtcp != nil {
			path = l.rtcp
		}
		if err := path.AddRemote(c); err != nil {
			l.g.cfg.Log.Debug("candidate of the peer is not used", "err", err)
		}
	}
}

// start looks for a path, with the peer's credentials, and returns when packets can be written.
func (l *link) start(ctx context.Context, controlling bool) (net.Conn, error) {
	raw, err := l.agent.Start(controlling, l.remote.Ufrag, l.remote.Pwd)
	if err != nil {
		return nil, err
	}
	return raw, l.agent.Wait(ctx)
}

// closeLinks ends all that is left.
func (g *Group) closeLinks() error {
	g.mu.Lock()
	links := append(g.retired, g.cur)
	if g.next != nil {
		links = append(links, g.next)
	}
	g.retired, g.next, g.over = nil, nil, true
	g.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range links[:len(links)-1] {
		wg.Go(func() { _ = l.close() })
	}
	err := links[len(links)-1].close()
	wg.Wait()
	return err
}
