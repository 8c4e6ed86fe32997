package daemon

import (
	"context"
	"time"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

// newCaps makes the cache of what the software of others can do, which all accounts share. With a state folder it knows
// what was known before, so that after a restart nobody has to be asked again (XEP-0115 section 1).
func (d *Daemon) newCaps() *caps.Cache {
	cache := &caps.Cache{Size: state.MaxCapabilities}
	if d.state == nil {
		return cache
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kept, err := d.state.Capabilities(ctx)
	if err != nil {
		d.cfg.Log.Error("the capabilities of others could not be read", "err", err)
	}
	for _, k := range kept {
		e, err := xmltree.Parse([]byte(k.Info), xmltree.Limits{})
		if err != nil {
			continue
		}
		info, err := disco.ParseInfo(e)
		if err != nil {
			continue
		}
		// The hash is checked here as it is for an answer that comes from afar.
		if err := cache.Add(caps.Caps{Hash: k.Hash, Ver: k.Ver}, info); err != nil {
			d.cfg.Log.Warn("capabilities that were kept do not verify", "ver", k.Ver, "err", err)
		}
	}
	cache.Added = func(c caps.Caps, info *disco.Info) {
		plain := *info
		plain.Node = "" // it names the software of who happened to be asked
		d.keep("capabilities", func(ctx context.Context, s *state.Store) error {
			return s.AddCapability(ctx, state.Capability{Hash: c.Hash, Ver: c.Ver, Info: plain.Element().String()}, time.Now())
		})
	}
	return cache
}
