package audio

import (
	"errors"
	"testing"
)

type fakeSink struct {
	frames, closed int
	err            error
}

func (f *fakeSink) WritePCM([]float32) error { f.frames++; return f.err }
func (f *fakeSink) Close() error             { f.closed++; return nil }

func TestTee(t *testing.T) {
	if Tee() != nil {
		t.Error("nothing is something")
	}
	a, b := &fakeSink{}, &fakeSink{}
	if Tee(a) != Sink(a) {
		t.Error("one is not itself")
	}
	s := Tee(a, b)
	broken := errors.New("broken")
	for i := range 3 {
		if i == 1 {
			a.err = broken
		}
		if err := s.WritePCM(nil); err != nil {
			t.Errorf("frame %d: %v", i, err)
		}
	}
	if a.frames != 2 || b.frames != 3 || a.closed != 1 {
		t.Errorf("%+v %+v", a, b)
	}
	if err := s.Close(); !errors.Is(err, broken) || b.closed != 1 || a.closed != 1 {
		t.Errorf("%v %+v %+v", err, a, b)
	}
	a, b = &fakeSink{err: broken}, &fakeSink{err: broken}
	if err := Tee(a, b).WritePCM(nil); !errors.Is(err, broken) {
		t.Errorf("nothing is left: %v", err)
	}
}
