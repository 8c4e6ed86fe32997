package local

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// Bearer lets in only requests with this token (RFC 6750 section 2.1). Others are answered by refuse.
func Bearer(token string, next http.Handler, refuse http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// RFC 9110 section 11.1: the scheme in any case.
		scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(got)), []byte(token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="jingled"`)
			refuse(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
