package agent

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/pion/stun/v4"
)

func permissionFor(t *testing.T, addrs ...string) *stun.Message {
	t.Helper()
	with := []stun.Setter{stun.TransactionID, permissionRequest}
	for _, a := range addrs {
		ap := netip.MustParseAddrPort(a)
		with = append(with, peerAddress{stun.XORMappedAddress{IP: ap.Addr().AsSlice(), Port: int(ap.Port())}})
	}
	m, err := stun.Build(append(with, stun.NewUsername("user"), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type peerAddress struct{ stun.XORMappedAddress }

// AddTo implements [stun.Setter].
func (p peerAddress) AddTo(m *stun.Message) error { return p.AddToAs(m, stun.AttrXORPeerAddress) }

func serverSays(t *testing.T, to *stun.Message, code stun.ErrorCode) []byte {
	t.Helper()
	if code == 0 {
		return answerTo(to, permissionSuccess, 0)
	}
	return answerTo(to, permissionError, code)
}

// ask is what pion does, and what it is told at once: 0 for success, -1 for nothing.
func ask(t *testing.T, p *permissions, m *stun.Message) (sent bool, code stun.ErrorCode) {
	t.Helper()
	sent, answer := p.outgoing(m.Raw)
	if answer == nil {
		return sent, -1
	}
	out := &stun.Message{Raw: answer}
	if err := out.Decode(); err != nil {
		t.Fatal(err)
	}
	if out.TransactionID != m.TransactionID {
		t.Error("the answer is to another request")
	}
	var attr stun.ErrorCodeAttribute
	if out.Type == permissionError {
		if err := attr.GetFrom(out); err != nil {
			t.Fatal(err)
		}
	}
	return sent, attr.Code
}

func TestPermissionsDoNotWait(t *testing.T) {
	const peer, other = "192.0.2.1:5000", "192.0.2.2:5000"
	expect := func(p *permissions, what string, m *stun.Message, wantSent bool, wantCode stun.ErrorCode) {
		t.Helper()
		if sent, code := ask(t, p, m); sent != wantSent || code != wantCode {
			t.Errorf("%s: sent %v, told %d; want %v and %d", what, sent, code, wantSent, wantCode)
		}
	}
	t.Run("granted", func(t *testing.T) {
		p := &permissions{}
		first, second := permissionFor(t, peer), permissionFor(t, peer)
		expect(p, "the first request", first, true, tooEarly)
		expect(p, "a second one, before the answer", second, true, tooEarly)
		expect(p, "one for another port", permissionFor(t, "192.0.2.1:6000"), true, tooEarly)
		if p.incoming(serverSays(t, first, 0)) {
			t.Error("pion hears the answer to a request that it has given up")
		}
		expect(p, "after the answer", permissionFor(t, peer), false, 0)
		if p.incoming(serverSays(t, second, 0)) {
			t.Error("pion hears the second answer")
		}
		refresh := permissionFor(t, peer)
		expect(p, "pion keeps the permission", refresh, true, -1)
		if !p.incoming(serverSays(t, refresh, 0)) {
			t.Error("pion does not hear the answer that it waits for")
		}
	})
	t.Run("refused", func(t *testing.T) {
		p := &permissions{}
		m := permissionFor(t, peer)
		expect(p, "the first request", m, true, tooEarly)
		if p.incoming(serverSays(t, m, stun.CodeForbidden)) {
			t.Error("pion hears the answer to a request that it has given up")
		}
		expect(p, "after the answer", permissionFor(t, peer), false, stun.CodeForbidden)
		expect(p, "another address", permissionFor(t, other), true, tooEarly)
	})
	t.Run("a nonce that is too old", func(t *testing.T) {
		p := &permissions{}
		m := permissionFor(t, peer)
		expect(p, "the first request", m, true, tooEarly)
		p.incoming(serverSays(t, m, stun.CodeStaleNonce))
		again := permissionFor(t, peer)
		expect(p, "after the answer", again, true, -1)
		if !p.incoming(serverSays(t, again, stun.CodeStaleNonce)) {
			t.Error("pion does not hear of the nonce")
		}
	})
	t.Run("what is none of its business", func(t *testing.T) {
		p := &permissions{}
		expect(p, "several addresses", permissionFor(t, peer, other), true, -1)
		expect(p, "no address", permissionFor(t), true, -1)
		if !p.incoming(serverSays(t, permissionFor(t, peer), 0)) {
			t.Error("an answer that was not asked for is kept from pion")
		}
		for _, raw := range [][]byte{nil, {0, 8}, bytes.Repeat([]byte{0x40}, 30), make([]byte, 20)} {
			if send, answer := p.outgoing(raw); !send || answer != nil {
				t.Errorf("%x is held back", raw)
			}
			if !p.incoming(raw) {
				t.Errorf("%x is kept from pion", raw)
			}
		}
	})
	t.Run("a flood of addresses", func(t *testing.T) {
		p := &permissions{}
		for i := range 1000 {
			ask(t, p, permissionFor(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1).String()))
		}
		if len(p.peers) != maxPermissions {
			t.Errorf("%d addresses are kept", len(p.peers))
		}
	})
}

// TestStreamAnswersBetweenMessages has an answer come while half of a server's message has been read.
func TestStreamAnswersBetweenMessages(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s := newStreamServer(c, c.LocalAddr())
	defer s.Close()
	next := func() []byte {
		t.Helper()
		b := make([]byte, 2000)
		n, err := s.Read(b)
		if err != nil {
			t.Error(err) // it may be another goroutine's
		}
		return b[:n]
	}
	write := func(b []byte) {
		t.Helper()
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	channel := append(binary.BigEndian.AppendUint16([]byte{0x40, 1}, 5), "hello\x00\x00\x00"...)
	write(channel[:6])
	m := permissionFor(t, "192.0.2.1:5000")
	read := make(chan []byte)
	go func() { read <- next() }()
	if _, err := s.Write(m.Raw); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !bytes.Equal(got, answerTo(m, permissionError, tooEarly)) {
		t.Errorf("the answer is %x", got)
	}
	sent := make([]byte, len(m.Raw))
	if _, err := io.ReadFull(far, sent); err != nil || !bytes.Equal(sent, m.Raw) {
		t.Errorf("the server got %x: %v", sent, err)
	}
	write(channel[6:])
	if got := next(); !bytes.Equal(got, channel) {
		t.Errorf("the message is %x", got)
	}
	write(append(serverSays(t, m, 0), channel...)) // the answer is not for pion
	if got := next(); !bytes.Equal(got, channel) {
		t.Errorf("the message after the answer is %x", got)
	}
	if _, err := s.Write(permissionFor(t, "192.0.2.1:5000").Raw); err != nil {
		t.Fatal(err)
	}
	if got := next(); !bytes.HasPrefix(got, []byte{1, 8}) {
		t.Errorf("the second answer is %x", got)
	}
	small := make([]byte, 5)
	write(channel)
	if n, err := s.Read(small); err != nil || !bytes.Equal(small[:n], channel[:5]) {
		t.Errorf("a part is %x: %v", small[:n], err)
	}
	if got := next(); !bytes.Equal(got, channel[5:]) {
		t.Errorf("the rest is %x", got)
	}
	_ = far.Close()
	if _, err := s.Read(small); err == nil || os.IsTimeout(err) {
		t.Errorf("after the end: %v", err)
	}
}

func TestOurTLS(t *testing.T) {
	var uris []*stun.URI
	for _, u := range []string{
		"turns:a.example:443?transport=tcp", "turn:a.example:3478?transport=udp", "turns:b.example:443?transport=tcp",
		"turn:b.example:443?transport=tcp", "turns:c.example:443?transport=udp", "stun:a.example:3478",
	} {
		x, err := stun.ParseURI(u)
		if err != nil {
			t.Fatal(err)
		}
		uris = append(uris, x)
	}
	pions, secure := ourTLS(uris)
	for i, u := range pions {
		if ours := i == 0; (u.Scheme == stun.SchemeTypeTURN && uris[i].Scheme == stun.SchemeTypeTURNS) != ours {
			t.Errorf("%v becomes %v", uris[i], u)
		}
	}
	if uris[0].Scheme != stun.SchemeTypeTURNS {
		t.Error("the list that was given is changed")
	}
	a, b := &net.TCPAddr{Port: 443}, &net.TCPAddr{Port: 443}
	secure.resolved("a.example:443", a)
	secure.resolved("b.example:443", b)
	if secure.of(a) != "a.example" || secure.of(b) != "" {
		t.Errorf("TLS is for %q and %q", secure.of(a), secure.of(b))
	}
}
