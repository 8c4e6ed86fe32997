// Package relaynodes is XEP-0278 (version 0.4.1): services that lend a relay or credentials for one, asked for by IQs.
// It is what was used before XEP-0215; the payloads stand in IQs, not in Jingle.
package relaynodes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jingled/jingled/xmltree"
)

// The namespaces of XEP-0278, which are disco features as well.
const (
	NS     = "http://jabber.org/protocol/jinglenodes"
	NSTurn = NS + "#turncredentials"
	// NSChannel is of the service that relays, without STUN or TURN.
	NSChannel = NS + "#channel"
)

// maxServices bounds the entries that one answer holds.
const maxServices = 256

// Kind is what a [Service] is.
type Kind string

// The kinds of services (section 6.2).
const (
	Relay   Kind = "relay"
	Tracker Kind = "tracker"
	Stun    Kind = "stun"
	Turn    Kind = "turn"
)

// Service is an entry of [Services].
type Service struct {
	Kind Kind
	// Policy is "public", or "roster": such a one must not be told to others (section 4.3).
	Policy string
	// Address is the JID to ask, and for STUN the host.
	Address string
	// Port is for STUN, 0 if absent.
	Port uint16
	// Protocol is "udp" or "tcp".
	Protocol string
}

// Services is a <services/>: without entries a request or the answer that there are none (section 6.2).
type Services struct{ Services []Service }

// Element returns the <services/>.
func (s Services) Element() *xmltree.Element {
	e := xmltree.New(NS, "services")
	for _, v := range s.Services {
		e.Add(xmltree.New(NS, string(v.Kind)).SetOpt("policy", v.Policy).Set("address", v.Address).
			SetOpt("port", decimal(uint64(v.Port))).SetOpt("protocol", v.Protocol))
	}
	return e
}

func decimal(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// ParseServices reads a <services/>. Entries that make no sense are left out: the others are as good without them.
func ParseServices(e *xmltree.Element) (Services, error) {
	var s Services
	if !e.Is(NS, "services") {
		return s, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <services/> of " + NS}
	}
	for c := range e.Elements() {
		k := Kind(c.Name.Local)
		if c.Name.Space != NS || !slices.Contains([]Kind{Relay, Tracker, Stun, Turn}, k) {
			continue
		}
		if len(s.Services) == maxServices {
			return s, &xmltree.Error{Element: "services", Problem: fmt.Sprintf("has more than %d entries", maxServices)}
		}
		r := xmltree.Attrs(c)
		v := Service{
			Kind: k, Policy: r.OneOf("policy", "public", "roster"), Address: r.Required("address"),
			Port: uint16(r.Uint("port", 0, 65535)), Protocol: r.OneOf("protocol", "udp", "tcp"),
		}
		if r.Err() == nil {
			s.Services = append(s.Services, v)
		}
	}
	return s, nil
}

// Channel is a <channel/>: a request, where only Protocol is set, or what was lent (section 6.1). Whoever asked for it
// sends to Host and LocalPort, and offers Host and RemotePort as a candidate of type relay; RTCP goes to the port after.
type Channel struct {
	ID                    string
	Component             uint16 // 0 if absent
	Host                  string
	LocalPort, RemotePort uint16
	Protocol              string // "udp" or "tcp"
	MaxKbps               uint32 // kilobits per second, 0 if absent
	Expire                uint32 // seconds without packets after which it is closed, 0 if absent
}

// Element returns the <channel/>.
func (c Channel) Element() *xmltree.Element {
	return xmltree.New(NSChannel, "channel").SetOpt("component", decimal(uint64(c.Component))).
		SetOpt("id", c.ID).SetOpt("host", c.Host).
		SetOpt("localport", decimal(uint64(c.LocalPort))).SetOpt("remoteport", decimal(uint64(c.RemotePort))).
		SetOpt("protocol", c.Protocol).SetOpt("maxkbps", decimal(uint64(c.MaxKbps))).
		SetOpt("expire", decimal(uint64(c.Expire)))
}

// Lent reports whether the channel has what an answer needs.
func (c Channel) Lent() bool { return c.Host != "" && c.LocalPort != 0 && c.RemotePort != 0 }

// ParseChannel reads a <channel/>. The answers in the XEP have lost their namespace, so one in that of the stanza is
// read as well.
func ParseChannel(e *xmltree.Element) (Channel, error) {
	if e.Name.Local != "channel" || !lenient(e.Name.Space, NSChannel) {
		return Channel{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <channel/> of " + NSChannel}
	}
	r := xmltree.Attrs(e)
	c := Channel{
		ID: r.String("id"), Component: uint16(r.Uint("component", 0, 256)), Host: strings.TrimSpace(r.String("host")),
		LocalPort:  uint16(r.Uint("localport", 0, 65535)),
		RemotePort: uint16(r.Uint("remoteport", 0, 65535)),
		Protocol:   r.OneOf("protocol", "udp", "tcp"),
		MaxKbps:    uint32(r.Uint("maxkbps", 0, 1<<31-1)), Expire: uint32(r.Uint("expire", 0, 1<<31-1)),
	}
	return c, r.Err()
}

// TurnCredentials is a <turn/>: a request, where only Protocol is set, or credentials (section 6.3).
type TurnCredentials struct {
	Protocol string // in a request: "udp" or "tcp"
	TTL      uint32 // seconds, 0 if absent
	URI      string // e.g. turn:192.0.2.1:1984?transport=udp
	Username string
	Password string
}

// String is the URI, without the credentials, so that they do not get into logs.
func (t TurnCredentials) String() string { return t.URI }

// GoString implements [fmt.GoStringer], for the same reason.
func (t TurnCredentials) GoString() string { return t.URI }

// Element returns the <turn/>.
func (t TurnCredentials) Element() *xmltree.Element {
	return xmltree.New(NSTurn, "turn").SetOpt("protocol", t.Protocol).SetOpt("ttl", decimal(uint64(t.TTL))).
		SetOpt("uri", t.URI).SetOpt("username", t.Username).SetOpt("password", t.Password)
}

// ParseTurnCredentials reads a <turn/>, also in the namespace of the stanza, as the XEP's answers have it.
func ParseTurnCredentials(e *xmltree.Element) (TurnCredentials, error) {
	if e.Name.Local != "turn" || !lenient(e.Name.Space, NSTurn) {
		return TurnCredentials{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <turn/> of " + NSTurn}
	}
	r := xmltree.Attrs(e)
	t := TurnCredentials{
		Protocol: r.OneOf("protocol", "udp", "tcp"), TTL: uint32(r.Uint("ttl", 0, 1<<31-1)), URI: r.String("uri"),
		Username: r.String("username"), Password: r.String("password"),
	}
	return t, r.Err()
}

func lenient(got, want string) bool { return got == want || got == "jabber:client" || got == "" }
