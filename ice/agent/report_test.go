package agent

import (
	"strings"
	"testing"
	"time"
)

// TestReport has a path that is not found: what is said names the pairs that were tried, and what the servers have
// answered, without secrets.
func TestReport(t *testing.T) {
	wrong := turnServer(t)
	wrong.Password = "guessed"
	p := newPeer(t, Config{LoopbackOnly: true, ConnectTimeout: 2 * time.Second, DisconnectAfter: 500 * time.Millisecond,
		Servers: []Server{wrong, {URI: "turn:127.0.0.1:1?transport=tcp", Username: "user", Password: "guessed"}}})
	if err := p.Gather(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Start(true, "abcd", strings.Repeat("x", 22)); err != nil {
		t.Fatal(err)
	}
	if err := p.AddRemote(candidate(nil)); err != nil {
		t.Fatal(err)
	}
	<-p.gathered
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // a real network
		p.mu.Lock()
		failed := len(p.states) > 0 && p.states[len(p.states)-1] == Failed
		p.mu.Unlock()
		if failed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("states are %v", p.states)
		}
	}
	r := p.Report()
	for _, want := range []string{"of the peer: 1 host", "tried: from ", "host 127.0.0.1:", " to host 127.0.0.1:", "servers: ", "error 40", "refused"} {
		if !strings.Contains(r, want) {
			t.Errorf("%q is not said: %s", want, r)
		}
	}
	if strings.Contains(r, "guessed") {
		t.Errorf("a secret is said: %s", r)
	}
	t.Log(r)
}

func TestReportIsBounded(t *testing.T) {
	var p problems
	for range 3 {
		for i := range 10 {
			p.add("Failed to " + strings.Repeat("x", 1000+i))
		}
	}
	p.add("Connection is not allocated: failed to allocate on TURN client")
	if s := p.String(); len(s) > maxReported*(maxProblem+2) || strings.Contains(s, "ailed") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
