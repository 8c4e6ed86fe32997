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

// Context is what an envelope is bound to: it opens for nothing else, so that nobody can take one from another offer.
type Context struct {
	Cipher Cipher
	// SID and Content name the content in its session.
	SID, Content string
	// Initiator seals and Responder opens; both are full addresses.
	Initiator, Responder jid.JID
	// Subject is a digest of what is offered, nil if that is not bound.
	Subject []byte
}

// Envelope brings a transport secret to a peer and to nobody else (XEP-0391 section 3): an end-to-end encryption that
// both have established.
type Envelope interface {
	// Type is the namespace that <security/> names.
	Type() string
	// Seal encrypts a secret to the responder.
	Seal(c Context, secret []byte) ([]*xmltree.Element, error)
	// Open decrypts what the initiator has sealed, and says as whom it has shown itself: that must be the initiator
	// (section 7). If it cannot, the content is refused, never taken in the clear.
	Open(c Context, envelope []*xmltree.Element) (secret []byte, identity string, err error)
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

// Seal makes a <security/> with a fresh secret. The context's cipher may be empty: then it is AES-256.
func Seal(e Envelope, c Context) (Security, Secret, error) {
	if c.Cipher == "" {
		c.Cipher = AES256GCM
	}
	secret, err := NewSecret(c.Cipher)
	if err != nil {
		return Security{}, Secret{}, err
	}
	envelope, err := e.Seal(c, secret.Bytes())
	if err != nil {
		return Security{}, Secret{}, err
	}
	return Security{Name: c.Content, Cipher: string(c.Cipher), Type: e.Type(), Envelope: envelope}, secret, nil
}

// Open opens the envelope of a <security/> with the first of the envelopes that knows its type. The context's cipher is
// taken from the <security/>.
func (s Security) Open(c Context, envelopes ...Envelope) (secret Secret, identity string, err error) {
	var ok bool
	if c.Cipher, ok = s.Known(); !ok {
		return Secret{}, "", fmt.Errorf("the cipher %.80q is not known", s.Cipher)
	}
	for _, e := range envelopes {
		if e.Type() == s.Type {
			b, identity, err := e.Open(c, s.Envelope)
			if err != nil {
				return Secret{}, "", err
			}
			secret, err = ParseSecret(c.Cipher, b)
			return secret, identity, err
		}
	}
	return Secret{}, "", fmt.Errorf("there is no envelope of the kind %.80q here", s.Type)
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
// must be used for one file in one direction only. Of an empty file there is nothing but the tag, which [Conn.Finish]
// writes and [Conn.Check] reads.
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
		if err = c.checkTag(); err != nil {
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

// checkTag reads the tag, which follows the last byte.
func (c *Conn) checkTag() error {
	var got [TagSize]byte
	if _, err := io.ReadFull(c.conn, got[:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	want := c.in.tag(c.size)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return ErrForged
	}
	return nil
}

// Finish ends what is written. It returns an error if that is less than was announced.
func (c *Conn) Finish() error {
	if c.out.done < c.size {
		return fmt.Errorf("jet: %d of the announced %d bytes were written", c.out.done, c.size)
	}
	if c.size > 0 {
		return nil // the tag has left with the last byte
	}
	tag := c.out.tag(0)
	_, err := c.conn.Write(tag[:])
	return err
}

// Check ends what is read: it returns nil only if the whole stream was read and is authentic.
func (c *Conn) Check() error {
	switch {
	case c.err != nil && !errors.Is(c.err, io.EOF):
		return c.err
	case c.in.done < c.size:
		return io.ErrUnexpectedEOF
	case c.size > 0:
		return nil // the tag came with the last byte
	}
	return c.checkTag()
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
