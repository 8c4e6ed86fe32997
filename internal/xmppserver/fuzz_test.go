package xmppserver

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// FuzzStream gives arbitrary bytes to what reads and routes the stream of a client that has logged in.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		"<presence/><presence to='bob@example.test' type='subscribe'/>",
		"<message to='bob@example.test/pc' type='chat'><body>x</body></message>",
		"<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
		"<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='bob@example.test' subscription='remove'/></query></iq>",
		"<iq id='1' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
		"<iq id='1' type='get' to='example.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<message to='@'/>  </stream:stream>", "<!-- -->", "<a><b></a>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newTestHub(t, "alice", "bob")
		var all []*session
		for _, full := range []jid.JID{"alice@example.test/phone", "bob@example.test/pc"} {
			s := &session{full: full, out: newOutbox(1<<20, func() {})}
			h.enter(s, xmltree.New(nsClient, "bound"))
			all = append(all, s)
		}
		h.befriend(h.account("alice"), h.account("bob"))
		const head = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
		r := newReader(bytes.NewReader(append([]byte(head), b...)), 10000)
		if _, err := r.header(); err != nil {
			t.Fatal(err)
		}
		for {
			st, err := r.next()
			if err != nil || h.route(all[0], st) != nil {
				break
			}
		}
		h.leave(all[0])
		for _, s := range all {
			// What was sent is XML, whatever came in.
			out, _ := s.out.take(nil)
			x := append(append([]byte("<x xmlns='jabber:client'>"), out...), "</x>"...)
			if _, err := xmltree.Parse(x, xmltree.Limits{Bytes: 8 << 20, Elements: 1 << 20, Depth: 64, Attrs: 1000}); err != nil {
				t.Fatalf("%v: %s was sent %s", err, s.full, out)
			}
		}
	})
}

// FuzzSCRAM gives arbitrary messages to the login. None of them knows the password.
func FuzzSCRAM(f *testing.F) {
	f.Add("n,,n=alice,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("p=tls-exporter,,n=alice,r=abc", "c=cD10bHMtdW5pcXVlLCw=,r=abc,p=")
	f.Add("y,a=alice,n=a=2Cb,r=x", ",p=")
	f.Fuzz(func(t *testing.T, first, final string) {
		for _, plus := range []bool{false, true} {
			s := &scram{
				hash: hashes["SCRAM-SHA-256"], plus: plus, cbName: "tls-exporter", cbData: []byte("data"), offered: plus,
				lookup: func(string) (secret, bool) {
					return secret{salt: []byte("salt"), storedKey: make([]byte, 32), serverKey: make([]byte, 32)}, true
				},
			}
			reply, err := s.first(first)
			if err != nil {
				continue
			}
			if strings.ContainsAny(reply, "\r\n<") && !strings.ContainsAny(first, "\r\n<") {
				t.Fatalf("reply %q", reply)
			}
			// The nonce is fresh, so that a fixed message can never be the right one.
			if _, err := s.final(final); err == nil {
				t.Fatalf("%q, %q logs in", first, final)
			}
			if _, err := s.final("c=biws,r=" + s.nonce + ",p=" + final); err == nil {
				t.Fatalf("%q logs in", final)
			}
		}
	})
}
