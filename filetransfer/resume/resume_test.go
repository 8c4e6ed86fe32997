package resume_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/xmltree"
)

const ns = " xmlns='https://github.com/jingled/jingled/ns/resume/0' "

var suite = codectest.Suite{
	Parse: codectest.Registered(resume.Register),
	Same: []string{
		"<resume" + ns + "sid='j1' content='file'/>",
		"<cancelled" + ns + "sid='j1' content='file'/>",
		"<blocks" + ns + "sid='j1' content='file' size='1048576' first='3' count='192'/>",
		"<blocks" + ns + "sid='j1' content='file' size='65536' first='0' count='1'>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</blocks>",
	},
	Refused: []string{
		"<resume" + ns + "sid='j1'/>",
		"<cancelled" + ns + "sid='j1'/>",
		"<resume" + ns + "content='file'/>",
		"<resume xmlns='x' sid='j1' content='file'/>",
		"<blocks" + ns + "sid='j1' content='file'/>",
		"<blocks" + ns + "sid='j1' content='file' size='1' first='3' count='192'/>",
		"<blocks" + ns + "sid='j1' content='file' size='1048576' first='-3' count='192'/>",
		"<blocks" + ns + "sid='j1' content='file' size='1048576' first='3' count='257'/>",
		"<blocks" + ns + "sid='j1' content='file' size='1048576' first='99999999999' count='1'/>",
		"<blocks" + ns + "sid='j1' content='file' size='65536' first='0' count='2'>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</blocks>",
		"<blocks" + ns + "sid='j1' content='file' size='65536' first='0' count='1'>?</blocks>",
	},
}

func TestCodec(t *testing.T) { suite.Run(t) }

func FuzzCodec(f *testing.F) { suite.Fuzz(f) }

func TestFind(t *testing.T) {
	want := resume.Ref{SID: "s", Content: "c"}
	if got, ok := resume.Find([]*xmltree.Element{xmltree.New("x", "resume"), want.Element()}); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, extra := range [][]*xmltree.Element{nil, {xmltree.New(resume.NS, "resume")}, {resume.PausedElement()}} {
		if got, ok := resume.Find(extra); ok {
			t.Errorf("%+v", got)
		}
	}
	if !resume.IsPaused(resume.PausedElement()) || resume.IsPaused(nil) || resume.IsPaused(want.Element()) {
		t.Error("paused")
	}
}

func TestBlockSize(t *testing.T) {
	for _, c := range [][2]int64{{0, 1 << 20}, {1, 1 << 20}, {16 << 30, 2 << 20}, {16<<30 - 1, 1 << 20}, {1 << 40, 128 << 20}, {1<<63 - 1, 1 << 30}} {
		if got := resume.BlockSize(c[0]); got != c[1] {
			t.Errorf("%d: %d, want %d", c[0], got, c[1])
		}
	}
}

func TestDiffer(t *testing.T) {
	const size = resume.MinBlock
	right := make([]byte, 5*size+100)
	for i := range right {
		right[i] = byte(i >> 8)
	}
	all := resume.Blocks{Size: size, Count: 8} // more than there are
	sums, err := resume.Hash(bytes.NewReader(right), int64(len(right)), all)
	if err != nil || len(sums) != 6*resume.SumSize {
		t.Fatalf("%d bytes of hashes, %v", len(sums), err)
	}
	all.Count, all.Sums = 6, sums
	for _, c := range []struct {
		damage []int
		want   []resume.Span
	}{
		{nil, nil},
		{[]int{0}, []resume.Span{{0, size}}},
		{[]int{2*size - 1, 2 * size}, []resume.Span{{size, 2 * size}}},
		{[]int{1, 5*size + 99}, []resume.Span{{0, size}, {5 * size, 100}}},
	} {
		wrong := bytes.Clone(right)
		for _, at := range c.damage {
			wrong[at] ^= 1
		}
		own, err := resume.Hash(bytes.NewReader(wrong), int64(len(wrong)), all)
		if err != nil {
			t.Fatal(err)
		}
		if got := resume.Differ(all, own, int64(len(right))); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c.damage, got)
		}
	}
	if got := resume.Differ(all, sums[:resume.SumSize], int64(len(right))); !slices.Equal(got, []resume.Span{{size, 4*size + 100}}) {
		t.Errorf("a part: %v", got)
	}
	if _, err := resume.Hash(bytes.NewReader(right[:size]), int64(len(right)), all); err == nil {
		t.Error("a file that is too short")
	}
}

// TestBlocksFit into a stanza of 10,000 bytes, which every server takes, and leave 1,000 of them to the addresses.
func TestBlocksFit(t *testing.T) {
	b := resume.Blocks{Ref: resume.Ref{SID: strings.Repeat("s", 64), Content: strings.Repeat("c", 64)}, Size: resume.MaxBlock, First: math.MaxInt32,
		Count: resume.MaxCount, Sums: make([]byte, resume.MaxCount*resume.SumSize)}
	if n := len(b.Element().AppendXML(nil, "")); n > 9000 {
		t.Errorf("%d bytes", n)
	}
}
