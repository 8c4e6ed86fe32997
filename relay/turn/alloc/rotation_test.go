package alloc

import (
	"strings"
	"testing"
)

// rotating answers with a new secret's key first and the one that clients still sign with last.
type rotating struct {
	testAuth
	others int
}

func (r rotating) Authenticate(q AuthRequest) (Credential, error) {
	c, err := r.testAuth.Authenticate(q)
	for range r.others {
		c.OtherKeys = append(c.OtherKeys, []byte("wrong"))
	}
	c.OtherKeys = append(c.OtherKeys, c.Key)
	c.Key = []byte("new secret's key")
	return c, err
}

// While a shared secret is rotated, either key opens the relay, and the one that matched is the allocation's.
func TestAnyKeyOfACredentialIsTaken(t *testing.T) {
	for others, ok := range map[int]bool{0: true, 6: true, 7: false} {
		w := newWorld(t)
		w.cfg.Auth = rotating{testAuth{w}, others}
		w.table.Reconfigure(w.cfg)
		w.play("allocate c1 noauth") // for the nonce
		w.play("allocate c1")
		w.play("refresh c1")
		if got := strings.Count(w.trace.String(), "c1 < ok"); (got == 2) != ok {
			t.Errorf("%d keys before the right one: %s", others+1, w.trace.String())
		}
	}
}
