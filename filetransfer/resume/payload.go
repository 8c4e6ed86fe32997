package resume

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// maxName bounds the names of sessions and contents that are read, in bytes.
const maxName = 256

// Ref names a transfer: by its first session, and by the content there. It implements [jingle.Payload].
type Ref struct{ SID, Content string }

// Element implements [jingle.Payload].
func (r Ref) Element() *xmltree.Element { return r.attributes("resume") }

func (r Ref) attributes(local string) *xmltree.Element {
	return xmltree.New(NS, local).Set("sid", r.SID).Set("content", r.Content)
}

// ParseRef reads a <resume/>.
func ParseRef(e *xmltree.Element) (Ref, error) { return parseRef(e, "resume") }

func parseRef(e *xmltree.Element, local string) (Ref, error) {
	a := xmltree.Attrs(e)
	if e.Name.Space != NS || e.Name.Local != local {
		a.Fail("", "is not a <"+local+"/> of "+NS)
	}
	r := Ref{a.Required("sid"), a.Required("content")}
	if len(r.SID) > maxName || len(r.Content) > maxName {
		a.Fail("", "has a name of more than "+strconv.Itoa(maxName)+" bytes")
	}
	return r, a.Err()
}

// Find returns the <resume/> among the children of a <file/>. ok is false if there is none that can be read.
func Find(extra []*xmltree.Element) (r Ref, ok bool) {
	for _, e := range extra {
		if e.Is(NS, "resume") {
			r, err := ParseRef(e)
			return r, err == nil
		}
	}
	return Ref{}, false
}

// PausedElement returns the application condition of a session that ends because its transfer is paused.
func PausedElement() *xmltree.Element { return xmltree.New(NS, "paused") }

// IsPaused reports whether an application condition, which may be nil, is [PausedElement].
func IsPaused(app *xmltree.Element) bool { return app.Is(NS, "paused") }

// CompleteElement returns the application condition of a refusal by who has everything already. Protocols that have a word
// for it do not need it.
func CompleteElement() *xmltree.Element { return xmltree.New(NS, "complete") }

// IsComplete reports whether an application condition, which may be nil, is [CompleteElement].
func IsComplete(app *xmltree.Element) bool { return app.Is(NS, "complete") }

// Cancelled is a <cancelled/>: an interrupted transfer is given up. It implements [jingle.Payload].
type Cancelled struct{ Ref }

// Element implements [jingle.Payload].
func (c Cancelled) Element() *xmltree.Element { return c.attributes("cancelled") }

// ParseCancelled reads a <cancelled/>.
func ParseCancelled(e *xmltree.Element) (Cancelled, error) {
	r, err := parseRef(e, "cancelled")
	return Cancelled{r}, err
}

// Blocks is a <blocks/>: without Sums a request, with them the answer. It implements [jingle.Payload].
type Blocks struct {
	Ref
	// Size is that of a block, in bytes; the last of a file may be shorter.
	Size int64
	// First is the number of the first block that is meant, from 0, and Count how many there are.
	First, Count int64
	// Sums are the hashes of the blocks, one behind the other.
	Sums []byte
}

// Element implements [jingle.Payload].
func (b Blocks) Element() *xmltree.Element {
	e := b.attributes("blocks").Set("size", strconv.FormatInt(b.Size, 10)).
		Set("first", strconv.FormatInt(b.First, 10)).Set("count", strconv.FormatInt(b.Count, 10))
	if len(b.Sums) > 0 {
		e.AddText(base64.StdEncoding.EncodeToString(b.Sums))
	}
	return e
}

// ParseBlocks reads a <blocks/>. One with hashes has as many as it says.
func ParseBlocks(e *xmltree.Element) (Blocks, error) {
	ref, err := parseRef(e, "blocks")
	if err != nil {
		return Blocks{}, err
	}
	a := xmltree.Attrs(e)
	for _, name := range []string{"size", "first", "count"} {
		a.Required(name)
	}
	b := Blocks{Ref: ref, Size: int64(a.Uint("size", 0, MaxBlock)), First: int64(a.Uint("first", 0, math.MaxInt32)),
		Count: int64(a.Uint("count", 0, MaxCount))}
	if b.Size < MinBlock {
		a.Fail("size", "is less than "+strconv.Itoa(MinBlock))
	}
	if b.Count == 0 {
		a.Fail("count", "is 0")
	}
	if err := a.Err(); err != nil {
		return Blocks{}, err
	}
	if text := e.Text(); text != "" {
		b.Sums, err = base64.StdEncoding.DecodeString(text)
		if err != nil || int64(len(b.Sums)) != b.Count*SumSize {
			return Blocks{}, &xmltree.Error{Element: "blocks", Problem: "does not hold the hashes that it says"}
		}
	}
	return b, nil
}

// Register adds the payloads of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "resume", func(e *xmltree.Element) (jingle.Payload, error) { return payload(ParseRef(e)) })
	r.Register(NS, "cancelled", func(e *xmltree.Element) (jingle.Payload, error) { return payload(ParseCancelled(e)) })
	r.Register(NS, "blocks", func(e *xmltree.Element) (jingle.Payload, error) { return payload(ParseBlocks(e)) })
}

func payload[T jingle.Payload](p T, err error) (jingle.Payload, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
