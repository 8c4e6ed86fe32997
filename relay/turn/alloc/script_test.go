package alloc

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var update = flag.Bool("update", false, "rewrite the expected traces of testdata")

// TestScripts plays testdata/*.txt: inputs, then after "----" the trace of what the table did.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { playFile(t, f) })
	}
}

func playFile(t *testing.T, name string) {
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(string(raw), "\n"), "\n\n") {
		input, want, _ := strings.Cut(block, "\n----")
		w.trace.Reset()
		for line := range strings.SplitSeq(input, "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				w.play(line)
			}
		}
		got := strings.TrimRight(w.trace.String(), "\n")
		want = strings.Trim(want, "\n")
		if got != want && !*update {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", input, got, want)
		}
		out.WriteString(strings.TrimRight(input, "\n"))
		if !commentOnly(input) {
			out.WriteString("\n----")
			if got != "" {
				out.WriteString("\n" + got)
			}
		}
		out.WriteString("\n\n")
	}
	w.invariants()
	if *update {
		if err := os.WriteFile(name, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func commentOnly(s string) bool {
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			return false
		}
	}
	return true
}

// world is a table, a fake clock and named clients.
type world struct {
	t       *testing.T
	table   *Table
	cfg     Config
	now     time.Time
	trace   strings.Builder
	nonce   map[string][]byte
	algs    map[string][]byte
	saved   map[string][]byte // tickets, tokens, connection ids by name
	tid     uint64
	failBin int // how many binds to fail
	bound   map[int32]*Relay
	conns   map[string]uint32
	quota   int
	open    int
	denied  map[netip.Addr]bool
	last    *stun.Message
	rng     *rand.Rand
}

type testAuth struct{ w *world }

func (a testAuth) Authenticate(r AuthRequest) (Credential, error) {
	switch {
	case r.Username == "blocked":
		return Credential{}, ErrBlocked
	case r.AccessToken != nil:
		return Credential{Key: []byte("token key of 20 byte"), User: r.Username}, nil
	case strings.HasPrefix(r.Username, "no"):
		return Credential{}, ErrUnauthorized
	case r.Username == "brief":
		return Credential{Key: testKey(r.Username, r.Realm, r.Algorithm), User: r.Username, MaxLifetime: 900 * time.Second}, nil
	}
	return Credential{Key: testKey(r.Username, r.Realm, r.Algorithm), User: r.Username}, nil
}

func (a testAuth) Failed(AuthRequest) { a.w.logf("auth failed") }

func testKey(user, realm string, alg Algorithm) []byte {
	text := []byte(user + ":" + realm + ":secret")
	if alg == SHA256 {
		k := sha256.Sum256(text)
		return k[:]
	}
	k := md5.Sum(text)
	return k[:]
}

func (w *world) Allowed(p netip.AddrPort) bool {
	return !w.denied[p.Addr()] && (p.Port() == 0 || w.AllowedPort(p.Port()))
}
func (w *world) AllowedPort(p uint16) bool { return p >= 1024 }

type testSession struct{ w *world }

func (s testSession) Charge(_ time.Time, _ Direction, n int) bool { return n < 5000 }
func (s testSession) End()                                        { s.w.open-- }

