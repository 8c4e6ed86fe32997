package jmi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// TestConverges lets two people with two devices each call, ring, answer, decline and hang up at random, with messages
// under way for any time. Streams keep the order between two devices, and nothing more. When all has come to rest, both
// sides must agree on what is going on.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNet()
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			n.step(t)
		}
		for range 20 {
			n.drain()
			n.advance(15 * time.Second)
		}
		n.check(t)
	})
}

// net is four devices and the messages between them.
type net struct {
	now     time.Time
	self    []jid.JID
	devices map[jid.JID]*Set
	queues  map[[2]jid.JID][]any // by sender and receiver: Inbound, or the id of a session-initiate
	asked   map[jid.JID][]Key    // what the users are asked
	ids     int
	log     []string
}

func newNet() *net {
	n := &net{
		now: epoch, self: []jid.JID{"a@x/1", "a@x/2", "b@x/1", "b@x/2"},
		devices: map[jid.JID]*Set{}, queues: map[[2]jid.JID][]any{}, asked: map[jid.JID][]Key{},
	}
	for _, j := range n.self {
		n.devices[j] = NewSet(Config{Self: j})
	}
	return n
}

func (n *net) step(t *rapid.T) {
	me := rapid.SampledFrom(n.self).Draw(t, "device")
	set := n.devices[me]
	switch rapid.SampledFrom([]string{"propose", "deliver", "deliver", "deliver", "decide", "decide", "end", "time"}).Draw(t, "action") {
	case "propose":
		peer := jid.JID("a@x")
		if me.Bare() == peer {
			peer = "b@x"
		}
		// Ids are not in the order of time.
		n.ids++
		id := fmt.Sprintf("%c%d", 'a'+rune(rapid.IntRange(0, 3).Draw(t, "id")), n.ids)
		if out, err := set.Propose(n.now, peer, id, jingle.Opaque{XML: xmltree.New("app", "description")}); err == nil {
			n.effects(me, out)
		}
	case "deliver":
		if ways := n.ways(); len(ways) > 0 {
			n.deliver(rapid.SampledFrom(ways).Draw(t, "way"))
		}
	case "decide":
		if len(n.asked[me]) == 0 {
			return
		}
		k := rapid.SampledFrom(n.asked[me]).Draw(t, "proposal")
		var out []Effect
		switch rapid.SampledFrom([]string{"ring", "accept", "reject"}).Draw(t, "decision") {
		case "ring":
			out, _ = set.Ring(n.now, k)
		case "accept":
			n.asked[me] = slices.DeleteFunc(n.asked[me], func(o Key) bool { return o == k })
			out, _ = set.Accept(n.now, k)
		case "reject":
			out, _ = set.End(n.now, k, nil)
		}
		n.effects(me, out)
	case "end":
		if len(set.order) > 0 {
			out, _ := set.End(n.now, rapid.SampledFrom(set.order).Draw(t, "session").key, nil)
			n.effects(me, out)
		}
	case "time":
		n.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
	}
}

func (n *net) ways() [][2]jid.JID {
	return slices.SortedFunc(maps.Keys(n.queues), func(a, b [2]jid.JID) int {
		return strings.Compare(string(a[0]+a[1]), string(b[0]+b[1]))
	})
}

func (n *net) advance(d time.Duration) {
	n.now = n.now.Add(d)
	for _, j := range n.self {
		n.effects(j, n.devices[j].Advance(n.now))
	}
}

func (n *net) drain() {
	for ways := n.ways(); len(ways) > 0; ways = n.ways() {
		n.deliver(ways[0])
	}
}

func (n *net) post(from, to jid.JID, what any) {
	way := [2]jid.JID{from, to}
	n.queues[way] = append(n.queues[way], what)
}

func (n *net) deliver(way [2]jid.JID) {
	queue := n.queues[way]
	if n.queues[way] = queue[1:]; len(queue) == 1 {
		delete(n.queues, way)
	}
	me := way[1]
	set := n.devices[me]
	switch m := queue[0].(type) {
	case Inbound:
		n.log = append(n.log, fmt.Sprintf("%s gets %s %s of %s to %s", me, m.Message.Kind, m.Message.ID, m.From, m.To))
		n.effects(me, set.Receive(n.now, m))
	case string:
		n.log = append(n.log, fmt.Sprintf("%s gets session-initiate %s of %s", me, m, way[0]))
		k := Key{way[0].Bare(), m}
		if set.Expects(way[0], m) {
			_ = set.Started(k)
		} else {
			n.post(me, way[0], k) // the session-initiate is refused
		}
	case Key:
		out, _ := set.End(n.now, Key{way[0].Bare(), m.ID}, nil)
		n.effects(me, out)
	}
}

func (n *net) effects(me jid.JID, out []Effect) {
	for _, e := range out {
		n.log = append(n.log, string(me)+": "+show(e))
		switch e := e.(type) {
		case Send:
			for _, to := range n.self {
				if to != me && (to.Bare() == e.To.Bare() || to.Bare() == me.Bare()) {
					n.post(me, to, Inbound{From: me, To: e.To, StanzaID: e.StanzaID, Message: e.Message})
				}
			}
		case Offered:
			n.asked[me] = append(n.asked[me], e.Key)
		case Proceeding:
			if n.devices[me].Started(e.Key) == nil {
				n.post(me, e.Device, e.Key.ID)
			}
		case Ended:
			n.asked[me] = slices.DeleteFunc(n.asked[me], func(k Key) bool { return k == e.Key })
		}
	}
}

func (n *net) check(t *rapid.T) {
	for _, me := range n.self {
		for _, p := range n.devices[me].order {
			if p.state != StateLive {
				t.Errorf("%s is left with %s %s", me, p.state, p.key)
				continue
			}
			other := n.devices[p.peer].Get(Key{me.Bare(), p.key.ID})
			if other == nil || other.state != StateLive || other.peer != me {
				t.Errorf("%s has a session %s with %s, which does not know of it", me, p.key.ID, p.peer)
			}
		}
		if len(n.asked[me]) > 0 {
			t.Errorf("%s still asks about %v", me, n.asked[me])
		}
	}
	if t.Failed() {
		t.Logf("what happened:\n%s", strings.Join(n.log, "\n"))
	}
}
