// Package personas has tests only: scripted peers that speak the dialects of the clients people have, against the
// daemon, on the server inside the process. testdata has a file for each client, with the stanzas that it sends; where a
// stanza is missing, the client has none. Media are real.
//
// What comes out is the table of docs/interop.md, which `make docs` writes and the test compares.
package personas

//go:generate go test -count=1 -run=^TestCalls$ . -update
