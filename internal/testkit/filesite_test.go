package testkit_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
)

func TestFileSite(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	site := testkit.NewFileSite(t, data)
	client := site.Client()
	t.Cleanup(client.CloseIdleConnections)
	get := func(ranged string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ranged != "" {
			req.Header.Set("Range", ranged)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	read := func(res *http.Response, n int) []byte {
		t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(res.Body, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b, err := io.ReadAll(get("").Body); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	site.Let(40_000)
	res := get("bytes=10000-")
	first := read(res, 40_000)
	site.Let(-1)
	if rest, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(append(first, rest...), data[10_000:]) {
		t.Errorf("goes on: %d bytes, %v", len(first)+len(rest), err)
	}
	site.Let(40_000)
	res = get("")
	read(res, 40_000)
	site.Cut(-1)
	if rest, err := io.ReadAll(res.Body); err == nil || len(rest) > 0 {
		t.Errorf("cut: %d bytes, %v", len(rest), err)
	}
	site.Change(func(a *testkit.FileAnswer) { a.NoRanges = true })
	if res := get("bytes=10-19"); res.StatusCode != http.StatusOK || res.ContentLength != int64(len(data)) {
		t.Errorf("without ranges: %s, %d bytes", res.Status, res.ContentLength)
	}
	site.Change(func(a *testkit.FileAnswer) { a.Status = http.StatusNotFound })
	if res := get(""); res.StatusCode != http.StatusNotFound {
		t.Errorf("gone: %s", res.Status)
	}
	if asked := site.Asked(); !slices.Equal(asked, []string{"", "bytes=10000-", "", "bytes=10-19", ""}) || len(site.Asked()) > 0 {
		t.Errorf("asked for %q", asked)
	}
}
