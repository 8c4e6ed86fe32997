package xmpp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// cutter breaks the connections that it has made.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// cut resets the connection, as a network that changed does: what is in the socket's buffers is lost.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
	c.conns = nil
}

// TestResumeWithProsody cuts both sides' connections again and again while messages flow: by STARTTLS, direct TLS and
// WebSocket each comes once and in its place. JINGLED_CUTS asks for more than the usual number.
func TestResumeWithProsody(t *testing.T) {
	cuts := 6
	if n, err := strconv.Atoi(os.Getenv("JINGLED_CUTS")); err == nil {
		cuts = n
	}
	s := testkit.SharedServer(t, testkit.KindProsody)
	for _, way := range ways(s) {
		t.Run(way.name, func(t *testing.T) { resumes(t, s, cuts, way.configure) })
	}
}

type way struct {
	name      string
	configure func(*xmpp.Config)
}

// ways are those on which a stream is resumed.
func ways(s *testkit.Server) []way {
	return []way{
		{"STARTTLS", func(*xmpp.Config) {}},
		{"direct TLS", func(c *xmpp.Config) { c.Connect, c.TLS = s.DirectTLSAddr, xmpp.TLSDirect }},
		{"WebSocket", web(s, "ws")},
	}
}

// TestResumeInFlowWithEjabberd does the same with Debian's ejabberd, of which less can be asked, see docs/connection.md:
// nothing is lost.
func TestResumeInFlowWithEjabberd(t *testing.T) {
	const cuts = 3
	s := testkit.SharedServer(t, testkit.KindEjabberd)
	for _, way := range ways(s) {
		t.Run(way.name, func(t *testing.T) {
			got := flow(t, s, cuts, way.configure, func(got []string) bool {
				seen := make(map[string]bool)
				for _, b := range got {
					seen[b] = true
				}
				return len(seen) == cuts*perCut
			})
			t.Logf("%d messages came as %d", cuts*perCut, len(got))
		})
	}
}

// perCut is how many messages there are for each cut.
const perCut = 100

// resumes cuts connections that configure has chosen, and wants every message once and in its place.
func resumes(t *testing.T, p *testkit.Server, cuts int, configure func(*xmpp.Config)) {
	got := flow(t, p, cuts, configure, func(got []string) bool { return len(got) >= cuts*perCut })
	for i, b := range got {
		if b != fmt.Sprint(i) {
			t.Fatalf("message %d is %s: one was lost or doubled; there are %v", i, b, got[max(0, i-3):min(len(got), i+6)])
		}
	}
	if len(got) != cuts*perCut {
		t.Errorf("%d of %d messages came", len(got), cuts*perCut)
	}
}

// flows counts, so that each has accounts of its own.
var flows atomic.Int64

// flow sends messages while connections are cut, and returns those that came when there are enough of them.
func flow(t *testing.T, p *testkit.Server, cuts int, configure func(*xmpp.Config), enough func([]string) bool) []string {
	var cut [2]cutter
	var resumed [2]chan time.Time
	var clients [2]*xmpp.Client
	var mu sync.Mutex
	var got []string
	flowing := flows.Add(1)
	for i, user := range []string{fmt.Sprint("cutter-a-", flowing), fmt.Sprint("cutter-b-", flowing)} {
		resumed[i] = make(chan time.Time, 1000)
		cfg := account(p, jid.MustParse(p.AddUser(t, user, "secret")), "phone")
		cfg.Dial = cut[i].dial
		configure(&cfg)
		clients[i] = start(t, cfg, func(c *xmpp.Client) {
			c.OnState(func(s xmpp.StateChange) {
				if s.State == xmpp.Online && s.Resumed {
					resumed[i] <- time.Now()
				} else if s.State == xmpp.Online && s.JID != "" && len(resumed[i]) > 0 {
					t.Error("a stream was not resumed")
				} else if s.Err != nil {
					t.Logf("%s: %v", user, s.Err)
				}
			})
			if i == 1 {
				c.HandleMessage(func(m *xmpp.Message) {
					if b := m.Element.ChildText("jabber:client", "body"); b != "" {
						mu.Lock()
						got = append(got, b)
						mu.Unlock()
					}
				})
			}
		})
	}
	var took []time.Duration
	for n := range cuts {
		for k := range perCut {
			text := fmt.Sprint(n*perCut + k)
			m := xmltree.New("jabber:client", "message").Set("to", clients[1].JID().String()).Set("type", "chat").
				Add(xmltree.New("jabber:client", "body").AddText(text))
			if err := clients[0].Send(m); err != nil {
				t.Fatalf("message %s: %v", text, err)
			}
			if k == perCut/2 {
				began := time.Now()
				cut[n%2].cut()
				select {
				case at := <-resumed[n%2]:
					took = append(took, at.Sub(began))
				case <-time.After(20 * time.Second):
					t.Fatal("not resumed in 20 s")
				}
			}
		}
	}
	slices.Sort(took)
	t.Logf("%d cuts; resumed after %v in the median, %v at most", cuts, took[len(took)/2], took[len(took)-1])
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) { // they come from another process
		mu.Lock()
		done := enough(got)
		all := slices.Clone(got)
		mu.Unlock()
		if done {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d messages %d came", cuts*perCut, len(all))
		}
	}
}
