package alloc

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 8489 section 14.5 names it
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"slices"

	"github.com/pion/stun/v4"
)

// Bounds of a message from a client.
const (
	maxAttributes = 64
	maxUsername   = 508 // RFC 8489 section 14.3: fewer than 509 bytes
	maxRealm      = 763 // section 14.9
	maxNonce      = 763 // section 14.10
	maxUnknown    = 8   // listed in UNKNOWN-ATTRIBUTES
	maxControl    = 4096
)

var (
	errMalformed   = errors.New("turn: malformed STUN message")
	errFingerprint = errors.New("turn: FINGERPRINT does not match")
)

// message is a decoded STUN message. It borrows the packet's bytes and is reused from packet to packet.
type message struct {
	stun.Message
	// attrs are the attributes that count: those before the integrity attributes.
	attrs []stun.RawAttribute

	mi, mi256   []byte // values, nil when absent
	miAt        int    // offsets of the attribute headers
	mi256At     int
	fingerprint bool
	unknown     []stun.AttrType
}

// isSTUN says whether b starts like a STUN message: two zero bits and the cookie (RFC 8489 section 5).
func isSTUN(b []byte) bool {
	return len(b) >= headerSize && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// decode reads b, which must hold exactly one message.
func (m *message) decode(b []byte) error {
	if !isSTUN(b) {
		return errMalformed
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	// RFC 8489 section 5: all attributes are padded to 4 bytes, so the last two bits of the length are zero.
	if n%4 != 0 || n+headerSize != len(b) {
		return errMalformed
	}
	m.mi, m.mi256, m.fingerprint = nil, nil, false
	m.unknown = m.unknown[:0]
	// Capped, so that nothing done to Raw reaches the bytes behind it.
	m.Raw = slices.Clip(b)
	if err := m.Decode(); err != nil {
		return errMalformed
	}
	if len(m.Attributes) > maxAttributes {
		return errMalformed
	}
	at, end := headerSize, -1
	for i, a := range m.Attributes {
		switch {
		case a.Type == stun.AttrFingerprint:
			// Section 14.7: FINGERPRINT is the last attribute.
			if i != len(m.Attributes)-1 || len(a.Value) != 4 {
				return errMalformed
			}
			if binary.BigEndian.Uint32(a.Value) != crc32.ChecksumIEEE(b[:at])^0x5354554e {
				return errFingerprint
			}
			m.fingerprint = true
			if end < 0 {
				end = i
			}
		case a.Type == stun.AttrMessageIntegrity && m.mi == nil && m.mi256 == nil:
			if len(a.Value) != sha1.Size {
				return errMalformed
			}
			m.mi, m.miAt, end = a.Value, at, i
		case a.Type == stun.AttrMessageIntegritySHA256 && m.mi256 == nil:
			// Section 14.6: 16 to 32 bytes, a multiple of 4.
			if len(a.Value) < 16 || len(a.Value) > sha256.Size || len(a.Value)%4 != 0 {
				return errMalformed
			}
			m.mi256, m.mi256At = a.Value, at
			if end < 0 {
				end = i
			}
		case end >= 0:
			// Section 14.5: attributes behind MESSAGE-INTEGRITY are ignored, but for the two above.
		case !understood(a.Type):
			if len(m.unknown) < maxUnknown {
				m.unknown = append(m.unknown, a.Type)
			}
		}
		at += 4 + (len(a.Value)+3)&^3
	}
	if end < 0 {
		end = len(m.Attributes)
	}
	m.attrs = m.Attributes[:end]
	return nil
}

// get returns the first attribute of a type among those that count. Later duplicates are ignored
// (RFC 8489 section 14).
func (m *message) get(t stun.AttrType) ([]byte, bool) {
	for i := range m.attrs {
		if m.attrs[i].Type == t {
			return m.attrs[i].Value, true
		}
	}
	return nil, false
}

func (m *message) has(t stun.AttrType) bool {
	_, ok := m.get(t)
	return ok
}

func (m *message) protected() bool { return m.mi != nil || m.mi256 != nil }

// verify checks the message integrity with key (RFC 8489 sections 14.5 and 14.6).
func (m *message) verify(key []byte) bool {
	if m.mi256 != nil {
		return verifyHMAC(hmac.New(sha256.New, key), m.Raw, m.mi256At, m.mi256)
	}
	return verifyHMAC(hmac.New(sha1.New, key), m.Raw, m.miAt, m.mi)
}

func verifyHMAC(h hash.Hash, raw []byte, at int, want []byte) bool {
	var buf [sha256.Size]byte
	integrity(h, raw, at, len(want))
	return hmac.Equal(h.Sum(buf[:0])[:len(want)], want)
}

// integrity feeds h the message up to the integrity attribute at offset at, whose value has size bytes, with
// the length field that ends there.
func integrity(h hash.Hash, raw []byte, at, size int) {
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(at+4+size-headerSize)) // below 64 KiB
	h.Write(raw[:2])
	h.Write(length[:])
	h.Write(raw[4:at])
}
