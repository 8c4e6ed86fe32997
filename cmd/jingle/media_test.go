package main

import (
	"path/filepath"
	"testing"
)

// A screen is asked for besides the camera, or alone.
func TestScreenFlags(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		flags mediaFlags
		video bool
	}{
		{mediaFlags{ice: "all", audio: "none", slidesIn: "rtp:5008", recordSlides: filepath.Join(dir, "slides.ivf")}, false},
		{mediaFlags{ice: "all", audio: "none", videoIn: "rtp:5004", slidesIn: "rtp:5008", recordSlides: filepath.Join(dir, "slides.ivf")}, true},
	} {
		m, err := c.flags.media()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetVideo() != c.video || len(m.GetMoreVideos()) != 1 {
			t.Fatalf("asked for: %v", m)
		}
		if s := m.GetMoreVideos()[0]; s.GetCategory() != "slides" || s.GetIn() != "rtp:5008" || s.GetRecord() != filepath.Join(dir, "slides.ivf") {
			t.Errorf("the screen: %v", s)
		}
	}
	plain := mediaFlags{ice: "all", audio: "none", video: true}
	if m, err := plain.media(); err != nil || !m.GetVideo() || len(m.GetMoreVideos()) != 0 {
		t.Errorf("without a screen: %v, %v", m, err)
	}
}
