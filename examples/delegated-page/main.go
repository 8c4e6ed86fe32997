// Command delegated-page shows delegated media: a page calls by its own RTCPeerConnection, and jingled does the signalling.
// It serves the page and hands what the page asks on to the daemon's socket.
//
//	go run ./examples/delegated-page
//
// It prints an address, whose path is a secret: who knows it can make calls.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jingled/jingled/daemon/apiserver"
)

//go:embed index.html
var index []byte

//go:embed delegated.js
var script []byte

// allowed are the requests that the page makes.
var allowed = []string{"/jingled.v1.CallService/", "/jingled.v1.DelegatedMediaService/", "/v1/events"}

func main() {
	socket, err := apiserver.DefaultSocket()
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	secret := "/" + rand.Text()
	fmt.Fprintf(os.Stdout, "http://localhost:%d%s/\n", l.Addr().(*net.TCPAddr).Port, secret)
	s := &http.Server{
		Handler:           http.StripPrefix(secret, http.NewCrossOriginProtection().Handler(handler(socket))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(s.Serve(l))
}

func handler(socket string) http.Handler {
	daemon := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "jingled"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
		FlushInterval: -1, // events at once
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(index)
			return
		case "/delegated.js":
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write(script)
			return
		}
		for _, prefix := range allowed {
			if strings.HasPrefix(r.URL.Path, prefix) {
				daemon.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})
}
