package webphone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/webphone"
	"github.com/jingled/jingled/internal/testkit"
)

func TestMain(m *testing.M) {
	if status, knocking := testkit.Knocking(); knocking {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// served is a phone of a daemon without accounts.
type served struct {
	t     *testing.T
	phone *webphone.Server
	now   atomic.Int64 // ns that the clock is ahead
	http  *http.Client
}

func serve(t *testing.T, change func(*webphone.Config)) *served {
	t.Helper()
	d, err := daemon.New(daemon.Config{Version: "of a test"})
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, http: &http.Client{Transport: &http.Transport{}}}
	cfg := webphone.Config{Daemon: d, Listen: "127.0.0.1:0", Uploads: t.TempDir(),
		Now: func() time.Time { return time.Now().Add(time.Duration(s.now.Load())) }}
	if change != nil {
		change(&cfg)
	}
	if s.phone, err = webphone.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.phone.Run(ctx) }()
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// open returns where the phone is and a token.
func (s *served) open() (base, token string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		res, err := s.phone.OpenPhone(s.t.Context(), &jingledv1.OpenPhoneRequest{})
		if err != nil { // it has only just begun
			if time.Now().After(deadline) {
				s.t.Fatal(err)
			}
			continue
		}
		base, token, ok := strings.Cut(res.GetUrl(), "/#")
		if !ok || token == "" {
			s.t.Fatalf("no token in %q", res.GetUrl())
		}
		return base, token
	}
}

// visitor is a browser, as far as the server can see: its headers, and what it was given.
type visitor struct {
	*served
	base        string
	cookie, key string
}

func (s *served) request(method, url, body string, header map[string]string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (s *served) enter(base, token string) *http.Response {
	s.t.Helper()
	return s.request("POST", base+"/session", `{"token":"`+token+`"}`, map[string]string{"Content-Type": "application/json", "Origin": base})
}

// signIn opens the phone as a browser does.
func (s *served) signIn() *visitor {
	s.t.Helper()
	base, token := s.open()
	res := s.enter(base, token)
	var said struct{ Key string }
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s, %v", res.Status, err)
	}
	v := &visitor{served: s, base: base, key: said.Key}
	for _, c := range res.Cookies() {
		v.cookie = c.Name + "=" + c.Value
	}
	return v
}

// headers are those of the page's own requests, with changes; an empty value takes one away.
func (v *visitor) headers(changes ...string) map[string]string {
	h := map[string]string{"Content-Type": "application/json", "Origin": v.base, "Sec-Fetch-Site": "same-origin", "Cookie": v.cookie,
		webphone.KeyHeader: v.key}
	for i := 0; i < len(changes); i += 2 {
		h[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(h, changes[i])
		}
	}
	return h
}

func (v *visitor) rpc(method string, header map[string]string) *http.Response {
	v.t.Helper()
	return v.request("POST", v.base+"/jingled.v1."+method, "{}", header)
}

func want(t *testing.T, what string, res *http.Response, status int) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Errorf("%s: %s, not %d: %s", what, res.Status, status, b)
	}
	return string(b)
}

const info = "DaemonService/GetInfo"

func TestOnlySessionsComeIn(t *testing.T) {
	s := serve(t, nil)
	v := s.signIn()
	if said := want(t, "the page", v.rpc(info, v.headers()), 200); !strings.Contains(said, "of a test") {
		t.Errorf("GetInfo: %s", said)
	}
	other := s.signIn()
	for what, h := range map[string]map[string]string{
		"no cookie":                v.headers("Cookie", ""),
		"no key":                   v.headers(webphone.KeyHeader, ""),
		"a wrong key":              v.headers(webphone.KeyHeader, strings.Repeat("A", 43)),
		"the key of another":       v.headers(webphone.KeyHeader, other.key),
		"a wrong cookie":           v.headers("Cookie", v.cookie[:len(v.cookie)-1]+"_"),
		"the cookie of a phone":    v.headers("Cookie", strings.Replace(v.cookie, "jingle-phone-", "jingle-phone-1", 1)),
		"nothing":                  {"Content-Type": "application/json"},
		"cookie and key exchanged": v.headers("Cookie", strings.Split(v.cookie, "=")[0]+"="+v.key, webphone.KeyHeader, strings.Split(v.cookie, "=")[1]),
	} {
		want(t, what, v.rpc(info, h), 401)
		want(t, what+", events", v.request("GET", v.base+"/v1/events", "", h), 401)
		want(t, what+", upload", v.request("POST", v.base+"/upload?peer=a@b&name=c", "x", h), 401)
		want(t, what+", media", v.request("POST", v.base+"/v1/calls/x/webrtc", "v=0", h), 401)
	}
	want(t, "leaving", v.request("DELETE", v.base+"/session", "", v.headers()), 204)
	want(t, "after leaving", v.rpc(info, v.headers()), 401)
	want(t, "the other one", other.rpc(info, other.headers()), 200)
}