func (w *world) Begin(_ time.Time, user string, _ netip.AddrPort) (Session, error) {
	if user == "banned" {
		return nil, ErrForbidden
	}
	if w.open >= w.quota {
		return nil, ErrQuota
	}
	w.open++
	return testSession{w}, nil
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: time.Unix(1_700_000_000, 0), nonce: map[string][]byte{}, algs: map[string][]byte{}, saved: map[string][]byte{},
		bound: map[int32]*Relay{}, conns: map[string]uint32{}, quota: 100, denied: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.1"): true},
		rng: rand.New(rand.NewPCG(1, 2)),
	}
	w.cfg = Config{
		Realm: "example.org", Auth: testAuth{w}, Limits: w, Peers: w,
		Relays: []RelayAddr{
			{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.1")},
			{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::1")},
		},
		NoSHA256: true,
	}
	w.table = New(w.cfg, Seed{
		Secret: [32]byte{1}, Rand: w.rng.Uint64, Shards: 2, Epoch: w.now, Ports: NewPorts(49152, 49163),
	})
	return w
}

func (w *world) logf(format string, args ...any) { fmt.Fprintf(&w.trace, format+"\n", args...) }

// tuple of a client: "c1" is UDP 192.0.2.1:1001, "t1" is TCP, "s1" TLS, "v1" UDP over IPv6; "c1b" is c1 after a NAT rebinding.
func tuple(name string) FiveTuple {
	n, _ := strconv.Atoi(strings.Trim(name, "ctsvb"))
	port := uint16(1000 + n)
	if strings.HasSuffix(name, "b") {
		port += 5000
	}
	ft := FiveTuple{
		Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), port),
		Server: netip.MustParseAddrPort("198.51.100.1:3478"),
	}
	switch name[0] {
	case 't':
		ft.Transport = TCP
	case 's':
		ft.Transport = TLS
	case 'v':
		ft.Client = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:1::"+strconv.Itoa(n)), port)
		ft.Server = netip.MustParseAddrPort("[2001:db8::1]:3478")
	}
	return ft
}

func (w *world) name(ft FiveTuple) string {
	for _, k := range []string{"c", "t", "s", "v"} {
		for n := 1; n < 10; n++ {
			for _, b := range []string{"", "b"} {
				name := fmt.Sprintf("%s%d%s", k, n, b)
				if tuple(name) == ft {
					return name
				}
			}
		}
	}
	if ft.Transport == UDP && ft.Client.Port() == 7777 {
		return ft.Client.String()
	}
	return "?" + ft.Client.String()
}

var methods = map[string]stun.Method{
	"binding": stun.MethodBinding, "allocate": stun.MethodAllocate, "refresh": stun.MethodRefresh, "permit": stun.MethodCreatePermission,
	"channel": stun.MethodChannelBind, "connect": stun.MethodConnect, "connbind": stun.MethodConnectionBind, "unknown": 0x7F,
}

func (w *world) play(line string) {
	f := strings.Fields(line)
	switch f[0] {
	case "advance":
		d, err := time.ParseDuration(f[1])
		w.must(err)
		w.now = w.now.Add(d)
		w.run(w.table.Expire(w.now))
	case "failbind":
		w.failBin, _ = strconv.Atoi(f[1])
	case "quota":
		w.quota, _ = strconv.Atoi(f[1])
	case "config":
		w.config(f[1:])
	case "send":
		w.client(f[1], w.sendIndication(f[2:]))
	case "data":
		n, err := strconv.ParseUint(f[2], 0, 16)
		w.must(err)
		b := binary.BigEndian.AppendUint16(nil, uint16(n))
		b = binary.BigEndian.AppendUint16(b, uint16(len(f[3])))
		w.client(f[1], append(b, f[3]...))
	case "raw":
		b, err := hex.DecodeString(f[2])
		w.must(err)
		w.client(f[1], b)
	case "peer":
		w.fromPeer(netip.MustParseAddrPort(f[1]), netip.MustParseAddrPort(f[2]), f[3])
	case "icmp":
		r := w.relayAt(netip.MustParseAddrPort(f[1]))
		var v [3]uint64
		for i, s := range f[3:] {
			v[i], _ = strconv.ParseUint(s, 10, 32)
		}
		w.run(w.table.ICMP(w.now, r, netip.MustParseAddrPort(f[2]), byte(v[0]), byte(v[1]), uint32(v[2])))
	case "dialed":
		var err error
		if len(f) > 2 {
			err = errors.New(f[2])
		}
		w.run(w.table.Dialed(w.now, w.conns[f[1]], err))
	case "accepted":
		_, ok, out := w.table.Accepted(w.now, w.relayAt(netip.MustParseAddrPort(f[1])), netip.MustParseAddrPort(f[2]))
		w.logf("accepted %v", ok)
		w.run(out)
	case "connclosed":
		w.run(w.table.ConnClosed(w.now, w.conns[f[1]]))
	case "gone":
		w.run(w.table.ClientGone(w.now, tuple(f[1])))
	case "kick":
		w.run(w.table.Kick(w.now, w.table.Lookup(tuple(f[1])), EndKicked))
	case "usage":
		u := w.table.Info(w.table.Lookup(tuple(f[1]))).Usage
		w.logf("%+v", u)
	case "ports":
		w.logf("free %d", w.table.seed.Ports.Free())
	default:
		m, ok := methods[f[0]]
		if !ok {
			w.t.Fatalf("unknown command %q", line)
		}
		w.request(m, f[1], f[2:])
	}
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func (w *world) config(args []string) {
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "draining":
			w.cfg.Draining = true
		case "alternate":
			w.cfg.Alternates = append(w.cfg.Alternates, netip.MustParseAddrPort(v))
		case "tcp":
			w.cfg.TCPRelay = true
		case "denyself":
			w.denied[netip.MustParseAddr("198.51.100.1")] = true
		case "mobility":
			w.cfg.NoMobility = false
		case "nomobility":
			w.cfg.NoMobility = true
		case "sha256":
			w.cfg.NoSHA256 = false
		case "nobinding":
			w.cfg.NoBinding = true
		case "v4only":
			w.cfg.Relays = w.cfg.Relays[:1]
		case "nat":
			w.cfg.Relays = []RelayAddr{{netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("198.51.100.1")}}
		case "maxperms":
			w.cfg.MaxPermissions, _ = strconv.Atoi(v)
		case "maxchannels":
			w.cfg.MaxChannels, _ = strconv.Atoi(v)
		case "maxage":
			w.cfg.MaxAge, _ = time.ParseDuration(v)
		case "software":
			w.cfg.Software = v
		case "thirdparty":
			w.cfg.ThirdParty = v
		case "rate":
			w.cfg.UnauthRate, _ = strconv.Atoi(v)
		case "discovery":
			w.cfg.Discovery = &Discovery{
				Addrs: [2]netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}, Ports: [2]uint16{3478, 3479},
			}
		default:
			w.t.Fatalf("unknown setting %q", a)
		}
	}
	w.table.Reconfigure(w.cfg)
}

