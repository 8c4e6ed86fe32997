// Package audiotest makes a sound for tests that can be found again in a recording, window by window: a tone in the rhythm of
// syllables, as Opus has forward error correction for what seems to be speech alone.
package audiotest

import (
	"errors"
	"io"

	"github.com/jingled/jingled/media/audio"
)

// The rhythm of the beeps, in frames of 20 ms: of each Period the first On are loud.
const (
	On     = 20
	Period = 30
)

// WriteBeeps makes a recording of so many frames.
func WriteBeeps(path string, hz float64, frames int) error {
	out, err := audio.Create(path)
	if err != nil {
		return err
	}
	tone, pcm := audio.NewTone(hz, 0.25), make([]float32, audio.FrameSize)
	for i := range frames {
		_, _ = tone.Read(pcm) // a tone has no end
		if i%Period >= On {
			for k := range pcm {
				pcm[k] /= 300
			}
		}
		if err := out.WritePCM(pcm); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return out.Close()
}

// Heard tells of each frame of a recording whether a tone is heard in it, not much softer than [WriteBeeps] makes it.
func Heard(path string, hz float64) (frames []bool, err error) {
	src, err := audio.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	for pcm := make([]float32, audio.FrameSize); ; {
		n, err := src.Read(pcm)
		if n == len(pcm) {
			frames = append(frames, audio.Level(pcm) > -19 && audio.Share(pcm, audio.SampleRate, hz) > 0.8)
		}
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
	}
}

// Share is for how much of the time that a tone is sent it is heard: 1 if it is there whenever it should be.
func Share(frames []bool) float64 {
	heard := 0
	for _, x := range frames {
		if x {
			heard++
		}
	}
	return float64(heard) / max(float64(len(frames))*On/Period, 1)
}
