package apiserver

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/internal/memlisten"
)

// A client that does not read is cut off; one that is only silent for long, and a stream that is, are not.
func TestOnlyThoseWhoDoNotReadAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memlisten.New()
		gaveUp := make(chan time.Duration, 1)
		s := &http.Server{Handler: impatient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			for i := 0; ; i++ {
				if r.URL.Path == "/slow" && i == 3 {
					return
				}
				if r.URL.Path == "/slow" {
					time.Sleep(10 * writeTime)
				}
				_, err := w.Write(make([]byte, 1000))
				if err == nil {
					err = http.NewResponseController(w).Flush()
				}
				if err != nil {
					gaveUp <- time.Since(began)
					return
				}
			}
		}))}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		ask := func(path string) io.ReadCloser {
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET "+path+" HTTP/1.0\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := ask("/flood")
		if took := <-gaveUp; took != writeTime {
			t.Errorf("cut off after %v", took)
		}
		_ = c.Close()
		c = ask("/slow")
		if b, err := io.ReadAll(c); err != nil || len(b) < 3000 {
			t.Errorf("a slow stream: %d bytes, %v", len(b), err)
		}
		_ = c.Close()
		_ = s.Close()
		<-served
	})
}
