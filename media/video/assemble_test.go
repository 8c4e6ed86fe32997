package video

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// assembled gives packets to an assembler of VP8, written "number:timestamp in ms" with "^" before the first of a frame, "." after
// the last, and "-" instead of both for padding. It returns the numbers of the packets of each frame, and which packet had it given,
// "end" at the end.
func assembled(t *testing.T, script string) (got []string) {
	t.Helper()
	a := newAssembler(known[0])
	now := ""
	give := func(frame []byte, _ uint32) {
		var numbers []string
		for b := range slices.Chunk(frame, 2) {
			numbers = append(numbers, strconv.Itoa(int(b[0])<<8|int(b[1])))
		}
		got = append(got, strings.Join(numbers, "+")+" by "+now)
	}
	for w := range strings.FieldsSeq(script) {
		number, ms, _ := strings.Cut(strings.Trim(w, "^.-"), ":")
		seq, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseUint(ms, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		p := Packet{Timestamp: uint32(at * ClockRate / 1000), Marker: strings.HasSuffix(w, ".")}
		switch w[0] {
		case '-':
		case '^':
			p.Payload = []byte{0x10, byte(seq >> 8), byte(seq)}
		default:
			p.Payload = []byte{0x00, byte(seq >> 8), byte(seq)}
		}
		now = number
		a.push(uint16(seq), p, give)
	}
	now = "end"
	a.flush(give)
	return got
}

func TestAssembler(t *testing.T) {
	for _, c := range []struct{ what, script, want string }{
		{"frames come when they are whole", "^1:0 2:0. ^3:40.", "1+2 by 2, 3 by 3"},
		{"in the order of their numbers, also around 65536", "^65535:0 ^1:40. 0:0.", "65535+0 by 0, 1 by 0"},
		{"what comes twice, or too late, is not seen again", "^1:0. ^1:0. ^2:40. ^1:0. ^2:40.", "1 by 1, 2 by 2"},
		{"without markers the next frame ends one", "^1:0 2:0 ^3:40 ^4:80", "1+2 by 3, 3 by 4"},
		{"padding is nothing", "^1:0. -2:0 -3:0 ^4:40 -5:40 6:40.", "1 by 1, 4+6 by 6"},
		{"what is missing is waited for", "^1:0. ^3:40. ^4:80. ^2:20.", "1 by 1, 2 by 2, 3 by 2, 4 by 2"},
		{"not for ever", "^1:0. ^3:40. ^4:540. ^5:541. ^2:20.", "1 by 1, 3 by 5, 4 by 5, 5 by 5"},
		{"padding may be missing", "^1:0. -2:0 ^4:40. -6:40 ^7:80. ^8:600.", "1 by 1, 4 by 8, 7 by 8, 8 by 8"},
		{"a frame that stays incomplete is not given", "^1:0 3:0. ^4:40. ^5:501. ^6:560.", "4 by 5, 5 by 5, 6 by 6"},
		{"nor what is left of one that has lost its beginning", "^1:0. 3:40 4:40. ^5:80. ^6:560.", "1 by 1, 5 by 6, 6 by 6"},
		{"nor another beginning in it", "^1:0 ^3:0. ^4:40. ^5:501.", "4 by 5, 5 by 5"},
		{"the end does not complete one", "^1:0. ^2:40", "1 by 1"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := strings.Join(assembled(t, c.script), ", "); got != c.want {
				t.Errorf("%s, and not %s", got, c.want)
			}
		})
	}
}

// A frame whose last fragment does not say so leaves nothing to the next one.
func TestAssemblerBeginsAnew(t *testing.T) {
	h264, err := ByName("H264")
	if err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	a := newAssembler(h264)
	give := func(frame []byte, _ uint32) { got = append(got, frame) }
	for i, p := range []Packet{
		{Payload: []byte{0x7c, 0x85, 1}}, {Payload: []byte{0x7c, 0x05, 2}, Marker: true}, // RFC 6184 section 5.8, without E
		{Payload: []byte{0x7c, 0x81, 3}, Timestamp: 1}, {Payload: []byte{0x7c, 0x41, 4}, Timestamp: 1, Marker: true},
	} {
		a.push(uint16(i), p, give)
	}
	a.flush(give)
	if want := []byte{0, 0, 0, 1, 0x61, 3, 4}; len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("% x, and not % x", got, want)
	}
}

