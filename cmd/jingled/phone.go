package main

import (
	"context"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/webphone"
)

// webphone returns what serves the phone in a browser, which begins when somebody asks for it.
func (o *options) webphone(d *daemon.Daemon, cfg daemon.Config) (mounts []apiserver.Mount, run func(context.Context) error, err error) {
	if o.phone == "none" {
		return nil, func(context.Context) error { return nil }, nil
	}
	c := webphone.For(d, cfg)
	c.Listen = o.phone
	phone, err := webphone.New(c)
	if err != nil {
		return nil, nil, err
	}
	return []apiserver.Mount{apiserver.Phone(phone)}, phone.Run, nil
}
