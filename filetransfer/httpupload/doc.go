// Package httpupload sends files by a web server, for peers that have no transfer from one to the other or are not
// online: XEP-0363 (version 1.2.0) stores the file at the sender's server, and a message with its address goes to the
// peer, as an out-of-band URL (XEP-0066, version 1.5) and as XEP-0447 (version 0.3.1), which says what the file is.
//
// The server then holds a copy, which the user has to know. What a peer's message names is fetched only once the user
// has accepted it, over https, and never from an address that is not public.
//
//	sender                          its server                       receiver
//	  | request a slot ----------------> |                               |
//	  | <------------ put and get URL -- |                               |
//	  | PUT ===========================> |                               |
//	  | message with the get URL --------------------------------------> |  asks the user
//	  |                                  | <======================= GET  |
package httpupload
