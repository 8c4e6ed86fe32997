package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// fileSize is what the numbers of docs/performance.md are about.
const fileSize = 1 << 30

// median returns the middle one.
func median[T interface{ ~int64 | ~float64 }](xs []T) T {
	xs = slices.Clone(xs)
	slices.Sort(xs)
	return xs[len(xs)/2]
}

func mbps(size int64, d time.Duration) float64 { return float64(size) / 1e6 / d.Seconds() }

// couple starts two jingled whose accounts are friends, at a server in this process.
func couple(b *testing.B) (alice, bob *end) {
	b.Helper()
	srv := testkit.Embedded(b, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		b.Fatal(err)
	}
	at := server{addr: srv.Addr(), domain: srv.Domain(), ca: srv.CA()}
	return begin(b, at, "alice"), begin(b, at, "bob")
}

// beside measures rounds of a baseline and of ours, and reports medians.
func beside(b *testing.B, size int64, baseline func() time.Duration, ours func() carried) {
	b.Helper()
	var them, us, ratios, cpu []float64
	var memory [2]float64
	for b.Loop() {
		t, c := baseline(), ours()
		them, us = append(them, mbps(size, t)), append(us, mbps(size, c.took))
		ratios = append(ratios, t.Seconds()/c.took.Seconds())
		cpu = append(cpu, (c.cpu[0]+c.cpu[1]).Seconds()*(1<<30)/float64(size))
		for i := range memory {
			memory[i] = max(memory[i], c.memory[i])
		}
	}
	b.ReportMetric(median(us), "MB/s")
	b.ReportMetric(median(them), "baseline-MB/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpu), "CPU-s/GiB")
	b.ReportMetric(memory[0], "MiB-sender")
	b.ReportMetric(memory[1], "MiB-receiver")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkS5B sends 1 GiB from one jingled to another by a direct SOCKS5 bytestream, beside a plain program. Both write into
// memory, and hash by SHA-256 at both ends; or neither does, as the offers of stream initiation have no hash, and what the
// plain program copies then goes from file to file in the kernel.
func BenchmarkS5B(b *testing.B) {
	alice, bob := couple(b)
	dir := scratch(b)
	path := noise(b, dir, fileSize)
	send := func(req *jingledv1.SendFileRequest, encryption string, verified bool) func() carried {
		req.Path = path
		return func() carried {
			c := carry(alice, bob, req)
			if c.encrypted != encryption || c.verified != verified {
				b.Fatal(fmt.Errorf("%+v", c))
			}
			return c
		}
	}
	b.Run("sha-256", func(b *testing.B) {
		beside(b, fileSize, func() time.Duration { return overTCP(b, path, dir, fileSize, nil, inline) },
			send(&jingledv1.SendFileRequest{Via: jingledv1.Via_VIA_S5B, NoEncryption: true}, "none", true))
	})
	b.Run("jet", func(b *testing.B) {
		wrap := byTLS(b)
		beside(b, fileSize, func() time.Duration { return overTCP(b, path, dir, fileSize, wrap, inline) },
			send(&jingledv1.SendFileRequest{Via: jingledv1.Via_VIA_S5B, RequireEncryption: true}, "end-to-end", true))
	})
	b.Run("nobody hashes", func(b *testing.B) {
		beside(b, fileSize, func() time.Duration { return overTCP(b, path, dir, fileSize, nil, kernel) },
			send(&jingledv1.SendFileRequest{Via: jingledv1.Via_VIA_SI, NoEncryption: true}, "none", false))
	})
}
