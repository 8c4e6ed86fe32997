// Package filetransfer is XEP-0234 (version 0.19.1): the description of a file in a Jingle session, its informational
// messages, and the transfer of one file as two pure state machines, [Sending] and [Receiving].
//
// Namespace :5 is written; :4 and :3 are read too, and written back where they were read. Package hashes beside this
// one is XEP-0300, package store is the folder on disk, and s5b, ibb and si are roads that the bytes can take.
//
// # A transfer
//
//	Sending                               Receiving
//	   |  session-initiate (offer)            |
//	   |------------------------------------->|   asks, then
//	   |                    session-accept    |   accepts, with a range or without
//	   |<-------------------------------------|
//	   |  bytes                               |
//	   |=====================================>|
//	   |  session-info checksum               |   if the offer had <hash-used/>
//	   |------------------------------------->|   verifies
//	   |               session-info received  |
//	   |<-------------------------------------|
//	   |      session-terminate success       |
//	   |<-------------------------------------|
package filetransfer

// NS is the namespace of file descriptions (XEP-0234 section 14.1).
const NS = "urn:xmpp:jingle:apps:file-transfer:5"

// NS4 and NS3 are the namespaces of versions 0.17.2 and 0.15, which some clients still advertise.
const (
	NS4 = "urn:xmpp:jingle:apps:file-transfer:4"
	NS3 = "urn:xmpp:jingle:apps:file-transfer:3"
)

// NSErrors is the namespace of the application conditions of XEP-0234 section 9.
const NSErrors = "urn:xmpp:jingle:apps:file-transfer:errors:0"

// NSThumbs is the namespace of <thumbnail/> (XEP-0264); NSThumbs0 is its predecessor.
const (
	NSThumbs  = "urn:xmpp:thumbs:1"
	NSThumbs0 = "urn:xmpp:thumbs:0"
)
