package video

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
)

// pictures makes frames that look like VP8 from outside: every tenth is a key frame.
func pictures(n int) [][]byte {
	r := rand.NewChaCha8([32]byte{1})
	var out [][]byte
	for i := range n {
		f := make([]byte, 200+(i*997)%4000)
		_, _ = r.Read(f)
		f[0] |= 1
		if i%10 == 0 {
			f[0] &^= 1
		}
		out = append(out, f)
	}
	return out
}

func writeIVF(t *testing.T, fourcc string, frames [][]byte) string {
	t.Helper()
	b := ivfHeader(fourcc, uint32(len(frames)))
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint64(b, uint64(i*ClockRate/25))
		b = append(b, f...)
	}
	path := filepath.Join(t.TempDir(), "in.ivf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readIVF(t *testing.T, path string) (frames [][]byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, r, err := newIVF(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := r.next()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f.data)
	}
}

func same(t *testing.T, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d frames, not %d", len(got), len(want))
		return
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("frame %d differs", i)
		}
	}
}

// copyAll plays a source into a sink, as a network would that swaps some packets.
func copyAll(t *testing.T, source Source, sink Sink) {
	t.Helper()
	var held []Packet
	seq := uint16(65530)
	flush := func() {
		for i, h := range slices.Backward(held) {
			if err := sink.Write(source.Codec(), seq+uint16(i), h); err != nil {
				t.Fatal(err)
			}
		}
		seq += uint16(len(held))
		held = nil
	}
	for n := 0; ; n++ {
		p, err := source.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, p)
		if n%3 != 1 {
			flush()
		}
	}
	flush()
	if err := errors.Join(source.Close(), sink.Close()); err != nil {
		t.Error(err)
	}
}

func TestFileIsPlayedInTimeAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := pictures(50)
		source, err := Open(writeIVF(t, "VP80", frames))
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out.ivf")
		sink, err := OpenSink(out)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		copyAll(t, source, sink)
		if took := time.Since(start); took != 49*time.Second/25 {
			t.Errorf("it took %v", took)
		}
		same(t, readIVF(t, out), frames)
		if _, err := os.Stat(out + PartSuffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	})
}

// TestPaddingIsNoGap has packets without a payload between the frames, as browsers send them to find out what a path takes.
func TestPaddingIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := pictures(20)
		source, err := Open(writeIVF(t, "VP80", frames))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		out := filepath.Join(t.TempDir(), "out.ivf")
		sink, err := Create(out)
		if err != nil {
			t.Fatal(err)
		}
		seq := uint16(65530)
		for {
			p, err := source.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if i == 1 && !p.Marker {
					break
				}
				if i > 0 {
					p.Payload, p.Marker = nil, false
				}
				if err := sink.Write(source.Codec(), seq, p); err != nil {
					t.Fatal(err)
				}
				seq++
			}
		}
		// The last frame waits for what comes after it.
		if sink.frames < 18 {
			t.Errorf("%d frames were written while they came", sink.frames)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		same(t, readIVF(t, out), frames)
	})
}

// TestAnotherSourceGoesOnInTheFile has another source take over, and the numbers of one jump: the frames go on, and in time.
func TestAnotherSourceGoesOnInTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := pictures(20)
		out := filepath.Join(t.TempDir(), "out.ivf")
		sink, err := Create(out)
		if err != nil {
			t.Fatal(err)
		}
		var want [][]byte
		for i, first := range []uint16{100, 40000, 9000} {
			source, err := Open(writeIVF(t, "VP80", frames))
			if err != nil {
				t.Fatal(err)
			}
			for seq := first; ; seq++ {
				p, err := source.Read(t.Context())
				if err != nil {
					break
				}
				p.Source = uint32(min(i, 1)) // the third is only a jump
				p.Timestamp += uint32(i) * 123456789
				if err := sink.Write(source.Codec(), seq, p); err != nil {
					t.Fatal(err)
				}
			}
			_ = source.Close()
			want = append(want, frames...)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		same(t, readIVF(t, out), want)
		if got, most := sink.next, uint32(3*len(frames)*ClockRate/25); got < most*9/10 || got > most*11/10 {
			t.Errorf("the recording ends at %d of %d", got, most)
		}
	})
}

