package relay

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func testLine(client string) line {
	return line{Event: "end", Session: Session{Kind: "turn", User: "u", Client: netip.MustParseAddrPort(client), Peer: netip.MustParseAddrPort(client)}}
}

func TestJournalTruncates(t *testing.T) {
	for _, c := range []struct {
		cfg    Journal
		client string
		want   string
		user   string
	}{
		{Journal{}, "192.0.2.77:4000", "192.0.2.77:4000", "u"},
		{Journal{TruncateIPv4: 24, NoUser: true}, "192.0.2.77:4000", "192.0.2.0:0", ""},
		{Journal{TruncateIPv4: 24}, "[2001:db8:1:2:3:4:5:6]:4000", "[2001:db8:1:2:3:4:5:6]:4000", "u"},
		{Journal{TruncateIPv6: 48}, "[2001:db8:1:2:3:4:5:6]:4000", "[2001:db8:1::]:0", "u"},
	} {
		c.cfg.File = "unused"
		got := newJournal("x", c.cfg, 0, slog.New(slog.DiscardHandler)).shorten(testLine(c.client))
		if got.Client.String() != c.want || got.Peer.String() != c.want || got.User != c.user {
			t.Errorf("%+v: %v, %v, %q", c.cfg, got.Client, got.Peer, got.User)
		}
	}
}

// Files are begun anew each day and deleted after their time; what is not ours stays.
func TestJournalRotatesAndForgets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "access.json")
	j := newJournal("access_log", Journal{File: file}, 48*time.Hour, slog.New(slog.DiscardHandler))
	if j.keep != 48*time.Hour {
		t.Fatal(j.keep)
	}
	other := filepath.Join(dir, "access.json.precious")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for i := range 6 {
		at := day.AddDate(0, 0, i)
		j.now = func() time.Time { return at }
		j.write(testLine("192.0.2.1:1"))
		j.write(testLine("192.0.2.1:1"))
		if err := os.Chtimes(file, at, at); err != nil { // the clock of the file system is real
			t.Fatal(err)
		}
	}
	j.file.Close()
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"access.json", "access.json.2026-01-04", "access.json.2026-01-05", "access.json.precious"}
	if len(names) != len(want) {
		t.Fatalf("%v", names)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("%v", names)
		}
	}
	if n := len(lines(t, file)); n != 2 {
		t.Errorf("%d lines today", n)
	}
	if st, _ := os.Stat(file); st.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody may read it: %v", st.Mode())
	}
}

func TestJournalNeverBlocks(t *testing.T) {
	j := newJournal("x", Journal{File: filepath.Join(t.TempDir(), "no", "such", "directory")}, 0, slog.New(slog.DiscardHandler))
	for range journalQueue + 10 {
		j.post(testLine("192.0.2.1:1"))
	}
	if n := j.lost(); n != 10 {
		t.Errorf("%d lost", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = j.run(ctx)
	if n := j.lost(); n != journalQueue+10 {
		t.Errorf("%d lost when nothing could be written", n)
	}
	var none *journal
	none.post(line{}) // off
}
