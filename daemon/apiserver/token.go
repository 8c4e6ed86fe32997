package apiserver

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// withToken lets in only requests with this bearer token (RFC 6750 section 2.1). An empty one lets in all.
func withToken(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// RFC 9110 section 11.1: the scheme in any case.
		scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(got)), []byte(token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="jingled"`)
			refuse(w, http.StatusUnauthorized, connect.CodeUnauthenticated.String(), "the token is missing or wrong: this jingled serves the program that started it")
			return
		}
		next.ServeHTTP(w, r)
	})
}
