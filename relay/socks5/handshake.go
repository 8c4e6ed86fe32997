package socks5

import (
	"crypto/sha1" // #nosec G505 -- XEP-0065 section 5.3.2; it is an identifier (section 11.4)
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Key identifies a stream: SHA1(stream id + requester + target) (XEP-0065 section 5.3.2).
type Key [sha1.Size]byte

// NewKey computes a stream's key. The addresses are in normal form, and those of the stanzas that the parties
// exchanged: full or bare.
func NewKey(sid, requester, target string) Key {
	return sha1.Sum([]byte(sid + requester + target)) // #nosec G401
}

// String gives the 40 hexadecimal digits that stand in DST.ADDR.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// RFC 1928 sections 3 to 6.
const (
	version      = 5
	noAuth       = 0x00
	noMethod     = 0xff
	cmdConnect   = 1
	atypDomain   = 3
	replyOK      = 0
	replyRefused = 2 // connection not allowed by ruleset
	replyCommand = 7 // command not supported
	replyAddress = 8 // address type not supported
)

// errHandshake is wrapped by every error that the peer caused.
var errHandshake = errors.New("socks5: bad handshake")

// request is a CONNECT as it was read.
type request struct {
	key    Key
	domain []byte // DST.ADDR as it was written, to be echoed
	port   [2]byte
	size   uint64 // of all that was read
}

// readRequest reads greeting and request, byte by byte exact: what follows belongs to the stream. It answers itself
// where the answer is no.
func readRequest(rw io.ReadWriter) (request, error) {
	var req request
	var b [262]byte
	if _, err := io.ReadFull(rw, b[:2]); err != nil {
		return req, fmt.Errorf("%w: %w", errHandshake, err)
	}
	if b[0] != version || b[1] == 0 {
		return req, fmt.Errorf("%w: version %d, %d methods", errHandshake, b[0], b[1])
	}
	methods := b[2 : 2+int(b[1])]
	if _, err := io.ReadFull(rw, methods); err != nil {
		return req, fmt.Errorf("%w: %w", errHandshake, err)
	}
	choice := byte(noMethod)
	for _, m := range methods {
		if m == noAuth {
			choice = noAuth
		}
	}
	if _, err := rw.Write([]byte{version, choice}); err != nil {
		return req, err
	}
	if choice == noMethod { // RFC 1928 section 3: the client must close
		return req, fmt.Errorf("%w: no method without authentication", errHandshake)
	}
	if _, err := io.ReadFull(rw, b[:4]); err != nil {
		return req, fmt.Errorf("%w: %w", errHandshake, err)
	}
	switch {
	case b[0] != version:
		return req, fmt.Errorf("%w: version %d in the request", errHandshake, b[0])
	case b[1] != cmdConnect: // UDP ASSOCIATE (XEP-0065 section 8) is optional and not offered
		return req, refuse(rw, replyCommand)
	case b[3] != atypDomain: // section 10.2
		return req, refuse(rw, replyAddress)
	}
	if _, err := io.ReadFull(rw, b[:1]); err != nil {
		return req, fmt.Errorf("%w: %w", errHandshake, err)
	}
	n := int(b[0])
	if _, err := io.ReadFull(rw, b[:n+2]); err != nil {
		return req, fmt.Errorf("%w: %w", errHandshake, err)
	}
	if n != hex.EncodedLen(len(req.key)) {
		return req, refuse(rw, replyRefused)
	}
	if _, err := hex.Decode(req.key[:], b[:n]); err != nil {
		return req, refuse(rw, replyRefused)
	}
	req.domain = append([]byte(nil), b[:n]...)
	req.size = uint64(2 + len(methods) + 5 + n + 2)
	copy(req.port[:], b[n:n+2]) // section 10.1: DST.PORT may be ignored
	return req, nil
}

func refuse(w io.Writer, code byte) error {
	if _, err := w.Write([]byte{version, code, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	return fmt.Errorf("%w: refused with code %d", errHandshake, code)
}

// reply answers a request. BND.ADDR and BND.PORT are what the client sent (XEP-0065 sections 5.3.2 and 6.3.2).
func (r *request) reply(code byte) []byte {
	out := append(make([]byte, 0, 7+len(r.domain)), version, code, 0, atypDomain, byte(len(r.domain)))
	out = append(out, r.domain...)
	return append(out, r.port[:]...)
}
