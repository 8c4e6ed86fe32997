// Package muc is chat rooms as far as calls and files need them: XEP-0045 (version 1.35.1) and the direct invitations of
// XEP-0249 (version 1.2).
//
// [Room] is our part in one room, a function of its inputs without clock, randomness or I/O: a stanza, a reply, a command
// or a time goes in, a list of [Effect] comes out.
//
//	IDLE --Join--> ASKING --what the room is--> ENTERING --own presence--> PRESENT --Leave, kicked, destroyed--> LEFT
//	                                               |  ^
//	                       created by our entering |  | the form is submitted
//	                                               v  |
//	                                            CONFIGURING
//
// # Addresses
//
// Before it enters, a Room asks what the room is. Where everybody sees the address of everybody, it enters only with
// [Config].ShowAddress. Moderators see addresses in every room (section 4.2).
package muc

// The namespaces of XEP-0045 and XEP-0249.
const (
	NS       = "http://jabber.org/protocol/muc"
	NSUser   = "http://jabber.org/protocol/muc#user"
	NSOwner  = "http://jabber.org/protocol/muc#owner"
	NSAdmin  = "http://jabber.org/protocol/muc#admin"
	NSDirect = "jabber:x:conference"
)

// nsClient is that of stanzas.
const nsClient = "jabber:client"
