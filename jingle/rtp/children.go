package rtp

import (
	"slices"

	"github.com/jingled/jingled/xmltree"
)

// The texts allow child elements of different kinds in any order, and the examples use that. So that an element is
// written back as it was read, its order is kept where it differs from ours.

// kind numbers the kinds of children of one element, in the order in which we write them.
type kind uint8

// kid is a child element together with its kind.
type kid struct {
	kind kind
	el   *xmltree.Element
}

// layout is the order in which a peer wrote kinds; nil stands for our own order.
type layout []kind

// layoutOf returns the layout of children that came in this order.
func layoutOf(kinds []kind) layout {
	if slices.IsSorted(kinds) {
		return nil
	}
	return kinds
}

// add appends kids, which stand in our order, to e in the order of l. Kids that l does not foresee, because the value
// was changed after it had been read, come last.
func (l layout) add(e *xmltree.Element, kids []kid) *xmltree.Element {
	if l == nil {
		for _, k := range kids {
			e.Add(k.el)
		}
		return e
	}
	var queues [16][]*xmltree.Element
	for _, k := range kids {
		queues[k.kind] = append(queues[k.kind], k.el)
	}
	for _, k := range l {
		if q := queues[k]; len(q) > 0 {
			e.Add(q[0])
			queues[k] = q[1:]
		}
	}
	for _, q := range queues {
		e.Add(q...)
	}
	return e
}

// kidsOf wraps the elements of values of one kind.
func kidsOf[T any](kids []kid, k kind, values []T, element func(T) *xmltree.Element) []kid {
	for _, v := range values {
		kids = append(kids, kid{k, element(v)})
	}
	return kids
}

func cloneElement(e *xmltree.Element) *xmltree.Element { return e.Clone() }

// Bounds of attribute values: names are short, values hold at most the configuration header of a codec.
const (
	maxName  = 256
	maxValue = 16 << 10
)

// bounded returns the attribute, and fails if it is longer than limit bytes.
func bounded(r *xmltree.Reader, attr string, limit int) string {
	v := r.String(attr)
	if len(v) > limit {
		r.Fail(attr, "is too long")
		return ""
	}
	return v
}

// required is bounded for an attribute that must be there.
func required(r *xmltree.Reader, attr string, limit int) string {
	if r.Required(attr) == "" {
		return ""
	}
	return bounded(r, attr, limit)
}
