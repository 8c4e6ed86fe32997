package alloc

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 8489 section 14.5 names it
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"github.com/pion/stun/v4"
)

// context is what an answer needs to know of its request. It outlives the packet.
type context struct {
	tuple       FiveTuple
	tid         [stun.TransactionIDSize]byte
	method      stun.Method
	size        int    // of the request, in bytes
	key         []byte // nil while unauthenticated
	sha256      bool   // the request was protected by MESSAGE-INTEGRITY-SHA256
	fingerprint bool
	trusted     bool           // an indication to a client that has an allocation
	via         netip.AddrPort // RFC 5780: answer from there; zero: from where the request came to
	to          netip.AddrPort // RFC 5780 RESPONSE-PORT; zero: the client
}

// reply builds one answer.
type reply struct {
	stun.Message
	ctx *context
}

func (t *Table) reply(c *context, class stun.MessageClass) *reply {
	r := &t.answer
	r.ctx = c
	r.Reset()
	r.Type = stun.NewType(c.method, class)
	r.TransactionID = c.tid
	r.WriteHeader()
	return r
}

func (r *reply) xorAddress(t stun.AttrType, a netip.AddrPort) {
	var v [20]byte
	r.Add(t, v[:putXORAddress(v[:], a, r.TransactionID[:])])
}

func (r *reply) address(t stun.AttrType, a netip.AddrPort) {
	var v [20]byte
	r.Add(t, v[:putAddress(v[:], a)])
}

func (r *reply) uint32(t stun.AttrType, n uint32) {
	var v [4]byte
	binary.BigEndian.PutUint32(v[:], n)
	r.Add(t, v[:])
}

// errorCode adds ERROR-CODE (RFC 8489 section 14.8).
func (r *reply) errorCode(code int) {
	v := make([]byte, 4, 40)
	v[2], v[3] = byte(code/100), byte(code%100)
	if r.ctx.key != nil {
		v = append(v, reason(code)...)
	}
	r.Add(stun.AttrErrorCode, v)
}

// send finishes the answer and queues it.
func (t *Table) send(r *reply) {
	c := r.ctx
	if c.key != nil {
		if t.cfg.Software != "" {
			r.Add(stun.AttrSoftware, []byte(t.cfg.Software))
		}
		// RFC 8489 section 9.2.4: the answer is protected the way its request was.
		if c.sha256 {
			var sum [sha256.Size]byte
			h := hmac.New(sha256.New, c.key)
			integrity(h, r.Raw, len(r.Raw), sha256.Size)
			r.Add(stun.AttrMessageIntegritySHA256, h.Sum(sum[:0]))
		} else {
			var sum [sha1.Size]byte
			h := hmac.New(sha1.New, c.key)
			integrity(h, r.Raw, len(r.Raw), sha1.Size)
			r.Add(stun.AttrMessageIntegrity, h.Sum(sum[:0]))
		}
	}
	if c.fingerprint {
		at := len(r.Raw)
		binary.BigEndian.PutUint16(r.Raw[2:], uint16(at+8-headerSize)) // below 64 KiB
		r.uint32(stun.AttrFingerprint, crc32.ChecksumIEEE(r.Raw[:at])^0x5354554e)
	}
	// No amplification: in sum, unauthenticated answers stay within what their prefix sent plus a small allowance.
	if c.key == nil && !c.trusted && c.tuple.Transport == UDP && !t.budget.spend(t.now, c.tuple.Client.Addr(), c.size, len(r.Raw)) {
		t.Stats.DroppedRate++
		return
	}
	to := c.tuple
	if c.to.IsValid() {
		to.Client = c.to
	}
	t.emit(Effect{Kind: EffectSend, To: to, Via: c.via, Data: t.keep(r.Raw)})
}

// refuse answers with an error code.
func (t *Table) refuse(c *context, code int) {
	t.Stats.ErrorCodes[code]++
	r := t.reply(c, stun.ClassErrorResponse)
	r.errorCode(code)
	t.send(r)
}

// refuseUnknown answers 420 (RFC 8489 section 6.3.1).
func (t *Table) refuseUnknown(c *context, unknown []stun.AttrType) {
	t.Stats.ErrorCodes[codeUnknownAttribute]++
	r := t.reply(c, stun.ClassErrorResponse)
	r.errorCode(codeUnknownAttribute)
	v := make([]byte, 0, 2*maxUnknown)
	for _, a := range unknown {
		v = binary.BigEndian.AppendUint16(v, uint16(a))
	}
	r.Add(stun.AttrUnknownAttributes, v)
	t.send(r)
}
