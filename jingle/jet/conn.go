package jet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// TagSize is how many bytes a stream has more than what it carries.
const TagSize = 16

// MaxSize is the largest stream, in bytes, that one key may be used for (NIST SP 800-38D section 5.2.1.1).
const MaxSize = 1<<36 - 32

const ivSize = 12

// Errors of a stream.
var (
	// ErrForged says that the stream is not what the one with the key has sent. What was read of it must be thrown away.
	ErrForged = errors.New("the encrypted stream was changed on its way")
	// ErrSecret says that a transport secret does not fit its cipher.
	ErrSecret = errors.New("the transport secret does not fit the cipher")
)

// Envelope brings a transport secret to a peer and to nobody else (XEP-0391 section 3): an end-to-end encryption that
// both have established.
type Envelope interface {
	// Type is the namespace that <security/> names.
	Type() string
	// Seal encrypts a secret to a peer.
	Seal(peer jid.JID, secret []byte) ([]*xmltree.Element, error)
	// Open decrypts what a peer has sealed. If it cannot, the content is refused, never taken in the clear.
	Open(peer jid.JID, envelope []*xmltree.Element) ([]byte, error)
}

// Secret is a transport secret (XEP-0391 section 3): a key and an initialization vector for one stream.
type Secret struct {
	Cipher  Cipher
	key, iv []byte
}

// NewSecret makes a fresh secret.
func NewSecret(c Cipher) (Secret, error) {
	b := make([]byte, c.keySize()+ivSize)
	_, _ = rand.Read(b) // never fails
	return ParseSecret(c, b)
}

// ParseSecret reads a key with the initialization vector behind it.
func ParseSecret(c Cipher, b []byte) (Secret, error) {
	n := c.keySize()
	if n == 0 || len(b) != n+ivSize {
		return Secret{}, fmt.Errorf("%w: %d bytes for %.80q", ErrSecret, len(b), c)
	}
	return Secret{c, b[:n:n], b[n:]}, nil
}

// Bytes returns the key with the initialization vector behind it.
func (s Secret) Bytes() []byte { return append(append([]byte{}, s.key...), s.iv...) }

// String hides the secret from logs.
func (s Secret) String() string { return "secret for " + string(s.Cipher) }

// GoString is [Secret.String].
func (s Secret) GoString() string { return s.String() }

func (c Cipher) keySize() int {
	switch c {
	case AES128GCM:
		return 16
	case AES256GCM:
		return 32
	}
	return 0
}

// Open opens the envelope of a <security/> with the first of the envelopes that knows its type.
func (s Security) Open(peer jid.JID, envelopes ...Envelope) (Secret, error) {
	c, ok := s.Known()
	if !ok {
		return Secret{}, fmt.Errorf("the cipher %.80q is not known", s.Cipher)
	}
	for _, e := range envelopes {
		if e.Type() == s.Type {
			b, err := e.Open(peer, s.Envelope)
			if err != nil {
				return Secret{}, fmt.Errorf("open the envelope: %w", err)
			}
			return ParseSecret(c, b)
		}
	}
	return Secret{}, fmt.Errorf("there is no envelope of the kind %.80q here", s.Type)
}

// Conn is a stream that is encrypted as a whole: one message of GCM, its tag at the end (XEP-0391 section 5). It
// carries one file in one direction. Read and Write may be called from one goroutine each.
type Conn struct {
	conn io.ReadWriteCloser
	size int64
	out  *half
	in   *half
	buf  []byte
	err  error // of reading
}

// half is one direction.
type half struct {
	stream cipher.Stream
	hash   *ghash
	mask   element // that the tag is encrypted with
	done   int64
}

// NewConn returns a stream over conn that carries size bytes and takes TagSize more. It closes conn in the end. A secret
// must be used for one file in one direction only. An empty file is not written at all, and has no tag.
func NewConn(conn io.ReadWriteCloser, s Secret, size int64) (*Conn, error) {
	if size < 0 || size > MaxSize {
		return nil, fmt.Errorf("a stream of %d bytes cannot be encrypted with one key", size)
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	c := &Conn{conn: conn, size: size}
	for _, h := range []**half{&c.out, &c.in} {
		// SP 800-38D section 7.1: the block 1 encrypts the tag, 2 and what follows the text.
		var counter, mask [aes.BlockSize]byte
		copy(counter[:], s.iv)
		counter[15] = 1
		block.Encrypt(mask[:], counter[:])
		counter[15] = 2
		hash, err := newGHASH(block)
		if err != nil {
			return nil, err
		}
		*h = &half{stream: cipher.NewCTR(block, counter[:]), hash: hash, mask: load(mask[:])}
	}
	return c, nil
}

func (h *half) tag(size int64) [TagSize]byte { return h.hash.finish(uint64(size)).xor(h.mask).bytes() }

// Write implements [io.Writer]. The tag leaves with the last byte.
func (c *Conn) Write(p []byte) (int, error) {
	if int64(len(p)) > c.size-c.out.done {
		return 0, fmt.Errorf("jet: more than the announced %d bytes", c.size)
	}
	if c.buf == nil {
		c.buf = make([]byte, 0, 4*chunk+TagSize)
	}
	written := 0
	for written < len(p) {
		text := p[written:min(len(p), written+4*chunk)]
		b := c.buf[:len(text)]
		c.out.stream.XORKeyStream(b, text)
		c.out.hash.write(b)
		c.out.done += int64(len(text))
		if c.out.done == c.size {
			tag := c.out.tag(c.size)
			b = append(b, tag[:]...)
		}
		if _, err := c.conn.Write(b); err != nil {
			return written, err
		}
		written += len(text)
	}
	return written, nil
}

// Read implements [io.Reader]. The last bytes are returned only if the whole stream is authentic; if it is not, the
// error is [ErrForged] and all that was read before is worthless. At the end it is [io.EOF].
func (c *Conn) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.in.done == c.size {
		return 0, io.EOF
	}
	n, err := c.conn.Read(p[:min(int64(len(p)), c.size-c.in.done)])
	p = p[:n]
	c.in.hash.write(p)
	c.in.done += int64(n)
	if c.in.done == c.size {
		var got [TagSize]byte
		if _, err = io.ReadFull(c.conn, got[:]); err == nil {
			want := c.in.tag(c.size)
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				err = ErrForged
			}
		}
		if err != nil {
			clear(p)
			c.err = err
			return 0, err
		}
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.in.stream.XORKeyStream(p, p)
	c.err = err
	return n, err
}

// Unsent returns how many bytes the connection below has not sent, as far as it tells.
func (c *Conn) Unsent() int {
	if q, ok := c.conn.(interface{ Unsent() int }); ok {
		return q.Unsent()
	}
	return 0
}

// Close implements [io.Closer].
func (c *Conn) Close() error { return c.conn.Close() }
