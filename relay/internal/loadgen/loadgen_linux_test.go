package loadgen

import (
	"context"
	"crypto/md5"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/turn"
)

type oneUser struct{}

func (oneUser) Authenticate(r turn.AuthRequest) (turn.Credential, error) {
	k := md5.Sum([]byte(r.Username + ":" + r.Realm + ":secret"))
	return turn.Credential{Key: k[:], User: r.Username}, nil
}

func (oneUser) Failed(turn.AuthRequest) {}

// serve runs this project's server on loopback until the test ends.
func serve(t *testing.T) *turn.Server {
	peers, err := policy.New(policy.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := turn.New(turn.Config{
		Listeners: []turn.Listener{
			{Transport: turn.Transport(0), Address: netip.MustParseAddrPort("127.0.0.1:0")},
			{Transport: turn.Transport(1), Address: netip.MustParseAddrPort("127.0.0.1:0")},
		},
		Settings: turn.Settings{Realm: "example.org", Auth: oneUser{}, Peers: peers},
		Loops:    1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-srv.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return srv
}

// TestAgainstServer drives the project's own server each way and has it confirm what the generator counted.
func TestAgainstServer(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		srv := serve(t)
		cfg := Config{
			Server: srv.Addrs()[0].Address, Device: "lo", Username: "load", Password: "secret",
			Clients: netip.MustParsePrefix("127.1.0.0/16"), Peers: netip.MustParsePrefix("127.2.0.0/16"),
		}
		if tcp {
			cfg.Server = srv.Addrs()[1].Address
		}
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		const clients = 20
		if tcp {
			err = g.OpenTCP(clients)
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := g.AwaitServer(ctx); err != nil {
				t.Fatal(err)
			}
			var o Opened
			if o, err = g.Open(clients); err == nil && (o.Allocations != clients || o.Wall <= 0) {
				t.Errorf("opened %+v", o)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := srv.Counters().Allocations; n != clients {
			t.Fatalf("the server has %d allocations", n)
		}
		for _, toClient := range []bool{false, true} {
			for _, train := range []int{1, 8} {
				t.Run(fmt.Sprintf("tcp=%v/toClient=%v/train=%d", tcp, toClient, train), func(t *testing.T) {
					before := srv.Counters()
					marks := 0
					f := Flow{ToClient: toClient, Clients: clients, Size: 170, Train: train, Duration: 100 * time.Millisecond, Mark: func() { marks++ }}
					r, err := g.Saturate(f)
					if err != nil {
						t.Fatal(err)
					}
					if r.Measured == 0 || r.Received > r.Sent || marks != 2 {
						t.Errorf("saturate: %+v, %d marks", r, marks)
					}
					f.Rate = 2000
					p, err := g.Pace(f)
					if err != nil {
						t.Fatal(err)
					}
					if p.Received != p.Sent || p.P50 <= 0 || p.P99 < p.P50 || p.Max < p.P99 {
						t.Errorf("pace: %+v", p)
					}
					after := srv.Counters()
					relayed := after.PacketsToPeer - before.PacketsToPeer
					if toClient {
						relayed = after.PacketsToClient - before.PacketsToClient
					}
					if relayed < r.Received+p.Received || relayed > r.Sent+p.Sent {
						t.Errorf("the server relayed %d packets; sent %d, received %d", relayed, r.Sent+p.Sent, r.Received+p.Received)
					}
				})
			}
		}
	}
}

// TestLossIsSeen sends to peers of a server that is gone.
func TestLossIsSeen(t *testing.T) {
	g, err := New(Config{
		Server: netip.MustParseAddrPort("127.0.0.1:9"), Device: "lo", Raw: true, RawPeers: netip.MustParseAddrPort("127.0.0.1:9"),
		Clients: netip.MustParsePrefix("127.1.0.0/16"), Peers: netip.MustParsePrefix("127.2.0.0/16"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := g.Open(3); err != nil {
		t.Fatal(err)
	}
	r, err := g.Pace(Flow{Clients: 3, Size: MinSize, Rate: 100, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Loss() != 1 || r.Sent == 0 {
		t.Errorf("%+v, loss %v", r, r.Loss())
	}
	if _, err := g.Saturate(Flow{Clients: 4, Size: MinSize}); err == nil {
		t.Error("more clients than are open")
	}
}
