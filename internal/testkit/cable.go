package testkit

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Cable forwards TCP connections to a server, until it is cut, held or unplugged.
type Cable struct {
	to string
	ln net.Listener
	wg sync.WaitGroup

	mu        sync.Mutex
	free      *sync.Cond // held has become false
	held      bool
	unplugged bool
	over      bool
	conns     map[*net.TCPConn]struct{}
}

// NewCable lays a cable to host:port. It ends with the test.
func NewCable(t testing.TB, to string) *Cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{to: to, ln: ln, conns: map[*net.TCPConn]struct{}{}}
	c.free = sync.NewCond(&c.mu)
	c.wg.Go(c.run)
	t.Cleanup(func() {
		_ = ln.Close()
		c.mu.Lock()
		c.over, c.held = true, false
		c.free.Broadcast()
		c.mu.Unlock()
		c.Cut()
		c.wg.Wait()
	})
	return c
}

// Addr is where clients connect to.
func (c *Cable) Addr() string { return c.ln.Addr().String() }

// Cut resets all connections; what was on its way is lost.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

// Hold keeps what is sent, in both directions, and lets it go again: nobody hears of anything, as with a network that drops.
func (c *Cable) Hold(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = on
	c.free.Broadcast()
}

// Unplug cuts, and breaks new connections at once, until it is plugged in again.
func (c *Cable) Unplug(on bool) {
	c.mu.Lock()
	c.unplugged = on
	c.mu.Unlock()
	if on {
		c.Cut()
	}
}

func (c *Cable) run() {
	for {
		in, err := c.ln.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.join(in.(*net.TCPConn)) })
	}
}

func (c *Cable) keep(conns ...*net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		if c.unplugged || c.over {
			_ = conn.SetLinger(0)
			_ = conn.Close()
		} else {
			c.conns[conn] = struct{}{}
		}
	}
	return !c.unplugged && !c.over
}

func (c *Cable) join(in *net.TCPConn) {
	d := net.Dialer{Timeout: 5 * time.Second}
	far, err := d.Dial("tcp", c.to)
	if err != nil {
		_ = in.SetLinger(0)
		_ = in.Close()
		return
	}
	out := far.(*net.TCPConn)
	if !c.keep(in, out) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copy(out, in) })
	both.Go(func() { c.copy(in, out) })
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range []*net.TCPConn{in, out} {
		_ = conn.Close()
		delete(c.conns, conn)
	}
}

func (c *Cable) copy(to, from *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		for c.held {
			c.free.Wait()
		}
		c.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			if err == io.EOF {
				_ = to.CloseWrite()
				return
			}
			break
		}
	}
	// What broke at one end breaks at the other.
	_ = to.SetLinger(0)
	_ = to.Close()
	_ = from.Close()
}
