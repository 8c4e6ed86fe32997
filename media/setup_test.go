package media

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/turn/v5"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/internal/pionlog"
	"github.com/jingled/jingled/jingle"
)

// wide is a virtual network in fake time.
type wide struct {
	router *vnet.Router
	t      *testing.T
	hosts  int
}

func (w *wide) start() {
	w.t.Helper()
	if err := w.router.Start(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wide) stop() {
	if err := w.router.Stop(); err != nil {
		w.t.Error(err)
	}
}

// inFakeTime runs a test on a network of 10 ms there and back.
func inFakeTime(t *testing.T, f func(t *testing.T, w *wide)) {
	t.Helper()
	inFakeTimeOver(t, nil, f)
}

// inFakeTimeOver is inFakeTime with a network that drops packets.
func inFakeTimeOver(t *testing.T, drop func(n int64, c vnet.Chunk) bool, f func(t *testing.T, w *wide)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWide(t, 5*time.Millisecond, drop)
		w.start()
		defer w.stop()
		f(t, w)
	})
}

func newWide(t *testing.T, delay time.Duration, drop func(n int64, c vnet.Chunk) bool) *wide {
	t.Helper()
	var logs logging.LoggerFactory = pionlog.Factory(nil)
	r, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "192.0.2.0/24", MinDelay: delay, LoggerFactory: logs})
	if err != nil {
		t.Fatal(err)
	}
	if drop != nil {
		var n atomic.Int64
		r.AddChunkFilter(func(c vnet.Chunk) bool { return !drop(n.Add(1), c) })
	}
	return &wide{router: r, t: t}
}

// host adds a machine; an empty ip is the next one.
func (w *wide) host(ip string) *vnet.Net {
	w.t.Helper()
	if ip == "" {
		w.hosts++
		ip = fmt.Sprintf("192.0.2.%d", w.hosts)
	}
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.router.AddNet(n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *wide) turnServer(ip string) (server agent.Server, stop func()) {
	w.t.Helper()
	n := w.host(ip)
	pc, err := n.ListenPacket("udp4", ip+":3478")
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "test", LoggerFactory: pionlog.Factory(nil),
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return ra.Username, turn.GenerateAuthKey("user", "test", "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            pc,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP(ip), Address: ip, Net: n},
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return agent.Server{URI: "turn:" + ip + ":3478", Username: "user", Password: "secret"}, func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// setup calls over a wide network and returns the time from the caller's receipt of the answer to its first sound.
// Signalling takes no time, and candidates are all there before the answer, as it takes a person to answer.
// There are so many relays for each side.
func setup(t *testing.T, drop func(int64, vnet.Chunk) bool, relayOnly bool, relays int) time.Duration {
	t.Helper()
	// From one side to the other and back it is 50 ms, also through the relay in the middle.
	delay := 25 * time.Millisecond
	if relayOnly {
		delay /= 2
	}
	w := newWide(t, delay, drop)
	var servers []agent.Server
	var stops []func()
	for i := range relays {
		server, stop := w.turnServer(fmt.Sprintf("192.0.2.%d", 99+i))
		servers, stops = append(servers, server), append(stops, stop)
	}
	helped := func(c *Config) { c.ICE.Servers = servers }
	hidden := func(c *Config) {
		if helped(c); relayOnly {
			c.ICE.Policy = agent.RelayOnly
		}
	}
	w.start()
	took := firstSound(t, newParty(t, w, jingle.Initiator, hidden), newParty(t, w, jingle.Responder, helped))
	for _, stop := range stops {
		stop()
	}
	w.stop()
	return took
}

// firstSound has a call b and returns the time from the receipt of the answer to the first sound.
func firstSound(t testing.TB, a, b *party) time.Duration {
	t.Helper()
	a.other, b.other = b, a
	contents, groups := transported2(t, a.Offer)
	if err := b.Adopt(contents, groups); err != nil {
		t.Fatal(err)
	}
	a.run()
	b.run()
	await[Gathered](t, a, "candidates", nil)
	await[Gathered](t, b, "candidates", nil)
	answer, groups, err := b.answer(contents, groups)
	if err != nil {
		t.Fatal(err)
	}
	answer, groups = transported(t, answer, groups)
	start := time.Now()
	if err := a.accepted(answer, groups); err != nil {
		t.Fatal(err)
	}
	took := await[Heard](t, a, "sound", nil).At.Sub(start)
	await[Connected](t, a, "connection", nil)
	a.cancel(errHangUp)
	<-a.ended
	b.cancel(errHangUp)
	<-b.ended
	return took
}

func TestSetupTakesFewRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name   string
		relay  bool
		relays int
		drop   func(n int64, c vnet.Chunk) bool
		limit  time.Duration
	}{
		// What pion's PeerConnection needs with its settings as they are: 232 ms, more than 2 s, and 8.6 s.
		{"direct", false, 0, nil, 190 * time.Millisecond},
		{"direct, though there are relays", false, 3, nil, 190 * time.Millisecond},
		{"by a relay only", true, 1, nil, 350 * time.Millisecond},
		{"by one of several relays only", true, 3, nil, 350 * time.Millisecond},
		{"every third packet lost", false, 0, func(n int64, _ vnet.Chunk) bool { return n%3 == 0 }, 1500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := setup(t, c.drop, c.relay, c.relays)
				t.Logf("from the answer to the first sound: %v", took)
				if took > c.limit {
					t.Errorf("it took %v, more than %v", took, c.limit)
				}
			})
		})
	}
}
