package xmpp

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// named returns where the server wants us to connect next, at most one place. It stands before all that is found otherwise.
func (c *Client) named() []target {
	t := c.redirect
	c.redirect = target{}
	if t.addr == "" {
		if l := c.suspended(); l != nil {
			t, _ = l.via.elsewhere(l.secure, l.out.sm.Location()) // XEP-0198 section 5
		}
	}
	if t.addr == "" {
		return nil
	}
	return []target{t}
}

// elsewhere reads where the server at a target sends us. Only one that TLS has proven may do that, and only to where there is
// TLS too. To WebSocket and BOSH it says a URL, else a host.
func (t target) elsewhere(proven bool, text string) (target, bool) {
	switch {
	case !proven:
		return target{}, false
	case t.method != overTCP:
		there, err := webTarget(text, false)
		return there, err == nil
	}
	port := "5222"
	if t.direct {
		port = "5223"
	}
	addr, ok := hostPort(text, port)
	return target{addr: addr, direct: t.direct}, ok
}

// maxRedirects bounds how often one login is sent elsewhere.
const maxRedirects = 4

// follow returns where a failed login is to be tried instead, if the server says so.
func (l *login) follow(t target, err error) (target, bool) {
	se := streamError(err)
	if se == nil || se.Host == "" {
		return target{}, false
	}
	return t.elsewhere(l.private, se.Host)
}

// hostPort reads a host, perhaps with a port, as in RFC 6120 section 4.9.3.19, where an IPv6 address is in brackets.
func hostPort(text, port string) (addr string, ok bool) {
	host := text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = asciiDomain(host) // which takes the brackets off, too
	_, err := netip.ParseAddr(host)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil && !isHostName(host) || bad != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

func isHostName(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
}
