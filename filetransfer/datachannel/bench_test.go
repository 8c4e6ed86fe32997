//go:build unix

package datachannel_test

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/filetransfer/datachannel"
)

const benchBytes = 96 << 20

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// push moves benchBytes and returns how long it took and what it cost, both ends together.
func push(b *testing.B, from io.Writer, to io.Reader, message, buffer int) (wall, used time.Duration) {
	b.Helper()
	began, before := time.Now(), cpu()
	failed := make(chan error, 1)
	go func() {
		data := make([]byte, message)
		for sent := 0; sent < benchBytes; sent += len(data) {
			if _, err := from.Write(data); err != nil {
				failed <- err
				return
			}
		}
	}()
	buf := make([]byte, buffer)
	for got := 0; got < benchBytes; {
		n, err := to.Read(buf)
		if err != nil {
			b.Fatal(err, failed)
		}
		got += n
	}
	return time.Since(began), cpu() - before
}

// BenchmarkOurs measures our data channels beside two PeerConnections as pion has them by default, in the same run.
func BenchmarkOurs(b *testing.B) {
	var ours, bare, oursCPU, bareCPU time.Duration
	for range b.N {
		h, g := pair(b, factory(b, datachannel.Own, nil), factory(b, datachannel.Own, nil), nil)
		x, y := h.conn(), g.conn()
		w, c := push(b, x, y, 256<<10, 256<<10)
		ours, oursCPU = ours+w, oursCPU+c
		_, _ = x.Close(), y.Close()

		from, to := barePair(b)
		w, c = push(b, from, to, 16<<10, 64<<10)
		bare, bareCPU = bare+w, bareCPU+c
	}
	mb := func(d time.Duration) float64 { return float64(b.N) * benchBytes / 1e6 / d.Seconds() }
	perGiB := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) * (1 << 30) / benchBytes }
	b.ReportMetric(mb(ours), "MB/s")
	b.ReportMetric(mb(bare), "bare-MB/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "x-bare")
	b.ReportMetric(perGiB(oursCPU), "CPU-s/GiB")
	b.ReportMetric(perGiB(oursCPU)/perGiB(bareCPU), "CPU-of-bare")
	b.ReportMetric(0, "ns/op")
}

// barePair connects two PeerConnections with nothing set but that they may use the loopback. The writer waits at the
// usual mark of 1 MiB.
func barePair(b *testing.B) (io.Writer, io.Reader) {
	b.Helper()
	api := loopbackAPI()
	p, q := newPeerConnection(b, api), newPeerConnection(b, api)
	opened, came := make(chan *marked, 1), make(chan io.ReadWriteCloser, 1)
	dc, err := p.CreateDataChannel("x", nil)
	if err != nil {
		b.Fatal(err)
	}
	dc.OnOpen(func() {
		raw, err := dc.Detach()
		if err == nil {
			m := &marked{raw, dc, make(chan struct{}, 1)}
			dc.SetBufferedAmountLowThreshold(512 << 10)
			dc.OnBufferedAmountLow(func() {
				select {
				case m.low <- struct{}{}:
				default:
				}
			})
			opened <- m
		}
	})
	q.OnDataChannel(func(dc *webrtc.DataChannel) {
		dc.OnOpen(func() {
			if raw, err := dc.Detach(); err == nil {
				came <- raw
			}
		})
	})
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	gathered := webrtc.GatheringCompletePromise(p)
	offer, err := p.CreateOffer(nil)
	must(err)
	must(p.SetLocalDescription(offer))
	<-gathered
	must(q.SetRemoteDescription(*p.LocalDescription()))
	gathered = webrtc.GatheringCompletePromise(q)
	answer, err := q.CreateAnswer(nil)
	must(err)
	must(q.SetLocalDescription(answer))
	<-gathered
	must(p.SetRemoteDescription(*q.LocalDescription()))
	return <-opened, <-came
}

type marked struct {
	io.ReadWriteCloser
	dc  *webrtc.DataChannel
	low chan struct{}
}

func (m *marked) Write(p []byte) (int, error) {
	if m.dc.BufferedAmount() > 1<<20 {
		<-m.low
	}
	return m.ReadWriteCloser.Write(p)
}
