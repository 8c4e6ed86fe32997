// Package sdes carries RTP for clients from before DTLS-SRTP: as SRTP whose keys stand in the signalling (SDES, RFC 4568 and
// XEP-0167 section 7), which whoever carries the signalling can read, or not encrypted at all.
//
// It has the shape of package dtlssrtp. RTCP has a connection of its own where the peer does not multiplex.
package sdes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// Config says how a [Conn] is secured. Without keys it is not.
type Config struct {
	// Send are our keys, Receive the peer's: both or neither.
	Send, Receive *Keys
	// RTP and RTCP take what comes. They are called from [Conn.Run], one at a time, and must not keep the memory.
	RTP  func(h *rtp.Header, payload []byte, at time.Time)
	RTCP func(packets []rtcp.Packet, at time.Time)
}

const (
	mtu = 1500
	// maxSources bounds the SSRCs of the peer: each costs memory.
	maxSources = 128
)

// Conn carries RTP and RTCP. [Conn.Run] must run for anything to come.
type Conn struct {
	cfg       Config
	rtp, rtcp net.Conn
	ready     chan struct{}

	reading sync.Mutex // one reader at a time
	recv    *srtp.Context
	sources map[uint32]struct{}

	sending sync.Mutex
	send    *srtp.Context
	buf     []byte
}

// New returns a connection over packet connections, which it closes in the end. The second one is for RTCP, and nil if
// that shares the first (RFC 5761).
func New(first, second net.Conn, cfg Config) (*Conn, error) {
	c := &Conn{cfg: cfg, rtp: first, rtcp: second, ready: make(chan struct{}), sources: make(map[uint32]struct{})}
	if c.rtcp == nil {
		c.rtcp = first
	}
	close(c.ready)
	if (cfg.Send == nil) != (cfg.Receive == nil) {
		return nil, errors.New("sdes: keys for one direction only")
	}
	if cfg.Send == nil {
		return c, nil
	}
	var err error
	if c.send, err = cfg.Send.context(); err != nil {
		return nil, err
	}
	// RFC 3711 section 3.3.2, as in package dtlssrtp.
	c.recv, err = cfg.Receive.context(srtp.SRTPReplayProtection(512), srtp.SRTCPReplayProtection(64))
	return c, err
}

// Ready is closed from the beginning: there is no handshake.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Move does nothing: such peers do not restart ICE.
func (c *Conn) Move(context.Context, net.Conn) {}

// Run reads until ctx or a connection ends, and returns when all it has started has ended.
func (c *Conn) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := []net.Conn{c.rtp}
	if c.rtcp != c.rtp {
		conns = append(conns, c.rtcp)
	}
	var wg sync.WaitGroup
	for _, raw := range conns {
		wg.Go(func() {
			// Without reports a call goes on.
			if err := c.read(raw); raw == c.rtp {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	for _, raw := range conns {
		_ = raw.Close()
	}
	err := context.Cause(ctx)
	wg.Wait()
	return err
}

func (c *Conn) read(raw net.Conn) error {
	buf := make([]byte, mtu)
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return fmt.Errorf("packet connection: %w", err)
		}
		if n < 2 || buf[0]>>6 != 2 { // RFC 3550 section 5.1: the version
			continue
		}
		c.packet(buf[:n], time.Now())
	}
}

func (c *Conn) packet(b []byte, at time.Time) {
	c.reading.Lock()
	defer c.reading.Unlock()
	// RFC 5761 section 4: payload types 64 to 95 are RTCP's.
	if pt := b[1] & 0x7f; pt >= 64 && pt <= 95 {
		c.reports(b, at)
		return
	}
	var h rtp.Header
	n, err := h.Unmarshal(b)
	if err != nil {
		return
	}
	_, known := c.sources[h.SSRC]
	if !known && len(c.sources) >= maxSources {
		return
	}
	if c.recv != nil {
		if b, err = c.recv.DecryptRTP(b[:0], b, &h); err != nil {
			return
		}
	}
	c.sources[h.SSRC] = struct{}{}
	payload := b[n:]
	if h.Padding && len(payload) > 0 { // RFC 3550 section 5.1
		pad := int(payload[len(payload)-1])
		if pad > len(payload) {
			return
		}
		payload = payload[:len(payload)-pad]
	}
	if c.cfg.RTP != nil {
		c.cfg.RTP(&h, payload, at)
	}
}

func (c *Conn) reports(b []byte, at time.Time) {
	if c.recv != nil {
		var err error
		if b, err = c.recv.DecryptRTCP(nil, b, nil); err != nil {
			return
		}
	}
	if packets, err := rtcp.Unmarshal(b); err == nil && c.cfg.RTCP != nil {
		c.cfg.RTCP(packets, at)
	}
}

// WriteRTP sends a packet. It may be called from any goroutine.
func (c *Conn) WriteRTP(h *rtp.Header, payload []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	n := h.MarshalSize() + len(payload)
	if cap(c.buf) < n+64 {
		c.buf = make([]byte, n+64)
	}
	out := c.buf[:n]
	if _, err := h.MarshalTo(out); err != nil {
		return err
	}
	copy(out[n-len(payload):], payload)
	if c.send != nil {
		var err error
		if out, err = c.send.EncryptRTP(c.buf[:0], out, h); err != nil {
			return fmt.Errorf("srtp: %w", err)
		}
	}
	_, err := c.rtp.Write(out)
	return err
}

// WriteRTCP sends a compound packet. It may be called from any goroutine.
func (c *Conn) WriteRTCP(packets ...rtcp.Packet) error {
	out, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.send != nil {
		if out, err = c.send.EncryptRTCP(nil, out, nil); err != nil {
			return fmt.Errorf("srtcp: %w", err)
		}
	}
	_, err = c.rtcp.Write(out)
	return err
}