func TestTokensWorkOnce(t *testing.T) {
	s := serve(t, nil)
	base, token := s.open()
	want(t, "the first time", s.enter(base, token), 200)
	want(t, "the second time", s.enter(base, token), 401)
	want(t, "another one", s.enter(base, strings.Repeat("A", 43)), 401)
	want(t, "none", s.enter(base, ""), 401)
	// Not as a form, which any page can send.
	base, token = s.open()
	want(t, "as text", s.request("POST", base+"/session", `{"token":"`+token+`"}`, map[string]string{"Content-Type": "text/plain"}), 415)
	s.now.Add(int64(5 * time.Minute))
	want(t, "too late", s.enter(base, token), 401)
}

func TestTokensAreBounded(t *testing.T) {
	s := serve(t, nil)
	base, first := s.open()
	var err error
	for n := 1; err == nil; n++ {
		if n > 100 {
			t.Fatal("there is no bound")
		}
		_, err = s.phone.OpenPhone(t.Context(), &jingledv1.OpenPhoneRequest{})
	}
	want(t, "one of them", s.enter(base, first), 200)
	s.now.Add(int64(5 * time.Minute))
	if _, err := s.phone.OpenPhone(t.Context(), &jingledv1.OpenPhoneRequest{}); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestSessionsAreBounded lets the one that is not used make room.
func TestSessionsAreBounded(t *testing.T) {
	s := serve(t, nil)
	used, forgotten := s.signIn(), s.signIn()
	for range 40 {
		s.now.Add(int64(time.Second))
		want(t, "used", used.rpc(info, used.headers()), 200)
		s.signIn()
	}
	want(t, "forgotten", forgotten.rpc(info, forgotten.headers()), 401)
}

// TestOtherOrigins: whatever a page of another origin sends, with the user's cookie, is refused.
func TestOtherOrigins(t *testing.T) {
	v := serve(t, nil).signIn()
	for what, h := range map[string]map[string]string{
		"another site":         v.headers("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"),
		"another port":         v.headers("Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"),
		"a sandbox":            v.headers("Origin", "null", "Sec-Fetch-Site", "cross-site"),
		"an old browser":       v.headers("Origin", "https://evil.example", "Sec-Fetch-Site", ""),
		"an extension's frame": v.headers("Origin", "chrome-extension://x", "Sec-Fetch-Site", "cross-site"),
	} {
		want(t, what, v.rpc(info, h), 403)
		want(t, what+", token", v.request("POST", v.base+"/session", `{"token":"x"}`, h), 403)
		want(t, what+", upload", v.request("POST", v.base+"/upload?peer=a@b&name=c", "x", h), 403)
		want(t, what+", leaving", v.request("DELETE", v.base+"/session", "", h), 403)
	}
	want(t, "the page itself", v.rpc(info, v.headers()), 200)
	// What may be asked for is not told to others.
	res := v.request("OPTIONS", v.base+"/jingled.v1."+info, "", v.headers("Origin", "https://evil.example", "Access-Control-Request-Method", "POST"))
	for name := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s", name, res.Header.Get(name))
		}
	}
}

// TestRebinding: a name of somebody else's that points here is refused, also for the page itself.
func TestRebinding(t *testing.T) {
	v := serve(t, nil).signIn()
	u, err := url.Parse(v.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"evil.example", "evil.example:" + u.Port(), "localhost", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:" + u.Port(),
		"localhost.evil.example:" + u.Port(), "[::1]", "LOCALHOST:" + u.Port(), "0.0.0.0:" + u.Port()} {
		origin := "http://" + host
		want(t, host, v.rpc(info, v.headers("Host", host, "Origin", origin)), 421)
		want(t, host, v.request("GET", v.base+"/", "", map[string]string{"Host": host}), 421)
		want(t, host, v.request("GET", v.base+"/v1/events", "", v.headers("Host", host)), 421)
	}
	for _, host := range []string{"localhost:" + u.Port(), "127.0.0.1:" + u.Port(), "[::1]:" + u.Port()} {
		want(t, host, v.rpc(info, v.headers("Host", host, "Origin", "http://"+host)), 200)
	}
}

