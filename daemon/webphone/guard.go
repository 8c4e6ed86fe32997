package webphone

import (
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
)

// KeyHeader is the header in which the page's scripts send their half of the session.
const KeyHeader = "Jingle-Phone-Key"

// contentSecurity lets the page load its own script and style and speak to its own origin, and nothing else at all.
// Strings cannot become markup.
var contentSecurity = strings.Join([]string{
	"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "media-src 'self' blob:",
	"connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	"require-trusted-types-for 'script'", "trusted-types 'none'",
}, "; ")

// guard refuses what was not meant for the page, and tells the browser what the page may do.
func guard(hosts map[string]bool, next http.Handler) http.Handler {
	protected := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurity)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), geolocation=(), usb=()")
		h.Set("Cache-Control", "no-store")
		// DNS rebinding: a name of somebody else's that points to this address is still in Host.
		if !hosts[r.Host] {
			http.Error(w, "The phone is not here under this name.", http.StatusMisdirectedRequest)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// hostsOf are the names under which a browser of this machine may ask for the page.
func hostsOf(addr string) map[string]bool {
	_, port, _ := net.SplitHostPort(addr)
	return map[string]bool{addr: true, "127.0.0.1:" + port: true, "localhost:" + port: true, "[::1]:" + port: true}
}

// cookieName has the port in it, as browsers keep cookies of all ports of a host together.
func cookieName(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return "jingle-phone-" + port
}

// entrance makes sessions of tokens and asks for them.
type entrance struct {
	doors  *doors
	cookie string
}

// enter serves POST /session: the token, as JSON, becomes a cookie and a key.
func (e entrance) enter(w http.ResponseWriter, r *http.Request) {
	var req struct{ Token string }
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "invalid_argument", "The request is not JSON.")
		return
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1024)).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_argument", "The request cannot be read.")
		return
	}
	cookie, key, ok := e.doors.enter(req.Token)
	if !ok {
		refuse(w, http.StatusUnauthorized, "unauthenticated", "This link was used before, or is too old.")
		return
	}
	// Secure would keep it from being sent: some browsers do not count http to a loopback address as secure.
	http.SetCookie(w, &http.Cookie{Name: e.cookie, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"key": key})
}

// leave serves DELETE /session.
func (e entrance) leave(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(e.cookie); err == nil {
		e.doors.leave(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: e.cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

// only lets requests of a session pass.
func (e entrance) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(e.cookie)
		if err != nil || !e.doors.admits(c.Value, r.Header.Get(KeyHeader)) {
			refuse(w, http.StatusUnauthorized, "unauthenticated", "Open the phone anew with: jingle phone")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers with an error in the shape of Connect's.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}
