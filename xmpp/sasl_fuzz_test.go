package xmpp

import (
	"testing"
	"time"

	"mellium.im/sasl"
)

// FuzzScramFirst checks that what passes our check of a server's first message neither hangs nor crashes mellium's
// parser, which does hang on some of what does not pass.
func FuzzScramFirst(f *testing.F) {
	for _, s := range []string{"r=abc,s=c2FsdA==,i=4096", "r=abc,s=c2FsdA==,i", "r=a,s=b,i=4096,x=y", "m=1,r=a,s=b,i=4096", ",,,", "r=a,s=b,i=4096,", "", "r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkScramFirst(b) != nil {
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c := sasl.NewClient(sasl.ScramSha256, sasl.Credentials(func() (u, p, i []byte) { return []byte("u"), []byte("p"), nil }))
			if _, _, err := c.Step(nil); err != nil {
				t.Error(err)
			}
			if more, _, err := c.Step(b); more || err == nil {
				t.Errorf("%q: a nonce of somebody else was taken", b)
			}
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%q: no end", b)
		}
	})
}
