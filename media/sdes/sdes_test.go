package sdes

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	pionrtp "github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/jingle/rtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A key as in the example of XEP-0167 section 7.
const key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"

func TestParse(t *testing.T) {
	crypto := func(suite, params, session string) rtp.Crypto {
		return rtp.Crypto{Tag: "1", Suite: suite, KeyParams: params, SessionParams: session}
	}
	const s80 = "AES_CM_128_HMAC_SHA1_80"
	for _, c := range []struct {
		name   string
		crypto rtp.Crypto
		ok     bool
	}{
		{"plain", crypto(s80, key, ""), true},
		{"short tag", crypto("AES_CM_128_HMAC_SHA1_32", key, ""), true},
		{"lifetime", crypto(s80, key+"|2^20", ""), true},
		{"upper case", crypto(s80, strings.Replace(key, "inline", "INLINE", 1), ""), true},
		{"window", crypto(s80, key, "WSH=64 -future"), true},
		{"MKI", crypto(s80, key+"|2^20|1:4", ""), false},
		{"two keys", crypto(s80, key+";"+key, ""), false},
		{"not authenticated", crypto(s80, key, "UNAUTHENTICATED_SRTP"), false},
		{"not encrypted", crypto(s80, key, "UNENCRYPTED_SRTP"), false},
		{"other suite", crypto("F8_128_HMAC_SHA1_80", key, ""), false},
		{"short", crypto(s80, "inline:"+base64.StdEncoding.EncodeToString(make([]byte, 29)), ""), false},
		{"not base64", crypto(s80, "inline:!!!!", ""), false},
		{"no inline", crypto(s80, strings.TrimPrefix(key, "inline:"), ""), false},
		{"endless", crypto(s80, key+strings.Repeat("A", 1<<16), ""), false},
		{"empty", rtp.Crypto{}, false},
	} {
		k, err := Parse(c.crypto)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCrypto) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "WVNf") || strings.Contains(fmt.Sprintf("%v %#v", k, k), "WVNf") {
			t.Errorf("%s shows the key", c.name)
		}
		if n := len(Usable([]rtp.Crypto{c.crypto})); (n == 1) != c.ok {
			t.Errorf("%s: %d are usable", c.name, n)
		}
	}
	made := Offer()
	if len(made) != 2 || len(Usable(made)) != 2 || made[0].KeyParams == made[1].KeyParams || made[0].KeyParams == Offer()[0].KeyParams {
		t.Errorf("offered: %v", made)
	}
}

// side is one end of a connection with what it has received.
type side struct {
	*Conn
	rtp     chan string
	reports chan []rtcp.Packet
}

// pair returns two connected sides. The link for RTCP is missing if mux is set.
func pair(t *testing.T, a, b Config, mux bool) (one, two *side, between [2]net.Conn) {
	t.Helper()
	var out [2]*side
	l1, r1 := udpPair(t)
	var l2, r2 net.Conn
	if !mux {
		l2, r2 = udpPair(t)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	for i, cfg := range []Config{a, b} {
		s := &side{rtp: make(chan string, 10), reports: make(chan []rtcp.Packet, 10)}
		cfg.RTP = func(_ *pionrtp.Header, payload []byte, _ time.Time) { s.rtp <- string(payload) }
		cfg.RTCP = func(p []rtcp.Packet, _ time.Time) { s.reports <- p }
		first, second := l1, l2
		if i == 1 {
			first, second = r1, r2
		}
		c, err := New(first, second, cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Conn, out[i] = c, s
		go func() { ended <- c.Run(ctx) }()
	}
	t.Cleanup(func() {
		stop()
		for range out {
			<-ended
		}
	})
	return out[0], out[1], [2]net.Conn{l1, r1}
}

func udpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	lo := net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	x, err := net.ListenUDP("udp4", &lo)
	if err != nil {
		t.Fatal(err)
	}
	y, err := net.DialUDP("udp4", &lo, x.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	addr := x.LocalAddr().(*net.UDPAddr)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x, err = net.DialUDP("udp4", addr, y.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	return x, y
}

func keysOf(t *testing.T, c rtp.Crypto) *Keys {
	t.Helper()
	k, err := Parse(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const patience = 20 * time.Second

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

func TestCarries(t *testing.T) {
	for _, mux := range []bool{true, false} {
		for i := range 3 { // two suites, and none
			var a, b Config
			if i < 2 {
				x, y := keysOf(t, Offer()[i]), keysOf(t, Offer()[i])
				a, b = Config{Send: x, Receive: y}, Config{Send: y, Receive: x}
			}
			one, two, _ := pair(t, a, b, mux)
			for n := range 3 {
				text := fmt.Sprintf("packet %d", n)
				h := pionrtp.Header{Version: 2, PayloadType: 0, SequenceNumber: uint16(n), SSRC: 7}
				if err := one.WriteRTP(&h, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if got := next(t, two.rtp); got != text {
					t.Errorf("suite %d: %q", i, got)
				}
			}
			if err := two.WriteRTCP(&rtcp.Goodbye{Sources: []uint32{7}}); err != nil {
				t.Fatal(err)
			}
			got := next(t, one.reports)
			if bye, ok := got[0].(*rtcp.Goodbye); !ok || bye.Sources[0] != 7 {
				t.Errorf("suite %d: %v", i, got)
			}
		}
	}
}

// What is not made with the keys is dropped, and so is a packet that comes again.
func TestRefusesForged(t *testing.T) {
	x, y := keysOf(t, Offer()[0]), keysOf(t, Offer()[0])
	one, two, raw := pair(t, Config{Send: x, Receive: y}, Config{Send: y, Receive: x}, true)
	h := pionrtp.Header{Version: 2, SSRC: 7, SequenceNumber: 1}
	plain, err := (&pionrtp.Packet{Header: h, Payload: []byte("forged and long enough for a tag")}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := x.context()
	if err != nil {
		t.Fatal(err)
	}
	h.SequenceNumber = 2
	sealed, err := ctx.EncryptRTP(nil, append(must(h.Marshal()), "once"...), &h)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{plain, {0x80}, {}, sealed, sealed} {
		if _, err := raw[0].Write(b); err != nil {
			t.Fatal(err)
		}
	}
	h.SequenceNumber = 3
	if err := one.WriteRTP(&h, []byte("last")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, two.rtp); got != "once" {
		t.Errorf("first comes %q", got)
	}
	if got := next(t, two.rtp); got != "last" {
		t.Errorf("then comes %q", got)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