func TestH264(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unit := func(kind byte, first bool, n int) []byte {
			b := append([]byte{0, 0, 0, 1, kind}, bytes.Repeat([]byte{0x55}, n)...)
			if first {
				b[5] |= 0x80
			}
			return b
		}
		var file []byte
		for i := range 20 {
			if i%10 == 0 {
				file = append(file, unit(0x67, false, 10)...)
				file = append(file, unit(0x68, false, 4)...)
				file = append(file, unit(0x65, true, 3000)...)
				file = append(file, unit(0x65, false, 100)...) // a second slice
			} else {
				file = append(file, unit(0x61, true, 500)...)
			}
		}
		in := filepath.Join(t.TempDir(), "in.h264")
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := Open(in)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out.h264")
		sink, err := OpenSink(out)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		copyAll(t, source, sink)
		if took := time.Since(start); took != 19*time.Second/30 {
			t.Errorf("20 pictures took %v", took)
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, file) {
			t.Errorf("%d bytes were recorded of %d", len(got), len(file))
		}
	})
}

// A film whose pictures are not sent in the order in which they are shown is refused before anybody is called.
func TestBFrames(t *testing.T) {
	// A first slice is the bit 1, for its first macroblock, and its type as an exponential Golomb code (H.264 sections 7.3.3 and 9.1).
	for code, refused := range map[string]bool{
		"1": false, "010": true, "011": false, "00100": false, "00101": false, // P B I SP SI
		"00110": false, "00111": true, "0001000": false, "0001001": false, "0001010": false, // the same, for all slices of the picture
	} {
		for _, rest := range []string{"0000000", "1111111"} {
			b, err := strconv.ParseUint(("1" + code + rest)[:8], 2, 8)
			if err != nil {
				t.Fatal(err)
			}
			var film []byte
			for i := range 40 {
				slice := byte(0xc0) // P
				if i == 20 {
					slice = byte(b)
				}
				film = append(film, 0, 0, 0, 1, 0x41, slice, 9, 0, 0, 1, 0x41, 0x7f, 9) // another slice of it
			}
			path := filepath.Join(t.TempDir(), "film.h264")
			if err := os.WriteFile(path, film, 0o600); err != nil {
				t.Fatal(err)
			}
			v, err := OpenFile(path)
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "B-frames") {
				t.Errorf("slice type %s: %v", code, err)
			}
			if err != nil {
				continue
			}
			if fr, err := v.r.next(); err != nil || !bytes.Equal(fr.data[:6], film[:6]) {
				t.Errorf("it does not begin at its beginning: %x, %v", fr.data, err)
			}
			_ = v.Close()
		}
	}
}

func TestFileGoesBackToItsKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := pictures(20)
		source, err := OpenFile(writeIVF(t, "VP80", frames))
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		time.Sleep(2 * time.Second)
		var shown [][]byte
		last := uint32(0)
		build := known[0].frames()
		var f []byte
		for {
			p, err := source.Read(t.Context())
			if err != nil {
				break
			}
			if p.Timestamp < last {
				t.Fatalf("the time goes back from %d to %d", last, p.Timestamp)
			}
			last = p.Timestamp
			b, err := build.Unmarshal(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			f = append(f, b...)
			if p.Marker {
				shown, f = append(shown, f), nil
				if len(shown) == 15 {
					source.KeyFrame()
					source.KeyFrame()
				}
			}
		}
		want := append(append([][]byte(nil), frames[:15]...), frames[10:]...)
		same(t, shown, want)
	})
}

