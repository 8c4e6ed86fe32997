package xmpp

import (
	"fmt"
	"testing"

	"github.com/jingled/jingled/jid"
)

func TestQuota(t *testing.T) {
	q := newQuota(100, alice)
	takeAll := func(format string, most int) (n int) {
		for i := range most {
			if q.take(jid.JID(fmt.Sprintf(format, i))) {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		format string
		most   int
		want   int
	}{
		{"eve@evil.test/%d", 1000, 25},    // one address
		{"mallory%d@evil.test", 1000, 25}, // half for the domain, of which eve has her quarter
		{"evil.test/%d", 1000, 0},
		{"user%d@example.test", 40, 40}, // our own domain has no bound of its own
		{"example.test/%d", 1000, 10},   // nor is the server taken for its users
		{"bob@elsewhere.test/%d", 1000, 0},
	} {
		if got := takeAll(tc.format, tc.most); got != tc.want {
			t.Errorf("%s took %d places, want %d", tc.format, got, tc.want)
		}
	}
	for i := range 25 {
		q.give(jid.JID(fmt.Sprintf("eve@evil.test/%d", i)))
		q.give(jid.JID(fmt.Sprintf("mallory%d@evil.test", i)))
	}
	for i := range 40 {
		q.give(jid.JID(fmt.Sprintf("user%d@example.test/x", i)))
	}
	for range 10 {
		q.give("example.test")
	}
	if q.all != 0 || len(q.used) != 0 {
		t.Errorf("%d, %v", q.all, q.used)
	}
	if got := takeAll("evil.test/%d", 1000); got != 25 {
		t.Errorf("a domain itself took %d places", got)
	}
}
