package media

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v4/vnet"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/internal/pionlog"
	"github.com/jingled/jingled/jingle"
)

// The NATs that people are behind (RFC 4787 sections 4 and 5).
var (
	portRestricted = vnet.NATType{
		MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrPortDependent, MappingLifeTime: time.Minute,
	}
	symmetric = vnet.NATType{
		MappingBehavior: vnet.EndpointAddrPortDependent, FilteringBehavior: vnet.EndpointAddrPortDependent, MappingLifeTime: time.Minute,
	}
)

// behind adds a network behind a NAT with one machine on it.
func (w *wide) behind(nat *vnet.NATType) *vnet.Net {
	w.t.Helper()
	w.hosts++
	r, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: fmt.Sprintf("10.0.%d.0/24", w.hosts), StaticIPs: []string{fmt.Sprintf("192.0.2.%d", w.hosts)}, NATType: nat,
		LoggerFactory: pionlog.Factory(nil),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.%d.2", w.hosts)}})
	if err == nil {
		err = r.AddNet(n)
	}
	if err == nil {
		err = w.router.AddRouter(r)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestNATs(t *testing.T) {
	for _, c := range []struct {
		name    string
		a, b    *vnet.NATType // nil: none
		relayed bool
	}{
		{"one side behind a NAT", &portRestricted, nil, false},
		{"both behind port-restricted NATs", &portRestricted, &portRestricted, false},
		{"one behind a symmetric NAT", &symmetric, nil, false},
		{"symmetric and port-restricted", &symmetric, &portRestricted, true},
		{"both behind symmetric NATs", &symmetric, &symmetric, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWide(t, 10*time.Millisecond, nil)
				server, stop := w.turnServer("192.0.2.99")
				party := func(role jingle.Role, nat *vnet.NATType) *party {
					var n *vnet.Net
					if nat == nil {
						n = w.host("")
					} else {
						n = w.behind(nat)
					}
					return newParty(t, w, role, func(cfg *Config) {
						cfg.ICE.Net, cfg.ICE.Servers = n, []agent.Server{server, {URI: "stun:192.0.2.99:3478"}}
					})
				}
				a, b := party(jingle.Initiator, c.a), party(jingle.Responder, c.b)
				w.start()
				start := time.Now()
				hangUp := dial(t, a, b)
				conn := await[Connected](t, a, "connection", nil)
				await[Heard](t, b, "sound", nil)
				t.Logf("connected after %v by %v", conn.At.Sub(start), conn.Pair)
				if conn.Pair.Relayed() != c.relayed {
					t.Errorf("the path is %v", conn.Pair)
				}
				if d := conn.At.Sub(start); d > 1500*time.Millisecond {
					t.Errorf("it took %v", d)
				}
				hangUp()
				stop()
				// What pion asks of a TURN server while it is being closed ends with its retransmissions (RFC 8489 section 6.2.1).
				time.Sleep(time.Minute)
				w.stop()
			})
		})
	}
}
