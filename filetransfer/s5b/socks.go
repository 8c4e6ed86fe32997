package s5b

import (
	"errors"
	"fmt"
	"io"
)

// SOCKS5 as XEP-0065 section 5.3.2 uses it: no authentication, CONNECT, an address that is a hash, port 0.
const (
	socksVersion = 5
	noAuth       = 0
	noMethod     = 0xff
	cmdConnect   = 1
	atypDomain   = 3
	replyOK      = 0
	replyRefused = 2 // not allowed by the ruleset (RFC 1928 section 6)
	replyCommand = 7 // command not supported
	replyAddress = 8 // address type not supported
)

// Errors of the handshake.
var (
	// ErrHandshake is wrapped where the other end does not speak SOCKS5 as XEP-0065 does.
	ErrHandshake = errors.New("bad SOCKS5 handshake")
	// ErrRefused is wrapped where a streamhost does not know the stream.
	ErrRefused = errors.New("the streamhost refused the stream")
)

// connect asks a streamhost for the stream dstaddr. It reads not one byte more than the reply, as data may follow it at
// once. conn should have a deadline.
func connect(conn io.ReadWriter, dstaddr string) error {
	if len(dstaddr) == 0 || len(dstaddr) > 255 {
		return fmt.Errorf("%w: an address of %d bytes", ErrHandshake, len(dstaddr))
	}
	// Every message is one write: some peers read a message with one read.
	if _, err := conn.Write([]byte{socksVersion, 1, noAuth}); err != nil {
		return err
	}
	var b [256 + 2]byte
	if _, err := io.ReadFull(conn, b[:2]); err != nil {
		return err
	}
	if b[0] != socksVersion || b[1] != noAuth {
		return fmt.Errorf("%w: version %d, method %d", ErrHandshake, b[0], b[1])
	}
	req := append([]byte{socksVersion, cmdConnect, 0, atypDomain, byte(len(dstaddr))}, dstaddr...)
	if _, err := conn.Write(append(req, 0, 0)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, b[:4]); err != nil {
		return err
	}
	if b[0] != socksVersion {
		return fmt.Errorf("%w: version %d", ErrHandshake, b[0])
	}
	if b[1] != replyOK {
		return fmt.Errorf("%w: reply %d", ErrRefused, b[1])
	}
	// Whatever address the reply holds, its length has to be known to find the end.
	var n int
	switch b[3] {
	case 1:
		n = 4
	case 4:
		n = 16
	case atypDomain:
		if _, err := io.ReadFull(conn, b[:1]); err != nil {
			return err
		}
		n = int(b[0])
	default:
		return fmt.Errorf("%w: address type %d", ErrHandshake, b[3])
	}
	_, err := io.ReadFull(conn, b[:n+2])
	return err
}

// accept serves one client up to its request and returns the address that it asks for. The request is answered with
// [reply].
func accept(conn io.ReadWriter) (dstaddr string, err error) {
	var b [256 + 2]byte
	if _, err := io.ReadFull(conn, b[:2]); err != nil {
		return "", err
	}
	if b[0] != socksVersion || b[1] == 0 {
		return "", fmt.Errorf("%w: version %d with %d methods", ErrHandshake, b[0], b[1])
	}
	methods := b[:b[1]]
	if _, err := io.ReadFull(conn, methods); err != nil {
		return "", err
	}
	method := byte(noMethod)
	for _, m := range methods {
		if m == noAuth {
			method = noAuth
		}
	}
	if _, err := conn.Write([]byte{socksVersion, method}); err != nil {
		return "", err
	}
	if method == noMethod {
		return "", fmt.Errorf("%w: the client insists on authentication", ErrHandshake)
	}
	if _, err := io.ReadFull(conn, b[:4]); err != nil {
		return "", err
	}
	switch {
	case b[0] != socksVersion:
		return "", fmt.Errorf("%w: version %d", ErrHandshake, b[0])
	case b[1] != cmdConnect:
		_ = reply(conn, replyCommand, "")
		return "", fmt.Errorf("%w: command %d", ErrHandshake, b[1])
	case b[3] != atypDomain:
		_ = reply(conn, replyAddress, "")
		return "", fmt.Errorf("%w: address type %d", ErrHandshake, b[3])
	}
	if _, err := io.ReadFull(conn, b[:1]); err != nil {
		return "", err
	}
	n := int(b[0])
	// The port should be 0; what it is does not matter.
	if _, err := io.ReadFull(conn, b[:n+2]); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// reply answers a request. XEP-0065 section 5.3.2: the address and the port are those of the request.
func reply(conn io.Writer, code byte, dstaddr string) error {
	b := append([]byte{socksVersion, code, 0, atypDomain, byte(len(dstaddr))}, dstaddr...)
	_, err := conn.Write(append(b, 0, 0))
	return err
}
