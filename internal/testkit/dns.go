package testkit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a small DNS server on loopback, whose records and health a test decides.
type DNS struct {
	conn net.PacketConn
	ends sync.WaitGroup

	mu    sync.Mutex
	over  bool
	fault DNSFault
	asked int
	users []net.Conn // Go's resolver waits for answers that nobody waits for any more
	hosts map[string]netip.Addr
	srv   map[string]dnsmessage.SRVResource
}

// DNSFault is what is wrong with a [DNS].
type DNSFault int

// The faults.
const (
	DNSWorks    DNSFault = iota // nothing
	DNSSilent                   // it does not answer
	DNSServFail                 // it says that something is wrong with it
	DNSNoNames                  // it says that no name exists, as captive portals and broken routers do
)

// NewDNS starts a server without records. It ends with the test.
func NewDNS(t testing.TB) *DNS {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &DNS{conn: conn, hosts: map[string]netip.Addr{}, srv: map[string]dnsmessage.SRVResource{}}
	d.ends.Go(d.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		d.ends.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.over = true
		for _, u := range d.users {
			_ = u.Close()
		}
	})
	return d
}

// Resolver is Go's own resolver, which asks this server and no other.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		u, err := new(net.Dialer).DialContext(ctx, "udp", d.conn.LocalAddr().String())
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.over {
			return nil, errors.Join(net.ErrClosed, u.Close())
		}
		d.users = append(d.users, u)
		return u, nil
	}}
}

// Host gives a host its address.
func (d *DNS) Host(name string, addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts[name+"."] = addr
}

// Service says which host and port a service is at, e.g. "_xmpp-client._tcp.example.test".
func (d *DNS) Service(name, host string, port uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.srv[name+"."] = dnsmessage.SRVResource{Target: dnsmessage.MustNewName(host + "."), Port: port}
}

// Break makes something go wrong from now on, or go well again.
func (d *DNS) Break(f DNSFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Asked is how many questions have come.
func (d *DNS) Asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *DNS) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := d.answer(buf[:n]); answer != nil {
			_, _ = d.conn.WriteTo(answer, from) // who asked may have gone
		}
	}
}

// answer is nil where there is none.
func (d *DNS) answer(question []byte) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	switch d.fault {
	case DNSSilent:
		return nil
	case DNSServFail:
		m.RCode = dnsmessage.RCodeServerFailure
	case DNSNoNames:
		m.RCode = dnsmessage.RCodeNameError
	default:
		d.fill(&m, q)
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// fill adds what is known of a name. d.mu is held.
func (d *DNS) fill(m *dnsmessage.Message, q dnsmessage.Question) {
	addr, isHost := d.hosts[q.Name.String()]
	srv, isService := d.srv[q.Name.String()]
	var body dnsmessage.ResourceBody
	switch {
	case !isHost && !isService:
		m.RCode = dnsmessage.RCodeNameError
	case isService && q.Type == dnsmessage.TypeSRV:
		body = &srv
	case isHost && q.Type == dnsmessage.TypeA && addr.Is4():
		body = &dnsmessage.AResource{A: addr.As4()}
	case isHost && q.Type == dnsmessage.TypeAAAA && addr.Is6():
		body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
	}
	if body != nil {
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 1}, Body: body}}
	}
}
