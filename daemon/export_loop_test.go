package daemon

import (
	"context"
	"time"

	"github.com/jingled/jingled/xmltree"
)

// Ping asks the server of the first account for an answer, which comes by way of the dispatcher that handles all that comes in.
func (d *Daemon) Ping(ctx context.Context) error {
	got := make(chan error, 1)
	d.all()[0].client.Request("", "get", xmltree.New(nsPing, "ping"), 0, func(_ *xmltree.Element, err error) { got <- err })
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Longest is for how long a handler of the first account has held up the others at most.
func (d *Daemon) Longest() time.Duration { return d.all()[0].client.Stats().Longest }
