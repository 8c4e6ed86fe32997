package xeps

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/hashes"
)

const root = "../.."

func all(t *testing.T) []XEP {
	t.Helper()
	l, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestList checks each entry for itself and against the code.
func TestList(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range all(t) {
		if x.Group == "" || x.Version == "" || x.Status == "" {
			t.Errorf("%s lacks a group, version or status", x.Number)
		}
		if seen[x.Number] {
			t.Errorf("%s is there twice", x.Number)
		}
		seen[x.Number] = true
		if (x.Status == No) != (len(x.Packages) == 0) {
			t.Errorf("%s: status %s, but code in %v", x.Number, x.Status, x.Packages)
		}
		if x.Status == Partial && x.Note == "" {
			t.Errorf("%s is partial, but no note says what is missing", x.Number)
		}
		if len(x.Features) > 0 && x.Status == No {
			t.Errorf("%s tells others of what is not there", x.Number)
		}
		code := ""
		for _, p := range x.Packages {
			files, err := filepath.Glob(filepath.Join(root, p, "*.go"))
			if err != nil || len(files) == 0 {
				t.Errorf("%s: there is no package %s", x.Number, p)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				code += string(b)
			}
		}
		if x.Status != No && !strings.Contains(code, "XEP-"+x.Number) {
			t.Errorf("%s: nothing in %v says that it is XEP-%s", x.Number, x.Packages, x.Number)
		}
		for _, f := range x.Features {
			// The names of algorithms and RFCs stand nowhere else.
			if !strings.Contains(code, f.Var) && !strings.HasPrefix(f.Var, "urn:ietf:rfc:") && !strings.HasPrefix(f.Var, "urn:xmpp:hash-function-text-names:") {
				t.Errorf("%s: nothing in %v has %s", x.Number, x.Packages, f.Var)
			}
		}
	}
}

// TestFeatures pins what a client for calls and files tells others.
func TestFeatures(t *testing.T) {
	got := Features(Calls, Video, Files, S5B, IBB)
	for _, want := range []string{
		"urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video",
		"urn:xmpp:jingle:apps:rtp:rtcp-fb:0", "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0", "urn:xmpp:jingle:apps:dtls:0",
		"urn:xmpp:jingle:transports:ice-udp:1", "urn:xmpp:jingle-message:0", "urn:ietf:rfc:5888", "urn:ietf:rfc:5576",
		"urn:xmpp:jingle:apps:file-transfer:5", "urn:xmpp:jingle:transports:s5b:1", "urn:xmpp:jingle:transports:ibb:1",
		"http://jabber.org/protocol/bytestreams", "http://jabber.org/protocol/ibb", "urn:xmpp:hashes:2",
		"urn:xmpp:hash-function-text-names:sha-256",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("not sorted, or one twice: %v", got)
	}
	// What is off is not told.
	for _, f := range Features() {
		if strings.Contains(f, ":apps:") || strings.Contains(f, ":transports:") || strings.Contains(f, "jingle-message") {
			t.Errorf("%s is told while calls and files are off", f)
		}
	}
	if slices.Contains(Features(Calls), "urn:xmpp:jingle:apps:rtp:video") {
		t.Error("video is told while it is off")
	}
	// Conversations stops to trickle candidates to whoever has this one.
	if slices.Contains(Features(parts...), "urn:ietf:rfc:3264") {
		t.Error("urn:ietf:rfc:3264 is told")
	}
	for _, f := range hashes.Features() {
		if !slices.Contains(got, f) {
			t.Errorf("package hashes knows %s, the list does not", f)
		}
	}
	for _, f := range got {
		if strings.Contains(f, "hash-function") && !slices.Contains(hashes.Features(), f) {
			t.Errorf("the list has %s, package hashes does not know it", f)
		}
	}
}

// TestTables checks that the tables have been made from the list as it is.
func TestTables(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "xeps.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(doc) != Document(all(t)) {
		t.Error("docs/xeps.md is out of date: run make docs")
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Readme(string(readme), all(t))
	if err != nil {
		t.Fatal(err)
	}
	if fresh != string(readme) {
		t.Error("the table of README.md is out of date: run make docs")
	}
}

func TestParseErrors(t *testing.T) {
	for _, bad := range []string{
		"  version 1", "x", "166 Jingle", "0166 Jingle\n  status maybe", "0166 Jingle\n  feature nowhere urn:x",
		"0166 Jingle\n  feature calls", "0166 Jingle\n  colour red", "0166 Jingle\n  note",
	} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
