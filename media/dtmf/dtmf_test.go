package dtmf

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/media/audio"
)

// run sends keys over a clock and returns the packets by frame; a frame of audio is nil.
func run(t *testing.T, clock int, keys []Key, frames int) []*Packet {
	t.Helper()
	s := NewSender(clock, 0)
	if err := s.Queue(keys...); err != nil {
		t.Fatal(err)
	}
	var out []*Packet
	ts := uint32(0xffffff00) // wraps on the way
	for range frames {
		if p, ok := s.Tick(ts); ok {
			out = append(out, &p)
		} else {
			out = append(out, nil)
		}
		ts += uint32(clock / 50)
	}
	if s.Busy() {
		t.Errorf("still busy after %d frames", frames)
	}
	return out
}

func keys(t *testing.T, s string, d time.Duration) []Key {
	t.Helper()
	k, err := Parse(s, d)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOneKeyOnTheWire(t *testing.T) {
	for _, clock := range []int{8000, 48000} {
		unit := uint16(clock / 50)
		got := run(t, clock, keys(t, "5", 100*time.Millisecond), 20)
		var events []Event
		for i, p := range got {
			if p == nil {
				continue
			}
			events = append(events, p.Event)
			if p.Timestamp != 0xffffff00 {
				t.Errorf("%d Hz, packet %d: timestamp %#x is not that of the start", clock, i, p.Timestamp)
			}
			if p.Marker != (i == 0) {
				t.Errorf("%d Hz, packet %d: marker %v", clock, i, p.Marker)
			}
		}
		want := []Event{
			{5, false, 10, unit}, {5, false, 10, 2 * unit}, {5, false, 10, 3 * unit}, {5, false, 10, 4 * unit},
			{5, true, 10, 5 * unit}, {5, true, 10, 5 * unit}, {5, true, 10, 5 * unit},
		}
		if !slices.Equal(events, want) {
			t.Errorf("%d Hz: %v, want %v", clock, events, want)
		}
	}
}

func TestGapsAndPauses(t *testing.T) {
	got := run(t, 8000, keys(t, "1,2", 60*time.Millisecond), 200)
	var downs []int
	last := uint32(0)
	for i, p := range got {
		if p != nil && p.Timestamp != last {
			downs = append(downs, i)
			last = p.Timestamp
		}
	}
	// 3 frames of key with an end in the last one, 2 more ends, 4 frames of gap (70 ms), 25 of the pause.
	if want := []int{0, 3 + 2 + 4 + 25}; !slices.Equal(downs, want) {
		t.Errorf("keys go down at frames %v, want %v", downs, want)
	}
}

type heard struct {
	digit  byte
	change Change
	ms     int64
}

func receive(r *Receiver, packets []*Packet) (out []heard) {
	for _, p := range packets {
		if p == nil {
			continue
		}
		if k, c := r.Receive(p.Timestamp, p.Event.Append(nil)); c != Nothing {
			out = append(out, heard{k.Digit, c, k.Duration.Milliseconds()})
		}
	}
	return out
}

func downs(h []heard) string {
	var b strings.Builder
	for _, x := range h {
		if x.change == Down {
			b.WriteByte(x.digit)
		}
	}
	return b.String()
}

func TestEveryKeyIsHeardOnceAtBothClocks(t *testing.T) {
	for _, clock := range []int{8000, 48000} {
		got := receive(NewReceiver(clock), run(t, clock, keys(t, Digits+"11", 0), 400))
		if d := downs(got); d != Digits+"11" {
			t.Errorf("%d Hz: heard %q", clock, d)
		}
		for _, h := range got {
			if h.change == Up && h.ms != 100 {
				t.Errorf("%d Hz: %c lasted %d ms", clock, h.digit, h.ms)
			}
		}
		if n := len(got); n != 2*18 {
			t.Errorf("%d Hz: %d changes, want 36", clock, n)
		}
	}
}

func TestLossesAreNoDoubleKeys(t *testing.T) {
	sent := run(t, 48000, keys(t, "1122", 0), 80)
	var packets []*Packet
	for _, p := range sent {
		if p != nil {
			packets = append(packets, p)
		}
	}
	// Each key is seven packets. Whatever subset of them arrives, but for all lost, it is heard once.
	for mask := 1; mask < 1<<7; mask++ {
		var arrived []*Packet
		for i, p := range packets {
			if mask>>(i%7)&1 == 1 {
				arrived = append(arrived, p)
			}
		}
		if d := downs(receive(NewReceiver(48000), arrived)); d != "1122" {
			t.Fatalf("with packets %07b of each key: heard %q", mask, d)
		}
	}
}

func TestLatePacketsAreNoKeys(t *testing.T) {
	var packets []*Packet
	for _, p := range run(t, 8000, keys(t, "12", 0), 40) {
		if p != nil {
			packets = append(packets, p)
		}
	}
	// The last end of 1 comes after 2 has begun.
	packets[6], packets[8] = packets[8], packets[6]
	if d := downs(receive(NewReceiver(8000), packets)); d != "12" {
		t.Errorf("heard %q", d)
	}
}

// As captured from Chromium: three packets, all with the marker and the end, nothing before.
func TestOnlyEndPackets(t *testing.T) {
	r := NewReceiver(8000)
	var got []heard
	for i, code := range []uint8{1, 1, 5} {
		for range 3 {
			e := Event{Code: code, End: true, Volume: 10, Duration: 960}
			if k, c := r.Receive(uint32(1000+i*1600), e.Append(nil)); c != Nothing {
				got = append(got, heard{k.Digit, c, k.Duration.Milliseconds()})
			}
		}
	}
	if want := []heard{{'1', Down, 120}, {'1', Down, 120}, {'5', Down, 120}}; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
}

func TestLongEventInSegments(t *testing.T) {
	r := NewReceiver(48000)
	var got []heard
	feed := func(ts uint32, e Event) {
		if k, c := r.Receive(ts, e.Append(nil)); c != Nothing {
			got = append(got, heard{k.Digit, c, k.Duration.Milliseconds()})
		}
	}
	feed(0, Event{Code: 9, Duration: 960})
	feed(0, Event{Code: 9, Duration: 0xffff})
	feed(0xffff, Event{Code: 9, Duration: 960})
	feed(0xffff, Event{Code: 9, End: true, Duration: 4800})
	feed(0xffff+4800+9600, Event{Code: 9, Duration: 960})
	if want := []heard{{'9', Down, 0}, {'9', Up, 100}, {'9', Down, 0}}; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
}

func TestOtherEventsAndRubbishAreNothing(t *testing.T) {
	r := NewReceiver(8000)
	for _, p := range [][]byte{nil, {1}, {1, 2, 3}, Event{Code: 16, Duration: 400}.Append(nil), {255, 255, 255, 255}} {
		if _, c := r.Receive(77, p); c != Nothing {
			t.Errorf("%x: change %v", p, c)
		}
	}
}

func TestParse(t *testing.T) {
	k, err := Parse("0 1-2,*#aD", 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, x := range k {
		got = append(got, x.Digit)
	}
	if string(got) != "012,*#AD" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"1x", "é", strings.Repeat("1", MaxDigits+1)} {
		if _, err := Parse(bad, 0); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	for _, d := range []time.Duration{time.Millisecond, time.Hour, -1} {
		if _, err := Parse("1", d); err == nil {
			t.Errorf("%v: no error", d)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := NewSender(8000, 0)
	k := keys(t, strings.Repeat("1", MaxDigits), 0)
	if err := s.Queue(k...); err != nil {
		t.Fatal(err)
	}
	if err := s.Queue(k[0]); err == nil {
		t.Error("no error")
	}
	if err := NewSender(8000, 0).Queue(Key{Digit: 'x', Duration: DefaultDuration}); err == nil {
		t.Error("no error for a key that is none")
	}
	if err := NewSender(8000, 0).Queue(Key{Digit: '1'}); err == nil {
		t.Error("no error for a key without duration")
	}
}

func TestTonesAreDetected(t *testing.T) {
	n := audio.SampleRate * 60 / 1000
	for i := range Digits {
		low, high := Frequencies(Digits[i])
		pcm := make([]float32, n)
		for j := range pcm {
			x := 2 * math.Pi * float64(j) / audio.SampleRate
			pcm[j] = float32(0.2*math.Sin(low*x) + 0.25*math.Sin(high*x) + 0.01*math.Sin(333*x))
		}
		if d, ok := Detect(pcm); !ok || d != Digits[i] {
			t.Errorf("%c is heard as %c, %v", Digits[i], d, ok)
		}
	}
	one := make([]float32, n)
	_, _ = audio.NewTone(697, 0.3).Read(one)
	for name, pcm := range map[string][]float32{"silence": make([]float32, n), "one tone": one, "nothing": nil} {
		if d, ok := Detect(pcm); ok {
			t.Errorf("%s is heard as %c", name, d)
		}
	}
}

func FuzzReceiver(f *testing.F) {
	f.Add(uint32(1), []byte{1, 0x8a, 0, 160}, uint32(2), []byte{1, 0x0a, 0, 160})
	f.Fuzz(func(t *testing.T, ts1 uint32, p1 []byte, ts2 uint32, p2 []byte) {
		r := NewReceiver(8000)
		_, a := r.Receive(ts1, p1)
		_, b := r.Receive(ts1, p1)
		if a == Down && b == Down {
			t.Fatal("one packet twice is two keys")
		}
		r.Receive(ts2, p2)
		if _, c := r.Receive(ts2, p2); c == Down {
			t.Fatal("one packet twice is two keys")
		}
	})
}
