package sdptest

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
)

//go:embed testdata/judge.html
var judgePage []byte

// chromium opens the page in a headless Chromium, which must end by itself.
func chromium(t *testing.T, url string) (dom string) {
	t.Helper()
	bin := testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// No UDP at all: descriptions are judged here, not paths.
	cmd := exec.CommandContext(ctx, bin, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--user-data-dir="+t.TempDir(),
		"--dump-dom", url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("Chromium: %v\n%s", err, out)
	}
	return string(out)
}

// TestChromium lets Chromium call itself by way of Jingle, and answer what others offered.
func TestChromium(t *testing.T) {
	type answered struct{ Name, SDP, Error string }
	var results struct {
		Error   string // of the call with itself
		Audio   string // the codec that it sends after the call was set up
		Open    string // the state of signalling
		Offer   string
		Answers []answered
	}
	done := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(judgePage)
	})
	// The page counts as loading as long as this picture does, and Chromium ends when it is loaded.
	mux.HandleFunc("GET /wait.png", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		case <-time.After(patience):
		}
	})
	mux.HandleFunc("GET /offers", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(foreignOffers(t))
	})
	mux.HandleFunc("POST /travel/{role}", func(w http.ResponseWriter, r *http.Request) {
		var text string
		if err := json.NewDecoder(r.Body).Decode(&text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		role := jingle.Initiator
		if r.PathValue("role") == "responder" {
			role = jingle.Responder
		}
		s, err := sdp.Parse(text)
		if err == nil {
			var m jingle.Message
			if m.Contents, m.Groups, err = sdp.ToJingle(s, role, sdp.Options{}); err == nil {
				s, err = sdp.FromJingle(m.Contents, m.Groups, role)
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(s.String())
	})
	mux.HandleFunc("POST /results", func(_ http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&results); err != nil {
			t.Error(err)
		}
		close(done)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	dom := chromium(t, srv.URL)
	srv.Close()
	select {
	case <-done:
	default:
		t.Fatalf("the page gave no results:\n%s", dom)
	}
	if results.Error != "" || results.Open != "stable stable" || results.Audio != "audio/opus" {
		t.Errorf("Chromium with itself: %+v", results)
	}
	if len(results.Answers) < 2 {
		t.Errorf("only %d foreign offers", len(results.Answers))
	}
	t.Logf("%d foreign offers", len(results.Answers))
	for _, a := range results.Answers {
		if a.Error != "" {
			t.Errorf("%s: %s", a.Name, a.Error)
			continue
		}
		m := toMessage(t, a.SDP, jingle.Responder, sdp.Options{})
		if len(m.Contents) == 0 {
			t.Errorf("%s: everything rejected in\n%s", a.Name, a.SDP)
		}
		for _, c := range m.Contents {
			if d, ok := c.Description.(rtp.Description); ok && (len(d.PayloadTypes) == 0 || !d.RTCPMux) {
				t.Errorf("%s: answered with %s", a.Name, d.Element())
			}
		}
	}
	// And pion takes Chromium's offer.
	pc := peer(t)
	set(t, pc, webrtc.SDPTypeOffer, travel(t, results.Offer, jingle.Initiator, sdp.Options{}))
	local(t, pc, answer(pc))
}

// foreignOffers are SDPs made of Jingle that does not come from Chromium: pion's, those of clients, and one with all
// that package rtp has.
func foreignOffers(t testing.TB) map[string]string {
	offers := map[string]string{}
	pc := peer(t)
	addTrack(t, pc, webrtc.MimeTypeOpus)
	addTrack(t, pc, webrtc.MimeTypeVP8)
	if _, err := pc.CreateDataChannel("x", nil); err != nil {
		t.Error(err)
	}
	offers["pion"] = travel(t, local(t, pc, offer(pc)), jingle.Initiator, sdp.Options{})
	interval := uint32(100)
	full := rtp.Description{
		Media: "video", RTCPMux: true, ExtmapAllowMixed: true,
		PayloadTypes: []rtp.PayloadType{
			{ID: 100, Name: "VP8", Clockrate: 90000, PTime: 20, Feedback: rtp.Feedback{TRRInt: &interval, Messages: []rtp.FeedbackMessage{
				{Type: "nack"}, {Type: "nack", Subtype: "pli"}, {Type: "ccm", Subtype: "tmmbr", Parameters: rtp.Parameters{{Name: "smaxpr", Value: "120"}}}}}},
			{ID: 101, Name: "rtx", Clockrate: 90000, Parameters: rtp.Parameters{{Name: "apt", Value: "100"}}},
		},
		Bandwidths: []rtp.Bandwidth{{Type: "AS", Value: 500}},
		Feedback:   rtp.Feedback{Messages: []rtp.FeedbackMessage{{Type: "goog-remb"}}},
		HeaderExtensions: []rtp.HeaderExtension{
			{ID: 3, URI: "urn:ietf:params:rtp-hdrext:sdes:mid"},
			{ID: 4, URI: "urn:ietf:params:rtp-hdrext:toffset", Senders: jingle.SendersInitiator},
			{ID: 5, URI: "urn:example:strange", Parameters: rtp.Parameters{{Name: "a", Value: "b"}}},
		},
		Sources: []rtp.Source{
			{SSRC: 11, Parameters: rtp.Parameters{{Name: "cname", Value: "c"}, {Name: "msid", Value: "s t"}}},
			{SSRC: 12, Parameters: rtp.Parameters{{Name: "cname", Value: "c"}, {Name: "msid", Value: "s t"}}},
		},
		SSRCGroups: []rtp.SSRCGroup{{Semantics: "FID", SSRCs: []uint32{11, 12}}},
		Categories: []rtp.Category{rtp.CategorySlides},
		Encryption: &rtp.Encryption{
			Cryptos:    []rtp.Crypto{{Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80", KeyParams: "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"}},
			ZRTPHashes: []rtp.ZRTPHash{{Version: "1.10", Hash: "fe30efd02423cb054e50efd0248742ac7a52c8f91bc2df881ae642c371ba46df"}},
		},
	}
	transport := ice.Transport{
		Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZgxx", Renomination: true,
		Fingerprints: []ice.Fingerprint{ice.NewFingerprint("sha-256", ice.SetupActpass, make([]byte, 32))},
		Candidates: []ice.Candidate{{Component: 1, Foundation: "1", ID: "x", IP: "192.0.2.1", Port: 5000, Priority: 2130706431,
			Protocol: "udp", Type: ice.Host, Network: 1}},
	}
	s, err := sdp.FromJingle([]jingle.Content{{Name: "my screen", Senders: jingle.SendersInitiator, Description: full, Transport: transport}},
		nil, jingle.Initiator)
	if err != nil {
		t.Error(err)
		return offers
	}
	offers["everything"] = s.String()
	for name, m := range clientOffers(t) {
		offers[name] = toSDP(t, m, jingle.Initiator)
	}
	for name, text := range offers {
		if strings.Count(text, "a=candidate") == 0 {
			t.Logf("%s: no candidates", name)
		}
	}
	return offers
}
