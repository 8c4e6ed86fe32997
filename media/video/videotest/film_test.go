package videotest_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/media/video"
	"github.com/jingled/jingled/media/video/videotest"
)

// What is written is a film for the package itself, and read again.
func TestFilm(t *testing.T) {
	frames := slices.Concat(videotest.Frames(2, 100, 3), videotest.Frames(7, 5000, 2))
	path := videotest.Write(t, frames)
	got, err := videotest.Read(path)
	if err != nil || !slices.EqualFunc(got, frames, slices.Equal[[]byte]) {
		t.Errorf("%d frames: %v", len(got), err)
	}
	synctest.Test(t, func(t *testing.T) {
		source, err := video.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		ends := 0
		for {
			p, err := source.Read(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Marker {
				ends++
			}
		}
		if ends != len(frames) {
			t.Errorf("%d frames are sent", ends)
		}
	})
}

func TestReadIsCareful(t *testing.T) {
	path := videotest.Write(t, videotest.Frames(2, 100, 3))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{len(b): 3, len(b) - 1: 2, len(b) - 101: 2, 32: 0} {
		short := filepath.Join(t.TempDir(), "short.ivf")
		if err := os.WriteFile(short, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := videotest.Read(short); err != nil || len(got) != want {
			t.Errorf("of %d bytes: %d frames, %v", n, len(got), err)
		}
	}
	none := filepath.Join(t.TempDir(), "none.ivf")
	if err := os.WriteFile(none, b[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := videotest.Read(none); err == nil {
		t.Error("ten bytes are a film")
	}
}
