package s5b

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
)

// Errors of a bytestream without Jingle.
var (
	// ErrNoStreamHost says that none of the streamhosts on offer could be reached (XEP-0065 section 5.3.2).
	ErrNoStreamHost = errors.New("none of the streamhosts can be reached")
	// ErrUnknownStreamHost says that the peer named a streamhost that it was not offered.
	ErrUnknownStreamHost = errors.New("the peer chose a streamhost that was not offered")
)

// maxPlainHosts bounds the streamhosts of a peer that are tried. They are tried one after another.
const maxPlainHosts = 16

// plainHostTimeout is how long one streamhost may take. Old clients give up the whole after a few times that.
const plainHostTimeout = 5 * time.Second

// Bytestream says which bytestream of XEP-0065 without Jingle is meant: Requester offers it, Target connects. All
// fields must be set; the addresses are full.
type Bytestream struct {
	SID               string
	Requester, Target jid.JID
}

func (b Bytestream) dstaddr() string { return DstAddr(b.SID, b.Requester, b.Target) }

// Offering is a bytestream without Jingle that we have offered. Its methods may be called from any goroutine.
type Offering struct {
	cfg    Config
	stream Bytestream
	hosts  []StreamHost
	expect *Expectation

	mu     sync.Mutex
	came   []*net.TCPConn
	some   chan struct{} // has a token when somebody came
	closed bool
}

// OfferPlain lets the target of a bytestream without Jingle in, and returns what to offer it with. The caller must
// call [Offering.Close].
func (f *Factory) OfferPlain(b Bytestream) (*Offering, Query, error) {
	o := &Offering{cfg: f.cfg, stream: b, some: make(chan struct{}, 1)}
	if f.cfg.Listener != nil {
		addrs, err := f.cfg.Listener.Addrs()
		if err != nil {
			return nil, Query{}, err
		}
		if f.cfg.Loopback {
			addrs = append(slices.Clone(addrs), f.cfg.Listener.loopback()...)
		}
		for _, a := range addrs[:min(len(addrs), maxTried/2)] {
			o.hosts = append(o.hosts, StreamHost{JID: b.Requester.String(), Host: a.Addr().String(), Port: a.Port()})
		}
		if o.expect, err = f.cfg.Listener.Expect(maxTried, o.let, b.dstaddr()); err != nil {
			return nil, Query{}, err
		}
	}
	if f.cfg.Proxies != nil && f.cfg.Request != nil {
		for i, p := range f.cfg.Proxies() {
			if i < maxTried/4 && p.Host != "" {
				o.hosts = append(o.hosts, StreamHost{JID: p.JID, Host: p.Host, Port: orDefaultPort(p.Port)})
			}
		}
	}
	if len(o.hosts) == 0 {
		o.Close()
		return nil, Query{}, errors.New("there is neither an own address nor a proxy to offer")
	}
	return o, Query{SID: b.SID, Mode: ModeTCP, StreamHosts: o.hosts}, nil
}

func (o *Offering) let(c *net.TCPConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		_ = c.Close()
		return
	}
	o.came = append(o.came, c)
	select {
	case o.some <- struct{}{}:
	default:
	}
}

// last returns the connection that came last, nil if none did.
func (o *Offering) last() *net.TCPConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.came) == 0 {
		return nil
	}
	c := o.came[len(o.came)-1]
	o.came = o.came[:len(o.came)-1]
	return c
}

// Used returns the connection by the streamhost that the target says it uses, activated if it is a proxy. It blocks
// until ctx ends.
func (o *Offering) Used(ctx context.Context, used string) (*net.TCPConn, error) {
	i := slices.IndexFunc(o.hosts, func(h StreamHost) bool { return sameJID(h.JID, used) })
	switch {
	case i < 0:
		return nil, ErrUnknownStreamHost
	case o.hosts[i].JID == o.stream.Requester.String():
		// The target has its SOCKS5 reply, so its connection is here, or will be in a moment.
		wait := time.NewTimer(plainHostTimeout)
		defer wait.Stop()
		for {
			if c := o.last(); c != nil {
				return c, nil
			}
			select {
			case <-o.some:
			case <-wait.C:
				return nil, errors.New("the peer says that it has connected, but it has not")
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	h := o.hosts[i]
	proxy, err := jid.Parse(h.JID)
	if err != nil {
		return nil, err
	}
	c, err := o.cfg.dial(ctx, h.Host, h.Port, o.stream.dstaddr())
	if err != nil {
		return nil, fmt.Errorf("connect to the proxy %s: %w", h.JID, err)
	}
	// XEP-0065 section 6.3.5: both are there, so the stream can be activated.
	activated := make(chan error, 1)
	o.cfg.Request(proxy, Query{SID: o.stream.SID, Activate: o.stream.Target.String()}.Element(), func(err error) { activated <- err })
	select {
	case err = <-activated:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("activate the stream at the proxy %s: %w", h.JID, err)
	}
	return c, nil
}

// sameJID compares addresses as clients write them, normalised or not.
func sameJID(a, b string) bool {
	x, errA := jid.Parse(a)
	y, errB := jid.Parse(b)
	return a == b || errA == nil && errB == nil && x == y
}

// Close lets nobody in any more and closes what came in and is not used.
func (o *Offering) Close() {
	if o.expect != nil {
		o.expect.Close()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, c := range o.came {
		_ = c.Close()
	}
	o.came = nil
}

// ConnectPlain connects to the streamhosts of a peer's offer, one after another in their order (XEP-0065 section
// 5.3.2), and returns the address of the one that it got through to. It blocks until ctx ends.
func (f *Factory) ConnectPlain(ctx context.Context, b Bytestream, q Query) (conn *net.TCPConn, used string, err error) {
	if q.Mode == ModeUDP {
		return nil, "", errors.New("SOCKS5 bytestreams over UDP are not supported")
	}
	dstaddr := b.dstaddr()
	if isHash(q.DstAddr) {
		dstaddr = q.DstAddr // XEP-0065 section 7
	}
	failures := []error{ErrNoStreamHost}
	for _, h := range q.StreamHosts[:min(len(q.StreamHosts), maxPlainHosts)] {
		one, cancel := context.WithTimeout(ctx, plainHostTimeout)
		conn, err := f.cfg.dial(one, h.Host, orDefaultPort(h.Port), dstaddr)
		cancel()
		if err == nil {
			return conn, h.JID, nil
		}
		failures = append(failures, fmt.Errorf("%.80s port %d: %w", h.Host, h.Port, err))
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
	}
	return nil, "", errors.Join(failures...)
}
