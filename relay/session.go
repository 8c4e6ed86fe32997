package relay

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn"
)

// Session is one TURN allocation or one bytestream, for operators. It holds no secret.
type Session struct {
	ID        string           `json:"id"`   // "t" or "s" and a number, unique until the relay restarts
	Kind      string           `json:"kind"` // "turn" or "socks5"
	User      string           `json:"user,omitempty"`
	Client    netip.AddrPort   `json:"client"`            // of a bytestream: the requester
	Peer      netip.AddrPort   `json:"peer,omitzero"`     // of a bytestream: the target
	Relayed   []netip.AddrPort `json:"relayed,omitempty"` // of an allocation
	Transport string           `json:"transport"`
	Started   time.Time        `json:"started"`
	Expires   time.Time        `json:"expires,omitzero"`
	// Up is from the client, down to it. Bytes are payload.
	BytesUp     uint64 `json:"bytes_up"`
	BytesDown   uint64 `json:"bytes_down"`
	PacketsUp   uint64 `json:"packets_up,omitempty"`
	PacketsDown uint64 `json:"packets_down,omitempty"`
	Dropped     uint64 `json:"dropped,omitempty"` // by permissions and rates
	Permissions int    `json:"permissions,omitempty"`
	Channels    int    `json:"channels,omitempty"`
}

func turnSession(i turn.Info) Session {
	u := i.Usage
	return Session{
		ID: "t" + strconv.FormatUint(i.ID, 10), Kind: "turn", User: i.User, Client: i.Client, Relayed: i.Relayed, Transport: i.Transport.String(),
		Started: i.Created, Expires: i.Expires, BytesUp: u.BytesToPeer, BytesDown: u.BytesToClient, PacketsUp: u.PacketsToPeer,
		PacketsDown: u.PacketsToClient, Dropped: u.DroppedPermission + u.DroppedBandwidth, Permissions: i.Permissions, Channels: i.Channels,
	}
}

func socksSession(i socks5.Info) Session {
	return Session{
		ID: "s" + strconv.FormatUint(i.ID, 10), Kind: "socks5", User: i.User, Client: i.Requester, Peer: i.Target, Transport: "tcp",
		Started: i.Created, BytesUp: i.ToTarget, BytesDown: i.ToRequester,
	}
}

// Selector names sessions. Exactly one field is set.
type Selector struct {
	ID      string       `json:"id,omitempty"`
	User    string       `json:"user,omitempty"`
	Address netip.Prefix `json:"address,omitzero"` // of the client, or of a bytestream's target
	All     bool         `json:"all,omitempty"`
}

// ErrSelector says that a Selector names nothing or too much.
var ErrSelector = errors.New("name sessions by id, by user, by address, or all")

func (s Selector) valid() error {
	n := 0
	for _, b := range []bool{s.ID != "", s.User != "", s.Address.IsValid(), s.All} {
		if b {
			n++
		}
	}
	if n != 1 {
		return ErrSelector
	}
	return nil
}

func (s Selector) matches(x Session) bool {
	switch {
	case s.All:
		return true
	case s.ID != "":
		return x.ID == s.ID
	case s.User != "":
		return x.User == s.User
	}
	return s.Address.Contains(x.Client.Addr()) || x.Peer.IsValid() && s.Address.Contains(x.Peer.Addr())
}

// ParseAddress reads an address or a prefix.
func ParseAddress(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Sessions returns a copy of every running session, unordered.
func (r *Relay) Sessions() []Session {
	var out []Session
	for _, i := range r.turn.Sessions() {
		out = append(out, turnSession(i))
	}
	if r.socks5 != nil {
		for _, i := range r.socks5.Sessions() {
			out = append(out, socksSession(i))
		}
	}
	return out
}

// Kick ends the sessions that s names, and says how many.
func (r *Relay) Kick(s Selector) (int, error) {
	if err := s.valid(); err != nil {
		return 0, err
	}
	n := r.turn.Kick(func(i turn.Info) bool { return s.matches(turnSession(i)) })
	if r.socks5 != nil {
		n += r.socks5.Kick(func(i socks5.Info) bool { return s.matches(socksSession(i)) })
	}
	return n, nil
}

// Ban keeps a user or an address out for a time, in the whole fleet, and ends their sessions here.
func (r *Relay) Ban(s Selector, d time.Duration) (int, error) {
	if err := s.valid(); err != nil || s.User == "" && !s.Address.IsValid() {
		return 0, errors.Join(errors.New("a ban needs a user or an address"), err)
	}
	if d <= 0 {
		return 0, errors.New("a ban needs a time")
	}
	if err := r.limits.Ban(limits.Ban{User: s.User, Prefix: s.Address, Until: time.Now().Add(d)}); err != nil {
		return 0, err
	}
	return r.Kick(s)
}

// Unban lets a user or an address in again.
func (r *Relay) Unban(s Selector) error {
	if err := s.valid(); err != nil {
		return err
	}
	r.limits.Unban(limits.Ban{User: s.User, Prefix: s.Address})
	return nil
}

// revoked ends a session that the fleet has no room for.
func (r *Relay) revoked(user string, client netip.AddrPort) {
	n := r.turn.Kick(func(i turn.Info) bool { return i.User == user && i.Client == client })
	if r.socks5 != nil {
		n += r.socks5.Kick(func(i socks5.Info) bool { return i.User == user && i.Requester == client })
	}
	r.log.Info("session ended: the user has too many in the fleet", "ended", n)
}
