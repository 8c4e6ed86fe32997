package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// certificates checks the TLS settings.
func (p *plan) certificates(ps *problems) {
	t := p.cfg.TLS
	needed := false
	for _, l := range p.turn.Listeners {
		needed = needed || l.Transport == transports["tls"] || l.Transport == transports["dtls"]
	}
	switch {
	case t.ACME != nil && (t.Certificate != "" || t.Key != ""):
		ps.say("tls", "certificate and key are given, and acme too")
	case t.ACME != nil:
		if len(t.ACME.Domains) == 0 {
			ps.say("tls.acme.domains", "is missing")
		}
		if !t.ACME.AgreeToTerms {
			ps.say("tls.acme.agree_to_terms", "read the directory's terms of service and set it to true")
		}
		if t.ACME.Root != "" {
			_, err := rootPool(t.ACME.Root)
			ps.add("tls.acme.root", err)
		}
	case t.Certificate != "" || t.Key != "":
		_, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		ps.add("tls", err)
	case needed:
		ps.say("tls", "a tls or dtls listener needs certificate and key, or acme")
	}
}

func rootPool(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// certSource gives the certificate for each handshake.
type certSource struct {
	log  *slog.Logger
	cert atomic.Pointer[tls.Certificate]

	mu        sync.Mutex
	cfg       TLS
	stamp     [2]time.Time // of the files that were read
	acme      *certmagic.Config
	acmeCache *certmagic.Cache
}

func newCertSource(cfg TLS, log *slog.Logger) (*certSource, error) {
	s := &certSource{log: log, cfg: cfg}
	if cfg.ACME == nil && cfg.Certificate == "" {
		return s, nil
	}
	return s, s.load(cfg)
}

// config returns what TLS and DTLS listeners need, or nil if there is no certificate to be had.
func (s *certSource) config() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.ACME == nil && s.cfg.Certificate == "" {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.get}
}

func (s *certSource) get(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	acme := s.acme
	s.mu.Unlock()
	if acme != nil {
		if h.ServerName == "" { // TURN clients dial addresses too
			c := *h
			c.ServerName = s.cfg.ACME.Domains[0]
			return acme.GetCertificate(&c)
		}
		return acme.GetCertificate(h)
	}
	if c := s.cert.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("relay: no certificate")
}

// load reads the files of cfg. If they cannot be read, the old certificate stays.
func (s *certSource) load(cfg TLS) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = cfg
	if cfg.ACME != nil || cfg.Certificate == "" {
		return nil
	}
	stamp := stampOf(cfg)
	c, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return err
	}
	s.cert.Store(&c)
	s.stamp = stamp
	return nil
}

func stampOf(cfg TLS) (out [2]time.Time) {
	for i, f := range []string{cfg.Certificate, cfg.Key} {
		if st, err := os.Stat(f); err == nil {
			out[i] = st.ModTime()
		}
	}
	return out
}

// run keeps the certificate fresh: files are looked at once a minute, so a renewal needs no reload; ACME renews by
// itself.
func (s *certSource) run(ctx context.Context) error {
	s.mu.Lock()
	cfg := s.cfg
	s.mu.Unlock()
	if cfg.ACME != nil {
		if err := s.startACME(ctx, *cfg.ACME); err != nil {
			return err
		}
		<-ctx.Done()
		s.acmeCache.Stop()
		return ctx.Err()
	}
	tick, day := time.NewTicker(time.Minute), time.NewTicker(24*time.Hour)
	defer tick.Stop()
	defer day.Stop()
	s.warn(time.Now())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			s.refresh()
		case now := <-day.C:
			s.warn(now)
		}
	}
}

func (s *certSource) refresh() {
	s.mu.Lock()
	cfg, old := s.cfg, s.stamp
	s.mu.Unlock()
	if cfg.Certificate == "" || stampOf(cfg) == old {
		return
	}
	if err := s.load(cfg); err != nil {
		// A tool that writes one file after the other is met in the middle now and then: the next look will do.
		s.log.Warn("the new certificate cannot be read; the old one stays", "error", err)
		return
	}
	s.log.Info("certificate read again", "file", cfg.Certificate)
	s.warn(time.Now())
}

func (s *certSource) startACME(ctx context.Context, a ACME) error {
	if a.Storage == "" {
		a.Storage = "/var/lib/jingle-relay/acme"
	}
	var magic *certmagic.Config
	logger := zapToSlog(s.log.With("part", "acme"))
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           logger,
	})
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.Storage}, Logger: logger,
	})
	issuer := certmagic.ACMEIssuer{
		CA: a.Directory, Email: a.Email, Agreed: a.AgreeToTerms, AltHTTPPort: a.HTTPPort, AltTLSALPNPort: a.TLSPort,
		Logger: logger,
	}
	if a.Directory == "" {
		issuer.CA = certmagic.LetsEncryptProductionCA
	}
	if a.Root != "" {
		pool, err := rootPool(a.Root)
		if err != nil {
			return err
		}
		issuer.TrustedRoots = pool
	}
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, issuer)}
	s.mu.Lock()
	s.acme, s.acmeCache = magic, cache
	s.mu.Unlock()
	if err := magic.ManageAsync(ctx, a.Domains); err != nil {
		return fmt.Errorf("relay: acme: %w", err)
	}
	return nil
}

// acmeProtocol is the ALPN of TLS-ALPN challenges (RFC 8737).
const acmeProtocol = "acme-tls/1"
