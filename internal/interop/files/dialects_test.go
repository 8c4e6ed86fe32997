package files

import (
	"fmt"
	"testing"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
)

// dialect is how a client sends and takes files.
type dialect struct {
	name, version, notes string
	node                 string // of its capabilities
	features             []string
	si                   bool   // it knows stream initiation only
	content              string // the name of its contents
	offer                func(size int, sum []byte) string
	tellsHash            string // the function of the checksum that it sends behind the bytes; "": it sends none
	tellsSHA1            bool   // besides
	verifiable           bool   // its offer has a hash, or it is known that one will follow
	checksumCreator      bool   // with the creator in it
	received             bool   // it says when it has everything, besides ending the session
	wantsReceived        bool   // with creator and name
	priority             int    // of its direct candidates
	dstaddr              bool   // it says dstaddr, in its candidates' element
	block, window        int    // of in-band bytestreams
	closes               bool   // in-band bytestreams
	rejectsReplace       bool
	replacesBySame       bool // offers SOCKS5 again when it has failed
	channels             bool // data channels come first
	ranges               bool // it asks for the rest of a file
	needs                func(t *testing.T, c *jingle.Content, f filetransfer.File)
}

const (
	nsFT = filetransfer.NS
	jet0 = "urn:xmpp:jingle:jet:0"
)

func jingleFeatures(more ...string) []string {
	return append([]string{jingle.NS, nsFT, s5b.NS, "urn:xmpp:jingle:transports:ibb:1"}, more...)
}

// strictCandidates are what every client demands of candidates, and unequal priorities, as ties are decided both ways.
func strictCandidates(t *testing.T, c *jingle.Content) {
	t.Helper()
	tr, ok := c.Transport.(s5b.Transport)
	if !ok {
		return
	}
	seen := map[uint32]bool{}
	for _, x := range tr.Candidates {
		if x.CID == "" || x.Host == "" || x.JID == "" || x.Port == 0 || x.Priority == 0 || x.Type == "" || seen[x.Priority] {
			t.Errorf("a candidate that some clients skip, or a priority that is there twice: %+v", x)
		}
		seen[x.Priority] = true
	}
}

