package audiotest_test

import (
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/media/audio/audiotest"
)

func TestBeepsAreHeard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beeps.wav")
	if err := audiotest.WriteBeeps(path, 440, 300); err != nil {
		t.Fatal(err)
	}
	frames, err := audiotest.Heard(path, 440)
	if err != nil || len(frames) != 300 {
		t.Fatalf("%d frames: %v", len(frames), err)
	}
	for i, heard := range frames {
		if want := i%audiotest.Period < audiotest.On; heard != want {
			t.Errorf("frame %d is heard: %v", i, heard)
		}
	}
	if share := audiotest.Share(frames); share != 1 {
		t.Errorf("a share of %v", share)
	}
	if other, err := audiotest.Heard(path, 1000); err != nil || audiotest.Share(other) != 0 {
		t.Errorf("another tone has a share of %v: %v", audiotest.Share(other), err)
	}
	if _, err := audiotest.Heard(filepath.Join(t.TempDir(), "none.wav"), 440); err == nil {
		t.Error("what is not there is heard")
	}
	if audiotest.Share(nil) != 0 {
		t.Error("nothing has a share")
	}
}
