// Package component joins an XMPP server as an external component (XEP-0114) and answers its users:
//
//   - External Service Discovery with fresh credentials (XEP-0215)
//   - the SOCKS5 bytestream proxy's side in XMPP (XEP-0065 sections 4 and 6.3.5)
//   - Jingle Relay Nodes: the list of services and TURN credentials (XEP-0278)
//
// Only users of the domains that the operator named get anything. What to answer is a function of the stanza and the
// time ([Handler]); [Component] is the connection. No stanza of a stranger, however large, deep or odd, makes the
// component wait or lose its connection.
package component
