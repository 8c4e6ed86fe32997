package thumbnail

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // a format that is read
	"image/jpeg"
	"image/png"
	"io"
)

// The bounds of pictures.
const (
	maxFile      = 64 << 20 // bytes of an image that is looked at
	maxPixels    = 50_000_000
	side         = 128 // of what is sent, in pixels
	maxSent      = 8 << 10
	maxGot       = 64 << 10
	maxGotPixels = 1 << 20
	maxShown     = 256 // the side of what is shown
)

// errTooLarge says that a picture is not worth its memory.
var errTooLarge = errors.New("the picture is too large")

// Picture is a small picture.
type Picture struct {
	Data          []byte
	MediaType     string
	Width, Height int // pixels
}

// Make makes a small picture of an image that has size bytes: a JPEG of at most 8 KiB (XEP-0231 section 2) and 128 pixels.
func Make(r io.ReadSeeker, size int64) (Picture, error) {
	if size > maxFile {
		return Picture{}, errTooLarge
	}
	img, err := decode(r, maxPixels)
	if err != nil {
		return Picture{}, err
	}
	for most := side; most >= 32; most /= 2 {
		small := shrink(img, most)
		for _, quality := range []int{80, 60, 40} {
			var b bytes.Buffer
			if err := jpeg.Encode(&b, small, &jpeg.Options{Quality: quality}); err != nil {
				return Picture{}, err
			}
			if b.Len() <= maxSent {
				return Picture{b.Bytes(), "image/jpeg", small.Rect.Dx(), small.Rect.Dy()}, nil
			}
		}
	}
	return Picture{}, errTooLarge
}

// Clean decodes a picture that a peer has sent and encodes it anew, as a PNG of at most 256 pixels, so that whoever shows it
// meets nothing of the peer's but colours.
func Clean(data []byte) (Picture, error) {
	if len(data) > maxGot {
		return Picture{}, errTooLarge
	}
	img, err := decode(bytes.NewReader(data), maxGotPixels)
	if err != nil {
		return Picture{}, err
	}
	small := shrink(img, maxShown)
	var b bytes.Buffer
	if err := png.Encode(&b, small); err != nil {
		return Picture{}, err
	}
	return Picture{b.Bytes(), "image/png", small.Rect.Dx(), small.Rect.Dy()}, nil
}

// decode reads an image whose header says that it has at most so many pixels.
func decode(r io.ReadSeeker, most int) (image.Image, error) {
	cfg, _, err := image.DecodeConfig(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > most/cfg.Height {
		return nil, errTooLarge
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return img, nil
}

// shrink makes an image of at most so many pixels a side, each the mean of those that it stands for, on white.
func shrink(img image.Image, most int) *image.RGBA {
	in := img.Bounds()
	w, h := in.Dx(), in.Dy()
	if w > most || h > most {
		if w >= h {
			w, h = most, max(h*most/w, 1)
		} else {
			w, h = max(w*most/h, 1), most
		}
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		y0, y1 := in.Min.Y+y*in.Dy()/h, in.Min.Y+max((y+1)*in.Dy()/h, y*in.Dy()/h+1)
		for x := range w {
			x0, x1 := in.Min.X+x*in.Dx()/w, in.Min.X+max((x+1)*in.Dx()/w, x*in.Dx()/w+1)
			out.SetRGBA(x, y, mean(img, x0, y0, x1, y1))
		}
	}
	return out
}

// maxSamples bounds what one pixel looks at, in each direction.
const maxSamples = 8

func mean(img image.Image, x0, y0, x1, y1 int) color.RGBA {
	var r, g, b, n uint64
	dx, dy := max((x1-x0)/maxSamples, 1), max((y1-y0)/maxSamples, 1)
	for y := y0; y < y1; y += dy {
		for x := x0; x < x1; x += dx {
			cr, cg, cb, ca := img.At(x, y).RGBA() // multiplied by alpha
			white := uint64(0xffff - ca)
			r, g, b, n = r+uint64(cr)+white, g+uint64(cg)+white, b+uint64(cb)+white, n+1
		}
	}
	return color.RGBA{uint8(r / n >> 8), uint8(g / n >> 8), uint8(b / n >> 8), 255}
}
