package whip

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfig(t *testing.T) {
	d, err := daemon.New(daemon.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:80", "localhost:80", "127.0.0.1"} {
		if _, err := New(Config{Daemon: d, Listen: listen}); err == nil {
			t.Errorf("%s is taken", listen)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no daemon is taken")
	}
	// The token stays, and is the user's alone; what is too short to be one is replaced.
	dir := t.TempDir()
	first, err := New(Config{Daemon: d, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	second, err := New(Config{Daemon: d, StateDir: dir})
	if err != nil || second.token != first.token || len(first.token) < 26 {
		t.Errorf("tokens %q and %q, %v", first.token, second.token, err)
	}
	path := filepath.Join(dir, tokenFile)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", st, err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if third, err := New(Config{Daemon: d, StateDir: dir}); err != nil || third.token == "" || third.token == first.token {
		t.Errorf("a token after an empty file: %v, %v", third, err)
	}
	if _, err := first.OpenWhip(t.Context(), nil); err == nil {
		t.Error("it is open and does not run")
	}
}

// stage has alice, whose daemon serves WHIP, and bob.
type stage struct {
	t          *testing.T
	alice, bob *ours.Side
	open       *jingledv1.OpenWhipResponse
	client     *http.Client
}

func newStage(t *testing.T) *stage {
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}, AllowPlain: true})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}}
	t.Cleanup(s.client.CloseIdleConnections)
	for user, side := range map[string]**ours.Side{"alice": &s.alice, "bob": &s.bob} {
		*side = ours.Run(t, daemon.Config{Loopback: true, Accounts: []daemon.Account{{
			JID: jid.JID(user + "@" + srv.Domain()), Password: func() (string, error) { return "secret", nil },
			Resource: "daemon", Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback, FailFast: true,
		}}})
	}
	w, err := New(Config{Daemon: s.alice.D, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for err := error(io.EOF); err != nil; {
		s.open, err = w.OpenWhip(t.Context(), &jingledv1.OpenWhipRequest{})
		time.Sleep(time.Millisecond) // Run has not begun
	}
	return s
}

// do makes a request; how changes it.
func (s *stage) do(method, path, body string, how func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	url := s.open.GetUrl() + path
	if strings.HasPrefix(path, "/") {
		url = strings.TrimSuffix(s.open.GetUrl(), "/v1/calls/") + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.open.GetToken())
	if body != "" {
		req.Header.Set("Content-Type", "application/sdp")
	}
	if how != nil {
		how(req)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, string(b)
}

// call has alice call bob, with this media, up to the connection.
func (s *stage) call(m *jingledv1.Media) (sid string) {
	s.t.Helper()
	res, err := s.alice.D.StartCall(s.t.Context(), &jingledv1.StartCallRequest{Peer: s.bob.JID(s.t), Media: m})
	if err != nil {
		s.t.Fatal(err)
	}
	s.bob.Incoming(s.t, res.GetSid())
	s.bob.Answer(s.t, res.GetSid(), "")
	s.alice.Connected(s.t, res.GetSid())
	return res.GetSid()
}

// offer is that of pion, to send sound.
func offer(t *testing.T) (*webrtc.PeerConnection, string) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(o); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc, pc.LocalDescription().SDP
}

func TestProtocol(t *testing.T) {
	s := newStage(t)
	sid := s.call(&jingledv1.Media{Webrtc: true})
	pc, sdp := offer(t)

	// Who has no token, or means another server, gets nothing.
	for name, how := range map[string]func(*http.Request){
		"no token":    func(r *http.Request) { r.Header.Del("Authorization") },
		"wrong token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s.open.GetToken()+"x") },
		"basic":       func(r *http.Request) { r.Header.Set("Authorization", "Basic "+s.open.GetToken()) },
	} {
		res, _ := s.do("POST", sid+"/whip", sdp, how)
		if res.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	if res, _ := s.do("POST", sid+"/whip", sdp, func(r *http.Request) { r.Host = "example.org" }); res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another Host: %s", res.Status)
	}

	files := s.call(nil)
	for name, c := range map[string]struct {
		method, path, body, contentType string
		want                            int
	}{
		"not SDP":            {"POST", sid + "/whip", "{}", "application/json", 415},
		"no offer":           {"POST", sid + "/whip", "hello", "", 400},
		"a huge offer":       {"POST", sid + "/whip", strings.Repeat("x", 1<<20), "", 413},
		"no such call":       {"POST", "nobody/whip", sdp, "", 404},
		"another medium":     {"POST", files + "/whip", sdp, "", 409},
		"GET":                {"GET", sid + "/whip", "", "", 405},
		"PUT":                {"PUT", sid + "/whip", sdp, "", 405},
		"no such client":     {"DELETE", sid + "/whip/nobody", "", "", 404},
		"a player who sends": {"POST", sid + "/whep", sdp, "", 400},
		"a path":             {"POST", sid + "/whatever", sdp, "", 404},
		"another path":       {"POST", "/jingled.v1.CallService/ListCalls", "{}", "application/json", 404},
	} {
		res, body := s.do(c.method, c.path, c.body, func(r *http.Request) {
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
		})
		if res.StatusCode != c.want {
			t.Errorf("%s: %s %s", name, res.Status, body)
		}
		if c.want == 404 && c.path != "nobody/whip" || c.want == 405 {
			continue // of the server's own
		}
		var p struct {
			Status int
			Detail string
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || res.Header.Get("Content-Type") != "application/problem+json" ||
			p.Status != c.want || !strings.HasSuffix(p.Detail, ".") {
			t.Errorf("%s: %s %s", name, res.Header.Get("Content-Type"), body)
		}
	}

	// RFC 9725 section 4.2.
	if res, _ := s.do("OPTIONS", sid+"/whip", "", nil); res.StatusCode/100 != 2 || res.Header.Get("Accept-Post") != "application/sdp" ||
		res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS: %s %v", res.Status, res.Header)
	}
	res, answer := s.do("POST", "active/whip", sdp, nil)
	location := res.Header.Get("Location")
	if res.StatusCode != http.StatusCreated || res.Header.Get("Content-Type") != "application/sdp" || res.Header.Get("ETag") == "" ||
		!strings.HasPrefix(location, "/v1/calls/"+sid+"/whip/") {
		t.Fatalf("POST: %s %v", res.Status, res.Header)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	s.alice.Await(t, sid, "source", func(e *jingledv1.Event) bool { return e.GetCallClients().GetClients() == 1 })
	for method, want := range map[string]int{"PATCH": 405, "GET": 405, "POST": 405, "OPTIONS": 204} {
		if res, _ := s.do(method, location, "", nil); res.StatusCode != want {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
	if res, _ := s.do("DELETE", location, "", nil); res.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %s", res.Status)
	}
	s.alice.Forget()
	s.alice.Await(t, sid, "end of the source", func(e *jingledv1.Event) bool { return e.GetCallClients() != nil })
	for _, id := range []string{sid, files} {
		s.alice.End(t, id, "")
		s.bob.WantEnd(t, id, "success", true)
		s.alice.WantEnd(t, id, "success", false)
	}
	if res, _ := s.do("POST", sid+"/whip", sdp, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("after the call: %s", res.Status)
	}
}
