// Package socks5 is the proxy of SOCKS5 bytestreams (XEP-0065 sections 4 and 6): two parties connect to it, name the
// same hash, and are joined when the requester says so over XMPP.
//
// The proxy never dials anybody, so it cannot be used to reach what its users cannot. Data is not encrypted here, as
// section 11.1 says: the parties do that.
//
//	srv, err := socks5.New(socks5.Config{...})
//	err = srv.Run(ctx, listener)                        // returns when all it started has ended
//	err = srv.Activate(socks5.Activation{...})          // from the XMPP component; does not wait
package socks5
