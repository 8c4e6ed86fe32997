package credentials

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// Sources are the kinds of credential that are accepted. A nil kind is not.
type Sources struct {
	Shared *Shared
	Static *Static
	Tokens *Tokens
	// NoMD5 refuses the MD5 algorithm to clients that could do better. Few can.
	NoMD5 bool
}

// Damper slows guessing down. Implementations do not block.
type Damper interface {
	// Blocked reports whether the source has failed too often.
	Blocked(now time.Time, source netip.Addr) bool
	// Failed counts one wrong password.
	Failed(now time.Time, source netip.Addr)
}

// Authority answers for the relay's users: it is the TURN server's [alloc.Authenticator]. The sources can be replaced
// at any time; what is being checked is finished with the old ones.
type Authority struct {
	sources atomic.Pointer[Sources]
	damper  Damper
}

// NewAuthority returns an Authority. damper may be nil.
func NewAuthority(s Sources, damper Damper) *Authority {
	a := &Authority{damper: damper}
	a.Set(s)
	return a
}

// Set replaces the sources.
func (a *Authority) Set(s Sources) { a.sources.Store(&s) }

// Shared returns the issuer of time-limited credentials, or nil.
func (a *Authority) Shared() *Shared { return a.sources.Load().Shared }

// Authenticate implements [alloc.Authenticator]. A request with a token is checked as one (RFC 7635 section 9), a
// name that begins with a time as time-limited, any other as a static user.
func (a *Authority) Authenticate(r alloc.AuthRequest) (alloc.Credential, error) {
	s := a.sources.Load()
	if a.damper != nil && a.damper.Blocked(r.Now, r.Source.Addr()) {
		return alloc.Credential{}, alloc.ErrBlocked
	}
	if r.AccessToken != nil {
		if s.Tokens == nil {
			return alloc.Credential{}, alloc.ErrUnauthorized
		}
		mac, end, err := s.Tokens.Open(r.Now, r.Username, r.AccessToken)
		if err != nil {
			return alloc.Credential{}, alloc.ErrUnauthorized
		}
		// RFC 7635 section 9: the allocation ends with the token.
		return alloc.Credential{Key: mac, User: r.Username, MaxLifetime: max(end.Sub(r.Now), time.Second)}, nil
	}
	alg := Algorithm(r.Algorithm)
	if alg == 0 {
		alg = MD5
	}
	if alg == MD5 && s.NoMD5 {
		return alloc.Credential{}, alloc.ErrUnauthorized
	}
	if s.Shared != nil {
		if user, _, ok := s.Shared.Check(r.Now, r.Username); ok {
			keys := s.Shared.Keys(r.Now, alg, r.Username, r.Realm)
			if len(keys) == 0 {
				return alloc.Credential{}, alloc.ErrUnauthorized
			}
			if user == "" { // a bare time stamp names nobody: each such credential counts for itself
				user = r.Username
			}
			return alloc.Credential{Key: keys[0], OtherKeys: keys[1:], User: user}, nil
		}
	}
	if s.Static != nil {
		if k := s.Static.Key(alg, r.Username); k != nil {
			return alloc.Credential{Key: k, User: r.Username}, nil
		}
	}
	return alloc.Credential{}, alloc.ErrUnauthorized
}

// Failed implements [alloc.Authenticator].
func (a *Authority) Failed(r alloc.AuthRequest) {
	if a.damper != nil {
		a.damper.Failed(r.Now, r.Source.Addr())
	}
}
