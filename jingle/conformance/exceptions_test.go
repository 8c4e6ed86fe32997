package conformance

// exceptions are the examples that are not written back as they were read, and why. One that is no longer needed fails
// the test.
var exceptions = map[string]string{
	"xep-0065/example-33.xml": "<udpsuccess/> belongs to the UDP mode of XEP-0065, which is not spoken here",
	"xep-0181/code-01.xml":    "a scheme, with words where the numbers go",
	"xep-0215/code-01.xml":    "a scheme, of a <service/> without its host and type",
	"xep-0293/example-05.xml": "a broken sample: the attributes of <jingle> stand outside its tag",
	"xep-0320/code-01.xml":    "a scheme, with the word 'role' for a role",
	"xep-0339/code-01.xml":    "a scheme, with words where the numbers go",
	"xep-0339/code-03.xml":    "a scheme, with words where the numbers go",
	"xep-0358/example-01.xml": "a scheme, with sentences for elements",
	"xep-0358/example-08.xml": "the id of <start/> as text, against section 2.2: it is read, and written as an attribute",
	"xep-0358/example-09.xml": "the id of <start/> as text, against section 2.2: it is read, and written as an attribute",
}

// notOurs are the namespaces that stand in the examples and that no package reads, and why.
var notOurs = map[string]string{
	"http://jabber.org/protocol/jingle":                  "Jingle of 2006; XEP-0183 was never brought up to date, and its transport is read in the Jingle of today",
	"http://jabber.org/protocol/si/profile/profile-name": "stands for any profile of XEP-0095",
	"http://jabber.org/protocol/sipub":                   "XEP-0137, shown by XEP-0096 for comparison",
	"http://jabber.org/protocols/jingle":                 "a misprint of XEP-0339",
	"urn:xmpp:encryption:stub:0":                         "stands for any envelope of XEP-0391",
	"urn:xmpp:example":                                   "stands for any application",
	"urn:xmpp:jingle:0":                                  "a stale namespace in XEP-0181",
	"urn:xmpp:jingle:apps:rtp:0":                         "a stale namespace in XEP-0272; nobody sends it",
	"urn:xmpp:jingle:apps:rtp:1:info":                    "a misprint of XEP-0166",
	"urn:xmpp:jingle:apps:some-file":                     "stands for any application",
	"urn:xmpp:jingle:apps:stub:0":                        "stands for any application",
	"urn:xmpp:jingle:security:stub:0":                    "stands for any security precondition",
	"urn:xmpp:jingle:security:xtls:0":                    "a proposal that never became a XEP, shown by XEP-0166",
	"urn:xmpp:jingle:transports:ice-udp:0":               "a stale namespace in XEP-0167; nobody sends it",
	"urn:xmpp:jingle:transports:stub:0":                  "stands for any transport",
	"urn:xmpp:tmp:jingle":                                "Jingle of 2008 in XEP-0180, which is retracted",
	"urn:xmpp:tmp:jingle:transports:ice-tcp":             "a transport of 2008 in XEP-0180, which is retracted",
}
