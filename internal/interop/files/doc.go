// Package files has tests only: scripted peers that send and take files in the dialects of the clients people have, with
// their faults, against the daemon on the server inside the process. The bytes are real, over SOCKS5 and in band.
//
// What comes out is a table of docs/interop.md: `make docs` writes it, and the test compares it.
package files

//go:generate go test -count=1 -run=^TestFiles$ . -update
