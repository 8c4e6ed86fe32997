// Package probe looks at the way between this machine and STUN and TURN servers: what address others see, how the NAT
// behaves (RFC 5780), and whether a relay works (RFC 8656). It is for people who want to know why calls do not connect;
// calls themselves use package agent.
package probe

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pion/stun/v4"
)

// The kinds of errors, for errors.Is.
var (
	// ErrNoAnswer: nothing came back: a firewall drops packets, or nobody is there.
	ErrNoAnswer = errors.New("no answer")
	// ErrClosed: the port is closed.
	ErrClosed = errors.New("the port is closed")
	// ErrHost: the name has no address, or there is no way to it.
	ErrHost = errors.New("not reachable")
	// ErrNoRoute: this machine has no way there, e.g. as it has no IPv6.
	ErrNoRoute = errors.New("no way there from this machine")
	// ErrTLS: the certificate is not trusted, or TLS is not spoken there.
	ErrTLS = errors.New("TLS failed")
	// ErrCredentials: the server refuses user or password.
	ErrCredentials = errors.New("the credentials are refused")
	// ErrProtocol: what answers is not a STUN or TURN server.
	ErrProtocol = errors.New("not a STUN or TURN server")
)

// Refused is a server's error answer (RFC 8489 section 14.8).
type Refused struct {
	Code   int
	Reason string // in the server's words
}

func (r *Refused) Error() string { return fmt.Sprintf("the server answers %d %q", r.Code, r.Reason) }

// Is makes codes that are about credentials match [ErrCredentials].
func (r *Refused) Is(target error) bool {
	return target == ErrCredentials && (r.Code == 401 || r.Code == 431 || r.Code == 441)
}

const (
	firstWait = 300 * time.Millisecond // until a datagram is sent again; doubled each time
	maxReason = 100
)

// transport carries STUN messages to one server and back.
type transport struct {
	conn   net.Conn
	stream bool
	// other gets what is no answer to a request, such as data from a relay.
	other func(*stun.Message)
}

// dial connects to a server, as [RelayConfig] says.
func dial(ctx context.Context, cfg RelayConfig) (*transport, error) {
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHost, err)
	}
	if cfg.Transport == "udp" {
		c, err := new(net.Dialer).DialContext(ctx, "udp", cfg.Addr)
		return &transport{conn: c}, explain(ctx, err)
	}
	var c net.Conn
	if err = errNoProxy; cfg.Proxy != nil {
		c, err = cfg.Proxy(ctx, cfg.Addr)
	}
	if err != nil { // as a call does
		c, err = new(net.Dialer).DialContext(ctx, "tcp", cfg.Addr)
	}
	if err != nil {
		return nil, explain(ctx, err)
	}
	if cfg.Transport == "tls" {
		t := tls.Client(c, &tls.Config{ServerName: host, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			if ctx.Err() != nil {
				return nil, ErrNoAnswer
			}
			return nil, fmt.Errorf("%w: %w", ErrTLS, err)
		}
		c = t
	}
	return &transport{conn: c, stream: true}, nil
}

var errNoProxy = errors.New("no proxy")

// explain gives an error of the network its kind.
func explain(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("%w: %w", ErrNoRoute, err)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return ErrNoAnswer
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: it closes the connection", ErrProtocol)
	case errors.Is(err, ErrProtocol):
		return err
	}
	return fmt.Errorf("%w: %w", ErrHost, err)
}

func (t *transport) close() { _ = t.conn.Close() }

// ask sends a request and returns the answer, a success or an error response.
func (t *transport) ask(ctx context.Context, m *stun.Message) (*stun.Message, error) {
	wait := firstWait
	for {
		if _, err := t.conn.Write(m.Raw); err != nil {
			return nil, explain(ctx, err)
		}
		until := time.Now().Add(wait)
		if t.stream {
			until = time.Now().Add(time.Minute) // ctx ends before
		}
		r, err := t.answer(ctx, m.TransactionID, until)
		if err == nil {
			return r, nil
		}
		if e := explain(ctx, err); t.stream || ctx.Err() != nil || !errors.Is(e, ErrNoAnswer) {
			return nil, e
		}
		wait *= 2
	}
}

// answer reads until the answer to a request is there.
func (t *transport) answer(ctx context.Context, id [stun.TransactionIDSize]byte, until time.Time) (*stun.Message, error) {
	for {
		m, err := t.read(ctx, until)
		if err != nil {
			return nil, err
		}
		if m.TransactionID == id && (m.Type.Class == stun.ClassSuccessResponse || m.Type.Class == stun.ClassErrorResponse) {
			return m, nil
		}
		if t.other != nil {
			t.other(m)
		}
	}
}

// read returns the next message. Datagrams that are none are passed over.
func (t *transport) read(ctx context.Context, until time.Time) (*stun.Message, error) {
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	if err := t.conn.SetReadDeadline(until); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 1500)
	for {
		n, err := t.readFrame(buf)
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
		if err := m.Decode(); err == nil {
			return m, nil
		}
		if t.stream {
			return nil, fmt.Errorf("%w: its answer is none", ErrProtocol)
		}
	}
}

func (t *transport) readFrame(buf []byte) (int, error) {
	if !t.stream {
		return t.conn.Read(buf)
	}
	const head = 20
	if _, err := io.ReadFull(t.conn, buf[:head]); err != nil {
		return 0, err
	}
	n := head + int(binary.BigEndian.Uint16(buf[2:4]))
	if n > len(buf) || !stun.IsMessage(buf[:head]) {
		return 0, fmt.Errorf("%w: its answer is none", ErrProtocol)
	}
	_, err := io.ReadFull(t.conn, buf[head:n])
	return n, err
}

// refusal returns the error of an error response, nil for a success.
func refusal(m *stun.Message) error {
	if m.Type.Class == stun.ClassSuccessResponse {
		return nil
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return fmt.Errorf("%w: an error without a code", ErrProtocol)
	}
	reason := string(code.Reason)
	return &Refused{int(code.Code), reason[:min(len(reason), maxReason)]}
}

// attribute is one whose bytes are known.
type attribute struct {
	typ   stun.AttrType
	value []byte
}

// AddTo implements [stun.Setter].
func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.typ, a.value)
	return nil
}

// addrPort reads an address of a message.
func addrPort(m *stun.Message, attr stun.AttrType) (netip.AddrPort, bool) {
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, attr); err != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(x.Port)), ok
}

// mapped reads the address under which the server sees us, also from servers of before RFC 5389.
func mapped(m *stun.Message) (netip.AddrPort, bool) {
	if a, ok := addrPort(m, stun.AttrXORMappedAddress); ok {
		return a, true
	}
	var old stun.MappedAddress
	if err := old.GetFrom(m); err != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(old.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(old.Port)), ok
}
