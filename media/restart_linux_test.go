package media

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/audio"
)

// TestNetworkIsLeft takes away the address that a call uses, as a phone does that leaves its network. There is another one.
func TestNetworkIsLeft(t *testing.T) {
	if !testkit.InNetwork(t) {
		return
	}
	ip := func(line string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
	const second = "10.98.0.1"
	ip("link add other type veth peer name other-peer")
	ip("addr add " + second + "/24 dev other")
	ip("link set other-peer up")
	ip("link set other up")
	overNetwork := func(c *Config) {
		c.ICE.LoopbackOnly = false
		c.ICE.Address = netip.Addr.Is4
		c.Codecs = []*audio.Codec{audio.PCMU()}
	}
	a, b := newParty(t, nil, jingle.Initiator, overNetwork), newParty(t, nil, jingle.Responder, overNetwork)
	hangUp := dial(t, a, b)
	pair := await[Connected](t, a, "connection", nil).Pair
	await[Heard](t, a, "sound", nil)
	await[Heard](t, b, "sound", nil)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		agent.Watch(ctx, func() {
			a.signal.Lock()
			contents, err := a.Restart()
			a.signal.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			b.signal.Lock()
			defer b.signal.Unlock()
			if err := b.Info(contents[0]); err != nil {
				t.Error(err)
			}
		})
	}()
	time.Sleep(100 * time.Millisecond) // so that there is a path to lose
	start := time.Now()
	dev := "lan"
	if pair.Local.Addr.Addr().String() == second {
		dev = "other"
	}
	ip("addr del " + pair.Local.Addr.Addr().String() + "/24 dev " + dev)
	gone := func(p agent.Pair) bool {
		lost := pair.Local.Addr.Addr()
		return p.Local.Addr.Addr() != lost && p.Remote.Addr.Addr() != lost
	}
	for _, p := range []*party{a, b} {
		await(t, p, "another path", func(e PathChanged) bool { return gone(e.Pair) })
		for before := p.Stats().PacketsReceived; p.Stats().PacketsReceived < before+20; {
			time.Sleep(5 * time.Millisecond)
			if time.Since(start) > 10*time.Second {
				t.Fatal("nothing comes")
			}
		}
	}
	took := time.Since(start)
	t.Logf("media were back after %v, by %s", took, a.Stats().Path)
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	cancel()
	<-watched
	hangUp()
}
