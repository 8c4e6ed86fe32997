// Package credentials says who may use the relay.
//
// Three kinds are known, and each is a value that answers one question, "which keys may this user name have signed
// with?", from memory and without waiting:
//
//   - [Shared]: time-limited names signed with a secret that the XMPP server also holds
//     (draft-uberti-behave-turn-rest-00), as Prosody, ejabberd and coturn use them. No state at all.
//   - [Static]: long-lived users whose keys, not passwords, stand in the configuration.
//   - [Tokens]: RFC 7635 tokens of a third party.
//
// [Authority] holds one of each and can be replaced while packets are being checked.
package credentials
