package folder

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/xmltree"
)

// tree makes files; a name that ends in a slash is a folder.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "photos")
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(p, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents reads what tree makes.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel = filepath.ToSlash(rel); d.IsDir() {
			out[rel+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(p)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if g, ok := got[name]; !ok || g != text {
			t.Errorf("%s: %d bytes, %v", name, len(g), ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, not %d", len(got), len(want))
	}
}

func TestThereAndBack(t *testing.T) {
	files := map[string]string{
		"a.txt": "hello", "empty": "", "none/": "", "sub/": "", "sub/deep/": "", "sub/deep/b": strings.Repeat("x", 512), ".hidden": "h",
		"sub/c": strings.Repeat("y", 100_001), strings.Repeat("long ", 30) + "name": "z", "sub/grüße ☺": "u",
	}
	dir := tree(t, files)
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "a.txt"), then, then); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	a, err := Open(dir)
	if err != nil || a.Files() != 7 || a.Name() != "photos.tar" {
		t.Fatalf("%+v, %v", a, err)
	}
	whole, err := io.ReadAll(a.Reader())
	if err != nil || int64(len(whole)) != a.Size() {
		t.Fatalf("%d bytes, said to be %d: %v", len(whole), a.Size(), err)
	}
	// Any place can be gone on from.
	r := a.Reader()
	defer r.Close()
	for range 200 {
		at := rand.Int64N(a.Size())
		b := make([]byte, 1+rand.IntN(3000))
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		n, err := io.ReadFull(r, b)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(b[:n], whole[at:at+int64(n)]) {
			t.Fatalf("%d bytes at %d are not as before: %v", n, at, err)
		}
	}
	to := t.TempDir()
	for _, want := range []string{"photos", "photos (2)"} {
		made, n, err := Unpack(t.Context(), bytes.NewReader(whole), to, "photos.tar", a.Size())
		if err != nil || n != 7 || made != filepath.Join(to, want) {
			t.Fatalf("%s, %d files, %v", made, n, err)
		}
		equal(t, contents(t, made), files)
		if st, err := os.Stat(filepath.Join(made, "a.txt")); err != nil || !st.ModTime().Equal(then) || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", st, err)
		}
	}
}

// TestChanges changes files after they were offered.
func TestChanges(t *testing.T) {
	for name, change := range map[string]func(string) error{
		"larger":  func(p string) error { return os.WriteFile(p, make([]byte, 2000), 0o600) },
		"smaller": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"gone":    os.Remove,
		"touched": func(p string) error { return os.Chtimes(p, time.Now(), time.Now().Add(time.Hour)) },
		"a link":  func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/hostname", p)) },
	} {
		dir := tree(t, map[string]string{"f": strings.Repeat("x", 1000)})
		a, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(filepath.Join(dir, "f")); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(a.Reader()); err == nil {
			t.Errorf("%s: %d bytes are sent as if nothing had happened", name, len(b))
		}
	}
}

// made writes an archive of any kind.
func made(t testing.TB, hs ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHostileArchives(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3} }
	for name, hs := range map[string][]tar.Header{
		"up":               {file("../x")},
		"up in between":    {file("a/../../x")},
		"absolute":         {file("/etc/x")},
		"here":             {file("./x")},
		"a link":           {{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc"}, file("l/x")},
		"a hard link":      {{Typeflag: tar.TypeLink, Name: "l", Linkname: "/etc/passwd"}},
		"a device":         {{Typeflag: tar.TypeChar, Name: "d"}},
		"a pipe":           {{Typeflag: tar.TypeFifo, Name: "d"}},
		"deep":             {file(strings.Repeat("a/", maxDepth) + "x")},
		"a file as folder": {file("a"), file("a/b")},
	} {
		to := t.TempDir()
		_, _, err := Unpack(context.Background(), bytes.NewReader(made(t, hs...)), to, "x.tar", 1<<20)
		if left, _ := os.ReadDir(to); err == nil || len(left) > 0 {
			t.Errorf("%s: %v, left are %v", name, err, left)
		}
	}
	big := made(t, tar.Header{Typeflag: tar.TypeReg, Name: "big", Size: 2000})
	if _, _, err := Unpack(t.Context(), bytes.NewReader(big), t.TempDir(), "x", 1999); !errors.Is(err, ErrUnsafe) {
		t.Errorf("more than announced: %v", err)
	}
	if _, _, err := Unpack(t.Context(), bytes.NewReader(big[:1000]), t.TempDir(), "x", 1<<20); err == nil {
		t.Error("a part of an archive")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Unpack(ended, bytes.NewReader(big), t.TempDir(), "x", 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	to := t.TempDir()
	same := made(t, file("a:b"), file("a?b"), file("CON"))
	at, n, err := Unpack(t.Context(), bytes.NewReader(same), to, "../../x y.tar", 1<<20)
	if err != nil || n != 3 || at != filepath.Join(to, "x y") {
		t.Errorf("%s, %d, %v", at, n, err)
	}
	var names []string
	for f := range contents(t, at) {
		names = append(names, f)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"_CON", "a_b", "a_b (2)"}) {
		t.Errorf("%q", names)
	}
}

func list(es ...*xmltree.Element) []*xmltree.Element { return es }

func TestElement(t *testing.T) {
	e := Element(12)
	if _, ok := Find(nil); ok {
		t.Error("none is one")
	}
	if n, ok := Find(list(e)); !ok || n != 12 {
		t.Errorf("%d, %v", n, ok)
	}
	for _, bad := range []string{"", "-1", "x", "999999999"} {
		if _, ok := Find(list(e.Clone().Set("files", bad))); ok {
			t.Errorf("%q files", bad)
		}
	}
}

// FuzzUnpack gives it whatever comes; nothing may appear beside the new folder.
func FuzzUnpack(f *testing.F) {
	f.Add(made(f, tar.Header{Typeflag: tar.TypeReg, Name: "../x", Size: 3}))
	f.Add(made(f, tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, tar.Header{Typeflag: tar.TypeReg, Name: "d/x", Size: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		made, _, err := Unpack(t.Context(), bytes.NewReader(b), dir, "name.tar", 1<<16)
		beside, _ := os.ReadDir(outer)
		inside, _ := os.ReadDir(dir)
		if len(beside) != 1 || err != nil && len(inside) != 0 || err == nil && (len(inside) != 1 || made != filepath.Join(dir, "name")) {
			t.Fatalf("%v, %v, %s, %v", beside, inside, made, err)
		}
	})
}
