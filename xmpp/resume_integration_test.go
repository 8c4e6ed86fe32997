package xmpp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
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

// TestResumeWithProsody cuts both sides' connections again and again while messages flow. JINGLED_CUTS asks for more than
// the usual number.
func TestResumeWithProsody(t *testing.T) {
	cuts := 12
	if n, err := strconv.Atoi(os.Getenv("JINGLED_CUTS")); err == nil {
		cuts = n
	}
	resumes(t, testkit.Prosody(t), cuts, func(*xmpp.Config) {})
}

// resumes cuts connections that configure has chosen.
func resumes(t *testing.T, p *testkit.Server, cuts int, configure func(*xmpp.Config)) {
	const perCut = 100
	var cut [2]cutter
	var resumed [2]chan time.Time
	var clients [2]*xmpp.Client
	var mu sync.Mutex
	var got []string
	for i, user := range []string{"cutter-a", "cutter-b"} {
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
				case <-time.After(10 * time.Second):
					t.Fatal("not resumed in 10 s")
				}
			}
		}
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n >= cuts*perCut || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != cuts*perCut {
		t.Errorf("%d of %d messages came", len(got), cuts*perCut)
	}
	for i, b := range got {
		if b != fmt.Sprint(i) {
			t.Fatalf("message %d is %s: one was lost or doubled; there are %v", i, b, got[max(0, i-3):min(len(got), i+6)])
		}
	}
	slices.Sort(took)
	t.Logf("%d messages over %d cuts; resumed after %v in the median, %v at most", len(got), cuts, took[len(took)/2], took[len(took)-1])
	if worst := took[len(took)-1]; worst > 5*time.Second {
		t.Errorf("resuming took %v", worst)
	}
}
