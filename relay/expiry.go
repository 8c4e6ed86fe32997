package relay

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"
)

// expiryNotice is how long before its end a certificate is worth a word: tools that renew them do so a month before.
const expiryNotice = 14 * 24 * time.Hour

// expiry says what is wrong with the time of a certificate, or "". Clients refuse one out of its time, whatever else is right.
func expiry(c *tls.Certificate, now time.Time) string {
	if c.Leaf == nil {
		return ""
	}
	const day = "2006-01-02"
	switch from, to := c.Leaf.NotBefore, c.Leaf.NotAfter; {
	case now.After(to):
		return fmt.Sprintf("has expired on %s: clients refuse it", to.UTC().Format(day))
	case now.Before(from):
		return fmt.Sprintf("is not valid before %s: clients refuse it", from.UTC().Format(time.RFC3339))
	case to.Sub(now) < expiryNotice:
		return fmt.Sprintf("expires on %s", to.UTC().Format(day))
	}
	return ""
}

// warn writes what is wrong with the time of the certificate into the log.
func (s *certSource) warn(now time.Time) {
	if c := s.cert.Load(); c != nil {
		if text := expiry(c, now); text != "" {
			s.mu.Lock()
			file := s.cfg.Certificate
			s.mu.Unlock()
			s.log.Warn("the certificate "+text, "file", file)
		}
	}
}

// notAfter is when the certificate of the files expires; zero if there is none.
func (s *certSource) notAfter() time.Time {
	if c := s.cert.Load(); c != nil && c.Leaf != nil {
		return c.Leaf.NotAfter
	}
	return time.Time{}
}

// exposed reports whether everybody on this machine can read a file.
func exposed(path string) bool {
	st, err := os.Stat(path)
	return path != "" && err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o004 != 0
}
