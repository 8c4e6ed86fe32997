package audio

import "errors"

// Tee returns a sink that passes what it gets to several: one that fails is closed, and the others go on. None is nil.
func Tee(sinks ...Sink) Sink {
	switch len(sinks) {
	case 0:
		return nil
	case 1:
		return sinks[0]
	}
	return &tee{sinks: sinks}
}

type tee struct {
	sinks []Sink // those that work
	err   error
}

// WritePCM implements [Sink]. It fails once nothing is left.
func (t *tee) WritePCM(pcm []float32) error {
	var rest []Sink
	for _, s := range t.sinks {
		if err := s.WritePCM(pcm); err != nil {
			t.err = errors.Join(t.err, err, s.Close())
		} else {
			rest = append(rest, s)
		}
	}
	if t.sinks = rest; len(rest) == 0 {
		err := t.err
		t.err = nil
		return err
	}
	return nil
}

// Close implements [Sink]; it tells of those that have failed, too.
func (t *tee) Close() error {
	for _, s := range t.sinks {
		t.err = errors.Join(t.err, s.Close())
	}
	t.sinks = nil
	return t.err
}
