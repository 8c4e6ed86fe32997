package alloc

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/stun/v4"
)

// request builds and sends one request. Flags: user=NAME, nouser, nonce=STALE, noauth, badkey, sha256, fp, tid=same.
func (w *world) request(method stun.Method, client string, args []string) {
	m := stun.New()
	m.Type = stun.NewType(method, stun.ClassRequest)
	user, auth, key, sha, fp, list := "alice", method != stun.MethodBinding, []byte(nil), false, false, true
	same := slices.Contains(args, "tid=same")
	if !same {
		w.tid++
	}
	binary.BigEndian.PutUint64(m.TransactionID[:], w.tid)
	m.WriteHeader()
	nonce := w.nonce[client]
	if method == stun.MethodAllocate && !slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "transport=") }) {
		m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0})
	}
	var token []byte
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		num, _ := strconv.ParseUint(v, 0, 32)
		u32 := binary.BigEndian.AppendUint32(nil, uint32(num))
		switch k {
		case "user":
			user = v
		case "noauth":
			auth = false
		case "badkey":
			key = []byte("wrong")
		case "sha256":
			sha = true
		case "bid-down":
			sha, list = true, false
		case "fp":
			fp = true
		case "stale":
			nonce = []byte("0123456789abcdef")
		case "transport":
			if v != "none" {
				m.Add(stun.AttrRequestedTransport, []byte{byte(num), 0, 0, 0})
			}
		case "lifetime":
			m.Add(stun.AttrLifetime, u32)
		case "even":
			m.Add(stun.AttrEvenPort, []byte{0})
		case "pair":
			m.Add(stun.AttrEvenPort, []byte{0x80})
		case "token":
			m.Add(stun.AttrReservationToken, w.saved[v])
		case "family":
			m.Add(stun.AttrRequestedAddressFamily, []byte{byte(num), 0, 0, 0})
		case "additional":
			m.Add(attrAdditionalFamily, []byte{byte(num), 0, 0, 0})
		case "df":
			m.Add(stun.AttrDontFragment, nil)
		case "mobility":
			m.Add(attrMobilityTicket, w.saved[v])
		case "peer":
			p, err := netip.ParseAddrPort(v)
			if err != nil {
				p = netip.AddrPortFrom(netip.MustParseAddr(v), 0)
			}
			w.addXOR(m, stun.AttrXORPeerAddress, p)
		case "number":
			m.Add(stun.AttrChannelNumber, []byte{byte(num >> 8), byte(num), 0, 0})
		case "conn":
			m.Add(stun.AttrConnectionID, binary.BigEndian.AppendUint32(nil, w.conns[v]))
		case "attr":
			m.Add(stun.AttrType(num), []byte{1, 2, 3, 4})
		case "change":
			m.Add(stun.AttrChangeRequest, u32)
		case "respport":
			m.Add(stun.AttrResponsePort, []byte{byte(num >> 8), byte(num), 0, 0})
		case "padding":
			m.Add(stun.AttrPadding, make([]byte, num))
		case "access-token":
			token = []byte(v)
		case "tid", "noretry", "save":
		default:
			w.t.Fatalf("unknown attribute %q", a)
		}
	}
	if auth && nonce == nil {
		// As a client does: ask once for the nonce.
		w.challengeFor(client, method)
		nonce = w.nonce[client]
	}
	if auth {
		alg := MD5
		m.Add(stun.AttrUsername, []byte(user))
		m.Add(stun.AttrRealm, []byte(w.cfg.Realm))
		m.Add(stun.AttrNonce, nonce)
		if sha {
			alg = SHA256
			if list {
				m.Add(stun.AttrPasswordAlgorithms, w.algs[client])
			}
			m.Add(stun.AttrPasswordAlgorithm, []byte{0, 2, 0, 0})
		}
		if key == nil {
			key = testKey(user, w.cfg.Realm, alg)
		}
		if token != nil {
			m.Add(attrAccessToken, token)
			key = []byte("token key of 20 byte")
		}
		sign(m, key, sha)
	}
	if fp {
		w.must(stun.Fingerprint.AddTo(m))
	}
	w.client(client, m.Raw)
	if w.last != nil && auth && w.last.Type.Class != stun.ClassIndication {
		w.checkIntegrity(key, sha)
	}
	for _, a := range args {
		if k, v, _ := strings.Cut(a, "="); k == "save" && w.last != nil {
			for _, t := range []stun.AttrType{attrMobilityTicket, stun.AttrReservationToken} {
				if b, err := w.last.Get(t); err == nil {
					w.saved[v] = slices.Clone(b)
				}
			}
		}
	}
}

