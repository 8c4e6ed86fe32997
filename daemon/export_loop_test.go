package daemon

import (
	"context"

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
