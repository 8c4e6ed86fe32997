package xmpp

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// staleAfter is how long DNS may take before what it said last is used (RFC 8767 section 5, client response timer).
	staleAfter = 1800 * time.Millisecond
	// staleFor is how old that may be (maximum stale timer).
	staleFor = 3 * 24 * time.Hour
	// maxStale bounds the names that are remembered.
	maxStale = 64
)

// shelf keeps the last answers to questions. The zero value is empty.
type shelf[T any] struct {
	m map[string]saved[T]
}

// saved is an answer: a value, or that there is none.
type saved[T any] struct {
	value T
	none  error // nil: there is a value
	at    time.Time
}

// put keeps an answer. A failure is none, and leaves what there is.
func (s *shelf[T]) put(question string, value T, err error, now time.Time) {
	if err != nil && !isNotFound(err) {
		return
	}
	if s.m == nil {
		s.m = make(map[string]saved[T])
	}
	if _, known := s.m[question]; !known && len(s.m) >= maxStale {
		oldest := ""
		for q, a := range s.m {
			if oldest == "" || a.at.Before(s.m[oldest].at) {
				oldest = q
			}
		}
		delete(s.m, oldest)
	}
	s.m[question] = saved[T]{value, err, now}
}

// get returns what was answered last, if that is not too long ago.
func (s *shelf[T]) get(question string, now time.Time) (saved[T], bool) {
	maps.DeleteFunc(s.m, func(_ string, a saved[T]) bool { return now.Sub(a.at) > staleFor })
	a, ok := s.m[question]
	return a, ok
}

// isNotFound reports that DNS says that there is no such thing, which is an answer (RFC 8767 section 4).
func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// staleDNS is DNS that remembers: while it fails or is slow, what it said last holds (RFC 8767), so that a client whose
// network has no DNS for a while, or not yet, is back all the same. That is safe, as the certificate says whose server it
// is. A question that takes longer is asked to its end, for the next time.
type staleDNS struct {
	service Resolver
	hosts   addressResolver

	ctx    context.Context // of the client's life
	cancel context.CancelFunc
	asks   sync.WaitGroup

	mu    sync.Mutex
	over  bool
	srv   shelf[[]*net.SRV]
	addrs shelf[[]netip.Addr]
}

func newStaleDNS(service Resolver, hosts addressResolver) *staleDNS {
	if hosts == nil {
		hosts = net.DefaultResolver
	}
	d := &staleDNS{service: service, hosts: hosts}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// close ends what is still asked.
func (d *staleDNS) close() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.cancel()
	d.asks.Wait()
}

// LookupSRV implements [Resolver].
func (d *staleDNS) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	srvs, err := ask(ctx, d, &d.srv, service+"."+proto+"."+name, func(ctx context.Context) ([]*net.SRV, error) {
		_, srvs, err := d.service.LookupSRV(ctx, service, proto, name)
		if len(srvs) > 0 {
			err = nil // some of them cannot be read
		}
		return srvs, err
	})
	return "", srvs, err
}

// LookupNetIP implements addressResolver.
func (d *staleDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return ask(ctx, d, &d.addrs, network+" "+host, func(ctx context.Context) ([]netip.Addr, error) {
		return d.hosts.LookupNetIP(ctx, network, host)
	})
}

// LookupNetIP looks up the addresses of a host as the client does for itself: while DNS fails, what it said last holds. It is as
// that of a [net.Resolver].
func (c *Client) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return c.dns.LookupNetIP(ctx, network, host)
}

// ask asks DNS, and what is on the shelf where DNS fails. d.mu guards the shelf.
func ask[T any](ctx context.Context, d *staleDNS, s *shelf[T], question string, look func(context.Context) (T, error)) (T, error) {
	d.mu.Lock()
	old, known := s.get(question, time.Now())
	if !known || d.over {
		d.mu.Unlock()
		v, err := look(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		s.put(question, v, err, time.Now())
		return v, err
	}
	type answer struct {
		value T
		err   error
	}
	fresh := make(chan answer, 1)
	d.asks.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, askFor)
		defer cancel()
		v, err := look(ctx)
		d.mu.Lock()
		s.put(question, v, err, time.Now())
		d.mu.Unlock()
		fresh <- answer{v, err}
	})
	d.mu.Unlock()
	patience := time.NewTimer(staleAfter)
	defer patience.Stop()
	select {
	case a := <-fresh:
		if a.err == nil || isNotFound(a.err) {
			return a.value, a.err
		}
	case <-patience.C:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	return old.value, old.none
}

// askFor is how long a question is asked whose asker does not wait for it any more.
const askFor = 10 * time.Second
