package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzOffer gives a line offers of every kind: it answers, or says what is wrong with them, and nothing is left behind.
func FuzzOffer(f *testing.F) {
	const offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=fingerprint:sha-256 " +
		"AA:E0:ED:8C:9C:38:88:AF:D7:84:A1:72:91:9C:5A:87:A8:6D:EF:8B:D7:4C:03:9E:3A:F4:62:F1:9B:D0:91:73\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\na=ice-ufrag:ceqZlyChcKGeuqtA\r\n" +
		"a=ice-pwd:pcjTHoNzVcRUTmsmKCTUBVkxWhONHWfI\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\n" +
		"a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=sendrecv\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:1\r\na=ice-ufrag:ceqZlyChcKGeuqtA\r\n" +
		"a=ice-pwd:pcjTHoNzVcRUTmsmKCTUBVkxWhONHWfI\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n" +
		"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ssrc:1 cname:x\r\na=sendonly\r\n"
	for role := range uint8(3) {
		f.Add(role, offer)
		f.Add(role, strings.Replace(offer, "m=video 9", "m=video 0", 1))
		f.Add(role, strings.Replace(offer, "m=video", "m=audio", 1))
		f.Add(role, strings.ReplaceAll(offer, "sendrecv", "recvonly"))
		f.Add(role, strings.ReplaceAll(offer, "opus/48000/2", "opus/0/0"))
		f.Add(role, strings.ReplaceAll(offer, "a=mid:1", "a=mid:0"))
		f.Add(role, strings.ReplaceAll(offer, "UDP/TLS/RTP/SAVPF", "RTP/AVP"))
	}
	f.Fuzz(func(t *testing.T, role uint8, offer string) {
		l := NewLine(Config{})
		defer func() {
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_ = l.Close()
			}()
			select {
			case <-closed:
			case <-time.After(patience):
				t.Fatal("the line does not close")
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, answer, err := l.Attach(ctx, Role(role%3), offer)
		var bad *OfferError
		if err == nil && !strings.Contains(answer, "a=ice-lite") || err != nil && !errors.As(err, &bad) {
			t.Errorf("%v\n%s", err, answer)
		}
	})
}
