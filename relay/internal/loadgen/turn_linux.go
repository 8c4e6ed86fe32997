package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v4"
)

// Where a client is on the way to its channel.
type stage uint8

const (
	asked    stage = iota // Allocate without credentials
	proved                // Allocate with credentials
	made                  // has a relayed address
	bound                 // ChannelBind sent
	ready                 // has a channel
	stageTag = "jldg"
)

// channel is the number that every client binds to its peer.
const channel = 0x4000

type client struct {
	at    stage
	asks  uint8 // requests so far: a new one has a new transaction, sending again has not
	tries uint8
	sent  uint64 // nanoseconds
	nonce stun.Nonce
	relay netip.AddrPort
}

// credential makes messages with integrity. The realm is learned.
type credential struct {
	user, password string
	realm          stun.Realm
	key            stun.MessageIntegrity
}

func (c *credential) learn(realm stun.Realm) {
	if string(realm) != string(c.realm) {
		c.realm = append(stun.Realm(nil), realm...)
		c.key = stun.NewLongTermIntegrity(c.user, string(realm), c.password)
	}
}

// transaction is the id of client i's request: its number and stage come back with the answer.
func transaction(i int, s stage, ask uint8) (id [12]byte) {
	copy(id[:], stageTag)
	binary.BigEndian.PutUint32(id[4:], uint32(i))
	id[8], id[9] = byte(s), ask
	return id
}

// request writes client i's next message.
func (c *credential) request(m *stun.Message, i int, cl *client, peer netip.AddrPort) error {
	m.Reset()
	m.TransactionID = transaction(i, cl.at, cl.asks)
	switch cl.at {
	case asked, proved:
		m.Type = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	case bound:
		m.Type = stun.NewType(stun.MethodChannelBind, stun.ClassRequest)
	default:
		return fmt.Errorf("loadgen: nothing to ask in stage %d", cl.at)
	}
	m.WriteHeader()
	if cl.at == bound {
		m.Add(stun.AttrChannelNumber, []byte{channel >> 8, channel & 0xFF, 0, 0})
		x := stun.XORMappedAddress{IP: peer.Addr().AsSlice(), Port: int(peer.Port())}
		if err := x.AddToAs(m, stun.AttrXORPeerAddress); err != nil {
			return err
		}
	} else {
		m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0})
	}
	if cl.at == asked {
		return nil
	}
	for _, s := range []stun.Setter{stun.NewUsername(c.user), c.realm, cl.nonce, c.key} {
		if err := s.AddTo(m); err != nil {
			return err
		}
	}
	return nil
}

var errRefused = errors.New("loadgen: the server refused")

// answer advances a client by the answer b. It says which client that was; -1: the answer is old.
func (c *credential) answer(m *stun.Message, b []byte, clients []client) (int, error) {
	m.Raw = append(m.Raw[:0], b...)
	if err := m.Decode(); err != nil {
		return -1, fmt.Errorf("loadgen: the server's answer: %w", err)
	}
	id := m.TransactionID
	i := int(binary.BigEndian.Uint32(id[4:]))
	if string(id[:4]) != stageTag || i >= len(clients) || stage(id[8]) != clients[i].at || id[9] != clients[i].asks {
		return -1, nil
	}
	cl := &clients[i]
	cl.asks++
	if m.Type.Class == stun.ClassErrorResponse {
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(m)
		// 401 without credentials is how a nonce is got; 438 brings a fresh one (RFC 8489 section 9.2.5).
		if cl.at == asked && code.Code == stun.CodeUnauthorized || code.Code == stun.CodeStaleNonce {
			var realm stun.Realm
			if err := m.Parse(&realm, &cl.nonce); err != nil {
				return -1, err
			}
			cl.nonce = append(stun.Nonce(nil), cl.nonce...)
			c.learn(realm)
			if cl.at == asked {
				cl.at = proved
			}
			return i, nil
		}
		return -1, fmt.Errorf("%w stage %d with %d %s", errRefused, cl.at, code.Code, code.Reason)
	}
	switch cl.at {
	case proved:
		var x stun.XORMappedAddress
		if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
			return -1, err
		}
		a, _ := netip.AddrFromSlice(x.IP)
		cl.relay = netip.AddrPortFrom(a.Unmap(), uint16(x.Port))
		cl.at = made
	case bound:
		cl.at = ready
	}
	return i, nil
}
