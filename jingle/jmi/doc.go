// Package jmi is XEP-0353 (version 0.8.0): the messages by which a call is proposed to all devices of a person before
// one of them gets a Jingle session, and what an account has to do about them.
//
// [Message] is the codec. [Proposal] is one proposal and [Set] all those of an account; both are functions of their
// inputs, without clock, randomness or I/O: a message, a decision or a time goes in, a list of [Effect] comes out.
//
//	caller:   PROPOSED --ringing--> RINGING --proceed--> PROCEEDING --started--> LIVE --finish--> ENDED
//	callee:   OFFERED ---ring-----> RINGING --accept---> PROCEEDING --started--> LIVE --finish--> ENDED
//
// Every state can also end by retract, reject, finish, an answer from another device, or its deadline. "started" is
// the session-initiate, sent or received.
//
// # Who gets what
//
// propose and retract go to the bare JID; ringing, proceed, reject and finish to the full JID of the other party, as
// clients ignore them otherwise. accept, which version 0.3.1 had, still goes to one's own bare JID when a call is taken.
// Nothing at all is sent for a proposal before [Set.Ring], [Set.Accept] or [Set.End]: any answer tells the caller that
// someone is there (XEP-0353 section 6).
package jmi
