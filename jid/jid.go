// Package jid is the addresses of XMPP entities (RFC 7622), as the rest of the project compares and stores them.
//
// A [JID] is always in normal form: what comes from outside enters by [Parse]. Two JIDs are the same address exactly
// if they are the same string.
package jid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// JID is a normalised address: [local@]domain[/resource]. The zero value is no address.
type JID string

// ErrInvalid is wrapped by every error of [Parse].
var ErrInvalid = errors.New("not a valid XMPP address")

// Parse normalises an address that came from outside (RFC 7622 section 3).
func Parse(s string) (JID, error) {
	local, domain, resource := split(s)
	if strings.Contains(s, "/") && resource == "" {
		return "", fmt.Errorf("%w: %q has an empty resource", ErrInvalid, clip(s))
	}
	if strings.HasPrefix(s, "@") {
		return "", fmt.Errorf("%w: %q has an empty local part", ErrInvalid, clip(s))
	}
	var err error
	if domain, err = normalDomain(domain); err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrInvalid, clip(s), err)
	}
	out := domain
	if local != "" {
		// RFC 7622 section 3.3.1: these are not allowed even where PRECIS has them.
		if strings.ContainsAny(local, "\"&'/:<>@") {
			return "", fmt.Errorf("%w: %q: a character of the local part is not allowed", ErrInvalid, clip(s))
		}
		if local, err = precis.UsernameCaseMapped.String(local); err != nil || len(local) > 1023 {
			return "", fmt.Errorf("%w: %q: bad local part", ErrInvalid, clip(s))
		}
		out = local + "@" + out
	}
	if resource != "" {
		if resource, err = precis.OpaqueString.String(resource); err != nil || len(resource) > 1023 {
			return "", fmt.Errorf("%w: %q: bad resource", ErrInvalid, clip(s))
		}
		out += "/" + resource
	}
	return JID(out), nil
}

// MustParse is [Parse] for constants and tests; it panics on an invalid address.
func MustParse(s string) JID {
	j, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

func normalDomain(d string) (string, error) {
	d = strings.TrimSuffix(d, ".")
	if d == "" {
		return "", errors.New("the domain is empty")
	}
	if strings.HasPrefix(d, ".") || strings.Contains(d, "..") || strings.HasSuffix(d, ".") {
		return "", errors.New("the domain has an empty label")
	}
	if strings.HasPrefix(d, "[") && strings.HasSuffix(d, "]") {
		// RFC 7622 section 3.2: an IP literal of RFC 3986.
		if ip, err := netip.ParseAddr(d[1 : len(d)-1]); err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", errors.New("what stands in brackets is no IPv6 address")
		}
		return strings.ToLower(d), nil
	}
	if strings.ContainsAny(d, "[]@/ \t\r\n<>&\"'") {
		return "", errors.New("a character of the domain is not allowed")
	}
	u, err := idna.Lookup.ToUnicode(strings.ToLower(d))
	if err != nil {
		// Host names of test and private networks have underscores and the like; keep ASCII ones as they are.
		for _, r := range d {
			if r <= ' ' || r > '~' {
				return "", errors.New("bad domain")
			}
		}
		u = strings.ToLower(d)
	}
	u = strings.TrimSuffix(u, ".") // of another script's full stop
	if u == "" || strings.HasPrefix(u, ".") || strings.Contains(u, "..") || strings.HasSuffix(u, ".") {
		return "", errors.New("nothing is left of a label") // of characters that stand for nothing
	}
	if len(u) > 1023 {
		return "", errors.New("the domain is too long")
	}
	return u, nil
}

func split(s string) (local, domain, resource string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		s, resource = s[:i], s[i+1:]
	}
	if i := strings.IndexByte(s, '@'); i >= 0 {
		return s[:i], s[i+1:], resource
	}
	return "", s, resource
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// Local returns the part before the @, or "".
func (j JID) Local() string { l, _, _ := split(string(j)); return l }

// Domain returns the host part.
func (j JID) Domain() string { _, d, _ := split(string(j)); return d }

// Resource returns the part after the slash, or "".
func (j JID) Resource() string { _, _, r := split(string(j)); return r }

// Bare returns the address without its resource.
func (j JID) Bare() JID {
	if i := strings.IndexByte(string(j), '/'); i >= 0 {
		return j[:i]
	}
	return j
}

// IsBare reports whether the address has no resource.
func (j JID) IsBare() bool { return !strings.Contains(string(j), "/") }

// WithResource returns the bare address with another resource, which must be in normal form.
func (j JID) WithResource(r string) JID {
	if r == "" {
		return j.Bare()
	}
	return j.Bare() + "/" + JID(r)
}

func (j JID) String() string { return string(j) }