// run carries effects out and writes the trace.
func (w *world) run(effects []Effect) {
	for _, e := range slices.Clone(effects) {
		switch e.Kind {
		case EffectSend:
			var m message
			data := slices.Clone(e.Data)
			w.must(m.decode(data))
			w.last = &m.Message
			w.learn(w.name(e.To), data)
			via := ""
			if e.Via.IsValid() {
				via = " via " + e.Via.String()
			}
			w.logf("%s < %s%s", w.name(e.To), w.describe(&m.Message), via)
		case EffectBind:
			if w.failBin > 0 {
				w.failBin--
				w.run(w.table.Bound(w.now, e.Relay, errors.New("in use")))
				continue
			}
			if w.bound[e.Relay.Handle] != nil {
				w.t.Errorf("handle %d bound twice", e.Relay.Handle)
			}
			w.bound[e.Relay.Handle] = e.Relay
			w.run(w.table.Bound(w.now, e.Relay, nil))
		case EffectUnbind:
			if w.bound[e.Relay.Handle] != e.Relay {
				w.t.Errorf("handle %d unbound but not bound", e.Relay.Handle)
			}
			delete(w.bound, e.Relay.Handle)
			w.logf("unbind %v", e.Relay.Bind)
		case EffectStarted:
			w.logf("started %s", w.table.Info(e.Alloc).User)
		case EffectEnded:
			w.logf("ended %v", e.Reason)
		case EffectRefused:
			w.logf("refused %s %d", e.User, e.Code)
		case EffectChannel:
			w.logf("channel %#x %v %v", e.Channel, e.Relay.Bind, e.Peer)
		case EffectUnchannel:
			w.logf("unchannel %#x", e.Channel)
		case EffectMoved:
			w.logf("moved %s to %s", w.name(e.From), w.name(e.To))
		case EffectElsewhere:
			w.logf("elsewhere %d", e.Shard)
		case EffectDial:
			w.conns["k"+strconv.Itoa(len(w.conns)+1)] = e.Conn
			w.logf("dial %v -> %v as %s", e.Relay.Bind, e.Peer, w.connName(e.Conn))
		case EffectJoin:
			w.logf("join %s %s", w.connName(e.Conn), w.name(e.To))
		case EffectCloseConn:
			w.logf("close %s", w.connName(e.Conn))
		case EffectCloseClient:
			w.logf("close %s", w.name(e.To))
		}
	}
}

