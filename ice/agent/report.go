package agent

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/pion/logging"

	"github.com/jingled/jingled/internal/pionlog"
)

// The bounds of a report: a person reads it, and it goes to the peer as the reason of the end.
const (
	maxReported = 4 // pairs, and what servers have said
	maxProblem  = 160
)

// Report says in a sentence what there was to try, for people: a path that was not found is the complaint heard most. It
// has the addresses between which a path was looked for, and what kept STUN and TURN servers from helping. The peer has
// been told all these addresses.
func (a *Agent) Report() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := "candidates of ours: " + a.ours.String() + "; of the peer: " + a.theirs.String()
	if len(a.tried.ours) > 0 && len(a.tried.theirs) > 0 {
		text += "; tried: from " + strings.Join(a.tried.ours, ", ") + " to " + strings.Join(a.tried.theirs, ", ")
	}
	if problems := a.problems.String(); problems != "" {
		text += "; servers: " + problems
	}
	return text
}

// tried are the first candidates of each side, for people: pion forgets pairs when it gives up.
type tried struct{ ours, theirs []string }

// named adds a candidate to a list that is not too long already.
func named(list []string, typ, address string, port int) []string {
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil || port < 0 || port > 1<<16-1 || len(list) > maxReported:
		return list
	case len(list) == maxReported:
		return append(list, "and more")
	}
	return append(list, typ+" "+netip.AddrPortFrom(ip.Unmap(), uint16(port)).String())
}

// problems are what kept servers from helping, as pion's log has it: it tells nobody else.
type problems struct {
	mu   sync.Mutex
	list []string
}

func (p *problems) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.list, ", ")
}

func (p *problems) add(text string) {
	if _, what, ok := strings.Cut(text, "ailed to "); ok {
		text = what
	}
	if len(text) > maxProblem {
		text = text[:maxProblem]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) < maxReported && !slices.Contains(p.list, text) {
		p.list = append(p.list, text)
	}
}

// listener is a factory of loggers that also notes what is said about servers.
type listener struct {
	logging.LoggerFactory
	problems *problems
}

func (p *problems) factory(l *slog.Logger) logging.LoggerFactory {
	return listener{pionlog.Factory(l), p}
}

// NewLogger implements [logging.LoggerFactory].
func (l listener) NewLogger(scope string) logging.LeveledLogger {
	inner := l.LoggerFactory.NewLogger(scope)
	if scope != "ice" {
		return inner
	}
	return hearing{inner, l.problems}
}

type hearing struct {
	logging.LeveledLogger
	problems *problems
}

// Warnf implements [logging.LeveledLogger].
func (h hearing) Warnf(format string, args ...any) {
	if aboutServers(format) {
		h.problems.add(fmt.Sprintf(format, args...))
	}
	h.LeveledLogger.Warnf(format, args...)
}

// aboutServers tells pion's warnings about servers by their text.
func aboutServers(format string) bool {
	return strings.Contains(format, "ailed") && !strings.Contains(format, "close") &&
		slices.ContainsFunc([]string{"TURN", "relay", "server reflexive", "dial"}, func(s string) bool { return strings.Contains(format, s) })
}
