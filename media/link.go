package media

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
)

// link is one run of ICE with its credentials: the first one of a group, or a restart.
type link struct {
	g      *Group
	agent  *agent.Agent
	local  ice.Transport  // without candidates and fingerprint
	remote *ice.Transport // nil until the peer's credentials are known
	state  agent.State    // guarded by the group's lock, as the rest
	dead   bool           // no path was found, or it was lost
	died   time.Time
	runs   bool
}

// newLink returns a link with new credentials, which gathers once it is told to.
func (g *Group) newLink(generation int) (*link, error) {
	l := &link{g: g}
	cfg := g.cfg.ICE
	cfg.Generation = generation
	var err error
	l.agent, err = agent.NewAgent(cfg, agent.Handler{
		Candidate: func(c ice.Candidate) {
			if g.cfg.Candidate != nil {
				g.cfg.Candidate(l.local.WithCandidates(c))
			}
		},
		Gathered: func() {
			if g.cfg.Gathered != nil && g.isCurrent(l) {
				g.cfg.Gathered()
			}
		},
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
	l.local.Ufrag, l.local.Pwd = l.agent.Credentials()
	// Conversations takes its absence for a peer that cannot trickle.
	l.local.Trickle = true
	return l, nil
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
		if err := l.agent.AddRemote(c); err != nil {
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
		wg.Go(func() { _ = l.agent.Close() })
	}
	err := links[len(links)-1].agent.Close()
	wg.Wait()
	return err
}