func sign(m *stun.Message, key []byte, sha bool) {
	if sha {
		h := hmac.New(sha256.New, key)
		integrity(h, m.Raw, len(m.Raw), sha256.Size)
		m.Add(stun.AttrMessageIntegritySHA256, h.Sum(nil))
		return
	}
	h := hmac.New(sha1.New, key)
	integrity(h, m.Raw, len(m.Raw), sha1.Size)
	m.Add(stun.AttrMessageIntegrity, h.Sum(nil))
}

// checkIntegrity: answers to authenticated requests are protected with their key, challenges are not.
func (w *world) checkIntegrity(key []byte, sha bool) {
	var m message
	w.must(m.decode(w.last.Raw))
	var code stun.ErrorCodeAttribute
	if code.GetFrom(&m.Message) == nil && (code.Code == 401 || code.Code == 438 || code.Code == 400) && !m.protected() {
		return
	}
	if !m.protected() || (m.mi256 != nil) != sha || !m.verify(key) {
		w.t.Errorf("answer without the right integrity: %v", w.last)
	}
}

func (w *world) challengeFor(client string, method stun.Method) {
	m := stun.New()
	m.Type = stun.NewType(method, stun.ClassRequest)
	m.WriteHeader()
	for _, e := range w.table.Message(w.now, tuple(client), m.Raw) {
		w.learn(client, e.Data)
	}
}

func (w *world) learn(client string, b []byte) {
	r := stun.New()
	r.Raw = slices.Clone(b)
	w.must(r.Decode())
	if n, err := r.Get(stun.AttrNonce); err == nil {
		w.nonce[client] = slices.Clone(n)
	}
	if n, err := r.Get(stun.AttrPasswordAlgorithms); err == nil {
		w.algs[client] = slices.Clone(n)
	}
}

func (w *world) addXOR(m *stun.Message, t stun.AttrType, a netip.AddrPort) {
	var v [20]byte
	m.Add(t, v[:putXORAddress4in6(v[:], a, m.TransactionID[:])])
}

// putXORAddress4in6 keeps IPv4-mapped addresses in their IPv6 shape, as an attacker would.
func putXORAddress4in6(dst []byte, a netip.AddrPort, tid []byte) int {
	if !a.Addr().Is4In6() {
		return putXORAddress(dst, a, tid)
	}
	plain := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::"), a.Port())
	n := putXORAddress(dst, plain, tid)
	b, p := a.Addr().As16(), plain.Addr().As16()
	for i := range b {
		dst[4+i] ^= b[i] ^ p[i]
	}
	return n
}

func (w *world) sendIndication(args []string) []byte {
	m := stun.New()
	m.Type = stun.NewType(stun.MethodSend, stun.ClassIndication)
	m.WriteHeader()
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "peer":
			w.addXOR(m, stun.AttrXORPeerAddress, netip.MustParseAddrPort(v))
		case "data":
			m.Add(stun.AttrData, []byte(v))
		case "big":
			n, _ := strconv.Atoi(v)
			m.Add(stun.AttrData, make([]byte, n))
		case "df":
			m.Add(stun.AttrDontFragment, nil)
		case "attr":
			n, _ := strconv.ParseUint(v, 0, 16)
			m.Add(stun.AttrType(n), []byte{0, 0, 0, 0})
		}
	}
	return m.Raw
}

// client plays a packet of a client the way a driver does.
func (w *world) client(name string, b []byte) {
	before := slices.Clone(b)
	var r Route
	ft := tuple(name)
	w.last = nil
	switch w.table.FromClient(w.now, w.table.Lookup(ft), b, &r) {
	case Control:
		w.run(w.table.Message(w.now, ft, b))
	case Forward:
		df := ""
		if r.DF {
			df = " df"
		}
		w.logf("%v -> %v %q%s", r.Relay.Bind, r.Peer, short(r.Payload), df)
	case Drop:
		w.logf("drop")
	}
	if !bytes.Equal(before, b) {
		w.t.Error("the packet was changed")
	}
}

func short(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return string(b)
}

func (w *world) relayAt(a netip.AddrPort) *Relay {
	for _, r := range w.bound {
		if r.Advertised == a || r.Bind == a {
			return r
		}
	}
	w.t.Fatalf("no relay at %v", a)
	return nil
}

func (w *world) fromPeer(at, peer netip.AddrPort, data string) {
	var head [MaxHead]byte
	r := w.relayAt(at)
	n, pad, v := w.table.FromPeer(w.now, r, peer, len(data), &head)
	if v != Forward {
		w.logf("drop")
		return
	}
	b := append(append(slices.Clone(head[:n]), data...), make([]byte, pad)...)
	to := w.name(r.Alloc().Tuple())
	if n == 4 {
		w.logf("%s < channel %#x len=%d %q pad=%d", to, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), data, pad)
		return
	}
	var m message
	w.must(m.decode(b))
	w.logf("%s < %s", to, w.describe(&m.Message))
}
