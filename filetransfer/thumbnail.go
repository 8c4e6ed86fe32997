package filetransfer

import (
	"math"
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// Thumbnail is a <thumbnail/> element (XEP-0264 section 4): where a small picture of the file can be had. It
// implements jingle.Payload.
type Thumbnail struct {
	// NS is [NSThumbs] if it is empty.
	NS string
	// URI has the scheme cid (XEP-0231), https or http. It is the peer's word and nothing is fetched from it unasked.
	URI       string
	MediaType string
	// Width and Height are hints for a layout, in pixels, and nil where absent. Section 5: nothing is ever allocated
	// by them.
	Width, Height *uint16
}

func isThumbnail(e *xmltree.Element) bool {
	return e.Name.Local == "thumbnail" && (e.Name.Space == NSThumbs || e.Name.Space == NSThumbs0)
}

// Element implements jingle.Payload.
func (t Thumbnail) Element() *xmltree.Element {
	ns := t.NS
	if ns == "" {
		ns = NSThumbs
	}
	e := xmltree.New(ns, "thumbnail").Set("uri", t.URI).SetOpt("media-type", t.MediaType)
	if t.Width != nil {
		e.Set("width", strconv.Itoa(int(*t.Width)))
	}
	if t.Height != nil {
		e.Set("height", strconv.Itoa(int(*t.Height)))
	}
	return e
}

// ParseThumbnail reads a <thumbnail/>. The predecessor of the namespace named the image by 'cid'.
func ParseThumbnail(e *xmltree.Element) (Thumbnail, error) {
	r := xmltree.Attrs(e)
	t := Thumbnail{NS: e.Name.Space, URI: r.String("uri"), MediaType: r.String("media-type")}
	if !isThumbnail(e) {
		r.Fail("", "is not a <thumbnail/> of "+NSThumbs)
	}
	if cid := r.String("cid"); t.URI == "" && t.NS == NSThumbs0 && cid != "" {
		t.URI = "cid:" + cid
	}
	if t.URI == "" {
		r.Fail("uri", "is missing")
	}
	if len(t.URI) > 8192 {
		r.Fail("uri", "is too long")
	}
	t.Width, t.Height = dimension(r, "width"), dimension(r, "height")
	return t, r.Err()
}

func dimension(r *xmltree.Reader, attr string) *uint16 {
	if r.String(attr) == "" {
		return nil
	}
	n := uint16(r.Uint(attr, 0, math.MaxUint16))
	return &n
}
