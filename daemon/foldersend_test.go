package daemon_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/folder"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// pair is two daemons at a server that lets a test change what goes by.
func pair(t *testing.T, tap func(from jid.JID, j *xmltree.Element)) (romeo, juliet *home) {
	t.Helper()
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "pw", "juliet": "pw"},
		Tap: func(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
			if j := stanza.Child(jingle.NS, "jingle"); j != nil && tap != nil {
				stanza = stanza.Clone()
				tap(from, stanza.Child(jingle.NS, "jingle"))
			}
			return stanza
		}})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(srv.CA())
	return atHome(t, "romeo@"+srv.Domain(), srv.Addr(), roots, nil), atHome(t, "juliet@"+srv.Domain(), srv.Addr(), roots, nil)
}

// album is a folder with files in it.
func album(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "album")
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tree lists the files below a folder, with slashes, and what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// arrivals waits until so many files have come.
func (h *home) arrivals(t *testing.T, n int) {
	t.Helper()
	for range n {
		h.until(t, done)
	}
}

// TestFolderAsFiles sends a folder file by file, in one session. At the other end each file has its place in a new folder.
func TestFolderAsFiles(t *testing.T) {
	var mu sync.Mutex
	var contents []int
	romeo, juliet := pair(t, func(_ jid.JID, j *xmltree.Element) {
		if j.Attr("action") == "session-initiate" {
			n := 0
			for range j.Elements() {
				n++
			}
			mu.Lock()
			contents = append(contents, n)
			mu.Unlock()
		}
	})
	files := map[string]string{"a.txt": "one", "sub/a.txt": "two", "sub/deeper/c": "three", "empty": ""}
	dir := album(t, files)
	if err := os.Mkdir(filepath.Join(juliet.dir, "album"), 0o700); err != nil { // not ours to fill
		t.Fatal(err)
	}
	res, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: dir, FolderForm: jingledv1.FolderForm_FOLDER_FORM_FILES})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.GetSids()) != 4 || res.GetSid() != res.GetSids()[0] {
		t.Fatalf("%v", res)
	}
	romeo.arrivals(t, 4)
	juliet.arrivals(t, 4)
	got := tree(t, juliet.dir)
	for name, text := range files {
		if got["album (2)/"+name] != text {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(got) != len(files) {
		t.Errorf("%q", got)
	}
	mu.Lock()
	if !slices.Equal(contents, []int{4}) {
		t.Errorf("sessions with %v contents", contents)
	}
	mu.Unlock()
	juliet.mu.Lock()
	for _, e := range juliet.all {
		if o := e.GetTransferOffered(); o != nil && !strings.HasPrefix(o.GetFolderPath(), "album/") {
			t.Errorf("%v", o)
		}
	}
	juliet.mu.Unlock()
	// By itself a folder goes as an archive to those who unpack it.
	if res, err = romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: dir}); err != nil || len(res.GetSids()) != 0 {
		t.Fatalf("%v, %v", res, err)
	}
	romeo.arrivals(t, 1)
}

// TestFolderPathsAreSafe has a sender that wants to write elsewhere.
func TestFolderPathsAreSafe(t *testing.T) {
	for path, want := range map[string]string{
		"../../x": "note.txt", "album/../../x": "note.txt", "/etc/x": "note.txt", "x": "note.txt", "": "note.txt", "album//x": "note.txt",
		"CON/a:b/x": "_CON/a_b/note.txt", "album/.ssh/x": "album/.ssh/note.txt", "~/x": "_/note.txt", `a\..\..\b/x`: "b/note.txt",
		strings.Repeat("d/", 100) + "x": "note.txt", strings.Repeat("e", 5000) + "/x": "note.txt",
	} {
		t.Run(fmt.Sprintf("%.20s", path), func(t *testing.T) {
			t.Parallel()
			romeo, juliet := pair(t, func(_ jid.JID, j *xmltree.Element) {
				if f := below(j, "file"); f != nil && j.Attr("action") == "session-initiate" {
					without(f, "path")
					f.Add(folder.PathElement(path))
					if n := f.Child(filetransfer.NS, "name"); n == nil {
						t.Error("no name")
					}
				}
			})
			dir := filepath.Dir(album(t, map[string]string{"../note.txt": "text"}))
			if _, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: filepath.Join(dir, "note.txt"), NoEncryption: true}); err != nil {
				t.Fatal(err)
			}
			juliet.arrivals(t, 1)
			romeo.arrivals(t, 1)
			if got := tree(t, juliet.dir); len(got) != 1 || got[want] != "text" {
				t.Errorf("%q", got)
			}
			if out := tree(t, filepath.Dir(juliet.dir)); slices.ContainsFunc(keys(out), func(n string) bool { return filepath.Base(n) == "x" }) {
				t.Errorf("%q", out)
			}
		})
	}
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// TestFolderForms asks for what cannot be, and for archives.
func TestFolderForms(t *testing.T) {
	romeo, juliet := pair(t, nil)
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprint(i)] = "x"
	}
	dir := album(t, many)
	for _, c := range []struct {
		dir  string
		via  jingledv1.Via
		want string
	}{{dir, 0, "more than 32"}, {dir, jingledv1.Via_VIA_SI, "as an archive only"}, {t.TempDir(), 0, "has no files"}} {
		_, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: c.dir, Via: c.via, FolderForm: jingledv1.FolderForm_FOLDER_FORM_FILES})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	for _, via := range []jingledv1.Via{jingledv1.Via_VIA_S5B, jingledv1.Via_VIA_SI} {
		if _, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: dir, Via: via, FolderForm: jingledv1.FolderForm_FOLDER_FORM_ARCHIVE}); err != nil {
			t.Fatal(err)
		}
		if d := juliet.until(t, done).GetTransferDone(); d.GetFolderFiles() != 33 {
			t.Errorf("by %s: %v", via, d)
		}
		romeo.until(t, done)
	}
}

// TestFolderGoesOn stops the receiver in the middle of a folder: all of it comes, each file where it belongs.
func TestFolderGoesOn(t *testing.T) {
	w := newWire(t)
	alice, bob := login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
	inbox := t.TempDir()
	big := string(noise(1 << 20))
	dir := album(t, map[string]string{"big": big, "sub/small": "text"})
	w.let(1 << 19)
	res, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: dir, Via: jingledv1.Via_VIA_IBB,
		NoEncryption: true, FolderForm: jingledv1.FolderForm_FOLDER_FORM_FILES})
	if err != nil {
		t.Fatal(err)
	}
	for range res.GetSids() {
		sid := await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil }).GetSid()
		if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: sid, Dir: inbox}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() >= 1<<18 })
	bob.stop()
	w.let(-1)
	bob = login(t, w.Server, "bob", func(c *daemon.Config) { c.StateDir = bob.state })
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) { // one of them may have come before
		got := tree(t, inbox)
		if got["album/big"] == big && got["album/sub/small"] == "text" && len(got) == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("there are %q", keys(got))
		}
	}
}
