// Package hashes is XEP-0300 (version 1.0.0): the names of hash functions, the <hash/> and <hash-used/> elements, and
// the computing of several hashes in one pass over the data.
//
// The namespaces :0 and :1, which older file transfers use, are read as well; they did not fix an encoding, and what
// is seen there is hexadecimal.
package hashes

// NS is the namespace of <hash/> and <hash-used/> (XEP-0300 section 9.1).
const NS = "urn:xmpp:hashes:2"

// NS1 and NS0 are the namespaces of earlier versions. They are read, and written back where they were read.
const (
	NS1 = "urn:xmpp:hashes:1"
	NS0 = "urn:xmpp:hashes:0"
)

// featurePrefix stands before an algorithm's name in service discovery (XEP-0300 section 9.3).
const featurePrefix = "urn:xmpp:hash-function-text-names:"
