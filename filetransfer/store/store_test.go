package store_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg store.Config) (*store.Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := store.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

func put(t *testing.T, f *store.Folder, name, data string) string {
	t.Helper()
	file, err := f.Create(name, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(file, data); err != nil {
		t.Fatal(err)
	}
	p, err := file.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCommit(t *testing.T) {
	f, dir := open(t, store.Config{})
	file, err := f.Create("../../a.txt", 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.txt.part"}) {
		t.Errorf("before the commit: %v", got)
	}
	if _, err := file.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	path, err := file.Commit()
	if err != nil || path != filepath.Join(dir, "a.txt") {
		t.Fatalf("%q, %v", path, err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.txt"}) {
		t.Errorf("after the commit: %v", got)
	}
	st, err := os.Stat(path)
	if err != nil || (runtime.GOOS != "windows" && st.Mode() != 0o600) {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := file.Discard(); err != nil {
		t.Error(err)
	}
	if _, err := file.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second commit: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "abc" {
		t.Errorf("%q", b)
	}
}

func TestNumbers(t *testing.T) {
	f, dir := open(t, store.Config{})
	for range 3 {
		put(t, f, "a.tar.gz", "x")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a (2).tar.gz", "a (3).tar.gz", "a.tar.gz"}) {
		t.Errorf("%v", got)
	}
}

// TestNeverOverwrites lets another program take the name between creation and commit.
func TestNeverOverwrites(t *testing.T) {
	f, dir := open(t, store.Config{})
	file, err := f.Create("a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := file.Commit()
	if err != nil || filepath.Base(path) != "a (2)" {
		t.Errorf("%q, %v", path, err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "a")); string(b) != "mine" {
		t.Errorf("overwritten with %q", b)
	}
}

// TestLinksAreNotFollowed puts links where the names will be.
func TestLinksAreNotFollowed(t *testing.T) {
	f, dir := open(t, store.Config{})
	outside := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b.part", "c.part"} {
		target := outside
		if name == "c.part" {
			target = outside + "-missing"
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		if p := put(t, f, name, "evil"); filepath.Base(p) != name+" (2)" {
			t.Errorf("%s: %s", name, p)
		}
	}
	if b, _ := os.ReadFile(outside); string(b) != "mine" {
		t.Errorf("written through a link: %q", b)
	}
	if _, err := os.Stat(outside + "-missing"); err == nil {
		t.Error("created through a link")
	}
}

func TestDiscardAndKeep(t *testing.T) {
	f, dir := open(t, store.Config{})
	a, _ := f.Create("a", 1)
	b, _ := f.Create("b", 1)
	if err := errors.Join(a.Close(), b.Keep(), b.Close(), a.Keep()); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"b.part"}) || b.Part() != "b.part" {
		t.Errorf("%v", got)
	}
}

func TestSpace(t *testing.T) {
	free := int64(1000)
	f, dir := open(t, store.Config{Reserve: 100, Free: func(string) (int64, error) { return free, nil }})
	for size, ok := range map[int64]bool{0: true, 900: true, 901: false, 1 << 62: false, 9223372036854775807: false} {
		file, err := f.Create("a", size)
		if (err == nil) != ok || (!ok && !errors.Is(err, store.ErrNoSpace)) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err == nil {
			file.Discard()
		}
	}
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
	free = -1 // not known
	if err := f.CheckSpace(1 << 40); err != nil {
		t.Error(err)
	}
	g, _ := open(t, store.Config{})
	if err := g.CheckSpace(1); err != nil {
		t.Errorf("the real disk: %v", err)
	}
	if err := g.CheckSpace(1 << 62); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("the real disk: %v", err)
	}
}

func TestConcurrentSameName(t *testing.T) {
	f, dir := open(t, store.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			file, err := f.Create("same.bin", 1)
			if err != nil {
				t.Error(err)
				return
			}
			file.Write([]byte{byte(i)})
			if _, err := file.Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[byte]bool{}
	for _, n := range names(t, dir) {
		b, _ := os.ReadFile(filepath.Join(dir, n))
		if len(b) != 1 || seen[b[0]] {
			t.Errorf("%s: %v", n, b)
			continue
		}
		seen[b[0]] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 files", len(seen))
	}
}

func TestSparse(t *testing.T) {
	f, _ := open(t, store.Config{})
	file, err := f.Create("big", -1)
	if err != nil {
		t.Fatal(err)
	}
	const at = 5 << 30
	if _, err := file.WriteAt([]byte("end"), at); err != nil {
		t.Fatal(err)
	}
	p, err := file.Commit()
	if st, e := os.Stat(p); err != nil || e != nil || st.Size() != at+3 {
		t.Errorf("%v %v %v", st, err, e)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := store.Open(filepath.Join(t.TempDir(), "none"), store.Config{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// trickle gives n bytes at a time.
type trickle struct {
	b []byte
	n int
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.n)], r.b)
	r.b = r.b[n:]
	return n, nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestCopy(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 1<<20 - 1, 1 << 20, 1<<20 + 1, 7<<20 + 17} {
		for _, step := range []int{4096, 1 << 20} {
			for _, hashed := range []bool{true, false} {
				data := pattern(size)
				cfg := store.CopyConfig{Length: int64(size), Progress: new(atomic.Int64)}
				if hashed {
					cfg.Hash, cfg.NoMore = hashes.NewMulti(hashes.SHA256, hashes.BLAKE2b256), true
				}
				var dst bytes.Buffer
				n, err := store.Copy(&dst, &trickle{data, step}, cfg)
				if err != nil || n != int64(size) || !bytes.Equal(dst.Bytes(), data) || cfg.Progress.Load() != n {
					t.Fatalf("%d by %d: %d, %v", size, step, n, err)
				}
				if hashed {
					want := hashes.NewMulti(hashes.SHA256, hashes.BLAKE2b256)
					want.Write(data)
					for a, v := range want.Sums() {
						if !bytes.Equal(cfg.Hash.Sums()[a], v) {
							t.Fatalf("%d by %d: wrong %s", size, step, a)
						}
					}
				}
			}
		}
	}
}

type failing struct{ after int }

func (w *failing) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestCopyErrors(t *testing.T) {
	data := pattern(1 << 20)
	multi := func() *hashes.Multi { return hashes.NewMulti(hashes.SHA256) }
	for name, c := range map[string]struct {
		dst  io.Writer
		src  io.Reader
		cfg  store.CopyConfig
		want error
		n    int64
	}{
		"too little":           {io.Discard, &trickle{data, 1000}, store.CopyConfig{Length: 1<<20 + 1, Hash: multi()}, io.ErrUnexpectedEOF, 1 << 20},
		"too little, unhashed": {io.Discard, &trickle{data, 1000}, store.CopyConfig{Length: 1<<20 + 1}, io.ErrUnexpectedEOF, 1 << 20},
		"too much":             {io.Discard, &trickle{data, 1000}, store.CopyConfig{Length: 1<<20 - 1, Hash: multi(), NoMore: true}, store.ErrTooMuch, 1<<20 - 1},
		"too much, not asked":  {io.Discard, &trickle{data, 1000}, store.CopyConfig{Length: 1<<20 - 1, Hash: multi()}, nil, 1<<20 - 1},
		"disk full":            {&failing{3000}, &trickle{data, 1000}, store.CopyConfig{Length: 1 << 20, Hash: multi()}, store.ErrWrite, 3000},
		"disk full, unhashed":  {&failing{3000}, &trickle{data, 1000}, store.CopyConfig{Length: 1 << 20}, store.ErrWrite, -1},
		"never a byte":         {io.Discard, idle{}, store.CopyConfig{Length: 1, Hash: multi()}, io.ErrNoProgress, 0},
	} {
		n, err := store.Copy(c.dst, c.src, c.cfg)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || (c.n >= 0 && n != c.n) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestCopyIntoFile(t *testing.T) {
	f, _ := open(t, store.Config{})
	data := pattern(5<<20 + 3)
	for _, h := range []*hashes.Multi{nil, hashes.NewMulti(hashes.SHA512)} {
		file, err := f.Create("x", int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Copy(file, bytes.NewReader(data), store.CopyConfig{Length: int64(len(data)), Hash: h}); err != nil {
			t.Fatal(err)
		}
		p, err := file.Commit()
		if b, e := os.ReadFile(p); err != nil || e != nil || !bytes.Equal(b, data) {
			t.Errorf("%v %v", err, e)
		}
	}
}
