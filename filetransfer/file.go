package filetransfer

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/xmltree"
)

// Bounds of what is read of a description.
const (
	maxName = 4096 // bytes of a name as the peer wrote it; SafeName shortens it further
	maxList = 64   // hashes, descriptions or thumbnails of one file
)

const xmlLangNS = "http://www.w3.org/XML/1998/namespace"

// File is a <file/> element (XEP-0234 section 5).
type File struct {
	// Date is the time of the last modification as it stands on the wire (XEP-0082), or ""; see [File.ModTime].
	Date string
	// Desc are descriptions for people, at most one per language.
	Desc []Desc
	// Hashes are hashes of the whole file; HashUsed are functions whose value follows in a [Checksum].
	Hashes   []hashes.Hash
	HashUsed []hashes.Used
	// MediaType is e.g. "text/plain"; "" means application/octet-stream.
	MediaType         string
	MediaTypeSpelling MediaTypeSpelling
	// Name is what the peer wrote and must never be used as a path: see [SafeName].
	Name string
	// Range is nil where absent. An empty one only says that ranges are understood.
	Range *Range
	// Size is in bytes, nil where absent.
	Size       *int64
	Thumbnails []Thumbnail
	// Extra holds children that are none of these.
	Extra []*xmltree.Element

	order []string // kinds of the children, as they were read
}

// MediaTypeSpelling says by which elements a media type is written. Conversations reads and writes <mediaType/> only.
type MediaTypeSpelling uint8

// The spellings of the media type. The zero value is the one of XEP-0234.
const (
	MediaTypeDashed MediaTypeSpelling = iota // <media-type/>
	MediaTypeCamel                           // <mediaType/>
	MediaTypeBoth
)

// unannounced reports whether a checksum will follow of which the offer says nothing. XEP-0234 section 8.2 demands that it
// does, and clients without a <hash-used/> mostly send none; but Conversations, which alone writes <mediaType/> only, sends
// SHA-1 and SHA-256 behind every file.
func (f *File) unannounced() bool {
	return f.MediaTypeSpelling == MediaTypeCamel && len(f.Hashes) == 0 && len(f.HashUsed) == 0
}

// Desc is a description in one language; Lang is "" where no xml:lang stands.
type Desc struct{ Lang, Text string }

// Range is a <range/> element (XEP-0234 section 5), in bytes.
type Range struct {
	// Offset is nil where absent, which means 0. Length is nil where absent, which means up to the end.
	Offset, Length *int64
	// Hashes are of the data in the range.
	Hashes []hashes.Hash
}

// Start returns the offset, 0 for a nil range.
func (r *Range) Start() int64 {
	if r == nil || r.Offset == nil {
		return 0
	}
	return *r.Offset
}

// Whole reports whether the range asks for the whole file, as a nil one and one without attributes do.
func (r *Range) Whole() bool { return r == nil || (r.Start() == 0 && r.Length == nil) }

// Span returns the first byte and the number of bytes that the range stands for in a file of the given size. ok is
// false if the range reaches over the end.
func (r *Range) Span(size int64) (offset, length int64, ok bool) {
	offset = r.Start()
	if offset > size {
		return 0, 0, false
	}
	length = size - offset
	if r != nil && r.Length != nil {
		if *r.Length > length {
			return 0, 0, false
		}
		length = *r.Length
	}
	return offset, length, true
}

