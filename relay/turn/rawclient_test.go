package turn

import (
	"crypto/md5"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// rawClient sends what it is told and shows every answer.
type rawClient struct {
	t     testing.TB
	conn  net.Conn
	nonce []byte
	buf   []byte
	n     int
}

func rawUDP(t testing.TB, to netip.AddrPort) *rawClient { return rawDial(t, "udp", to) }

func rawDial(t testing.TB, network string, to netip.AddrPort) *rawClient {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return rawOver(t, c)
}

func rawOver(t testing.TB, c net.Conn) *rawClient {
	return &rawClient{t: t, conn: c, buf: make([]byte, 1<<17)}
}

// next reads one message or frame.
func (c *rawClient) next() ([]byte, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		if k, err := alloc.Frame(c.buf[:c.n]); err != nil {
			return nil, err
		} else if k > 0 {
			out := append([]byte(nil), c.buf[:k]...)
			c.n = copy(c.buf, c.buf[k:c.n])
			return out, nil
		}
		k, err := c.conn.Read(c.buf[c.n:])
		if err != nil {
			return nil, err
		}
		if c.conn.LocalAddr().Network() == "udp" {
			return append([]byte(nil), c.buf[:k]...), nil
		}
		c.n += k
	}
}

type attribute struct {
	t stun.AttrType
	v []byte
}

func xorPeer(a netip.AddrPort, tid [12]byte) []byte {
	m := stun.New()
	m.TransactionID = tid
	m.WriteHeader()
	_ = stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
	v, _ := m.Get(stun.AttrXORPeerAddress)
	return v
}

// build makes a request; the transaction id is fixed by the caller so that peer addresses can be encoded.
func (c *rawClient) build(method stun.Method, tid [12]byte, attrs ...attribute) []byte {
	m := stun.New()
	m.Type = stun.NewType(method, stun.ClassRequest)
	m.TransactionID = tid
	m.WriteHeader()
	for _, a := range attrs {
		m.Add(a.t, a.v)
	}
	if c.nonce != nil {
		m.Add(stun.AttrUsername, []byte("user"))
		m.Add(stun.AttrRealm, []byte(testRealm))
		m.Add(stun.AttrNonce, c.nonce)
		key := md5.Sum([]byte("user:" + testRealm + ":secret"))
		if err := stun.MessageIntegrity(key[:]).AddTo(m); err != nil {
			c.t.Fatal(err)
		}
	}
	return m.Raw
}

// try sends a request and returns the answer; indications and data before it are skipped.
func (c *rawClient) try(method stun.Method, tid [12]byte, attrs ...attribute) (*stun.Message, error) {
	c.t.Helper()
	if _, err := c.conn.Write(c.build(method, tid, attrs...)); err != nil {
		return nil, err
	}
	for {
		b, err := c.next()
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: b}
		if m.Decode() == nil && m.Type.Class != stun.ClassIndication && m.TransactionID == tid {
			return m, nil
		}
	}
}

// do makes an authenticated request and returns the answer with its error code, 0 for success.
func (c *rawClient) do(method stun.Method, attrs ...attribute) (*stun.Message, int) {
	c.t.Helper()
	return c.doAs(stun.NewTransactionID(), method, attrs...)
}

func (c *rawClient) doAs(tid [12]byte, method stun.Method, attrs ...attribute) (*stun.Message, int) {
	c.t.Helper()
	for range 3 {
		m, err := c.try(method, tid, attrs...)
		if err != nil {
			c.t.Fatalf("%v: %v", method, err)
		}
		var code stun.ErrorCodeAttribute
		if code.GetFrom(m) != nil {
			return m, 0
		}
		if code.Code != 401 && code.Code != 438 || c.nonce != nil && code.Code == 401 {
			return m, int(code.Code)
		}
		c.nonce, err = m.Get(stun.AttrNonce)
		if err != nil {
			c.t.Fatal("challenge without nonce")
		}
	}
	c.t.Fatal("challenged three times")
	return nil, 0
}

var udpTransport = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

// allocate returns the relayed address.
func (c *rawClient) allocate(attrs ...attribute) netip.AddrPort {
	c.t.Helper()
	m, code := c.do(stun.MethodAllocate, append([]attribute{udpTransport}, attrs...)...)
	if code != 0 {
		c.t.Fatalf("allocate: %d", code)
	}
	return relayed(c.t, m)
}

func relayed(t testing.TB, m *stun.Message) netip.AddrPort {
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
}

// bind binds a channel and returns the error code.
func (c *rawClient) bind(number uint16, peer netip.AddrPort) int {
	c.t.Helper()
	tid := stun.NewTransactionID()
	_, code := c.doAs(tid, stun.MethodChannelBind, attribute{stun.AttrChannelNumber, []byte{byte(number >> 8), byte(number), 0, 0}},
		attribute{stun.AttrXORPeerAddress, xorPeer(peer, tid)})
	return code
}

func channelData(number uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&3)...)
}
