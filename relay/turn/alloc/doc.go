// Package alloc is the control plane of a TURN server as a pure allocation table.
//
// No socket, goroutine, clock or randomness of its own: time and packets go in, effects come out.
package alloc
