// Package jingle is XEP-0166 (version 1.1.2) with XEP-0338: the <jingle/> element, its codec, and one session as a
// pure state machine.
//
// # States
//
//	             session-initiate
//	                    |
//	                    v
//	PENDING  o---------------------o
//	         |  any action but     |
//	         |  -initiate, -accept |
//	         o---------------------o
//	                    |
//	                    | session-accept
//	                    v
//	ACTIVE   o---------------------o
//	         |  any action but     |
//	         |  -initiate          |
//	         o---------------------o
//	                    |
//	                    | session-terminate (also from PENDING)
//	                    v
//	ENDED
//
// A [Session] is a function of its inputs: a message, a command, an answer or a time goes in, effects come out. It
// has no goroutine, lock, clock, randomness or I/O. Package engine is its interpreter.
//
// Payloads (descriptions, transports and what else stands inside <jingle/>) are values of other packages, which enter
// by a [Registry]. What no package knows is kept as [Opaque] and written back unchanged.
package jingle
