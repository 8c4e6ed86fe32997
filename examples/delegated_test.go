package examples_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jingled/jingled/daemon"
)

// TestDelegatedPage looks at what the example serves and hands on; that the page calls is tested in a browser, in
// internal/interop/chromium.
func TestDelegatedPage(t *testing.T) {
	program := filepath.Join(t.TempDir(), "delegated-page")
	if out, err := exec.Command("go", "build", "-o", program, "./delegated-page").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	side := run(t, daemon.Config{})
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "JINGLED_SOCKET="+side.socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(line)
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, url, body, origin string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	root := url[:strings.LastIndex(strings.TrimSuffix(url, "/"), "/")]
	for _, c := range []struct {
		method, url, origin string
		status              int
		has                 string
	}{
		{"GET", url, "", 200, "delegated.js"},
		{"GET", url + "delegated.js", "", 200, "class Host"},
		{"POST", url + "jingled.v1.CallService/ListCalls", "", 200, "{}"},
		{"POST", url + "jingled.v1.CallService/ListCalls", "https://example.org", 403, ""},
		{"POST", url + "jingled.v1.TransferService/ListTransfers", "", 404, ""},
		{"POST", root + "/jingled.v1.CallService/ListCalls", "", 404, ""},
	} {
		body := ""
		if c.method == "POST" {
			body = "{}"
		}
		if status, answer := ask(c.method, c.url, body, c.origin); status != c.status || !strings.Contains(answer, c.has) {
			t.Errorf("%s %s: %d %.200s", c.method, c.url, status, answer)
		}
	}
}
