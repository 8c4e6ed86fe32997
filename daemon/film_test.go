package daemon

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// film is a file of two minutes of frames that only look like VP8, and are all of one byte; an even one makes them key frames.
func film(t *testing.T, mark byte, frame int) string {
	t.Helper()
	b := append([]byte("DKIF\x00\x00\x20\x00VP80"), make([]byte, 20)...)
	binary.LittleEndian.PutUint32(b[16:], 25)
	binary.LittleEndian.PutUint32(b[20:], 1)
	for i := range 25 * 120 {
		b = binary.LittleEndian.AppendUint32(b, uint32(frame))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = append(b, bytes.Repeat([]byte{mark}, frame)...)
	}
	path := filepath.Join(t.TempDir(), "film.ivf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shows checks that a recording has frames of one film, and of no other.
func shows(t *testing.T, path string, mark byte, frame int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	want, n := bytes.Repeat([]byte{mark}, frame), 0
	for b = b[min(32, len(b)):]; len(b) > 12; n++ {
		got := b[12:min(12+int(binary.LittleEndian.Uint32(b)), len(b))]
		b = b[12+len(got):]
		if !bytes.Equal(got, want) {
			t.Errorf("%s, frame %d: %d bytes, %x", path, n, len(got), got[:min(16, len(got))])
			return
		}
	}
	if n == 0 {
		t.Errorf("%s has no frame", path)
	}
}
