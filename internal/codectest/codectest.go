// Package codectest is what every codec has to pass: what is written back equals what was read, writing and reading
// again loses nothing, and what makes no sense gives an error that can be sent to the peer.
package codectest

import (
	"errors"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Suite is the examples for one codec, or several that stand behind one Parse.
type Suite struct {
	Parse jingle.Parse
	// Same are written back as they were read.
	Same []string
	// Liberal are read though they are not as they should be, and need not be written back as they were.
	Liberal []string
	// Refused give an [*xmltree.Error].
	Refused []string
}

// Of makes a [jingle.Parse] of a function that returns a type of its own.
func Of[T jingle.Payload](parse func(*xmltree.Element) (T, error)) jingle.Parse {
	return func(e *xmltree.Element) (jingle.Payload, error) {
		v, err := parse(e)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}

// Registered makes a [jingle.Parse] of what these functions register; anything else is refused.
func Registered(register ...func(*jingle.Registry)) jingle.Parse {
	var reg jingle.Registry
	for _, f := range register {
		f(&reg)
	}
	return known(&reg)
}

// known refuses what reg has no codec for.
func known(reg *jingle.Registry) jingle.Parse {
	return func(e *xmltree.Element) (jingle.Payload, error) {
		if !reg.Known(e.Name.Space, e.Name.Local) {
			return nil, &xmltree.Error{Element: e.Name.Local, Problem: "is not known"}
		}
		return reg.Parse(e)
	}
}

// Element parses XML text, or fails the test.
func Element(t testing.TB, text string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return e
}

// Run runs the checks.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, text := range s.Same {
		e := Element(t, text)
		p, err := s.Parse(e)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := p.Element(); !got.Equal(e) {
			t.Errorf("read    %s\nwritten %s", text, got)
		}
		if !p.Element().Equal(p.Element()) {
			t.Errorf("%s: writing it changes it", text)
		}
	}
	for _, text := range s.Liberal {
		p, err := s.Parse(Element(t, text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if problem := s.stable(p); problem != "" {
			t.Errorf("%s: %s", text, problem)
		}
	}
	for _, text := range s.Refused {
		p, err := s.Parse(Element(t, text))
		if _, ok := errors.AsType[*xmltree.Error](err); !ok {
			t.Errorf("%.200s: got %+v and error %v, want an *xmltree.Error", text, p, err)
		}
	}
}

// stable reports what is wrong if p, once written, is not read and written as the same.
func (s Suite) stable(p jingle.Payload) string {
	once, err := xmltree.Parse(p.Element().AppendXML(nil, ""), xmltree.Limits{Bytes: 4 << 20, Elements: 1 << 16, Depth: 64})
	if err != nil {
		return "written as " + p.Element().String() + ", which is no XML: " + err.Error()
	}
	q, err := s.Parse(once)
	if err != nil {
		return "written as " + once.String() + ", which is refused: " + err.Error()
	}
	if twice := q.Element(); !twice.Equal(once) {
		return "written as " + once.String() + ", then as " + twice.String()
	}
	return ""
}

// Fuzz checks that whatever is read can be written and is then read as the same, and that what is not gives an
// [*xmltree.Error]. The examples are the seeds.
func (s Suite) Fuzz(f *testing.F) {
	f.Helper()
	for _, list := range [][]string{s.Same, s.Liberal, s.Refused} {
		for _, text := range list {
			if len(text) < 4096 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
		if err != nil {
			return
		}
		p, err := s.Parse(e)
		if err != nil {
			if _, ok := errors.AsType[*xmltree.Error](err); !ok {
				t.Fatalf("error %T %v is not fit to be sent back", err, err)
			}
			return
		}
		if problem := s.stable(p); problem != "" {
			t.Fatal(problem)
		}
	})
}