var dialects = []*dialect{
	{
		name: "Conversations", version: "2.19, read from source", node: "http://conversations.im",
		notes: "Media type by `<mediaType>`, no hash in the offer, a checksum without creator behind it. In-band blocks of 8192, three at " +
			"once, and no close. Falls back only as the initiator.",
		features: jingleFeatures(jet0, "urn:xmpp:jingle:jet-omemo:0"), content: "file-offer",
		offer: func(size int, _ []byte) string {
			return fmt.Sprintf("<name>note.bin</name><size>%d</size><mediaType>application/octet-stream</mediaType>", size)
		},
		verifiable: true, tellsHash: "sha-256", tellsSHA1: true, received: true, priority: 8257536, block: 8192, window: 3,
		needs: func(t *testing.T, c *jingle.Content, f filetransfer.File) {
			if f.MediaType != "" && f.MediaTypeSpelling == filetransfer.MediaTypeDashed || len(c.Name) > 16 || c.Senders != jingle.SendersInitiator {
				t.Errorf("Conversations cannot read %+v", c)
			}
		},
	},
	{
		name: "Conversations (data channels)", version: "2.19, read from source", node: "http://conversations.im", channels: true,
		notes: "The same where the app may use WebRTC, which is the default: a data channel each way, called `test`, in a group of its own; " +
			"messages of 4096 bytes; candidates one by one, before the answer too. Needs `sctp-port` and `max-message-size`.",
		features: jingleFeatures(jet0, "urn:xmpp:jingle:jet-omemo:0", ice.NSDataChannel, ice.NSUDP, "urn:xmpp:jingle:apps:dtls:0"), content: "file-offer",
		offer: func(size int, _ []byte) string {
			return fmt.Sprintf("<name>note.bin</name><size>%d</size><mediaType>application/octet-stream</mediaType>", size)
		},
		verifiable: true, tellsHash: "sha-256", tellsSHA1: true, received: true, priority: 8257536, block: 8192, window: 3,
		needs: func(t *testing.T, c *jingle.Content, f filetransfer.File) {
			if f.MediaType != "" && f.MediaTypeSpelling == filetransfer.MediaTypeDashed || len(c.Name) > 16 || c.Senders != jingle.SendersInitiator {
				t.Errorf("Conversations cannot read %+v", c)
			}
		},
	},
	{
		name: "Dino", version: "0.5 of 2026-06, read from source", node: "https://dino.im",
		notes: "Only name and size in the offer. Ends the session when it has every byte, and waits for that as the sender. Its fallback " +
			"is broken: it rejects every transport-replace, and offers SOCKS5 anew when that has failed.",
		features: jingleFeatures(jet0, "urn:xmpp:jingle:jet-omemo:0"), content: "a-file-offer",
		offer:    func(size int, _ []byte) string { return fmt.Sprintf("<name>note.bin</name><size>%d</size>", size) },
		priority: 126<<16 + 32768, dstaddr: true, block: 4096, window: 1, closes: true, rejectsReplace: true, replacesBySame: true,
	},
	{
		name: "Psi", version: "iris of 2026-08, read from source", node: "https://psi-im.org",
		notes: "Date, description, hash and range in the offer. Verifies what it takes, asks for the rest of a file by a range, and waits for " +
			"`<received/>` with creator and name.",
		features: jingleFeatures("urn:xmpp:hashes:2"), content: "S5B0",
		offer: func(size int, _ []byte) string {
			return fmt.Sprintf("<date>2026-08-21T10:00:00Z</date><desc>A note</desc><media-type>application/octet-stream</media-type>"+
				"<name>note.bin</name><size>%d</size><range/><hash-used xmlns='urn:xmpp:hashes:2' algo='sha3-256'/>", size)
		},
		verifiable: true, tellsHash: "sha3-256", checksumCreator: true, received: true, wantsReceived: true, priority: 126 << 16, block: 4096, window: 1,
		closes: true, ranges: true,
		needs: func(t *testing.T, _ *jingle.Content, f filetransfer.File) {
			for _, h := range f.Hashes {
				if !h.Algo.Known() {
					t.Errorf("Psi rejects the hash %s", h.Algo)
				}
			}
			if f.Range == nil || len(f.HashUsed)+len(f.Hashes) == 0 || f.Date == "" {
				t.Errorf("an offer without a range, a hash or a date: %+v", f)
			}
		},
	},
	{
		name: "Gajim", version: "1.9.5 of 2024-09, read from source; later ones take files over HTTP only", node: "https://gajim.org",
		notes: "The hash stands in the offer. Insists on creator and name, and on a candidate-error or candidate-used from both sides.",
		features: jingleFeatures("http://jabber.org/protocol/bytestreams", "urn:xmpp:hashes:2",
			"urn:xmpp:hash-function-text-names:sha-256"), content: "fileEJR4TB",
		offer: func(size int, sum []byte) string {
			return fmt.Sprintf("<name>note.bin</name><date>2024-09-30T10:00:00Z</date><size>%d</size><hash xmlns='urn:xmpp:hashes:2' "+
				"algo='sha-256'>%s</hash><desc>A note</desc>", size, base64Of(sum))
		},
		verifiable: true, received: true, priority: 126 << 16, dstaddr: true, block: 4096, window: 1, closes: true,
	},
	{
		name: "Pidgin", version: "2.14, read from source", node: "http://pidgin.im/", si: true,
		notes:    "Stream initiation only: SOCKS5 bytestreams or in band.",
		features: []string{"http://jabber.org/protocol/si", "http://jabber.org/protocol/si/profile/file-transfer", s5b.NSBytestreams, "http://jabber.org/protocol/ibb"},
		block:    4096, window: 1, closes: true,
	},
	{
		name: "gabble", version: "0.18, read from source", node: "http://telepathy.freedesktop.org/caps", si: true,
		notes:    "Stream initiation only; the bare file, without hash or date.",
		features: []string{"http://jabber.org/protocol/si", "http://jabber.org/protocol/si/profile/file-transfer", s5b.NSBytestreams, "http://jabber.org/protocol/ibb"},
		block:    4096, window: 1,
	},
}

// sumOf computes what a client says of its file.
func sumOf(algo string, data []byte) []byte {
	h := hashes.Algo(algo).New()
	h.Write(data)
	return h.Sum(nil)
}

// checksum is the session-info of a sender.
func (d *dialect) checksum(data []byte) string {
	creator := ""
	if d.checksumCreator {
		creator = "creator='initiator' "
	}
	hash := func(algo string) string {
		return fmt.Sprintf("<hash xmlns='urn:xmpp:hashes:2' algo='%s'>%s</hash>", algo, base64Of(sumOf(algo, data)))
	}
	all := hash(d.tellsHash)
	if d.tellsSHA1 {
		all = hash("sha-1") + all
	}
	return fmt.Sprintf("<checksum xmlns='%s' %sname='%s'><file>%s</file></checksum>", nsFT, creator, d.content, all)
}
