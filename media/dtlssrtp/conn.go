package dtlssrtp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/pionlog"
)

// Config says how a [Conn] is secured.
type Config struct {
	Certificate *Certificate
	Role        Role
	// Remote are the fingerprints that the peer has signalled.
	Remote []ice.Fingerprint
	// HandshakeTimeout is 20 s by default.
	HandshakeTimeout time.Duration
	// RTP and RTCP take what has been decrypted. They are called from [Conn.Run] and must not keep the memory.
	RTP  func(h *rtp.Header, payload []byte, at time.Time)
	RTCP func(packets []rtcp.Packet, at time.Time)
	// Log may be nil.
	Log *slog.Logger
}

// The sizes and counts of a connection.
const (
	mtu = 1500
	// maxEarly is how many RTP packets are kept that arrive before the handshake is over: the peer may be done half a
	// round trip before us.
	maxEarly = 32
	// maxSources bounds the SSRCs of the peer: each costs memory.
	maxSources = 128
	// maxHandshake bounds the bytes of DTLS that wait to be read.
	maxHandshake = 64 << 10
	// flight is how long a lost handshake message is waited for. pion's second makes a lossy path take 8 s.
	flight = 100 * time.Millisecond
)

// Conn is a secured connection. [Conn.Run] must run for anything to happen.
type Conn struct {
	cfg  Config
	raw  atomic.Pointer[net.Conn] // what is written to
	in   *packetio.Buffer         // DTLS records for the handshake
	peer []ice.Fingerprint
	log  *slog.Logger

	ready chan struct{}
	moved chan net.Conn // to be read from, too

	reading sync.Mutex // one reader at a time: there is one for each connection that was moved to
	// The reader's own: packets from before there were keys, and the sources that have sent.
	early   [][]byte
	sources map[uint32]struct{}

	recv  atomic.Pointer[srtp.Context] // used by the reader only, once it is there
	sendM sync.Mutex
	send  *srtp.Context
	buf   []byte

	undecryptable atomic.Uint64
}

// New returns a connection over raw, whose reads and writes are packets and which it closes in the end. Without a
// fingerprint of the peer it is an error that wraps [ErrNoFingerprint].
func New(raw net.Conn, cfg Config) (*Conn, error) {
	peer, err := verifiable(cfg.Remote)
	if err != nil {
		return nil, err
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{cfg: cfg, in: packetio.NewBuffer(), peer: peer, log: cfg.Log, ready: make(chan struct{}), moved: make(chan net.Conn)}
	c.raw.Store(&raw)
	c.sources = make(map[uint32]struct{})
	c.in.SetLimitSize(maxHandshake)
	return c, nil
}

// CheckFingerprints reports whether a peer with these fingerprints can be verified; the error wraps [ErrNoFingerprint].
func CheckFingerprints(fs []ice.Fingerprint) error {
	_, err := verifiable(fs)
	return err
}

// Ready is closed when packets can be written.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Undecryptable counts packets that were dropped, as nobody who has the keys has made them.
func (c *Conn) Undecryptable() uint64 { return c.undecryptable.Load() }

// Move changes what packets are written to, as ICE does when it is restarted: the association and its keys go on. What came
// before is read as long as it lasts; its owner may close it. It does nothing once ctx or [Conn.Run] has ended.
func (c *Conn) Move(ctx context.Context, raw net.Conn) {
	select {
	case c.moved <- raw:
	case <-ctx.Done():
	}
}

// current is what is written to.
func (c *Conn) current() net.Conn { return *c.raw.Load() }

// Run shakes hands and then reads until the connection ends. It returns nil when the peer has closed it, and when all it
// has started has ended.
func (c *Conn) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	read := func(raw net.Conn) {
		// What has been moved away from may end.
		if err := c.read(raw); c.current() == raw {
			cancel(err)
		}
	}
	raws := []net.Conn{c.current()}
	first := raws[0]
	wg.Go(func() { read(first) })
	saidGoodbye := make(chan struct{})
	wg.Go(func() {
		// Why it ends is said before it is closed, which ends the reader.
		conn, err := c.secure(ctx)
		cancel(err)
		if conn != nil {
			_ = conn.Close() // says goodbye
		}
		_ = c.in.Close()
		close(saidGoodbye)
	})
	for ctx.Err() == nil {
		select {
		case raw := <-c.moved:
			raws = append(raws, raw)
			c.raw.Store(&raw)
			wg.Go(func() { read(raw) })
		case <-ctx.Done():
		}
	}
	<-saidGoodbye
	for _, raw := range raws {
		_ = raw.Close()
	}
	err := context.Cause(ctx)
	wg.Wait()
	if errors.Is(err, errPeerClosed) {
		return nil
	}
	return err
}

