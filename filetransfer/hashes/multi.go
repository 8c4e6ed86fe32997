package hashes

import (
	"bytes"
	"fmt"
	"hash"
	"slices"
)

// Multi computes several hashes of one stream of bytes. It implements [io.Writer] and is for one goroutine.
type Multi struct {
	algos []Algo
	hs    []hash.Hash
}

// NewMulti returns a Multi of the functions that are known, each once.
func NewMulti(algos ...Algo) *Multi {
	m := &Multi{}
	for _, a := range algos {
		a = a.Canonical()
		if h := a.New(); h != nil && !slices.Contains(m.algos, a) {
			m.algos, m.hs = append(m.algos, a), append(m.hs, h)
		}
	}
	return m
}

// Algos returns the functions that are computed.
func (m *Multi) Algos() []Algo { return slices.Clone(m.algos) }

// Write implements [io.Writer]; it never fails.
func (m *Multi) Write(p []byte) (int, error) {
	for _, h := range m.hs {
		h.Write(p)
	}
	return len(p), nil
}

// Sums returns the values of what has been written so far.
func (m *Multi) Sums() Sums {
	s := make(Sums, len(m.hs))
	for i, h := range m.hs {
		s[m.algos[i]] = h.Sum(nil)
	}
	return s
}

// Sums holds the values of one piece of data, by canonical name.
type Sums map[Algo][]byte

// Best returns the strongest value as an element; ok is false if there is none.
func (s Sums) Best() (h Hash, ok bool) {
	for _, a := range Known {
		if v := s[a]; v != nil {
			h, ok = Of(a, v), true
		}
	}
	return h, ok
}

// MismatchError says that data is not what the peer's hash promises.
type MismatchError struct {
	Algo      Algo
	Want, Got []byte
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the %s of the data is %x, the sender's is %x", e.Algo, e.Got, e.Want)
}

// Check compares the values with a peer's. It returns the strongest function that agrees, "" if there was nothing to
// compare, and a [*MismatchError] if any disagrees.
func (s Sums) Check(want []Hash) (Algo, error) {
	var best Algo
	for _, h := range want {
		if !h.Usable() {
			continue
		}
		a := h.Algo.Canonical()
		got := s[a]
		if got == nil {
			continue
		}
		if !bytes.Equal(got, h.Sum) {
			return "", &MismatchError{Algo: a, Want: h.Sum, Got: got}
		}
		if best == "" || a.rank() > best.rank() {
			best = a
		}
	}
	return best, nil
}