// Packets without end, none of which completes anything, keep a bounded number of others.
func TestAssemblerGoesOn(t *testing.T) {
	a := newAssembler(known[0])
	frames := 0
	give := func([]byte, uint32) { frames++ }
	a.push(9, Packet{Payload: []byte{0x10, 1}}, give)
	for seq := uint16(11); seq < 11+maxLate; seq++ { // 10 never comes, and no time passes
		a.push(seq, Packet{Payload: []byte{0x10, 1}, Timestamp: 1, Marker: true}, give)
	}
	if frames != maxLate {
		t.Errorf("%d frames", frames)
	}
	a.push(11+2*maxLate, Packet{Payload: []byte{0x10, 1}, Timestamp: 2, Marker: true}, give)
	a.flush(give)
	if frames != maxLate+1 {
		t.Errorf("%d frames after a leap", frames)
	}
}

// Browsers fill the path with packets that have no payload and that are not sent again when they are lost. No frame is lost by that,
// if its packets come in the end.
func TestLostPaddingLosesNothing(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := known[0]
		frames := pictures(120)
		packets := c.packets()
		var got [][]byte
		a := newAssembler(c)
		give := func(frame []byte, _ uint32) { got = append(got, frame) }
		type resent struct {
			at, seq uint16
			p       Packet
		}
		var again []resent
		seq := uint16(65000)
		for i, f := range frames {
			timestamp := uint32(i) * ClockRate / 15
			payloads := packets.Payload(payloadSize, f)
			for j := range len(payloads) + 5 {
				p := Packet{Timestamp: timestamp}
				if j < len(payloads) {
					p.Payload, p.Marker = payloads[j], j == len(payloads)-1
				}
				switch lost := r.IntN(10) == 0 && i > 0; {
				case !lost:
					a.push(seq, p, give)
				case p.Payload != nil:
					again = append(again, resent{seq + uint16(r.IntN(20)), seq, p})
				}
				seq++
				for len(again) > 0 && int16(seq-again[0].at) > 0 {
					a.push(again[0].seq, again[0].p, give)
					again = again[1:]
				}
			}
		}
		for _, l := range again {
			a.push(l.seq, l.p, give)
		}
		a.flush(give)
		if !slices.EqualFunc(got, frames, bytes.Equal) {
			t.Errorf("seed %d: %d of %d frames", seed, len(got), len(frames))
		}
	}
}

// FuzzAssembler gives it packets of any numbers: it keeps a bounded number of them, and only what is between next and end.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 0, 0x10, 1, 2, 0, 0x90, 9, 0xff, 0x80, 0x10, 200, 1, 0, 0x10, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, c := range known {
			a := newAssembler(c)
			for s := script[:min(len(script), 4<<10)]; len(s) >= 4; s = s[4:] {
				seq := uint16(s[0])<<8 | uint16(s[1])
				if s[3]&1 == 0 {
					seq = a.end + uint16(s[1]&7) - 2
				}
				p := Packet{Payload: script[:min(len(script), int(s[2]))], Timestamp: uint32(s[3]) * 9000, Marker: s[3]&2 == 0}
				a.push(seq, p, func(frame []byte, _ uint32) { c.IsKeyFrame(frame) })
				there := 0
				for _, s := range a.slots {
					if s.there {
						there++
						if s.seq-a.next >= a.end-a.next {
							t.Fatalf("%d is kept between %d and %d", s.seq, a.next, a.end)
						}
					}
				}
				if a.end-a.next > maxLate {
					t.Fatalf("%d to %d are kept, %d packets", a.next, a.end, there)
				}
			}
		}
	})
}
