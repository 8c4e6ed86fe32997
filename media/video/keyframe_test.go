package video

import (
	"slices"
	"testing"
)

func TestKeyFrames(t *testing.T) {
	for _, c := range []struct {
		codec, what string
		packets     [][]byte
		key         []int // which are one's
	}{
		// RFC 7741 section 4.2: X R N S R PID.
		{"VP8", "a key frame in two packets, others around it", [][]byte{{0x10, 1}, {0x10, 2, 2}, {0x00, 2, 2}, {0x10, 3}}, []int{1}},
		{"VP8", "one whose first packet is lost", [][]byte{{0x10, 1}, {0x00, 2}}, nil},
		{"VP8", "the second partition of another", [][]byte{{0x10, 1}, {0x11, 2}}, nil},
		{"VP8", "padding, and half a header", [][]byte{nil, {0x10}, {0x90}, {0x10, 2}}, []int{3}},
		// RFC 9628 section 4.2: I P L F B E V Z.
		{"VP9", "two key frames", [][]byte{{0x4c, 0x84}, {0x08, 0x82}, {0x04, 0x82}, {0x0c, 0x82}}, []int{1, 3}},
		// RFC 6184 section 5: SPS and PPS with IDR in one, IDR alone, and in three fragments, of which the last shows it.
		{"H264", "an IDR slice beside others", [][]byte{{0x61, 1}, {0x78, 0, 2, 0x67, 1, 0, 2, 0x65, 1}, {0x61, 1}}, []int{1}},
		{"H264", "one alone", [][]byte{{0x67, 1}, {0x68, 1}, {0x65, 1}}, []int{2}},
		{"H264", "one in fragments", [][]byte{{0x7c, 0x85, 1}, {0x7c, 0x05, 2}, {0x7c, 0x45, 3}, {0x61, 1}}, []int{2}},
		{"H264", "another in fragments", [][]byte{{0x7c, 0x81, 1}, {0x7c, 0x41, 3}}, nil},
		// RTP of AV1, section 4.4: Z Y W W N.
		{"AV1", "a sequence header beside a frame", [][]byte{{0x10, 0x30, 1}, {0x28, 2, 0x08, 1, 0x30, 1}, {0x10, 0x30, 1}}, []int{1}},
	} {
		t.Run(c.codec+" "+c.what, func(t *testing.T) {
			codec, err := ByName(c.codec)
			if err != nil {
				t.Fatal(err)
			}
			begins := codec.KeyFrames()
			var got []int
			for i, p := range c.packets {
				if begins(p) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.key) {
				t.Errorf("%v, and not %v", got, c.key)
			}
		})
	}
}

// Browsers take a frame with a PictureID for one that refers to the one before by that, so either all have one or none (RFC 7741
// section 4.2).
func TestAllFramesAreNumberedAlike(t *testing.T) {
	p := known[0].packets()
	for i := range 1<<15 + 2 {
		for j, payload := range p.Payload(payloadSize, make([]byte, payloadSize+1)) {
			if x := payload[0] & 0x80; x != 0 {
				t.Fatalf("packet %d of frame %d has another descriptor: %x", j, i, payload[:4])
			}
		}
	}
}
