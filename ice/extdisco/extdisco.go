// Package extdisco is XEP-0215 (version 1.0.0): asking a server which STUN and TURN servers there are, and for the
// credentials to use them. The payloads stand in IQs.
package extdisco

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0215, which is a disco feature as well.
const NS = "urn:xmpp:extdisco:2"

// maxServices bounds the entries of one answer.
const maxServices = 256

// Service is a <service/>. Host and Type are always there, and name it together with Port.
type Service struct {
	Type string // "stun", "turn", "stuns", "turns" or something else
	Host string // a name or an address, without brackets; see [Service.Valid]
	Port uint16 // 0 if absent, which means the default of the service
	// Transport is "udp" or "tcp", or empty.
	Transport string
	// Name is for people.
	Name               string
	Username, Password string
	// Expires is when the credentials end, zero if they do not or nothing is said.
	Expires time.Time
	// Restricted says that credentials are needed and have to be asked for (section 3.3); nil if absent.
	Restricted *bool
	// Action is "add", "delete" or "modify" in a push; empty means add.
	Action string
	// Extra holds child elements: data forms with more about the service (section 4).
	Extra []*xmltree.Element
}

// Services is a <services/>: a request, an answer or a push (sections 3.1 and 3.2).
type Services struct {
	// Type limits a request to one kind of service, and is repeated in the answer; empty for all.
	Type string
	List []Service
}

// Credentials is a <credentials/>: a request for the credentials of a service, or the answer (section 3.3).
type Credentials struct{ List []Service }

// NeedsCredentials reports whether the service wants credentials that the entry does not have.
func (s *Service) NeedsCredentials() bool {
	return s.Restricted != nil && *s.Restricted && s.Username == ""
}

// Valid reports whether the entry can be used as an ICE server: it is a STUN or TURN service, its host can be one, and it
// has not expired at now.
func (s *Service) Valid(now time.Time) bool {
	switch s.Type {
	case "stun", "stuns", "turn", "turns":
	default:
		return false
	}
	switch s.Transport {
	case "", "udp", "tcp":
	default:
		return false
	}
	if s.Host == "" || len(s.Host) > 255 || !s.Expires.IsZero() && !s.Expires.After(now) {
		return false
	}
	return !strings.ContainsFunc(s.Host, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`/?#@[]<>"'\%&`, r)
	})
}

// URI returns the STUN or TURN URI (RFC 7064, RFC 7065) of an entry that is [Service.Valid].
func (s *Service) URI() string {
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u := s.Type + ":" + host
	if s.Port != 0 {
		u += ":" + strconv.Itoa(int(s.Port))
	}
	// RFC 7064 section 3.1: STUN URIs have no transport.
	if s.Transport != "" && (s.Type == "turn" || s.Type == "turns") {
		u += "?transport=" + s.Transport
	}
	return u
}

// String is the service without its credentials, so that they do not get into logs.
func (s Service) String() string { return s.URI() }

// GoString implements [fmt.GoStringer], for the same reason.
func (s Service) GoString() string { return s.URI() }

// LogValue implements [slog.LogValuer], for the same reason.
func (s Service) LogValue() slog.Value { return slog.StringValue(s.URI()) }

// Element returns the <services/>.
func (s Services) Element() *xmltree.Element {
	e := xmltree.New(NS, "services").SetOpt("type", s.Type)
	for i := range s.List {
		e.Add(s.List[i].element())
	}
	return e
}

// Element returns the <credentials/>.
func (c Credentials) Element() *xmltree.Element {
	e := xmltree.New(NS, "credentials")
	for i := range c.List {
		e.Add(c.List[i].element())
	}
	return e
}

func (s *Service) element() *xmltree.Element {
	e := xmltree.New(NS, "service").SetOpt("action", s.Action)
	if !s.Expires.IsZero() {
		e.Set("expires", s.Expires.UTC().Format(time.RFC3339Nano))
	}
	e.Set("host", s.Host).SetOpt("name", s.Name).SetOpt("password", s.Password)
	if s.Port != 0 {
		e.Set("port", strconv.Itoa(int(s.Port)))
	}
	if s.Restricted != nil {
		e.Set("restricted", strconv.FormatBool(*s.Restricted))
	}
	e.SetOpt("transport", s.Transport).Set("type", s.Type).SetOpt("username", s.Username)
	for _, x := range s.Extra {
		e.Add(x.Clone())
	}
	return e
}

// ParseServices reads a <services/>. Entries that make no sense are left out: the others are as good without them.
func ParseServices(e *xmltree.Element) (Services, error) {
	if !e.Is(NS, "services") {
		return Services{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <services/> of " + NS}
	}
	list, err := parseList(e)
	return Services{Type: e.Attr("type"), List: list}, err
}

// ParseCredentials reads a <credentials/>, as [ParseServices] does.
func ParseCredentials(e *xmltree.Element) (Credentials, error) {
	if !e.Is(NS, "credentials") {
		return Credentials{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <credentials/> of " + NS}
	}
	list, err := parseList(e)
	return Credentials{List: list}, err
}

func parseList(e *xmltree.Element) ([]Service, error) {
	var out []Service
	for c := range e.Elements() {
		if !c.Is(NS, "service") {
			continue
		}
		if len(out) == maxServices {
			return nil, &xmltree.Error{Element: e.Name.Local, Problem: fmt.Sprintf("has more than %d entries", maxServices)}
		}
		if s, err := ParseService(c); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// ParseService reads a <service/>.
func ParseService(e *xmltree.Element) (Service, error) {
	if !e.Is(NS, "service") {
		return Service{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <service/> of " + NS}
	}
	r := xmltree.Attrs(e)
	s := Service{
		Type: r.Required("type"),
		// An IPv6 address is also read if it is written as in a URI.
		Host: strings.Trim(r.Required("host"), "[] \t\r\n"),
		Port: uint16(r.Uint("port", 0, 65535)), Transport: strings.ToLower(r.String("transport")),
		Name: r.String("name"), Username: r.String("username"), Password: r.String("password"),
		Action: r.OneOf("action", "add", "delete", "modify"),
	}
	if s.Host == "" {
		r.Fail("host", "is empty")
	}
	if r.String("restricted") != "" {
		b := r.Bool("restricted", false)
		s.Restricted = &b
	}
	if v := r.String("expires"); v != "" {
		// A time that cannot be read is no reason to go without the service.
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 {
			s.Expires = t.UTC()
		}
	}
	for c := range e.Elements() {
		s.Extra = append(s.Extra, c)
	}
	return s, r.Err()
}
