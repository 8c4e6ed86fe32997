package agent

import (
	"context"
	"net"
	"slices"
	"time"
)

// WatchInterval is how often [Watch] looks.
const WatchInterval = time.Second

// Watch calls changed whenever the addresses of this machine have become others, until ctx ends: a path in use may be gone
// then, long before that is noticed on it. Looking costs some microseconds and is the same on every system.
func Watch(ctx context.Context, changed func()) {
	watch(ctx, addresses, changed)
}

func watch(ctx context.Context, addresses func() []string, changed func()) {
	tick := time.NewTicker(WatchInterval)
	defer tick.Stop()
	before := addresses()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := addresses(); now != nil && !slices.Equal(now, before) {
			before = now
			changed()
		}
	}
}

// addresses returns those that lead somewhere, in order; nil if they cannot be read.
func addresses() []string {
	found := []string{}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, _ := i.Addrs() // gone meanwhile
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
				found = append(found, i.Name+" "+n.String())
			}
		}
	}
	slices.Sort(found)
	return found
}