// ModTime returns the time of the last modification; ok is false where there is none that can be read.
func (f *File) ModTime() (t time.Time, ok bool) {
	// XEP-0082 asks for a zone; version :4 of the XEP has an example without.
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, f.Date); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// FormatDate writes a time for [File.Date] (XEP-0082 section 3.2), in UTC and whole seconds.
func FormatDate(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// element returns the <file/> in the namespace ns.
func (f *File) element(ns string) *xmltree.Element {
	var s slots
	text := func(kind, local, v string) {
		if v != "" {
			s.add(kind, xmltree.New(ns, local).AddText(v))
		}
	}
	text("date", "date", f.Date)
	for _, d := range f.Desc {
		e := xmltree.New(ns, "desc").AddText(d.Text)
		if d.Lang != "" {
			e.Attrs = append(e.Attrs, langAttr(d.Lang))
		}
		s.add("desc", e)
	}
	if f.MediaTypeSpelling != MediaTypeCamel {
		text("media-type", "media-type", f.MediaType)
	}
	if f.MediaTypeSpelling != MediaTypeDashed {
		text("mediaType", "mediaType", f.MediaType)
	}
	text("name", "name", f.Name)
	if f.Range != nil {
		s.add("range", f.Range.element(ns))
	}
	if f.Size != nil {
		text("size", "size", strconv.FormatInt(*f.Size, 10))
	}
	for _, h := range f.Hashes {
		s.add("hash", h.Element())
	}
	for _, u := range f.HashUsed {
		s.add("hash-used", u.Element())
	}
	for _, t := range f.Thumbnails {
		s.add("thumbnail", t.Element())
	}
	for _, x := range f.Extra {
		s.add("extra", x.Clone())
	}
	return s.arrange(xmltree.New(ns, "file"), f.order)
}

func (r *Range) element(ns string) *xmltree.Element {
	e := xmltree.New(ns, "range")
	if r.Offset != nil {
		e.Set("offset", strconv.FormatInt(*r.Offset, 10))
	}
	if r.Length != nil {
		e.Set("length", strconv.FormatInt(*r.Length, 10))
	}
	for _, h := range r.Hashes {
		e.Add(h.Element())
	}
	return e
}

func parseFile(e *xmltree.Element) (File, error) {
	var f File
	ns := e.Name.Space
	r := xmltree.Attrs(e)
	dashed, camel := "", ""
	once := func(have bool, local string) bool {
		if have {
			r.Fail("", "has more than one <"+local+"/>")
		}
		return !have
	}
	for c := range e.Elements() {
		kind, err := "extra", error(nil)
		switch {
		case c.Name.Space == ns:
			switch kind = c.Name.Local; kind {
			case "date":
				if once(f.Date != "", kind) {
					f.Date = c.Text()
				}
			case "desc":
				f.Desc = append(f.Desc, Desc{Lang: lang(c), Text: c.Text()})
			case "media-type":
				dashed = c.Text()
			case "mediaType":
				camel = c.Text()
			case "name":
				if once(f.Name != "", kind) {
					f.Name = c.Text()
				}
			case "range":
				if once(f.Range != nil, kind) {
					f.Range, err = parseRange(c)
				}
			case "size":
				if once(f.Size != nil, kind) {
					f.Size, err = parseSize(c)
				}
			default:
				kind = "extra"
				f.Extra = append(f.Extra, c)
			}
		case hashes.IsNS(c.Name.Space) && c.Name.Local == "hash":
			var h hashes.Hash
			h, err = hashes.Parse(c)
			kind, f.Hashes = "hash", append(f.Hashes, h)
		case hashes.IsNS(c.Name.Space) && c.Name.Local == "hash-used":
			var u hashes.Used
			u, err = hashes.ParseUsed(c)
			kind, f.HashUsed = "hash-used", append(f.HashUsed, u)
		case isThumbnail(c):
			var t Thumbnail
			t, err = ParseThumbnail(c)
			kind, f.Thumbnails = "thumbnail", append(f.Thumbnails, t)
		default:
			f.Extra = append(f.Extra, c)
		}
		if err != nil {
			return File{}, err
		}
		f.order = append(f.order, kind)
	}
	f.MediaType = dashed
	if dashed == "" && camel != "" {
		f.MediaType, f.MediaTypeSpelling = camel, MediaTypeCamel
	} else if camel != "" {
		f.MediaTypeSpelling = MediaTypeBoth
	}
	if len(f.Name) > maxName {
		r.Fail("", "has a name of more than "+strconv.Itoa(maxName)+" bytes")
	}
	if max(len(f.Desc), len(f.Hashes), len(f.HashUsed), len(f.Thumbnails), len(f.Extra)) > maxList {
		r.Fail("", "has too many children of one kind")
	}
	return f, r.Err()
}

func parseSize(e *xmltree.Element) (*int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(e.Text()), 10, 64)
	// The schema asks for a positive number, but there are empty files.
	if err != nil || n < 0 {
		return nil, &xmltree.Error{Element: "size", Problem: "is not a number of bytes"}
	}
	return &n, nil
}

func parseRange(e *xmltree.Element) (*Range, error) {
	r := xmltree.Attrs(e)
	out := &Range{}
	for _, a := range []struct {
		name string
		to   **int64
	}{{"offset", &out.Offset}, {"length", &out.Length}} {
		if v := strings.TrimSpace(e.Attr(a.name)); v != "" {
			n := int64(r.Uint(a.name, 0, math.MaxInt64))
			*a.to = &n
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		if hashes.IsNS(c.Name.Space) && c.Name.Local == "hash" {
			h, err := hashes.Parse(c)
			if err != nil {
				return nil, err
			}
			out.Hashes = append(out.Hashes, h)
		}
	}
	if len(out.Hashes) > maxList {
		r.Fail("", "has too many hashes")
	}
	return out, r.Err()
}

// slots are children to be written, each with its kind.
type slots []slot

type slot struct {
	kind string
	el   *xmltree.Element
}

func (s *slots) add(kind string, el *xmltree.Element) { *s = append(*s, slot{kind, el}) }

// arrange adds the children to e in the order of kinds in which they were read, and the others after them. The XEP's
// own examples have them in every order, and a description should come back as it came.
func (s slots) arrange(e *xmltree.Element, order []string) *xmltree.Element {
	for _, kind := range order {
		for i := range s {
			if s[i].el != nil && s[i].kind == kind {
				e.Add(s[i].el)
				s[i].el = nil
				break
			}
		}
	}
	for _, x := range s {
		e.Add(x.el)
	}
	return e
}
