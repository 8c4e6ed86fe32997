package bench

import (
	"os"
	"path/filepath"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
)

// BenchmarkMemory prints what a large file takes of either end, in MiB above what it had before: the peak of all that is
// resident. In-band, 4 GiB take minutes; JINGLED_TEST_SOAK asks for them all the same.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name string
		via  jingledv1.Via
		size int64
	}{
		{"s5b", jingledv1.Via_VIA_S5B, 4<<30 + 1},
		{"datachannel", jingledv1.Via_VIA_DATACHANNEL, 4<<30 + 1},
		{"ibb", jingledv1.Via_VIA_IBB, 64 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			if os.Getenv("JINGLED_TEST_SOAK") != "" {
				c.size = 4<<30 + 1
			}
			var alice, bob *end
			if c.via == jingledv1.Via_VIA_IBB {
				alice, bob = coupleAtProsody(b)
			} else {
				alice, bob = couple(b)
			}
			path := filepath.Join(scratch(b), "hollow.bin") // needs no room
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				b.Fatal(err)
			}
			if err := os.Truncate(path, c.size); err != nil {
				b.Fatal(err)
			}
			var most [2]float64
			var speed float64
			var cpu [2]float64
			for b.Loop() {
				x := carry(alice, bob, &jingledv1.SendFileRequest{Path: path, Via: c.via})
				for i := range most {
					most[i] = max(most[i], x.memory[i])
					cpu[i] = x.cpu[i].Seconds() * (1 << 30) / float64(c.size)
				}
				speed = mbps(c.size, x.took)
			}
			b.ReportMetric(most[0], "MiB-sender")
			b.ReportMetric(most[1], "MiB-receiver")
			b.ReportMetric(cpu[0], "CPU-s/GiB-sender")
			b.ReportMetric(cpu[1], "CPU-s/GiB-receiver")
			b.ReportMetric(speed, "MB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// coupleAtProsody starts two jingled whose accounts are friends, at a Prosody with sockets as it has them by default.
func coupleAtProsody(b *testing.B) (alice, bob *end) {
	b.Helper()
	srv := testkit.ProsodyWith(b, testkit.ProsodyConfig{Global: "network_settings = {}"})
	for _, user := range []string{"alice", "bob"} {
		srv.AddUser(b, user, "secret")
	}
	srv.Befriend(b, "alice", "bob")
	at := server{addr: srv.Addr, domain: srv.Domain, ca: srv.CA}
	return begin(b, at, "alice"), begin(b, at, "bob")
}
