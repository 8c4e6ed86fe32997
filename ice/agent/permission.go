package agent

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// permissions makes asking a TURN server for the permission to send to a peer (RFC 8656 section 9) something that nobody waits
// for. pion waits for it in the midst of checking all paths, which then stand still for a round trip to the server for each relay
// and each address of the peer, and for seconds if the server has gone.
//
// Here the first request for an address goes to the server, and pion is told at once that it has failed. It asks again with the
// next check, and is told by then what the server has said. What pion asks for later, to keep permissions, goes the usual way,
// and does not name addresses that the server refuses: one of them would have it refuse all.
type permissions struct {
	mu    sync.Mutex
	peers map[netip.Addr]*permission
}

type permission struct {
	state   permissionState
	ids     [8][stun.TransactionIDSize]byte // of the last requests
	n       int
	refusal stun.ErrorCode
}

type permissionState uint8

const (
	asked   permissionState = iota
	granted                 // and pion does not know
	refused
	known // pion deals with the server itself
)

// maxPermissions bounds the addresses; beyond it pion waits.
const maxPermissions = 64

// tooEarly is what pion is told while the server has not answered.
const tooEarly stun.ErrorCode = 500

var (
	permissionRequest = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	permissionSuccess = stun.NewType(stun.MethodCreatePermission, stun.ClassSuccessResponse)
	permissionError   = stun.NewType(stun.MethodCreatePermission, stun.ClassErrorResponse)
)

// permissionMessage decodes a message if it is of a type that has to do with permissions.
func permissionMessage(raw []byte, types ...stun.MessageType) (m *stun.Message, ok bool) {
	if len(raw) < 20 || !stun.IsMessage(raw) {
		return nil, false
	}
	typ := stun.MessageType{}
	typ.ReadValue(uint16(raw[0])<<8 | uint16(raw[1]))
	if !slices.Contains(types, typ) {
		return nil, false
	}
	m = &stun.Message{Raw: slices.Clone(raw)}
	return m, m.Decode() == nil
}

// outgoing looks at what is about to be sent to the server: whether to send it, and what pion is to receive as the answer, if
// that is not left to the server.
func (p *permissions) outgoing(raw []byte) (send bool, answer []byte) {
	m, ok := permissionMessage(raw, permissionRequest)
	if !ok {
		return true, nil
	}
	addr, ok := onlyPeer(m)
	if !ok {
		return true, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[addr]
	switch {
	case x == nil && len(p.peers) >= maxPermissions:
		return true, nil
	case x == nil:
		if p.peers == nil {
			p.peers = make(map[netip.Addr]*permission)
		}
		x = &permission{}
		p.peers[addr] = x
	}
	switch x.state {
	case granted:
		x.state = known
		return false, answerTo(m, permissionSuccess, 0)
	case refused:
		return false, answerTo(m, permissionError, x.refusal)
	case known:
		return true, nil
	}
	x.ids[x.n%len(x.ids)] = m.TransactionID
	x.n++
	return true, answerTo(m, permissionError, tooEarly)
}

// incoming looks at what has come from the server: whether pion is to receive it.
func (p *permissions) incoming(raw []byte) (deliver bool) {
	m, ok := permissionMessage(raw, permissionSuccess, permissionError)
	if !ok {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.peers {
		if !slices.Contains(x.ids[:min(x.n, len(x.ids))], m.TransactionID) {
			continue
		}
		if x.state != asked {
			return false // it has been said already
		}
		if m.Type == permissionSuccess {
			x.state = granted
			return false
		}
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(m) // an error without a code is not for ever
		if code.Code == stun.CodeForbidden || code.Code == stun.CodePeerAddrFamilyMismatch {
			x.state, x.refusal = refused, code.Code
		} else {
			x.state = known // e.g. a nonce that is too old: pion has to hear it
		}
		return false
	}
	return true
}

// onlyPeer is the address for which a permission is asked, if it is one.
func onlyPeer(m *stun.Message) (netip.Addr, bool) {
	n := 0
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORPeerAddress {
			n++
		}
	}
	var x stun.XORMappedAddress
	if n != 1 || x.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return netip.Addr{}, false
	}
	a, ok := netip.AddrFromSlice(x.IP)
	return a.Unmap(), ok
}

func answerTo(m *stun.Message, typ stun.MessageType, code stun.ErrorCode) []byte {
	with := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), typ}
	if code != 0 {
		with = append(with, stun.ErrorCodeAttribute{Code: code, Reason: []byte("the permission is asked for")})
	}
	out, err := stun.Build(with...)
	if err != nil {
		return nil // never: the pieces are ours
	}
	return out.Raw
}

// mailbox holds answers for a reader that waits at a socket.
type mailbox struct {
	mu      sync.Mutex
	waiting [][]byte
	// wake has the reader look here, by a deadline for reading; the zero time has it wait again.
	wake func(time.Time) error
}

func (b *mailbox) put(answer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, answer)
	_ = b.wake(time.Unix(1, 0))
}

// take returns an answer, or nil if there is none; then the reader can wait at its socket.
func (b *mailbox) take() (answer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	answer = b.waiting[0]
	if b.waiting = b.waiting[1:]; len(b.waiting) == 0 {
		_ = b.wake(time.Time{})
	}
	return answer
}
