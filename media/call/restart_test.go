package call_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v4/vnet"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
)

// twoPaths is a call between two machines with two addresses each, and what cuts the path in use.
type twoPaths struct {
	*scene
	in  *call.Call
	cut func() // the addresses in use
	end func() // everything
}

func newTwoPaths(t *testing.T, tamper func(jid.JID, *jingle.Message) *jingle.Message) *twoPaths {
	t.Helper()
	hosts := 0
	var router atomic.Pointer[vnet.Router]
	host := func(c *call.Config) {
		hosts++
		n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{
			fmt.Sprintf("192.0.2.%d", 10*hosts+1), fmt.Sprintf("192.0.2.%d", 10*hosts+2),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ICE.Net.(*carrier).router.AddNet(n); err != nil {
			t.Fatal(err)
		}
		router.Store(c.ICE.Net.(*carrier).router)
		c.ICE.Net = n
		c.Codecs = []*audio.Codec{audio.PCMU()} // takes the least time
	}
	sc := ring(t, host, host, tamper)
	tp := &twoPaths{scene: sc, in: sc.answer(t)}
	conn := await[call.Connected](sc.romeo)
	await[call.Connected](sc.juliet)
	var dead, over atomic.Bool
	router.Load().AddChunkFilter(func(c vnet.Chunk) bool {
		used := conn.Pair.Local.Addr.Addr().String()
		if over.Load() {
			return false
		}
		return !dead.Load() || !strings.HasPrefix(c.SourceAddr().String(), used) && !strings.HasPrefix(c.DestinationAddr().String(), used)
	})
	tp.cut = func() { dead.Store(true) }
	tp.end = func() { over.Store(true) }
	return tp
}

// back returns how long it takes from now until both hear each other.
func (tp *twoPaths) back() time.Duration {
	start := time.Now()
	time.Sleep(100 * time.Millisecond) // what is on the way
	a, b := tp.out.Stats().PacketsReceived, tp.in.Stats().PacketsReceived
	for time.Since(start) < 30*time.Second {
		if tp.out.Stats().PacketsReceived > a+20 && tp.in.Stats().PacketsReceived > b+20 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

func TestMediaComeBackWhenThePathDies(t *testing.T) {
	for _, c := range []struct {
		name   string
		tamper func(jid.JID, *jingle.Message) *jingle.Message
	}{
		{"both restart", nil},
		// Then candidates with new credentials are what comes first, as others than Conversations do it.
		{"the responder's offer is lost", only(romeo)},
		{"the initiator's offer is lost", only(juliet)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := newTwoPaths(t, c.tamper)
				time.Sleep(2 * time.Second)
				tp.cut()
				took := tp.back()
				t.Logf("media were back after %v", took)
				if took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if lost := tp.out.Stats().Path; !strings.Contains(lost, ":") || lost == await[call.Connected](tp.romeo).Pair.String() {
					t.Errorf("the path is %q", lost)
				}
				// Once more, by hand, and nothing is lost on the way.
				time.Sleep(6 * time.Second)
				before := tp.out.Stats()
				tp.out.NetworkChanged()
				time.Sleep(5 * time.Second)
				after := tp.out.Stats()
				if n := after.PacketsReceived - before.PacketsReceived; n < 245 || after.PacketsLost != before.PacketsLost {
					t.Errorf("in 5 s %d packets came and %d were lost", n, after.PacketsLost-before.PacketsLost)
				}
				if after.Path == before.Path {
					t.Errorf("the path is %s as before", after.Path)
				}
				tp.in.HangUp(nil)
				if e := await[call.Ended](tp.romeo); e.Reason.Condition != jingle.Success {
					t.Errorf("ended: %+v", e.Reason)
				}
				await[call.Ended](tp.juliet)
			})
		})
	}
}

// only drops what offers a restart, unless it is from this side.
func only(who jid.JID) func(jid.JID, *jingle.Message) *jingle.Message {
	return func(from jid.JID, m *jingle.Message) *jingle.Message {
		if from != who && isRestart(m) {
			return nil
		}
		return m
	}
}

func isRestart(m *jingle.Message) bool {
	if m.Action != jingle.TransportInfo {
		return false
	}
	t, ok := m.Contents[0].Transport.(ice.Transport)
	return ok && len(t.Candidates) == 0 && t.Pwd != ""
}

// TestRestartsThatArePassedOver is for Dino, which takes no notice, and Monal, which refuses.
func TestRestartsThatArePassedOver(t *testing.T) {
	for _, name := range []string{"passed over", "refused"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				known := map[string]bool{}
				var armed atomic.Bool
				tp := newTwoPaths(t, func(from jid.JID, m *jingle.Message) *jingle.Message {
					if m.Action != jingle.TransportInfo || from != romeo {
						return m
					}
					tr, _ := m.Contents[0].Transport.(ice.Transport)
					if !armed.Load() {
						known[tr.Ufrag] = true
					} else if !known[tr.Ufrag] {
						if name == "passed over" {
							return nil
						}
						out := *m
						out.Contents = []jingle.Content{m.Contents[0]}
						tr.Ufrag, tr.Pwd = "other", "" // new and incomplete, which is an error
						out.Contents[0].Transport = tr
						return &out
					}
					return m
				})
				armed.Store(true)
				before := tp.out.Stats()
				tp.out.NetworkChanged()
				awaitThat(tp.romeo, func(m call.Media) bool { _, ok := m.Event.(media.Restarting); return ok })
				time.Sleep(5 * time.Second)
				after := tp.out.Stats()
				if n := after.PacketsReceived - before.PacketsReceived; n < 245 || after.Path != before.Path {
					t.Errorf("%d packets came in 5 s; the path was %s and is %s", n, before.Path, after.Path)
				}
				tp.out.HangUp(nil)
				await[call.Ended](tp.juliet)
			})
		})
	}
}

func TestPathThatDoesNotComeBackEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := newTwoPaths(t, nil)
		tp.end()
		start := time.Now()
		<-tp.out.Done()
		<-tp.in.Done()
		if took := time.Since(start); took < 10*time.Second || took > 40*time.Second {
			t.Errorf("given up after %v", took)
		}
		e := await[call.Ended](tp.romeo)
		if e.Reason.Condition != jingle.ConnectivityError || !e.WasConnected {
			t.Errorf("ended: %+v", e.Reason)
		}
	})
}
