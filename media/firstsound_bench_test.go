//go:build linux

package media

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jingle"
)

//go:embed testdata/pair.html
var pairPage []byte

// chromiumPair has a page call itself twenty times and returns the median of its times.
func chromiumPair(b *testing.B) time.Duration {
	b.Helper()
	var result struct {
		Times []float64
		Error string
	}
	done := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(pairPage)
	})
	mux.HandleFunc("POST /done", func(_ http.ResponseWriter, r *http.Request) {
		done <- json.NewDecoder(r.Body).Decode(&result)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	testkit.Chromium(b, "http://localhost:"+port+"/", "--allow-loopback-in-peer-connection")
	select {
	case err := <-done:
		if err != nil || result.Error != "" || len(result.Times) == 0 {
			b.Fatalf("the page: %v %s", err, result.Error)
		}
	case <-time.After(2 * time.Minute):
		b.Fatal("the page says nothing")
	}
	slices.Sort(result.Times)
	return time.Duration(result.Times[len(result.Times)/2] * float64(time.Millisecond))
}

// BenchmarkFirstSound takes the time from the caller's receipt of the session-accept to the first decoded sound, the median
// of 20 calls on loopback, beside that of a pair of PeerConnections in Chromium.
func BenchmarkFirstSound(b *testing.B) {
	for b.Loop() {
		var ours []time.Duration
		for range 20 {
			ours = append(ours, firstSound(b, newParty(b, nil, jingle.Initiator, nil), newParty(b, nil, jingle.Responder, nil)))
		}
		us, them := median(ours), chromiumPair(b)
		b.ReportMetric(us.Seconds()*1000, "ms")
		b.ReportMetric(them.Seconds()*1000, "ms/chromium")
		b.ReportMetric(us.Seconds()/them.Seconds(), "ratio")
	}
	b.ReportMetric(0, "ns/op")
}
