package credentials

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

type damper struct{ bad map[netip.Addr]int }

func (d damper) Blocked(_ time.Time, a netip.Addr) bool { return d.bad[a] >= 2 }
func (d damper) Failed(_ time.Time, a netip.Addr)       { d.bad[a]++ }

func TestAuthority(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	shared, _ := NewShared("the second and newer secret", secret)
	old, _ := NewShared(secret)
	u, _ := NewUser("alice", "r", "wonderland")
	static, _ := NewStatic([]User{u, {Name: "old", MD5: u.MD5}})
	tokens, _ := NewTokens(tokenServer, []TokenKey{{ID: "kid", Key: tokenKey}})
	tok, _ := Seal(rand.Reader, tokenKey, tokenServer, tokenMAC, now, time.Minute)
	a := NewAuthority(Sources{Shared: shared, Static: static, Tokens: tokens}, nil)
	was := old.Issue(now, "romeo@example.org", time.Hour)
	wasKey, _ := Key(SHA256, was.Username, "r", was.Password)

	for name, c := range map[string]struct {
		req  alloc.AuthRequest
		user string
		key  []byte // among the keys; nil: refused
	}{
		"time-limited, old secret": {alloc.AuthRequest{Username: was.Username, Algorithm: alloc.SHA256}, "romeo@example.org", wasKey},
		"expired":                  {alloc.AuthRequest{Username: "1699999999:romeo"}, "", nil},
		"static":                   {alloc.AuthRequest{Username: "alice", Algorithm: alloc.MD5}, "alice", static.Key(MD5, "alice")},
		"static, algorithm absent": {alloc.AuthRequest{Username: "alice"}, "alice", static.Key(MD5, "alice")},
		"static without SHA-256":   {alloc.AuthRequest{Username: "old", Algorithm: alloc.SHA256}, "", nil},
		"unknown":                  {alloc.AuthRequest{Username: "mallory"}, "", nil},
		"token":                    {alloc.AuthRequest{Username: "kid", AccessToken: tok}, "kid", tokenMAC},
		"empty token":              {alloc.AuthRequest{Username: "kid", AccessToken: []byte{}}, "", nil},
		"token of nobody":          {alloc.AuthRequest{Username: "alice", AccessToken: tok}, "", nil},
	} {
		c.req.Now, c.req.Realm = now, "r"
		got, err := a.Authenticate(c.req)
		if c.key == nil {
			if !errors.Is(err, alloc.ErrUnauthorized) || got.Key != nil {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		found := bytes.Equal(got.Key, c.key)
		for _, k := range got.OtherKeys {
			found = found || bytes.Equal(k, c.key)
		}
		if err != nil || got.User != c.user || !found {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, _ := a.Authenticate(alloc.AuthRequest{Now: now, Realm: "r", Username: "kid", AccessToken: tok}); got.MaxLifetime != time.Minute {
		t.Errorf("an allocation may outlive its token: %v", got.MaxLifetime)
	}
	a.Set(Sources{})
	if _, err := a.Authenticate(alloc.AuthRequest{Now: now, Realm: "r", Username: "alice"}); err == nil {
		t.Error("the removed user is still accepted")
	}
}

func TestAuthorityDampsGuessing(t *testing.T) {
	u, _ := NewUser("alice", "r", "wonderland")
	static, _ := NewStatic([]User{u})
	a := NewAuthority(Sources{Static: static}, damper{map[netip.Addr]int{}})
	bad := alloc.AuthRequest{Realm: "r", Username: "alice", Source: netip.MustParseAddrPort("192.0.2.1:4000")}
	a.Failed(bad)
	if _, err := a.Authenticate(bad); err != nil {
		t.Errorf("blocked too early: %v", err)
	}
	a.Failed(bad)
	if _, err := a.Authenticate(bad); !errors.Is(err, alloc.ErrBlocked) {
		t.Errorf("still answered: %v", err)
	}
	bad.Source = netip.MustParseAddrPort("192.0.2.2:4000")
	if _, err := a.Authenticate(bad); err != nil {
		t.Errorf("somebody else is blocked: %v", err)
	}
}
