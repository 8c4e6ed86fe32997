package relay

import (
	"runtime/debug"
	"time"

	"github.com/jingled/jingled/relay/component"
	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn"
)

// Status is a relay at a glance.
type Status struct {
	Version   string              `json:"version"`
	Started   time.Time           `json:"started"`
	Draining  bool                `json:"draining"`
	DrainEnds time.Time           `json:"drain_ends,omitzero"`
	Listening []string            `json:"listening"`
	Sessions  int                 `json:"sessions"` // TURN allocations and bytestreams
	TURN      turn.Counters       `json:"turn"`
	SOCKS5    *socks5.Counters    `json:"socks5,omitempty"`
	XMPP      *component.Counters `json:"xmpp,omitempty"`
	Fleet     *bool               `json:"fleet,omitempty"` // whether the store is reached; absent: alone
	Bans      int                 `json:"bans"`
	LinesLost uint64              `json:"journal_lines_lost,omitempty"`
}

// Status returns the state of now.
func (r *Relay) Status() Status {
	s := Status{
		Version: r.version, Started: r.started, Sessions: r.limits.Sessions(), TURN: r.turn.Counters(), Bans: len(r.limits.Bans(time.Now())),
		LinesLost: r.observer.records.lost() + r.observer.access.lost(),
	}
	s.Draining, s.DrainEnds = r.drain.state()
	a := r.Addrs()
	for _, b := range a.TURN {
		s.Listening = append(s.Listening, b.Transport.String()+" "+b.Address.String())
	}
	for _, b := range a.SOCKS5 {
		s.Listening = append(s.Listening, "socks5 "+b.String())
	}
	if r.socks5 != nil {
		c := r.socks5.Counters()
		s.SOCKS5 = &c
	}
	if c := r.component.Load(); c != nil {
		n := c.Counters()
		s.XMPP = &n
	}
	if r.fleet != nil {
		ok := r.fleet.Healthy()
		s.Fleet = &ok
	}
	return s
}

// Bans lists who is kept out.
func (r *Relay) Bans() []limits.Ban { return r.limits.Bans(time.Now()) }

// moduleVersion is the module's version as it was built.
func moduleVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "devel"
}
