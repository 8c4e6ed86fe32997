//go:build linux

package natlab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/natlab"
	"github.com/jingled/jingled/internal/testkit"
)

// finding is a line of jingle doctor.
type finding struct {
	Check   string            `json:"check"`
	Verdict string            `json:"verdict"`
	Subject string            `json:"subject"`
	Text    string            `json:"text"`
	Details map[string]string `json:"details"`
}

// expected is what the doctor has to find at a kind of site.
type expected struct {
	kind               natlab.Kind
	mapping, filtering string // RFC 5780; "" if STUN does not get through
	udp                string // the verdict of the check "udp"; "" if there is none
	stun               string // the verdict
	turn               int    // TURN servers and transports that work
	status             int
}

var sites = []expected{
	{natlab.Open, "endpoint-independent", "endpoint-independent", "", "ok", 3, 0},
	{natlab.FullCone, "endpoint-independent", "endpoint-independent", "", "ok", 3, 0},
	{natlab.Restricted, "endpoint-independent", "address-dependent", "", "ok", 3, 0},
	{natlab.PortRestricted, "endpoint-independent", "address-and-port-dependent", "", "ok", 3, 0},
	{natlab.Symmetric, "address-and-port-dependent", "address-and-port-dependent", "", "ok", 3, 0},
	{natlab.NoUDP, "", "", "note", "problem", 2, 1},
	{natlab.OnlyHTTPS, "", "", "note", "problem", 1, 1},
	{natlab.IPv6, "unknown", "unknown", "", "ok", 3, 0},
}

// TestDoctor has the doctor look at every kind of NAT. To half of the TURN servers there is no way: a host has either IPv4 or
// IPv6 there, and the server names both.
func TestDoctor(t *testing.T) {
	testkit.Binary(t, "nft", "nftables")
	program := build(t)
	if !testkit.InNetwork(t, binaryEnv+"="+program) {
		return
	}
	l := newLab(t, program)
	l.server.AddUser(t, "patient", "secret")
	var wg sync.WaitGroup
	for i, want := range sites {
		site := natlab.NewSite(t, want.kind, i+1)
		wg.Go(func() { l.examine(t, site, want) })
	}
	wg.Wait()
}

func (l *lab) examine(t *testing.T, s *natlab.Site, want expected) {
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	server := xmpp4
	if want.kind == natlab.IPv6 {
		server = xmpp6
	}
	cmd := s.Command(ctx, l.program, "--standalone", "--json", "--jid", "patient@"+l.server.Domain, "--password-file", filepath.Join(l.dir, "password"),
		"--connect", net.JoinHostPort(server, "443"), "--ca", l.server.CAFile, "doctor")
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+l.trust, "HOME="+l.dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its status is looked at
	got := expected{kind: want.kind, status: cmd.ProcessState.ExitCode()}
	for line := range strings.Lines(stdout.String()) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Errorf("%s: %v", want.kind, err)
		}
		switch f.Check {
		case "stun":
			got.stun, got.mapping, got.filtering = f.Verdict, f.Details["mapping"], f.Details["filtering"]
		case "udp":
			got.udp = f.Verdict
		case "turn":
			if f.Verdict == "ok" {
				got.turn++
			}
		case "calls":
			if f.Verdict != "ok" {
				t.Errorf("%s: calls: %s", want.kind, f.Text)
			}
		}
	}
	if got != want {
		t.Errorf("a %s site is %s, want %s\n%s%s", want.kind, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want), stdout.String(), stderr.String())
	}
}
