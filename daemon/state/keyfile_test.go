package state

import (
	"bytes"
	"slices"
	"sync"
	"testing"
)

// Those who ask at the same moment get one key, and it is that on the disk.
func TestOneKey(t *testing.T) {
	s, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const all = 8
	var got [all][]byte
	var errs [all]error
	var begun, done sync.WaitGroup
	begun.Add(1)
	for i := range all {
		done.Go(func() {
			begun.Wait()
			got[i], errs[i] = s.Key("alice@example.test", func() ([]byte, error) { return bytes.Repeat([]byte{byte('a' + i)}, 1<<16), nil })
		})
	}
	begun.Done()
	done.Wait()
	kept, err := s.Key("alice@example.test", func() ([]byte, error) { t.Error("there is none"); return nil, nil })
	if err != nil || len(kept) != 1<<16 {
		t.Fatalf("%d bytes, %v", len(kept), err)
	}
	for i := range all {
		if errs[i] != nil || !bytes.Equal(got[i], kept) {
			t.Errorf("number %d got %q, %v, but %q is kept", i, slices.Compact(got[i]), errs[i], slices.Compact(kept))
		}
	}
}
