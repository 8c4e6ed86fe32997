package daemon

import (
	"strings"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/media"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/xmpp/disco"
)

// suit makes an offer that the client of a device can take, by what it says of itself. Of one that says nothing,
// everything usual is hoped for.
func suit(cfg *mediacall.Config, known disco.Info) error {
	if len(known.Features) == 0 {
		return nil
	}
	if known.Has(ice.NSFingerprint) {
		cfg.Encryption = media.DTLS // what it can do it shall do
	} else if cfg.Encryption != media.DTLS {
		cfg.GatherFirst = true // clients of that time do not trickle
	}
	switch {
	case known.Has(ice.NSUDP):
	case known.Has(ice.NSICE):
		cfg.Transport = ice.NSICE
	case known.Has(ice.NSRawUDP):
		if cfg.Encryption == media.DTLS {
			return media.ErrRawUDP
		}
		cfg.Transport = ice.NSRawUDP
	}
	return nil
}

// keepsContents reports whether the peer's client refuses to have contents removed, as Dino does: it turns video off and on
// by who sends.
func (c *call) keepsContents() bool {
	c.account.mu.Lock()
	peer := c.peer
	c.account.mu.Unlock()
	r, ok := c.account.client.Resource(peer)
	return ok && strings.Contains(r.Caps.Node, "dino.im")
}
