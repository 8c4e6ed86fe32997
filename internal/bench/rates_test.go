package bench

import (
	"context"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// TestServerHoldsRates sends a file in-band through servers that hold their clients to rates, as Debian's do. What is sent
// beyond that waits in queues; a ping in the middle must not wait for the file.
func TestServerHoldsRates(t *testing.T) {
	testkit.EachWith(t, testkit.Options{Rates: true}, holdsRates)
}

func holdsRates(t *testing.T, srv *testkit.Server) {
	t.Parallel() // it waits for the server
	for _, user := range []string{"romeo", "juliet"} {
		srv.AddUser(t, user, "secret")
	}
	romeo, juliet := login(t, srv, "romeo", true), login(t, srv, "juliet", true)
	// It takes the first seconds' worth at once; then every byte of it waits.
	const size = 48 << 10
	ctx, stop := context.WithCancel(t.Context())
	pings := make(chan int)
	go func() {
		n := 0
		defer func() { pings <- n }()
		for every := time.NewTicker(300 * time.Millisecond); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
			_, err := romeo.Query(ctx, jid.JID(srv.Domain), "get", xmltree.New("urn:xmpp:ping", "ping"))
			if ctx.Err() == nil && err != nil {
				t.Errorf("ping %d: %v", n, err)
				return
			}
		}
	}()
	took := inBand(t, romeo, juliet, "s", 16<<10, 0, size)
	stop()
	n := <-pings
	if t.Logf("%d pings in %v", n, took); n < 2 {
		t.Errorf("only %d pings were answered while the file went by in %v", n, took)
	}
}
