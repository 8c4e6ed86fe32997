package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/audio/pulse"
)

// sound says where the sound of a call comes from and goes.
func (m *mediaFlags) sound(out *jingledv1.Media) (err error) {
	out.AudioIn, out.AudioOut = m.audioIn, m.audioOut
	silent := m.audioIn == "" && m.audioOut == ""
	switch m.audio {
	case pulse.Name:
		if out.AudioIn == "" {
			out.AudioIn = pulse.Name
		}
		if out.AudioOut == "" {
			out.AudioOut = pulse.Name
		}
	case "none":
		if !silent {
			return exitf(exitUsage, "--audio none goes with neither --audio-in nor --audio-out")
		}
	case "":
		// Who calls by hand on a desktop wants to speak; a script has said what it wants.
		if silent && m.record == "" && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) && pulse.Available() {
			out.AudioIn, out.AudioOut = "auto", "auto"
		}
	default:
		return exitf(exitUsage, "--audio is pulse or none, not %q; a device goes with --audio-in and --audio-out", m.audio)
	}
	if _, ok := pulse.Device(out.AudioOut); !ok && out.AudioOut != "" && out.AudioOut != "auto" {
		return exitf(exitUsage, "--audio-out is pulse or pulse:DEVICE, not %q", out.AudioOut)
	}
	if _, ok := pulse.Device(out.AudioIn); ok || out.AudioIn == "auto" {
		return nil // the daemon's machine knows
	}
	if out.AudioIn != "silence" && out.AudioIn != "" && !strings.HasPrefix(out.AudioIn, "tone:") {
		if out.AudioIn, err = absolute(out.AudioIn); err != nil {
			return err
		}
	}
	// The daemon looks again; here nobody has to log in to be told.
	source, err := audio.Open(out.AudioIn)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--audio-in: %w", err)}
	}
	return source.Close()
}
