// Package relay is jingle-relay: a TURN and STUN server, a proxy for SOCKS5 bytestreams, and the XMPP component that
// tells users of both.
//
//	cfg, err := relay.Load(file)          // strict TOML; or relay.Dev()
//	r, err := relay.New(cfg, logger)
//	err = r.Run(ctx)                      // returns when all it started has ended
//
// While it runs: Reload, Drain, Sessions, Kick, Status. The parts are packages of their own (turn, socks5, credentials,
// limits, policy, component); this one reads the configuration, puts them together, and shows them to the operator.
package relay