func TestPolicies(t *testing.T) {
	v := serve(t, nil).signIn()
	for _, path := range []string{"/", "/phone.js", "/phone.css", "/icon.svg", "/v1/events?since_seq=x", "/nothing"} {
		res := v.request("GET", v.base+path, "", v.headers())
		h := res.Header
		for name, value := range map[string]string{
			"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if h.Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
			"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp+";", part+";") {
				t.Errorf("%s: the policy has no %q: %s", path, part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: the policy is too weak: %s", path, csp)
		}
	}
	html := want(t, "the page", v.request("GET", v.base+"/", "", nil), 200)
	if strings.Contains(html, "http:") || strings.Contains(html, "https:") || strings.Contains(html, "<style") || strings.Contains(html, "style=") {
		t.Errorf("the page has what its policy forbids: %s", html)
	}
	for name, kind := range map[string]string{"phone.js": "text/javascript", "phone.css": "text/css", "icon.svg": "image/svg+xml"} {
		res := v.request("GET", v.base+"/"+name, "", nil)
		if body := want(t, name, res, 200); len(body) < 100 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d bytes of %s", name, len(body), res.Header.Get("Content-Type"))
		}
		again := v.request("GET", v.base+"/"+name, "", map[string]string{"If-None-Match": res.Header.Get("Etag")})
		want(t, name+" again", again, 304)
	}
}

func TestCookie(t *testing.T) {
	s := serve(t, nil)
	base, token := s.open()
	res := s.enter(base, token)
	if len(res.Cookies()) != 1 {
		t.Fatalf("cookies: %v", res.Cookies())
	}
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" || c.MaxAge != 0 || !c.Expires.IsZero() || len(c.Value) < 43 {
		t.Errorf("the cookie: %s", res.Header.Get("Set-Cookie"))
	}
	var said map[string]string
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || len(said["key"]) < 43 || said["key"] == c.Value {
		t.Errorf("the key: %v, %v", said, err)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		t.Error("the key may be kept by a cache")
	}
}

// TestOnlyWhatThePageNeeds: the rest of the API is not there, and paths of this machine cannot be named.
func TestOnlyWhatThePageNeeds(t *testing.T) {
	v := serve(t, nil).signIn()
	for _, method := range []string{"TunnelService/OpenTunnel", "TunnelService/PushStanzas", "TransferService/SendFile", "PhoneService/OpenPhone",
		"HistoryService/ExportState", "EventService/Watch"} {
		want(t, method, v.rpc(method, v.headers()), 404)
	}
	for _, path := range []string{"/v1/calls/x/whip", "/v1/calls/x/whep", "/src/main.ts", "/web.go", "/dist/phone.js"} {
		want(t, path, v.request("POST", v.base+path, "", v.headers()), 404)
		want(t, path, v.request("GET", v.base+path, "", v.headers()), 404)
	}
	big := v.request("POST", v.base+"/jingled.v1.CallService/StartCall", `{"peer":"`+strings.Repeat("a", 1<<17)+`"}`, v.headers())
	if res := want(t, "a large request", big, 429); !strings.Contains(res, "resource_exhausted") {
		t.Errorf("a large request: %s", res)
	}
}

// TestEvents: the stream is read with the key, and has the daemon's greeting.
func TestEvents(t *testing.T) {
	v := serve(t, nil).signIn()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, x := range v.headers() {
		req.Header.Set(k, x)
	}
	res, err := v.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got []byte
	for !bytes.Contains(got, []byte(`"hello":{`)) {
		b := make([]byte, 1000)
		n, err := res.Body.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, b[:n]...)
	}
}

func TestConfig(t *testing.T) {
	d, err := daemon.New(daemon.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{"0.0.0.0:0", ":8080", "192.0.2.1:80", "localhost:1", "[::]:0", "127.0.0.1"} {
		if _, err := webphone.New(webphone.Config{Daemon: d, Listen: listen}); err == nil {
			t.Errorf("%s is taken", listen)
		}
	}
	if _, err := webphone.New(webphone.Config{}); err == nil {
		t.Error("no daemon is taken")
	}
	s, err := webphone.New(webphone.Config{Daemon: d})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenPhone(t.Context(), &jingledv1.OpenPhoneRequest{}); err == nil {
		t.Error("it is opened before it runs")
	}
}

// TestTwoPhones: where the usual port is taken, another one is used.
func TestTwoPhones(t *testing.T) {
	auto := func(c *webphone.Config) { c.Listen = "" }
	a, _ := serve(t, auto).open()
	b, _ := serve(t, auto).open()
	if a == b {
		t.Errorf("both are at %s", a)
	}
}

// Another user of this machine does not even get the page.
func TestOtherUserIsRefused(t *testing.T) {
	base, _ := serve(t, nil).open()
	for uid, want := range map[int]int{0: testkit.Answered, testkit.Nobody: testkit.ShutOut} {
		if got := testkit.KnockAs(t, uid, "tcp", strings.TrimPrefix(base, "http://")); got != want {
			t.Errorf("user %d: %d, want %d", uid, got, want)
		}
	}
}
