package datachannel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/pion/datachannel"
	"github.com/pion/logging"
	"github.com/pion/sctp"

	"github.com/jingled/jingled/internal/pionlog"
	"github.com/jingled/jingled/media/dtlssrtp"
)

const (
	// defaultMTU is that of pion and of libwebrtc.
	defaultMTU = 1191
	// receiveBuffer is how much may be on its way to us: 320 Mbit/s over a path of 100 ms. More than the sockets below
	// hold only makes packets get lost.
	receiveBuffer = 4 << 20
	// A writer waits while more than highWater of its bytes are not sent, until no more than lowWater are.
	highWater = 1 << 20
	lowWater  = 512 << 10
	// rtoMax bounds the wait for a lost packet, in ms. SCTP's own minute is for other networks.
	rtoMax = 1000
)

// Conn is a pair of data channels: one that we write into and one that the peer writes into. It implements
// [io.ReadWriteCloser]; Read and Write may be called from one goroutine each, Close from any.
type Conn struct {
	lower io.Closer // agent and all
	secur net.Conn
	assoc *sctp.Association
	out   *datachannel.DataChannel
	write int // bytes of a message

	in   chan *datachannel.DataChannel // the peer's, once
	read *datachannel.DataChannel
	rest []byte // of a message
	buf  []byte

	low    chan struct{}
	dead   chan struct{} // closed when the association has ended
	closed chan struct{} // by us
	once   sync.Once
}

// Encrypted is [Factory.Encrypted].
func (*Conn) Encrypted() bool { return true }

// dial secures a path and opens our channel. It owns raw and lower, also if it fails.
func dial(ctx context.Context, raw io.ReadWriteCloser, sec dtlssrtp.Config, cfg Config, peer limits, lower io.Closer) (*Conn, error) {
	packets, ok := raw.(net.Conn)
	if !ok {
		return nil, fmt.Errorf("datachannel: %T is no packet connection", raw)
	}
	if peer.port != 0 && peer.port != sctpPort {
		// Everybody uses one port; another would need a stack that can be told.
		_ = raw.Close()
		return nil, fmt.Errorf("the SCTP port %d of the other side is not supported", peer.port)
	}
	secured, err := dtlssrtp.Data(ctx, packets, sec)
	if err != nil {
		return nil, err
	}
	secured = thin(secured)
	stop := context.AfterFunc(ctx, func() { _ = secured.Close() })
	defer stop()
	assoc, err := sctp.ClientWithOptions(
		sctp.WithNetConn(secured),
		sctp.WithLoggerFactory(pionlog.Factory(cfg.Log)),
		sctp.WithMaxReceiveBufferSize(receiveBuffer),
		sctp.WithMaxMessageSize(MaxMessageSize),
		sctp.WithMTU(cfg.MTU),
		sctp.WithRTOMax(rtoMax),
	)
	if err != nil {
		_ = secured.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("sctp: %w", err)
	}
	c := &Conn{
		lower: lower, secur: secured, assoc: assoc, write: messageSize(peer.maxMessage),
		in: make(chan *datachannel.DataChannel, 1), low: make(chan struct{}, 1), dead: make(chan struct{}), closed: make(chan struct{}),
		buf: make([]byte, MaxMessageSize),
	}
	// RFC 8832 section 6: the DTLS client has the even numbers.
	id := uint16(0)
	if sec.Role == dtlssrtp.Server {
		id = 1
	}
	holdSlack()
	c.out, err = datachannel.Dial(assoc, id, &datachannel.Config{
		ChannelType: datachannel.ChannelTypeReliable, Label: label, Protocol: protocol, LoggerFactory: pionlog.Factory(cfg.Log),
	})
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("open a data channel: %w", err)
	}
	c.out.SetBufferedAmountLowThreshold(lowWater)
	c.out.OnBufferedAmountLow(func() {
		select {
		case c.low <- struct{}{}:
		default:
		}
	})
	go c.accept(id, pionlog.Factory(cfg.Log))
	go c.acks()
	return c, nil
}

var errEnded = errors.New("the other side has ended the data channel")

// messageSize returns how large our messages are, for a peer that takes at most limit bytes; 0 is not known.
func messageSize(limit uint64) int {
	if limit == 0 {
		return defaultMessage
	}
	return int(min(limit, maxWrite))
}

// accept waits for the peer's channel. Whoever opens more gets no more than the first one read.
func (c *Conn) accept(own uint16, logs logging.LoggerFactory) {
	defer close(c.dead)
	defer close(c.in)
	for {
		stream, err := c.assoc.AcceptStream()
		if err != nil {
			return
		}
		if stream.StreamIdentifier() == own {
			continue // never: it was opened by us
		}
		ch, err := datachannel.Server(stream, &datachannel.Config{LoggerFactory: logs})
		if err != nil {
			continue // not the protocol of RFC 8832
		}
		select {
		case c.in <- ch:
		default:
			_ = ch.Close()
		}
	}
}

// acks reads our own channel, where nothing but the acknowledgement of its opening comes.
func (c *Conn) acks() {
	b := make([]byte, MaxMessageSize)
	for {
		if _, err := c.out.Read(b); err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return
		}
	}
}

// Read implements [io.Reader]. It waits for the peer's channel first.
func (c *Conn) Read(p []byte) (int, error) {
	if c.read == nil {
		select {
		case ch, ok := <-c.in:
			if !ok {
				return 0, io.EOF
			}
			c.read = ch
		case <-c.closed:
			return 0, io.ErrClosedPipe
		}
	}
	for len(c.rest) == 0 {
		into := c.buf
		if len(p) >= len(into) {
			into = p // no copy
		}
		n, err := c.read.Read(into)
		if err != nil {
			return 0, c.readError(err)
		}
		if len(p) >= len(c.buf) && n > 0 {
			return n, nil
		}
		c.rest = into[:n]
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *Conn) readError(err error) error {
	select {
	case <-c.closed:
		return io.ErrClosedPipe
	default:
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("data channel: %w", err)
}

// Write implements [io.Writer]. It returns when the last message is in the queue.
func (c *Conn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		for c.out.BufferedAmount() > highWater {
			select {
			case <-c.low:
			case <-c.closed:
				return written, io.ErrClosedPipe
			case <-c.dead:
				return written, errEnded
			}
		}
		n, err := c.out.Write(p[written:min(len(p), written+c.write)])
		written += n
		if err != nil {
			return written, fmt.Errorf("data channel: %w", err)
		}
	}
	return written, nil
}

// Unsent returns how many bytes the peer has not acknowledged.
func (c *Conn) Unsent() int { return int(c.out.BufferedAmount()) }

// Close implements [io.Closer]. What is not sent yet is lost. It does not wait.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		dropSlack()
		go func() {
			// Each waits for its goroutines, from the top down.
			_ = c.assoc.Close()
			_ = c.secur.Close()
			_ = c.lower.Close()
		}()
	})
	return nil
}
