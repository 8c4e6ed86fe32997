package state_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
)

// writerDir names the folder that this test's binary is to fill until it is killed.
const writerDir = "JINGLED_TEST_STATE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		fmt.Fprintln(os.Stderr, fill(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fill writes records until it is killed, and says after each that it is finished.
func fill(dir string) error {
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		if n%2 == 0 {
			err = s.AddTransfer(context.Background(), state.Transfer{Account: "a@x", Peer: "b@x/r", SID: strconv.Itoa(n)})
		} else {
			err = s.AddCall(context.Background(), state.Call{Account: "a@x", Peer: "b@x/r", SID: strconv.Itoa(n)})
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%d\n", n); err != nil {
			return err
		}
	}
}

func open(t testing.TB, dir string, cfg state.Config) *state.Store {
	t.Helper()
	s, err := state.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestRecordsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with ? and # and %41", "state")
	call := state.Call{ID: 1, KeysSent: "12#", KeysReceived: "*0", Account: "alice@x", Peer: "bob@x/phone", SID: "s1", Incoming: true, Video: true, Began: noon,
		Ended: noon.Add(time.Minute), Connected: true, Conversation: 30 * time.Second, Reason: "success", Text: "t'); DROP TABLE call;",
		ByPeer: true, PacketsSent: 1, PacketsReceived: 2, PacketsLost: 3}
	transfer := state.Transfer{ID: 1, Account: "alice@x", Peer: "bob@x/phone", SID: "s2", Began: noon, Ended: noon.Add(time.Hour),
		Name: "ä\x01.bin", Size: 10, Bytes: 9, Transport: "s5b", Path: "/p", Complete: true, Verified: true, Hash: "sha-256:00",
		Reason: "", Text: "", ByPeer: true}
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.AddCall(t.Context(), call), s.AddTransfer(t.Context(), transfer), s.Seen(t.Context(), "alice@x", noon),
		s.Seen(t.Context(), "alice@x", noon.Add(time.Hour)),
		s.Pin(t.Context(), state.Identity{Account: "alice@x", Peer: "x", Kind: state.ServerCertificate, Value: "ab"}, noon), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}

	s = open(t, dir, state.Config{})
	calls, err := s.Calls(t.Context(), state.Filter{})
	if err != nil || !reflect.DeepEqual(calls, []state.Call{call}) {
		t.Errorf("calls %+v, %v", calls, err)
	}
	transfers, err := s.Transfers(t.Context(), state.Filter{})
	if err != nil || !reflect.DeepEqual(transfers, []state.Transfer{transfer}) {
		t.Errorf("transfers %+v, %v", transfers, err)
	}
	accounts, err := s.Accounts(t.Context())
	if err != nil || !reflect.DeepEqual(accounts, []state.Account{{JID: "alice@x", FirstSeen: noon, LastSeen: noon.Add(time.Hour)}}) {
		t.Errorf("accounts %+v, %v", accounts, err)
	}
	ids, err := s.Identities(t.Context())
	if err != nil || len(ids) != 1 || ids[0].Value != "ab" || ids[0].FirstSeen != noon {
		t.Errorf("identities %+v, %v", ids, err)
	}
	for _, name := range []string{"jingled.db", "jingled.lock"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

func TestFilter(t *testing.T) {
	s := open(t, t.TempDir(), state.Config{})
	for i, c := range []state.Call{{Account: "a@x", Peer: "b@x/1"}, {Account: "a@x", Peer: "b@x.org"}, {Account: "c@x", Peer: "b@x"}, {Account: "a@x", Peer: "b@x/2"}} {
		c.SID, c.Ended = strconv.Itoa(i), noon.Add(time.Duration(i)*time.Minute)
		if err := s.AddCall(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f    state.Filter
		want string
	}{
		{state.Filter{}, "3210"},
		{state.Filter{Limit: 2}, "32"},
		{state.Filter{Account: "a@x"}, "310"},
		{state.Filter{Peer: "b@x"}, "320"},
		{state.Filter{Peer: "b@x/2"}, "3"},
		{state.Filter{Peer: "b%"}, ""},
		{state.Filter{Before: noon.Add(2 * time.Minute)}, "10"},
	} {
		calls, err := s.Calls(t.Context(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, c := range calls {
			got += c.SID
		}
		if got != c.want {
			t.Errorf("%+v: got %s, want %s", c.f, got, c.want)
		}
	}
}

func TestOldestGo(t *testing.T) {
	s := open(t, t.TempDir(), state.Config{Keep: 3})
	for i := range 10 {
		if err := s.AddTransfer(t.Context(), state.Transfer{SID: strconv.Itoa(i), Ended: noon}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Transfers(t.Context(), state.Filter{})
	if err != nil || len(got) != 3 || got[0].SID != "9" || got[2].SID != "7" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, state.Config{})
	if _, err := state.Open(dir, state.Config{}); !errors.Is(err, state.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second one got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, state.Config{})
}

func TestNewerDatabase(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, state.Config{}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "jingled.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock is given back each time
		if _, err := state.Open(dir, state.Config{}); !errors.Is(err, state.ErrTooNew) {
			t.Errorf("got %v", err)
		}
	}
}

// TestKill kills a process that writes, again and again, and looks for every record that it said was finished.
func TestKill(t *testing.T) {
	if os.PathSeparator == '\\' {
		t.Skip("a process ends in another way there")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		dir := t.TempDir()
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := 0
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if said, err = strconv.Atoi(scan.Text()); err != nil {
				t.Fatal(err)
			}
			if said == 1+7*round { // what is in the pipe already is read as well
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := open(t, dir, state.Config{}) // the lock went with the process
		calls, err := s.Calls(t.Context(), state.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		transfers, err := s.Transfers(t.Context(), state.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		// At most the one that was being written is there besides.
		if n := len(calls) + len(transfers); said < 1+7*round || n < said || n > said+1 {
			t.Errorf("%d records were finished, %d are there", said, n)
		}
		seen := map[string]bool{}
		for _, c := range calls {
			seen[c.SID] = true
		}
		for _, x := range transfers {
			seen[x.SID] = true
		}
		for n := 1; n <= said; n++ {
			if !seen[strconv.Itoa(n)] {
				t.Errorf("record %d was finished and is lost", n)
			}
		}
	}
}