// errPeerClosed ends [Conn.Run] without a failure.
var errPeerClosed = errors.New("the peer has closed the connection")

// secure shakes hands, and afterwards waits for the peer's goodbye. The connection that it returns is to be closed.
func (c *Conn) secure(ctx context.Context) (*dtls.Conn, error) {
	conn, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	hctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HandshakeTimeout, errHandshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(hctx); err != nil {
		if cause := context.Cause(hctx); cause != nil {
			return conn, cause
		}
		if errors.Is(err, ErrFingerprint) {
			return conn, ErrFingerprint
		}
		return conn, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	if err := c.keys(conn); err != nil {
		return conn, err
	}
	close(c.ready)
	// Not by closing: the goodbye is to be out before the connection below is closed.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	// No application data is expected; data channels are another kind of connection.
	b := make([]byte, mtu)
	for {
		if _, err := conn.Read(b); err != nil {
			if errors.Is(err, io.EOF) {
				return conn, errPeerClosed
			}
			return conn, fmt.Errorf("dtls: %w", err)
		}
	}
}

// ErrHandshake says that the DTLS handshake did not succeed.
var ErrHandshake = errors.New("the DTLS handshake with the peer failed")

var errHandshakeTimeout = fmt.Errorf("%w: it was not completed in time", ErrHandshake)

func (c *Conn) client() (*dtls.Conn, error) {
	shared := []dtls.Option{
		dtls.WithCertificates(c.cfg.Certificate.tls),
		// Dino has the second only, so it must be there; AES-GCM is faster.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		// There is no authority to check with: the fingerprint is the check.
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return ErrFingerprint
			}
			return verify(raw[0], c.peer)
		}),
		dtls.WithFlightInterval(flight),
		// RFC 6347 section 4.2.4.1 doubles the wait, against congestion that a handshake of a few kilobytes does not make;
		// with every third packet lost that is four seconds instead of one.
		dtls.WithDisableRetransmitBackoff(true),
		dtls.WithMTU(1200),
		dtls.WithLoggerFactory(pionlog.Factory(c.log)),
	}
	pc := &handshakeConn{c}
	if c.cfg.Role == Client {
		opts := make([]dtls.ClientOption, len(shared))
		for i, o := range shared {
			opts[i] = o
		}
		return dtls.ClientWithOptions(pc, pc.RemoteAddr(), opts...)
	}
	opts := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		// The cookie is against forged addresses; ICE has checked this one. It saves a round trip.
		dtls.WithInsecureSkipVerifyHello(true),
	}
	for _, o := range shared {
		opts = append(opts, o)
	}
	return dtls.ServerWithOptions(pc, pc.RemoteAddr(), opts...)
}

func (c *Conn) keys(conn *dtls.Conn) error {
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("dtls: no keys after the handshake")
	}
	chosen, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("dtls: the peer has no SRTP profile in common with us")
	}
	var cfg srtp.Config
	switch chosen {
	case dtls.SRTP_AEAD_AES_128_GCM:
		cfg.Profile = srtp.ProtectionProfileAeadAes128Gcm
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		cfg.Profile = srtp.ProtectionProfileAes128CmHmacSha1_80
	default:
		return fmt.Errorf("dtls: the peer chose the SRTP profile %#x, which was not offered", chosen)
	}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, c.cfg.Role == Client); err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	// RFC 3711 section 3.3.2: replay protection. 64 is its least window; packets of one frame of video may be more apart.
	recv, err := srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile,
		srtp.SRTPReplayProtection(512), srtp.SRTCPReplayProtection(64))
	if err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	send, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
	if err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	c.sendM.Lock()
	c.send = send
	c.sendM.Unlock()
	c.recv.Store(recv)
	return nil
}

// read takes packets from a raw connection until it ends.
func (c *Conn) read(raw net.Conn) error {
	buf := make([]byte, mtu)
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return fmt.Errorf("packet connection: %w", err)
		}
		at := time.Now()
		switch b := buf[:n]; {
		case n < 2:
		case b[0] >= 20 && b[0] <= 63: // RFC 7983 section 7
			_, _ = c.in.Write(b) // full: a flood; DTLS sends again what it lacks
		case b[0] >= 128 && b[0] <= 191:
			c.reading.Lock()
			c.media(b, at)
			c.reading.Unlock()
		}
	}
}

