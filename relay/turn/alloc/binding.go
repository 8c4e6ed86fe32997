package alloc

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// Flags of CHANGE-REQUEST (RFC 5780 section 7.2).
const (
	changeIP   = 0x04
	changePort = 0x02
)

// binding answers a Binding request (RFC 8489 section 6.3.1), with NAT behaviour discovery (RFC 5780 section 6.1)
// where two addresses are configured.
func (t *Table) binding(c *context, m *message) {
	if t.cfg.NoBinding && t.byTuple[c.tuple] == nil {
		t.Stats.DroppedUnknown++
		return
	}
	if len(m.unknown) > 0 {
		t.refuseUnknown(c, m.unknown)
		return
	}
	ip, port, known := t.discovery(c.tuple)
	change, hasChange := m.get(stun.AttrChangeRequest)
	if hasChange && len(change) != 4 {
		t.refuse(c, codeBadRequest)
		return
	}
	// RFC 5780 section 6.1: without two addresses CHANGE-REQUEST is an unknown attribute.
	if hasChange && !known && change[3]&(changeIP|changePort) != 0 {
		t.refuseUnknown(c, []stun.AttrType{stun.AttrChangeRequest})
		return
	}
	from := [2]int{ip, port}
	if hasChange && known {
		if change[3]&changeIP != 0 {
			from[0] = 1 - ip
		}
		if change[3]&changePort != 0 {
			from[1] = 1 - port
		}
		c.via = t.discoveryAddr(from)
	}
	if v, ok := m.get(stun.AttrResponsePort); ok && known {
		// Section 7.5: the answer goes to another port of the same address.
		if len(v) < 2 || binary.BigEndian.Uint16(v) == 0 {
			t.refuse(c, codeBadRequest)
			return
		}
		c.to = netip.AddrPortFrom(c.tuple.Client.Addr(), binary.BigEndian.Uint16(v))
	}
	r := t.reply(c, stun.ClassSuccessResponse)
	r.xorAddress(stun.AttrXORMappedAddress, c.tuple.Client)
	if known {
		// Section 6.1: both forms, so that the client sees devices that rewrite addresses.
		r.address(stun.AttrMappedAddress, c.tuple.Client)
		r.address(stun.AttrResponseOrigin, t.discoveryAddr(from))
		r.address(stun.AttrOtherAddress, t.discoveryAddr([2]int{1 - ip, 1 - port}))
		// Section 7.6: PADDING is answered with padding, here only as far as the answer stays within the request.
		if m.has(stun.AttrPadding) {
			if room := c.size - len(r.Raw) - 4 - 8; room > 0 {
				r.Add(stun.AttrPadding, make([]byte, room&^3))
			}
		}
	}
	t.send(r)
}

// discovery finds which of the four addresses a request came to.
func (t *Table) discovery(ft FiveTuple) (ip, port int, ok bool) {
	d := t.cfg.Discovery
	if d == nil || ft.Transport != UDP {
		return 0, 0, false
	}
	for ip := range 2 {
		for port := range 2 {
			if netip.AddrPortFrom(d.Addrs[ip], d.Ports[port]) == ft.Server {
				return ip, port, true
			}
		}
	}
	return 0, 0, false
}

func (t *Table) discoveryAddr(i [2]int) netip.AddrPort {
	return netip.AddrPortFrom(t.cfg.Discovery.Addrs[i[0]], t.cfg.Discovery.Ports[i[1]])
}
