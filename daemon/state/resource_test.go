package state_test

import (
	"testing"

	"github.com/jingled/jingled/daemon/state"
)

func TestResource(t *testing.T) {
	dir := t.TempDir()
	open := func() *state.Store {
		s, err := state.Open(dir, state.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, c := range []struct{ account, machine, fresh, want string }{
		{"a@x", "desk", "one", "one"},
		{"a@x", "desk", "two", "one"},
		{"b@x", "desk", "three", "three"},
		{"a@x", "laptop", "four", "four"}, // the folder was copied
		{"a@x", "laptop", "five", "four"},
	} {
		if got, err := s.Resource(t.Context(), c.account, c.machine, c.fresh); err != nil || got != c.want {
			t.Errorf("Resource(%s, %s, %s) = %q, %v, want %q", c.account, c.machine, c.fresh, got, err, c.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if got, err := s.Resource(t.Context(), "b@x", "desk", "six"); err != nil || got != "three" {
		t.Errorf("after it was opened again: %q, %v, want three", got, err)
	}
}
