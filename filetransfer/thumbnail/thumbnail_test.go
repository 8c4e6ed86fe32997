package thumbnail

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// painted has red on the left and blue on the right, and noise, if it is wanted.
func painted(w, h int, noise bool) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{R: 255, A: 255}
			if x >= w/2 {
				c = color.RGBA{B: 255, A: 255}
			}
			if noise {
				c.G = uint8(rand.IntN(256))
			}
			img.Set(x, y, c)
		}
	}
	return img
}

func TestMake(t *testing.T) {
	for name, c := range map[string]struct {
		w, h, wantW, wantH int
		encode             func(io.Writer, image.Image) error
	}{
		"png":   {400, 200, 128, 64, png.Encode},
		"jpeg":  {300, 3000, 12, 128, func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }},
		"gif":   {1000, 1000, 128, 128, func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) }},
		"small": {10, 5, 10, 5, png.Encode},
		"line":  {5000, 1, 128, 1, png.Encode},
	} {
		for _, noise := range []bool{false, true} {
			var b bytes.Buffer
			if err := c.encode(&b, painted(c.w, c.h, noise)); err != nil {
				t.Fatal(err)
			}
			p, err := Make(bytes.NewReader(b.Bytes()), int64(b.Len()))
			if err != nil || len(p.Data) > maxSent || p.MediaType != "image/jpeg" || p.Width > c.wantW || p.Height > c.wantH {
				t.Fatalf("%s: %d bytes, %dx%d, %v", name, len(p.Data), p.Width, p.Height, err)
			}
			if !noise && (p.Width != c.wantW || p.Height != c.wantH) {
				t.Errorf("%s: %dx%d", name, p.Width, p.Height)
			}
			shown, err := Clean(p.Data)
			if err != nil || shown.MediaType != "image/png" || shown.Width != p.Width {
				t.Fatalf("%s: %+v, %v", name, shown, err)
			}
			img, err := png.Decode(bytes.NewReader(shown.Data))
			if err != nil {
				t.Fatal(err)
			}
			if r, _, bl, _ := img.At(0, 0).RGBA(); r>>8 < 150 || bl>>8 > 120 {
				t.Errorf("%s: the left is %v", name, img.At(0, 0))
			}
			if r, _, bl, _ := img.At(shown.Width-1, 0).RGBA(); bl>>8 < 150 || r>>8 > 120 {
				t.Errorf("%s: the right is %v", name, img.At(shown.Width-1, 0))
			}
		}
	}
}

// bomb is a PNG whose header promises more than there is.
func bomb(w, h uint32) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, painted(1, 1, false))
	data := b.Bytes()
	binary.BigEndian.PutUint32(data[16:], w)
	binary.BigEndian.PutUint32(data[20:], h)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

func TestHostile(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": nil, "no picture": []byte("hello"), "a bomb": bomb(100_000, 100_000), "a flat bomb": bomb(1<<30, 1),
		"too many pixels": bomb(2000, 2000), "too many bytes": make([]byte, maxGot+1), "cut": bomb(10, 10),
	} {
		if p, err := Clean(data); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, err := Make(bytes.NewReader(bomb(100_000, 100_000)), 100); err == nil {
		t.Error("a bomb of one's own")
	}
	if _, err := Make(bytes.NewReader(nil), maxFile+1); err == nil {
		t.Error("a file without bounds")
	}
}

var suite = codectest.Suite{
	Parse: codectest.Registered(func(r *jingle.Registry) {
		r.Register(NSBoB, "data", func(e *xmltree.Element) (jingle.Payload, error) {
			b, err := ParseBits(e)
			if err != nil {
				return nil, err
			}
			return b, nil
		})
	}),
	Same: []string{
		`<data xmlns='urn:xmpp:bob' cid='sha1+8f35fef110ffc5df08d579a50083ff9308fb6242@bob.xmpp.org'/>`,
		`<data xmlns='urn:xmpp:bob' cid='sha1+8f35fef110ffc5df08d579a50083ff9308fb6242@bob.xmpp.org' max-age='86400' type='image/png'>aGVsbG8=</data>`,
		`<data xmlns='urn:xmpp:bob' cid='x' type='image/png'>aGVsbG8=</data>`,
	},
	Refused: []string{
		`<data xmlns='urn:xmpp:bob'/>`,
		`<data xmlns='urn:xmpp:bob' cid='x' max-age='-1'/>`,
		`<data xmlns='urn:xmpp:bob' cid='x'>not base64!</data>`,
		`<data xmlns='urn:other' cid='x'/>`,
	},
}

func TestBits(t *testing.T) { suite.Run(t) }
func FuzzBits(f *testing.F) { suite.Fuzz(f) }
func FuzzClean(f *testing.F) {
	f.Add(bomb(1, 1))
	f.Add(bomb(9999, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Clean(b); err == nil && (p.Width > maxShown || p.Height > maxShown) {
			t.Errorf("%dx%d", p.Width, p.Height)
		}
	})
}
