// Package videotest makes films for tests, whose frames are found again in recordings. They only look like VP8: nothing decodes them.
package videotest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const (
	header      = 32
	frameHeader = 12
)

// Frames are n of size bytes, each of which is mark. An even one makes them key frames (RFC 6386 section 9.1).
func Frames(mark byte, size, n int) [][]byte {
	return slices.Repeat([][]byte{bytes.Repeat([]byte{mark}, size)}, n)
}

// Write makes an IVF file of VP8, with 25 frames a second.
func Write(t testing.TB, frames [][]byte) (path string) {
	t.Helper()
	b := append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...)
	binary.LittleEndian.PutUint32(b[16:], 25)
	binary.LittleEndian.PutUint32(b[20:], 1)
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = append(b, f...)
	}
	path = filepath.Join(t.TempDir(), "film.ivf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Read returns the frames of an IVF file; the last one may be missing while it is written.
func Read(path string) (frames [][]byte, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) < header || string(b[:4]) != "DKIF" {
		return nil, fmt.Errorf("%s, of %d bytes, is no IVF file", path, len(b))
	}
	for b = b[header:]; len(b) >= frameHeader; {
		end := frameHeader + int(binary.LittleEndian.Uint32(b))
		if end > len(b) {
			break
		}
		frames = append(frames, b[frameHeader:end])
		b = b[end:]
	}
	return frames, nil
}

// Shows checks that a recording has as many frames of one mark and size at least, and no others.
func Shows(t testing.TB, path string, mark byte, size, least int) {
	t.Helper()
	frames, err := Read(path)
	if err != nil {
		t.Error(err)
		return
	}
	want := bytes.Repeat([]byte{mark}, size)
	for i, f := range frames {
		if !bytes.Equal(f, want) {
			t.Errorf("%s, frame %d, which should be %d bytes of %d: %d, %x", filepath.Base(path), i, size, mark, len(f), f[:min(16, len(f))])
			return
		}
	}
	if len(frames) < least {
		t.Errorf("%s has %d frames of %d", filepath.Base(path), len(frames), mark)
	}
}
