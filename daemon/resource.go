package daemon

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
)

// resource returns the name of this device that an account asks for: what is configured, or else one that was made up once. It
// stays the same from run to run: then the login of a daemon that was killed takes the place of its old stream, which the
// server would otherwise keep for minutes in case it is resumed, and which peers would offer the rest of a file to in vain.
func (d *Daemon) resource(cfg Account) string {
	if cfg.Resource != "" || cfg.JID.Resource() != "" || cfg.tunnel != nil || d.state == nil {
		return cfg.Resource
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	machine, err := os.Hostname()
	if err != nil {
		return "" // a new one each time
	}
	name, err := d.state.Resource(ctx, cfg.JID.Bare().String(), machine, "jingled."+strings.ToLower(rand.Text()[:8]))
	if err != nil {
		d.cfg.Log.Error("the name of this device is not kept", "account", cfg.JID.String(), "err", err)
		return ""
	}
	return name
}
