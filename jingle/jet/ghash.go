package jet

import (
	"crypto/cipher"
	"encoding/binary"
)

// The standard library's GCM takes a whole message at once, and a file is no such thing. Its parts are there: CTR for the
// encryption, and for GHASH the authentication of additional data, which is GHASH with something known around it. So the
// file is hashed in chunks at the speed of the processor's instructions, and the chunks are put together here, with a
// few multiplications in GF(2^128) each.

// element is an element of GF(2^128) as GCM has it (NIST SP 800-38D section 6.3): the first bit is the highest of hi.
type element struct{ hi, lo uint64 }

func load(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (x element) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], x.hi)
	binary.BigEndian.PutUint64(b[8:], x.lo)
	return b
}

func (x element) xor(y element) element { return element{x.hi ^ y.hi, x.lo ^ y.lo} }

// mul multiplies, in constant time (SP 800-38D section 6.3).
func (x element) mul(y element) element {
	var z element
	for i := range 128 {
		word := x.hi
		if i >= 64 {
			word = x.lo
		}
		mask := -(word >> (63 - i%64) & 1)
		z.hi ^= y.hi & mask
		z.lo ^= y.lo & mask
		carry := -(y.lo & 1)
		y.lo = y.lo>>1 | y.hi<<63
		y.hi = y.hi>>1 ^ carry&(0xe1<<56)
	}
	return z
}

// one is the neutral element of mul.
func one() element { return element{hi: 1 << 63} }

// pow returns x to the n-th. n is no secret.
func (x element) pow(n uint64) element {
	out := one()
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			out = out.mul(x)
		}
		x = x.mul(x)
	}
	return out
}

// inverse returns 1/x: x to the power of 2^128-2.
func (x element) inverse() element {
	out := one()
	for range 127 {
		x = x.mul(x)
		out = out.mul(x)
	}
	return out
}

// chunk is how many bytes are hashed at once.
const chunk = 64 << 10

// ghash computes GHASH over a stream (SP 800-38D section 6.4), without the block of lengths.
type ghash struct {
	aead    cipher.AEAD
	mask    element // what the nonce below adds to every tag
	h       element
	inverse element // of h
	full    element // h to the power of the blocks in a chunk
	sum     element
	tail    [16]byte
	n       int // bytes in tail
	tag     []byte
}

func newGHASH(block cipher.Block) (*ghash, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	g := &ghash{aead: aead, tag: make([]byte, 0, 16)}
	var b [16]byte
	block.Encrypt(b[:], b[:])
	g.h = load(b[:])
	g.inverse, g.full = g.h.inverse(), g.h.pow(chunk/16)
	// The tag of nothing: GHASH of nothing is 0, and so is its length.
	g.mask = load(aead.Seal(g.tag, g.nonce(), nil, nil))
	return g, nil
}

// nonce is for tags that never leave this type.
func (*ghash) nonce() []byte { return make([]byte, 12) }

// blocks hashes whole blocks, at most a chunk.
func (g *ghash) blocks(p []byte) {
	tag := load(g.aead.Seal(g.tag, g.nonce(), nil, p))
	// Hence the tag: GHASH of the data and the length block, times h, masked.
	sum := tag.xor(g.mask).mul(g.inverse).xor(element{hi: uint64(len(p)) * 8})
	power := g.full
	if len(p) != chunk {
		power = g.h.pow(uint64(len(p) / 16))
	}
	g.sum = g.sum.mul(power).xor(sum)
}

func (g *ghash) write(p []byte) {
	if g.n > 0 {
		m := copy(g.tail[g.n:], p)
		g.n += m
		p = p[m:]
		if g.n < 16 {
			return
		}
		g.blocks(g.tail[:])
		g.n = 0
	}
	for len(p) >= 16 {
		m := min(len(p)&^15, chunk)
		g.blocks(p[:m])
		p = p[m:]
	}
	g.n = copy(g.tail[:], p)
}

// finish returns GHASH with the block of lengths: no additional data, size bytes of text.
func (g *ghash) finish(size uint64) element {
	if g.n > 0 {
		clear(g.tail[g.n:])
		g.blocks(g.tail[:])
		g.n = 0
	}
	return g.sum.xor(element{lo: size * 8}).mul(g.h)
}
