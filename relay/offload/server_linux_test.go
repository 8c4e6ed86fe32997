//go:build linux && (amd64 || arm64 || riscv64 || loong64)

package offload

import (
	"context"
	"crypto/md5"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/internal/loadgen"
	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/turn"
	"github.com/jingled/jingled/relay/turn/alloc"
)

type oneUser struct{}

func (oneUser) Authenticate(r turn.AuthRequest) (turn.Credential, error) {
	k := md5.Sum([]byte(r.Username + ":" + r.Realm + ":secret"))
	return turn.Credential{Key: k[:], User: r.Username}, nil
}

func (oneUser) Failed(turn.AuthRequest) {}

// purse is a Limiter with one amount of bytes for all, and the Session of each.
type purse struct{ left, spent atomic.Int64 }

func (p *purse) Begin(time.Time, string, netip.AddrPort) (turn.Session, error) { return p, nil }

func (p *purse) Charge(_ time.Time, _ alloc.Direction, n int) bool {
	if p.left.Add(int64(-n)) < 0 {
		p.left.Add(int64(n))
		return false
	}
	p.spent.Add(int64(n))
	return true
}

func (p *purse) End() {}

// ended collects what is said of sessions at their end.
type ended struct{ toPeer, toClient, count atomic.Uint64 }

func (*ended) Started(turn.Info) {}

func (e *ended) Ended(i turn.Info, _ turn.EndReason) {
	e.toPeer.Add(i.Usage.PacketsToPeer)
	e.toClient.Add(i.Usage.PacketsToClient)
	e.count.Add(1)
}

func (*ended) Refused(string, netip.AddrPort, int) {}

// TestServer drives a whole server whose channels are offloaded, and one whose limits run out meanwhile.
func TestServer(t *testing.T) {
	if !inside(t) {
		return
	}
	const clients = 20
	for _, mode := range []string{TC, XDP} {
		for _, limit := range []int64{0, 200_000} {
			t.Run(mode, func(t *testing.T) {
				w := build(t, true)
				ip(t, "route", "add", "10.79.0.0/16", "via", v4.client.String())
				w.do(t, func() {
					ip(t, "route", "add", "local", "10.78.0.0/16", "dev", "lo")
					ip(t, "route", "add", "local", "10.79.0.0/16", "dev", "lo")
				})
				peers, err := policy.New(policy.Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.79.0.0/16")}})
				if err != nil {
					t.Fatal(err)
				}
				var limits *purse
				seen := &ended{}
				var openErr error
				cfg := turn.Config{
					Listeners: []turn.Listener{{Address: netip.AddrPortFrom(v4.relay, 0)}},
					Settings:  turn.Settings{Realm: "example.org", Auth: oneUser{}, Peers: peers},
					Loops:     2, Observer: seen,
					Offload: func(addrs []netip.Addr) (turn.Offloader, error) {
						dev, err := Open(Config{Mode: mode, Addresses: addrs})
						openErr = err
						return dev, err
					},
				}
				if limit > 0 {
					limits = &purse{}
					limits.left.Store(limit)
					cfg.Limits = limits
				}
				srv, err := turn.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- srv.Run(ctx) }()
				<-srv.Ready()
				mayFail(t, openErr)

				var sent, received uint64
				w.do(t, func() {
					// The generator's thread lives in the world from here on.
					g, err := loadgen.New(loadgen.Config{
						Server: srv.Addrs()[0].Address, Username: "load", Password: "secret",
						Clients: netip.MustParsePrefix("10.78.0.0/16"), Peers: netip.MustParsePrefix("10.79.0.0/16"),
					})
					if err != nil {
						t.Error(err)
						return
					}
					defer g.Close()
					if _, err := g.Open(clients); err != nil {
						t.Error(err)
						return
					}
					for _, toClient := range []bool{false, true} {
						r, err := g.Pace(loadgen.Flow{ToClient: toClient, Clients: clients, Size: 172, Rate: 4000, Duration: 600 * time.Millisecond})
						if err != nil {
							t.Error(err)
							return
						}
						sent, received = sent+r.Sent, received+r.Received
						if limit == 0 && r.Received != r.Sent {
							t.Errorf("toClient=%v: %d sent, %d received", toClient, r.Sent, r.Received)
						}
					}
				})
				runtime.KeepAlive(w)
				cancel()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				c := srv.Counters()
				if got := c.PacketsToPeer + c.PacketsToClient; got != received {
					t.Errorf("the server counts %d packets, %d were received", got, received)
				}
				if seen.count.Load() != clients || seen.toPeer.Load() != c.PacketsToPeer || seen.toClient.Load() != c.PacketsToClient {
					t.Errorf("the sessions' records have %d and %d packets in %d sessions, the server %d and %d",
						seen.toPeer.Load(), seen.toClient.Load(), seen.count.Load(), c.PacketsToPeer, c.PacketsToClient)
				}
				if limit == 0 {
					if c.OffloadPackets < received*9/10 {
						t.Errorf("only %d of %d packets were relayed in the kernel", c.OffloadPackets, received)
					}
					return
				}
				if bytes := int64(c.BytesToPeer + c.BytesToClient); bytes > limits.spent.Load() || limits.spent.Load() > limit {
					t.Errorf("%d bytes relayed, %d paid for of %d", bytes, limits.spent.Load(), limit)
				}
				if received == 0 || received >= sent || c.DroppedBandwidth == 0 || c.OffloadPackets == 0 {
					t.Errorf("sent %d, received %d, dropped %d, offloaded %d", sent, received, c.DroppedBandwidth, c.OffloadPackets)
				}
			})
		}
	}
}
