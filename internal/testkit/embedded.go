package testkit

import (
	"context"
	"testing"

	"github.com/jingled/jingled/internal/xmppserver"
)

// Embedded starts the project's own in-process server. It ends with the test, which fails if it does not end well.
func Embedded(t testing.TB, cfg xmppserver.Config) *xmppserver.Server {
	t.Helper()
	srv, err := xmppserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the XMPP server: %v", err)
		}
	})
	return srv
}