func TestRTPGoesInAndOut(t *testing.T) {
	source, err := ListenRTP("rtp:0/VP9")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	sink, err := DialRTP("rtp:" + source.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for _, seq := range []uint16{65535, 0, 3, 2} { // the last one is late
		if err := sink.Write(source.Codec(), seq, Packet{Payload: []byte{byte(seq), 9}, Timestamp: uint32(seq), Marker: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Write(source.Codec(), 4, Packet{Payload: []byte("end")}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		first byte
		lost  uint16
	}{{255, 0}, {0, 0}, {3, 2}, {'e', 0}} {
		p, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p.Payload[0] != want.first || p.Lost != want.lost {
			t.Errorf("packet %d: %+v", i, p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if source.Codec().Name != "VP9" || !strings.HasPrefix(source.Addr().String(), "127.0.0.1:") {
		t.Errorf("%s at %s", source.Codec().Name, source.Addr())
	}
}

// TestProgramBeginsAgain has what sends RTP end and begin anew, with numbers from anywhere and the same SSRC or another one: time
// goes on, and nothing counts as lost.
func TestProgramBeginsAgain(t *testing.T) {
	source, err := ListenRTP("rtp:0")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	conn, err := net.Dial("udp", source.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	last := uint32(0)
	for _, p := range []struct {
		what string
		ssrc uint32
		seq  uint16
		ts   uint32
		seen bool
		lost uint16
	}{
		{"the first", 1, 65000, 4_000_000_000, true, 0},
		{"the next", 1, 65001, 4_000_003_000, true, 0},
		{"with another SSRC", 2, 7, 1_000_000, true, 0},
		{"and on", 2, 9, 1_006_000, true, 1},
		{"one that is late", 2, 8, 1_003_000, false, 0},
		{"one from nowhere", 2, 40000, 77, false, 0},
		{"and on after that", 2, 10, 1_009_000, true, 0},
		{"with the same SSRC", 2, 50000, 5_000, false, 0},
		{"which is known by the second", 2, 50001, 8_000, true, 0},
		{"and on", 2, 50003, 14_000, true, 1},
		{"twice the same", 2, 50003, 14_000, false, 0},
	} {
		b, err := (&rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, SSRC: p.ssrc, SequenceNumber: p.seq, Timestamp: p.ts},
			Payload: []byte(p.what),
		}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if !p.seen {
			continue
		}
		before := source.out
		got, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Payload) != p.what || got.Lost != p.lost || source.out != before+1+p.lost || got.Timestamp-last > 60*ClockRate {
			t.Errorf("%s: %s, %d lost, at %d after %d", p.what, got.Payload, got.Lost, got.Timestamp, last)
		}
		last = got.Timestamp
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{
		filepath.Join(dir, "none.ivf"), write("short.ivf", []byte("DKIF")), write("other.ivf", make([]byte, 64)),
		write("rate.ivf", append(append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...), 1)),
		write("codec.ivf", ivfHeader("MJPG", 0)), write("x.mp4", []byte("x")), "rtp:x", "rtp:1/theora", "rtp:example.org:1",
	} {
		if s, err := Open(path); err == nil {
			_ = s.Close()
			t.Errorf("%s was opened", path)
		}
	}
	huge := write("huge.ivf", append(ivfHeader("VP80", 1), 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0))
	s, err := Open(huge)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Read(t.Context()); err == nil {
		t.Error("a frame of 4 GiB was read")
	}
	for _, path := range []string{filepath.Join(dir, "out.mp4"), dir + "/", filepath.Join(dir, "none", "out.ivf")} {
		if _, err := OpenSink(path); err == nil {
			t.Errorf("%s was created", path)
		}
	}
}

func FuzzIVF(f *testing.F) {
	f.Add(append(ivfHeader("AV01", 1), 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, r, err := newIVF(bytes.NewReader(b))
		if err != nil {
			return
		}
		for range 100 {
			fr, err := r.next()
			if err != nil {
				return
			}
			if fr.at < 0 {
				t.Errorf("a frame at %v", fr.at)
			}
			c.IsKeyFrame(fr.data)
		}
	})
}