// media decrypts an RTP or RTCP packet, or keeps it until there are keys.
func (c *Conn) media(b []byte, at time.Time) {
	ctx := c.recv.Load()
	if ctx == nil {
		if len(c.early) < maxEarly {
			c.early = append(c.early, append([]byte(nil), b...))
		}
		return
	}
	for _, e := range c.early {
		c.decrypt(ctx, e, at)
	}
	c.early = nil
	c.decrypt(ctx, b, at)
}

func (c *Conn) decrypt(ctx *srtp.Context, b []byte, at time.Time) {
	// RFC 5761 section 4: payload types 64 to 95 are RTCP's.
	if pt := b[1] & 0x7f; pt >= 64 && pt <= 95 {
		c.decryptRTCP(ctx, b, at)
		return
	}
	var h rtp.Header
	n, err := h.Unmarshal(b)
	if err != nil {
		c.undecryptable.Add(1)
		return
	}
	_, known := c.sources[h.SSRC]
	if !known && len(c.sources) >= maxSources {
		return
	}
	plain, err := ctx.DecryptRTP(b[:0], b, &h)
	if err != nil {
		c.undecryptable.Add(1)
		return
	}
	if !known {
		c.sources[h.SSRC] = struct{}{}
	}
	payload := plain[n:]
	if h.Padding && len(payload) > 0 {
		// RFC 3550 section 5.1.
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

func (c *Conn) decryptRTCP(ctx *srtp.Context, b []byte, at time.Time) {
	plain, err := ctx.DecryptRTCP(nil, b, nil)
	if err != nil {
		c.undecryptable.Add(1)
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil || c.cfg.RTCP == nil {
		return
	}
	c.cfg.RTCP(packets, at)
}

// ErrNotReady is returned for what is written before the handshake is over.
var ErrNotReady = errors.New("the connection is not secured yet")

// WriteRTP encrypts and sends a packet. It may be called from any goroutine.
func (c *Conn) WriteRTP(h *rtp.Header, payload []byte) error {
	c.sendM.Lock()
	defer c.sendM.Unlock()
	if c.send == nil {
		return ErrNotReady
	}
	n := h.MarshalSize() + len(payload)
	if cap(c.buf) < n+64 {
		c.buf = make([]byte, n+64)
	}
	plain := c.buf[:n]
	if _, err := h.MarshalTo(plain); err != nil {
		return err
	}
	copy(plain[n-len(payload):], payload)
	out, err := c.send.EncryptRTP(c.buf[:0], plain, h)
	if err != nil {
		return fmt.Errorf("srtp: %w", err)
	}
	_, err = c.current().Write(out)
	return err
}

// WriteRTCP encrypts and sends a compound packet. It may be called from any goroutine.
func (c *Conn) WriteRTCP(packets ...rtcp.Packet) error {
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	c.sendM.Lock()
	defer c.sendM.Unlock()
	if c.send == nil {
		return ErrNotReady
	}
	out, err := c.send.EncryptRTCP(nil, b, nil)
	if err != nil {
		return fmt.Errorf("srtcp: %w", err)
	}
	_, err = c.current().Write(out)
	return err
}

// handshakeConn is the part of the connection that DTLS sees.
type handshakeConn struct{ c *Conn }

// ReadFrom implements [net.PacketConn].
func (h *handshakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := h.c.in.Read(b)
	return n, h.RemoteAddr(), err
}

// WriteTo implements [net.PacketConn].
func (h *handshakeConn) WriteTo(b []byte, _ net.Addr) (int, error) { return h.c.current().Write(b) }

// LocalAddr implements [net.PacketConn].
func (h *handshakeConn) LocalAddr() net.Addr { return h.c.current().LocalAddr() }

// RemoteAddr is where packets go for now.
func (h *handshakeConn) RemoteAddr() net.Addr { return h.c.current().RemoteAddr() }

// SetReadDeadline ends reads of the handshake, and not those of the media.
func (h *handshakeConn) SetReadDeadline(t time.Time) error { return h.c.in.SetReadDeadline(t) }

// SetDeadline implements [net.PacketConn].
func (h *handshakeConn) SetDeadline(t time.Time) error { return h.c.in.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing packets does not block.
func (h *handshakeConn) SetWriteDeadline(time.Time) error { return nil }

// Close leaves the connection to its owner.
func (h *handshakeConn) Close() error { return h.c.in.Close() }
