package main

import "testing"

func TestFit(t *testing.T) {
	text := "One two three four\nfive six.\n\n  indented text that stays as long as it is\n\nseven überlang eight"
	want := "One two three\nfour five\nsix.\n\n  indented text that stays as long as it is\n\nseven\nüberlang\neight\n"
	if got := fit(text, 13); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
