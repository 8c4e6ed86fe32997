package delegated

import (
	"errors"
	"strings"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/sdp"
)

const offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\na=ice-ufrag:ceqZlyChcKGeuqtA\r\n" +
	"a=ice-pwd:pcjTHoNzVcRUTmsmKCTUBVkxWhONHWfI\r\na=fingerprint:sha-256 " +
	"AA:E0:ED:8C:9C:38:88:AF:D7:84:A1:72:91:9C:5A:87:A8:6D:EF:8B:D7:4C:03:9E:3A:F4:62:F1:9B:D0:91:73\r\n" +
	"a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n" +
	"a=candidate:2 1 udp 2130706431 0b1f6f0c.local 5001 typ host\r\na=candidate:3 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\na=sendrecv\r\n"

// What nobody else could use is not sent.
func TestCandidates(t *testing.T) {
	_, contents, _, err := read(offer, jingle.Initiator)
	if err != nil || len(contents) != 1 {
		t.Fatalf("%v, %v", contents, err)
	}
	tr, _ := transportOf(contents[0])
	if len(tr.Candidates) != 1 || tr.Candidates[0].IP != "192.0.2.1" {
		t.Errorf("candidates %v", tr.Candidates)
	}
	got := readCandidates([]string{
		"candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host", "candidate:2 1 udp 1 x.local 5000 typ host", "", "nonsense",
		"candidate:3 1 tcp 1 192.0.2.1 9 typ host tcptype active", "candidate:4 2 udp 1 192.0.2.1 5001 typ host", strings.Repeat("x", 1<<16),
	})
	if len(got) != 1 || got[0].Port != 5000 {
		t.Errorf("candidates %v", got)
	}
}

// FuzzOffer gives descriptions of every kind: what is taken can be told to the other side.
func FuzzOffer(f *testing.F) {
	f.Add(offer)
	f.Add("")
	f.Add("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n")
	f.Add(strings.ReplaceAll(offer, "m=audio 9", "m=audio 0"))
	f.Add(offer + strings.ReplaceAll(offer[strings.Index(offer, "m="):], "a=mid:0", "a=mid:1"))
	f.Fuzz(func(t *testing.T, text string) {
		err := CheckOffer(text)
		if err != nil {
			if _, ok := errors.AsType[*DescriptionError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		_, contents, groups, err := read(text, jingle.Initiator)
		if err != nil || len(contents) == 0 {
			t.Fatalf("%v, %v", contents, err)
		}
		m := &jingle.Message{Action: jingle.SessionInitiate, SID: "s", Contents: contents, Groups: groups}
		_ = m.Element()
		if s, err := sdp.FromJingle(contents, groups, jingle.Initiator); err == nil {
			_ = s.String()
		}
	})
}
