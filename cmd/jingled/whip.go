package main

import (
	"context"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/whip"
)

// serveWhip returns what serves WHIP and WHEP, which begins when somebody asks for it, or at once if it has an address.
func (o *options) serveWhip(d *daemon.Daemon, cfg daemon.Config) (mounts []apiserver.Mount, run func(context.Context) error, err error) {
	if o.whip == "none" {
		return nil, func(context.Context) error { return nil }, nil
	}
	w, err := whip.New(whip.Config{Daemon: d, Listen: o.whip, StateDir: cfg.StateDir, Log: o.log})
	if err != nil {
		return nil, nil, err
	}
	return []apiserver.Mount{apiserver.Whip(w)}, w.Run, nil
}
