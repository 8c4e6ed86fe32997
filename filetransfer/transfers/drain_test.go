package transfers_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// silent is a protocol whose receivers say nothing.
type silent struct{}

func (silent) Accept(filetransfer.File) {}
func (silent) Sent(hashes.Sums)         {}
func (silent) Info(jingle.Payload)      {}
func (silent) End(*jingle.Reason)       {}
func (silent) Heard()                   {}
func (silent) Lasts() bool              { return true }

// full is a connection that takes everything and holds some of it.
type full struct {
	io.ReadWriteCloser
	held atomic.Int64
}

func (*full) Write(p []byte) (int, error) { return len(p), nil }
func (*full) Close() error                { return nil }
func (c *full) Unsent() int               { return int(c.held.Load()) }

// TestSilenceConfirmsNothingThatHasNotLeft has a sender whose connection still holds some of a file that was copied.
func TestSilenceConfirmsNothingThatHasNotLeft(t *testing.T) {
	for name, c := range map[string]struct {
		held, leaves int64 // at first, and each second
		failed       jingle.Condition
		after        time.Duration // roughly
	}{
		"nothing is held":            {0, 0, "", 30 * time.Second},
		"it leaves slowly":           {600_000, 1000, "", 630 * time.Second},
		"the receiver takes no more": {600_000, 0, jingle.Timeout, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan transfers.Event, 1)
				m, err := transfers.New(transfers.Config{Events: func(e transfers.Event) {
					switch e.(type) {
					case transfers.Done, transfers.Failed:
						ended <- e
					}
				}, Transports: func(jid.JID, bool) []engine.TransportFactory { return nil }})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				go func() { _ = m.Run(ctx) }()
				conn := &full{}
				conn.held.Store(c.held)
				began := time.Now()
				_, err = m.Outgoing(juliet, "sid", source("f", pattern(1000)), transfers.Unhashed, transfers.Attempt{},
					func(d transfers.Driver) transfers.Signaling {
						d.Accepted(nil)
						d.Connected(conn, "urn:example")
						return silent{}
					})
				if err != nil {
					t.Fatal(err)
				}
				for n := c.held; n > 0 && c.leaves > 0; n -= c.leaves {
					time.Sleep(time.Second)
					conn.held.Store(n - c.leaves)
				}
				e := <-ended
				if took := time.Since(began); took < c.after || took > c.after+5*time.Second {
					t.Errorf("it ends after %v", took)
				}
				if f, _ := e.(transfers.Failed); f.Reason != c.failed {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}
