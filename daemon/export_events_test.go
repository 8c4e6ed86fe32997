package daemon

import jingledv1 "github.com/jingled/jingled/api/jingled/v1"

// Publish lets tests outside of the package make events.
func (d *Daemon) Publish(e *jingledv1.Event) { d.hub.publish(e) }