func (w *world) connName(id uint32) string {
	for n, v := range w.conns {
		if v == id {
			return n
		}
	}
	n := "k" + strconv.Itoa(len(w.conns)+1)
	w.conns[n] = id
	return n
}

func (w *world) describe(m *stun.Message) string {
	var s strings.Builder
	switch m.Type.Class {
	case stun.ClassSuccessResponse:
		s.WriteString("ok")
	case stun.ClassErrorResponse:
		s.WriteString("error")
	case stun.ClassIndication:
		s.WriteString(m.Type.Method.String())
	}
	for _, a := range m.Attributes {
		x, isX := xorAddress(a.Value, m.TransactionID[:])
		switch a.Type {
		case stun.AttrErrorCode:
			fmt.Fprintf(&s, " %d", int(a.Value[2])*100+int(a.Value[3]))
		case stun.AttrXORRelayedAddress:
			fmt.Fprintf(&s, " relayed=%v", x)
		case stun.AttrXORMappedAddress:
			fmt.Fprintf(&s, " mapped=%v", x)
		case stun.AttrXORPeerAddress:
			fmt.Fprintf(&s, " peer=%v", x)
			if !isX {
				w.t.Error("bad peer address")
			}
		case stun.AttrLifetime:
			fmt.Fprintf(&s, " lifetime=%d", binary.BigEndian.Uint32(a.Value))
		case stun.AttrUnknownAttributes:
			fmt.Fprintf(&s, " unknown=%x", a.Value)
		case stun.AttrReservationToken:
			s.WriteString(" token")
		case attrMobilityTicket:
			s.WriteString(" ticket")
		case stun.AttrNonce:
			s.WriteString(" nonce")
		case stun.AttrRealm:
			fmt.Fprintf(&s, " realm=%s", a.Value)
		case stun.AttrPasswordAlgorithms:
			fmt.Fprintf(&s, " algorithms=%x", a.Value)
		case stun.AttrData:
			fmt.Fprintf(&s, " data=%q", a.Value)
		case stun.AttrConnectionID:
			fmt.Fprintf(&s, " conn=%s", w.connName(binary.BigEndian.Uint32(a.Value)))
		case stun.AttrMappedAddress, stun.AttrAlternateServer, stun.AttrResponseOrigin, stun.AttrOtherAddress:
			var addr stun.MappedAddress
			w.must(addr.GetFromAs(m, a.Type))
			fmt.Fprintf(&s, " %v=%v", a.Type, addr)
		case attrAddressErrorCode:
			fmt.Fprintf(&s, " family=%d error=%d", a.Value[0], int(a.Value[2])*100+int(a.Value[3]))
		case attrICMP:
			fmt.Fprintf(&s, " icmp=%d/%d/%d", a.Value[2], a.Value[3], binary.BigEndian.Uint32(a.Value[4:]))
		case stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256:
		case stun.AttrFingerprint:
			s.WriteString(" fingerprint")
		default:
			fmt.Fprintf(&s, " %v=%q", a.Type, a.Value)
		}
	}
	return s.String()
}

// invariants hold after every script: the table's indexes agree, and what was bound is what lives.
func (w *world) invariants() {
	live := 0
	for a := range w.table.All {
		if w.table.byTuple[a.tuple] != a {
			w.t.Error("allocation not found by its 5-tuple")
		}
		if w.table.timers[a.heap] != a {
			w.t.Error("heap place is wrong")
		}
		for _, r := range a.relay {
			if r != nil {
				live++
				if w.bound[r.Handle] != r {
					w.t.Error("relay not bound")
				}
			}
		}
	}
	if live != len(w.bound) || len(w.table.timers) != w.table.Len() || len(w.table.byTuple) != w.table.Len() {
		w.t.Errorf("%d relays live, %d bound; %d allocations, %d timers, %d tuples", live, len(w.bound), w.table.Len(), len(w.table.timers), len(w.table.byTuple))
	}
	if w.open != w.table.Len() {
		w.t.Errorf("%d sessions open for %d allocations", w.open, w.table.Len())
	}
}
