// Package turn is a TURN and STUN server: RFC 8656, 8489, 6062, 5780, 8016 and 7635.
//
// The control plane is the pure table of relay/turn/alloc. This package owns sockets, loops and framing:
// datagrams and frames go in, the table's effects are carried out.
//
//	srv, err := turn.New(turn.Config{Listeners: ..., Settings: turn.Settings{Realm: ..., Auth: ..., Limits: ...}})
//	err = srv.Run(ctx)        // returns when all it started has ended
//
// While it runs (all safe from any goroutine):
//
//	srv.Ready() <-chan struct{}               // closed when every listener is bound
//	srv.Addrs() []BoundListener               // what was bound, ports filled in
//	srv.Reload(Settings) error                // nothing is dropped; invalid settings change nothing
//	srv.SetAdvertise(bind, advertise)         // a changed external address; new allocations use it
//	srv.Drain(on bool)                        // new allocations get 300 (ALTERNATE-SERVER) or 508
//	srv.Sessions() []Info                     // a snapshot, unordered
//	srv.Kick(func(Info) bool) int             // ends the sessions that match, says how many
//	srv.Counters() Counters                   // totals since start and gauges
package turn
