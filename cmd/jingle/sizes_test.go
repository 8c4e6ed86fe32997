package main

import "testing"

func TestByteCount(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000": 1000, "7B": 7, "500k": 500 << 10, "500K": 500 << 10, "10M": 10 << 20, "10MiB": 10 << 20, "10MB": 10_000_000,
		"1.5G": 3 << 29, "2TiB": 2 << 40,
		"": -1, "M": -1, "-1": -1, "10X": -1, "10MM": -1, "10iB": -1, "10BB": -1, "1e400": -1, "NaN": -1, "9999999T": -1, "ten": -1, "1 M": -1,
	} {
		var b byteCount
		if err := b.Set(text); want < 0 && err == nil || want >= 0 && (err != nil || int64(b) != want) {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for name, want := range map[string]string{"short.txt": "short.txt", "a-very-long-name-of-a-file.txt": "a-very-long-n…le.txt"} {
		if got := shorten(name, 20); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
