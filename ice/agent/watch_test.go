package agent

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchTellsChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var now atomic.Pointer[[]string]
		is := func(addresses ...string) { now.Store(&addresses) }
		is("wlan0 192.0.2.1/24")
		var told atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, func() []string { return *now.Load() }, func() { told.Add(1) })
		}()
		expect := func(what string, n int32) {
			t.Helper()
			time.Sleep(3*WatchInterval + time.Millisecond)
			synctest.Wait()
			if told.Load() != n {
				t.Errorf("%s: told %d times, not %d", what, told.Load(), n)
			}
		}
		expect("nothing has changed", 0)
		is("rmnet0 198.51.100.1/24")
		expect("another network", 1)
		now.Store(new([]string))
		expect("they cannot be read", 1)
		is([]string{}...)
		expect("no network", 2)
		cancel()
		<-done
	})
}

func TestAddressesCanBeRead(t *testing.T) {
	if addresses() == nil {
		t.Error("the addresses of this machine cannot be read")
	}
}
