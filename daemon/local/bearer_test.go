package local_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jingled/jingled/daemon/local"
)

func TestBearer(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	h := local.Bearer("secret", status(http.StatusNoContent), status(http.StatusUnauthorized))
	for header, want := range map[string]int{
		"Bearer secret": http.StatusNoContent, "bearer  secret ": http.StatusNoContent,
		"": http.StatusUnauthorized, "Bearer": http.StatusUnauthorized, "Bearer ": http.StatusUnauthorized, "Bearer secre": http.StatusUnauthorized,
		"Bearer secret2": http.StatusUnauthorized, "Basic secret": http.StatusUnauthorized, "secret": http.StatusUnauthorized,
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		h.ServeHTTP(w, r)
		if challenged := w.Header().Get("WWW-Authenticate") != ""; w.Code != want || challenged != (want == http.StatusUnauthorized) {
			t.Errorf("%q: %d, challenged: %v", header, w.Code, challenged)
		}
	}
}
