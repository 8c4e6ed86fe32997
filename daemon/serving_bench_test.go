package daemon_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/apiserver"
)

// BenchmarkAnswer prints how long a request waits: alone, and beside a thousand readers of events while events come.
func BenchmarkAnswer(b *testing.B) {
	d := idle(b)
	path := filepath.Join(b.TempDir(), "s")
	l, err := apiserver.Listen(path)
	if err != nil {
		b.Fatal(err)
	}
	serveOn(b, l, d)
	c := client.Dial(path)
	defer c.Close()
	ask := func() []time.Duration {
		var took []time.Duration
		for range 500 {
			began := time.Now()
			if _, err := c.Daemon.GetInfo(b.Context(), &jingledv1.GetInfoRequest{}); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took
	}
	alone := ask()

	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	connected := make(chan struct{}, 1000)
	for range 1000 {
		wg.Go(func() {
			c := client.Dial(path)
			defer c.Close()
			stream, err := c.Events.Watch(ctx, &jingledv1.WatchRequest{})
			if err != nil {
				connected <- struct{}{}
				return
			}
			defer stream.Close()
			ok := stream.Receive()
			connected <- struct{}{}
			for ok {
				ok = stream.Receive()
			}
		})
	}
	for range 1000 {
		<-connected
	}
	wg.Go(func() {
		tick := time.NewTicker(time.Second) // a call's meter
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			d.Publish(digit(n % 10))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	var beside []time.Duration
	for b.Loop() {
		beside = append(beside, ask()...)
	}
	slices.Sort(beside)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(alone[len(alone)/2]), "alone-median-ms")
	b.ReportMetric(ms(beside[len(beside)/2]), "median-ms")
	b.ReportMetric(ms(beside[len(beside)*99/100]), "p99-ms")
	b.ReportMetric(ms(beside[len(beside)-1]), "worst-ms")
	b.ReportMetric(0, "ns/op")
}
