package state_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
)

func TestBlocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(account string, jids ...string) {
		t.Helper()
		if err := s.SetBlocked(t.Context(), account, jids); err != nil {
			t.Fatal(err)
		}
	}
	set("alice@x", "c@x", "b@x", "'; DROP TABLE blocked")
	set("bob@x", "a@x")
	set("alice@x", "d@x", "c@x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, state.Config{})
	for account, want := range map[string][]string{"alice@x": {"c@x", "d@x"}, "bob@x": {"a@x"}, "carol@x": nil} {
		if got, err := s.Blocked(t.Context(), account); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", account, got, err)
		}
	}
	set("alice@x")
	if got, err := s.Blocked(t.Context(), "alice@x"); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCapabilities(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(n int, at time.Time) {
		t.Helper()
		if err := s.AddCapability(t.Context(), state.Capability{Hash: "sha-1", Ver: fmt.Sprint(n), Info: "<query/>"}, at); err != nil {
			t.Fatal(err)
		}
	}
	for n := range state.MaxCapabilities {
		add(n, noon.Add(time.Duration(n)*time.Second))
	}
	add(0, noon.Add(time.Hour)) // of use again
	add(-1, noon.Add(2*time.Hour))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir, state.Config{}).Capabilities(t.Context())
	if err != nil || len(got) != state.MaxCapabilities {
		t.Fatalf("%d, %v", len(got), err)
	}
	if got[0].Ver != "2" || got[len(got)-2].Ver != "0" || got[len(got)-1].Ver != "-1" || got[0].Info != "<query/>" {
		t.Errorf("from %v to %v", got[0], got[len(got)-2:])
	}
}
