package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// embedding is the document that clients are written by.
func embedding(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/embedding.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rows are the names in the first column of the table under a line.
func rows(t *testing.T, under string) []string {
	t.Helper()
	_, text, ok := strings.Cut(embedding(t), under)
	if !ok {
		t.Fatalf("docs/embedding.md has no table under %q", under)
	}
	var out []string
	inside := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			if inside {
				break
			}
			continue
		}
		inside = true
		first, _, _ := strings.Cut(line[1:], "|")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return out
}

// Every code that a request can end with is in the table, and none besides.
func TestErrorCodesAreDocumented(t *testing.T) {
	used := map[string]bool{}
	code := regexp.MustCompile(`connect\.(Code[A-Z]\w+)`)
	byName := map[string]connect.Code{}
	for c := connect.CodeCanceled; c <= connect.CodeUnauthenticated; c++ {
		name := "Code"
		for word := range strings.SplitSeq(c.String(), "_") {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
		byName[name] = c
	}
	for _, pattern := range []string{"*.go", "apiserver/*.go", "tunnel/*.go", "webphone/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range code.FindAllStringSubmatch(string(b), -1) {
				if c, ok := byName[m[1]]; ok {
					used[c.String()] = true
				} else if m[1] != "CodeOf" {
					t.Errorf("%s: what is %s?", f, m[1])
				}
			}
		}
	}
	var want []string
	for c := range used {
		want = append(want, c)
	}
	slices.Sort(want)
	if got := rows(t, "### Errors"); !slices.Equal(got, want) {
		t.Errorf("the table has %v, the code %v", got, want)
	}
}

func TestFeaturesAreDocumented(t *testing.T) {
	if got := rows(t, "`DaemonService/GetInfo` tells the version"); !slices.Equal(got, apiFeatures) {
		t.Errorf("the table has %v, the daemon tells %v", got, apiFeatures)
	}
}

// The numbers of the document are those of the program.
func TestEventPromises(t *testing.T) {
	text := embedding(t)
	for _, promise := range []string{"last 4096 events, or at least 3072", "Up to 1024 events wait"} {
		if !strings.Contains(text, promise) {
			t.Errorf("docs/embedding.md does not say %q", promise)
		}
	}
	if ringSize != 4096 || ringSize-ringSize/4 != 3072 || readerSize != 1024 {
		t.Error("docs/embedding.md has other numbers")
	}
}

// A reader that comes back to a daemon that was started anew hears of the gap, though the number is not too high.
func TestAnotherInstance(t *testing.T) {
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		d.hub.publish(&jingledv1.Event{Body: &jingledv1.Event_CallRinging{CallRinging: &jingledv1.CallRinging{}}})
	}
	enough := errors.New("enough")
	watch := func(instance string) (bodies []string, hello string) {
		err := d.Watch(t.Context(), &jingledv1.WatchRequest{SinceSeq: 3, Instance: instance}, func(e *jingledv1.Event) error {
			m := e.ProtoReflect()
			bodies = append(bodies, string(m.WhichOneof(m.Descriptor().Oneofs().ByName("body")).Name()))
			if h := e.GetHello(); h != nil {
				hello = h.GetInstance()
			}
			if e.GetSeq() == 5 && e.GetHello() == nil {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		return bodies, hello
	}
	same, hello := watch("")
	if len(same) != 3 || same[1] != "call_ringing" || hello == "" {
		t.Errorf("without an instance: %v %q", same, hello)
	}
	if again, _ := watch(hello); !slices.Equal(again, same) {
		t.Errorf("the same one: %v", again)
	}
	if other, _ := watch("of yesterday"); len(other) != 7 || other[1] != "gap" {
		t.Errorf("another one: %v", other)
	}
}
