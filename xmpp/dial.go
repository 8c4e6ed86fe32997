package xmpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// target is one way to reach the server.
type target struct {
	addr   string // host:port
	direct bool   // TLS from the first byte
	plain  bool   // no TLS
	method method
	url    *url.URL // of WebSocket and BOSH
	// guess is why the domain itself is tried though it may have SRV records: they could not be looked up. Mostly nil.
	guess error
}

// targets lists the ways to reach the server, the preferred one first.
func (c *Config) targets(ctx context.Context) ([]target, error) {
	if strings.Contains(c.Connect, "://") {
		t, err := webTarget(c.Connect, c.TLS == TLSPlainLoopback)
		return []target{t}, err
	}
	if c.Connect != "" {
		_, port, _ := net.SplitHostPort(c.Connect)
		direct := c.TLS == TLSDirect || c.TLS == TLSAuto && (port == "443" || port == "5223")
		return []target{{addr: c.Connect, direct: direct, plain: c.TLS == TLSPlainLoopback}}, nil
	}
	domain := asciiDomain(c.JID.Domain())
	_, err := netip.ParseAddr(domain)
	if err == nil || domain == "localhost" || strings.HasSuffix(domain, ".localhost") {
		// RFC 6120 section 3.2.3: no SRV records for an address; RFC 6761 section 6.3: none for localhost.
		return c.fallback(domain, nil), nil
	}
	records, refused, failed := c.lookup(ctx, domain)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(records) == 0 && refused {
		return nil, &Error{Kind: ErrHostNotFound, Message: domain + " has no XMPP service for clients, its DNS says",
			Advice: "Check the domain of the account"}
	}
	if len(records) == 0 {
		return c.fallback(domain, failed), nil // RFC 6120 section 3.2.2
	}
	return order(records, rand.IntN), nil
}

func (c *Config) fallback(domain string, guess error) []target {
	if c.TLS == TLSDirect {
		return []target{{addr: net.JoinHostPort(domain, "5223"), direct: true, guess: guess}}
	}
	return []target{{addr: net.JoinHostPort(domain, "5222"), guess: guess}}
}

// explain adds to what went wrong at a target that it was tried for want of better knowledge.
func (t target) explain(err error) error {
	var e *Error
	if t.guess == nil || !errors.As(err, &e) || errors.Is(err, ErrHostNotFound) {
		return err
	}
	guessed := *e
	guessed.guessed = true
	guessed.Advice = fmt.Sprintf("DNS did not say where the server is (%s), so the domain itself was tried", dnsReason(t.guess))
	if e.Advice != "" {
		guessed.Advice += ". " + e.Advice
	}
	return &guessed
}

type srvRecord struct {
	net.SRV
	direct bool
}

// lookup asks for both kinds of SRV records at once. refused reports a record that says "no such service here"
// (RFC 2782: a target of "."). A lookup that fails counts as no records; failed is why, unless there are none.
func (c *Config) lookup(ctx context.Context, domain string) (records []srvRecord, refused bool, failed error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	ask := func(service string, direct bool) {
		_, srvs, err := c.Resolver.LookupSRV(ctx, service, "tcp", domain)
		if err != nil && len(srvs) == 0 {
			c.Logger.Debug("no SRV records", "service", service, "domain", domain, "err", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if dns := (*net.DNSError)(nil); err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
			failed = err
		}
		for _, s := range srvs {
			if s.Target == "." || s.Target == "" {
				refused = true
			} else if s.Port != 0 {
				records = append(records, srvRecord{*s, direct})
			}
		}
	}
	if c.TLS != TLSStart {
		wg.Go(func() { ask("xmpps-client", true) })
	}
	if c.TLS != TLSDirect {
		wg.Go(func() { ask("xmpp-client", false) })
	}
	wg.Wait()
	return records, refused, failed
}

// order sorts records of both kinds as one set (XEP-0368 section 3): by priority, and within one by weighted chance
// (RFC 2782, "Weight").
func order(records []srvRecord, random func(n int) int) []target {
	// Direct TLS before STARTTLS where nothing else decides; weight 0 first, as RFC 2782 has it.
	slices.SortStableFunc(records, func(a, b srvRecord) int {
		if a.Priority != b.Priority {
			return cmp.Compare(a.Priority, b.Priority)
		}
		if (a.Weight == 0) != (b.Weight == 0) {
			return cmp.Compare(a.Weight, b.Weight)
		}
		if a.direct != b.direct && a.direct {
			return -1
		}
		return 0
	})
	var out []target
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Priority == records[0].Priority {
			n++
		}
		group := records[:n:n]
		records = records[n:]
		for len(group) > 0 {
			i := pick(group, random)
			r := group[i]
			host := strings.TrimSuffix(r.Target, ".")
			out = append(out, target{addr: net.JoinHostPort(host, strconv.Itoa(int(r.Port))), direct: r.direct})
			group = slices.Delete(group, i, i+1)
		}
	}
	return out
}

func pick(group []srvRecord, random func(n int) int) int {
	sum := 0
	for _, r := range group {
		sum += int(r.Weight)
	}
	at := random(sum + 1)
	for i, r := range group {
		if at -= int(r.Weight); at <= 0 {
			return i
		}
	}
	return len(group) - 1
}

// dial opens the TCP connection.
func (c *Config) dial(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	raw, err := c.dialThrough(ctx, t)
	if err != nil {
		return nil, c.dialError(err, t.addr)
	}
	if t.plain && !isLoopback(raw.RemoteAddr()) {
		raw.Close()
		return nil, &Error{Kind: ErrTLSRequired, Addr: t.addr, Message: "without TLS only this machine itself may be connected to",
			Advice: "Use --tls starttls or --tls direct"}
	}
	return quickAck(raw), nil
}

func isLoopback(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func (c *Config) dialError(err error, addr string) *Error {
	e := &Error{Kind: ErrUnreachable, Addr: addr, Err: err}
	host, _, _ := net.SplitHostPort(addr)
	var dns *net.DNSError
	var via *proxyError
	switch {
	case errors.As(err, &via):
		e.Message, e.Advice = via.words()
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Kind = ErrHostNotFound
		e.Message = fmt.Sprintf("there is no host called %s", host)
		e.Advice = "Check the domain of the account, or name the server with --connect HOST:PORT"
	case errors.As(err, &dns):
		e.Kind = ErrHostNotFound
		e.Message = fmt.Sprintf("the name %s could not be looked up: %s", host, dnsReason(dns))
		e.Advice = "Check this machine's network and DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message = "the connection was refused"
		e.Advice = "Is the server running, and is this its port?"
	case isTimeout(err):
		e.Message = "no answer to the connection attempt"
		e.Advice = "Check the network and firewalls"
	default:
		e.Message = fmt.Sprintf("no connection: %v", err)
	}
	return e
}

// dnsReason is what went wrong with a lookup, without the question.
func dnsReason(err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return clip(err.Error())
	case dns.IsTimeout:
		return "no answer in time"
	}
	return dns.Err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
