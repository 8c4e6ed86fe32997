package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/relay"
)

// relayPage connects two PeerConnections by relays only, for each server in turn, and sends a message there and back.
const relayPage = `<!doctype html><title>relay</title><script>
const servers = %s
async function through(server) {
  const config = {iceServers: [server], iceTransportPolicy: "relay"}
  const a = new RTCPeerConnection(config), b = new RTCPeerConnection(config)
  try {
    a.onicecandidate = e => { if (e.candidate) b.addIceCandidate(e.candidate) }
    b.onicecandidate = e => { if (e.candidate) a.addIceCandidate(e.candidate) }
    const began = performance.now()
    const channel = a.createDataChannel("echo")
    b.ondatachannel = e => { e.channel.onmessage = m => e.channel.send(m.data) }
    const answered = new Promise((done, fail) => {
      channel.onopen = () => channel.send("x".repeat(4000))
      channel.onmessage = m => done(m.data.length)
      setTimeout(() => fail(new Error("no answer in 15 s, ICE is " + a.iceConnectionState)), 15000)
    })
    await a.setLocalDescription(); await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription(); await a.setRemoteDescription(b.localDescription)
    const echoed = await answered, ms = performance.now() - began
    let local = "", protocol = ""
    const stats = await a.getStats()
    stats.forEach(s => {
      if (s.type == "candidate-pair" && s.nominated && s.state == "succeeded") {
        const c = stats.get(s.localCandidateId)
        local = c.candidateType; protocol = c.relayProtocol
      }
    })
    return {echoed, ms, local, protocol}
  } finally { a.close(); b.close() }
}
(async () => {
  for (const server of servers) {
    let result
    try { result = await through(server) } catch (e) { result = {error: String(e)} }
    await fetch("/result", {method: "POST", body: JSON.stringify({url: server.urls, ...result})})
  }
})()
</script>`

// TestChromium has a browser connect with itself through the relay alone, by each transport that browsers know.
func TestChromium(t *testing.T) {
	testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
	if !testkit.InNetwork(t) {
		return
	}
	here := netip.MustParseAddr(testkit.NetworkAddress)
	chain, err := selfsigned.New("relay.test", testkit.NetworkAddress)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := files(t, chain)
	cfg := relay.Dev(0)
	cfg.Listen = []relay.Listen{
		{Transport: "udp", Address: netip.AddrPortFrom(here, 3478)},
		{Transport: "tcp", Address: netip.AddrPortFrom(here, 3478)},
		{Transport: "tls", Address: netip.AddrPortFrom(here, 5349)},
	}
	cfg.TLS = relay.TLS{Certificate: certificate, Key: key}
	cfg.Relay = relay.Relayed{Address: []relay.RelayAddress{{Bind: here}}}
	cfg.Peers = relay.Peers{Allow: []netip.Prefix{netip.PrefixFrom(here, 32)}}
	r, err := relay.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-r.Ready()
	issued, err := r.Issue("juliet", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	type server struct {
		URLs       string `json:"urls"`
		Username   string `json:"username"`
		Credential string `json:"credential"`
	}
	var servers []server
	for _, url := range []string{"turn:%s:3478?transport=udp", "turn:%s:3478?transport=tcp", "turns:%s:5349?transport=tcp"} {
		servers = append(servers, server{fmt.Sprintf(url, here), issued.Username, issued.Password})
	}
	list, err := json.Marshal(servers)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		URL, Error, Local, Protocol string
		Echoed                      int
		MS                          float64
	}
	results := make(chan result, len(servers))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, relayPage, list)
	})
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, req *http.Request) {
		var got result
		if err := json.NewDecoder(req.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		results <- got
	})
	page := httptest.NewServer(mux)
	defer page.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(page.URL, "http://"), ":")
	testkit.Chromium(t, "http://localhost:"+port+"/", "--ignore-certificate-errors")
	for range servers {
		select {
		case got := <-results:
			want := got.URL[strings.LastIndex(got.URL, "=")+1:]
			if strings.HasPrefix(got.URL, "turns:") {
				want = "tls"
			}
			if got.Error != "" || got.Echoed != 4000 || got.Local != "relay" || got.Protocol != want {
				t.Errorf("%+v", got)
			}
			t.Logf("%s: %d bytes there and back after %.0f ms", got.URL, got.Echoed, got.MS)
		case <-time.After(50 * time.Second):
			t.Fatal("the browser says nothing")
		}
	}
}

func files(t *testing.T, chain *selfsigned.Chain) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, pem := range map[string][]byte{certificate: chain.Cert, key: chain.Key} {
		if err := os.WriteFile(name, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}
