package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/xmpp"
)

// checks are the commands of scripts that look at results.
func checks() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"event": checkEvent, "fields": checkFields, "random": randomBytes, "tone": checkTone, "refuser": startRefuser,
		"waits-for": untilThere, "grow": untilGrown, "mode": checkMode, "no-secrets": checkSecrets,
		// same A B: two files hold the same; what they hold is not printed.
		"same": func(ts *testscript.TestScript, _ bool, args []string) {
			if a, b := ts.ReadFile(args[0]), ts.ReadFile(args[1]); a != b {
				ts.Fatalf("%s (%d bytes) and %s (%d bytes) differ", args[0], len(a), args[1], len(b))
			}
		},
		// expand FILE: puts variables into it.
		"expand": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
		},
	}
}

// eventsOf reads the objects of --json with one name.
func eventsOf(ts *testscript.TestScript, file, name string) []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(ts.ReadFile(file)) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			ts.Fatalf("%s: not one JSON object a line: %q", file, line)
		}
		if o["event"] == name {
			out = append(out, o)
		}
	}
	return out
}

// checkEvent is event FILE NAME [FIELD=REGEXP...]: there is such an event with all of these. A field inside an object
// is OUTER/INNER. With ! there is none.
func checkEvent(ts *testscript.TestScript, neg bool, args []string) {
	found := slices.ContainsFunc(eventsOf(ts, args[0], args[1]), func(o map[string]any) bool {
		for _, cond := range args[2:] {
			field, pattern, _ := strings.Cut(cond, "=")
			var v any = o
			for part := range strings.SplitSeq(field, "/") {
				inner, _ := v.(map[string]any)
				next, ok := inner[part]
				if !ok {
					return false
				}
				v = next
			}
			text := fmt.Sprint(v)
			if n, ok := v.(float64); ok {
				text = strconv.FormatFloat(n, 'f', -1, 64)
			}
			if !regexp.MustCompile("^(" + pattern + ")$").MatchString(text) {
				return false
			}
		}
		return true
	})
	if found == neg {
		ts.Fatalf("event %q found: %v in\n%s", args[1:], found, ts.ReadFile(args[0]))
	}
}

// checkFields is fields FILE NAME FIELD...: every event of this name has exactly these fields, besides event, time and
// account; one with ? behind it may be missing, and ~stats stands for the statistics.
func checkFields(ts *testscript.TestScript, _ bool, args []string) {
	want := map[string]bool{"event": true, "time": true, "account": true} // to whether it must be there
	for _, f := range args[2:] {
		if f == "~stats" {
			for _, s := range []string{"packets_sent", "packets_received", "packets_lost", "bytes_sent", "bytes_received", "jitter_ms", "rtt_ms", "mos"} {
				want[s] = true
			}
			want["video"] = false
			continue
		}
		want[strings.TrimSuffix(f, "?")] = !strings.HasSuffix(f, "?")
	}
	all := eventsOf(ts, args[0], args[1])
	if len(all) == 0 {
		ts.Fatalf("there is no event %s in\n%s", args[1], ts.ReadFile(args[0]))
	}
	for _, o := range all {
		for f := range o {
			if _, known := want[f]; !known {
				ts.Fatalf("%s has a field %q that is not documented: %v", args[1], f, o)
			}
		}
		for _, f := range slices.Sorted(maps.Keys(want)) {
			if _, there := o[f]; want[f] && !there {
				ts.Fatalf("%s has no field %q: %v", args[1], f, o)
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, o["time"].(string)); err != nil || !strings.HasSuffix(o["time"].(string), "Z") || time.Since(at) > time.Hour {
			ts.Fatalf("time of %v: %v", o, err)
		}
	}
}

// randomBytes is random FILE SIZE.
func randomBytes(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, rand.Reader, size)
	ts.Check(errors.Join(err, f.Close()))
}

// checkTone is tone FILE HZ: a recording holds the tone, for a twentieth of a second without anything else. On a machine
// that is busy, sound has gaps, and longer pieces have one each.
func checkTone(ts *testscript.TestScript, _ bool, args []string) {
	freq, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	src, err := audio.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer src.Close()
	best, buf := 0.0, make([]float32, audio.SampleRate/20)
	for {
		n, err := src.Read(buf)
		if n == len(buf) {
			best = max(best, audio.Share(buf, audio.SampleRate, freq))
		}
		if err != nil {
			break
		}
	}
	if best < 0.9 {
		ts.Fatalf("%s: at most %.2f of the energy is at %v Hz", args[0], best, freq)
	}
}

// untilThere is waits-for FILE.
func untilThere(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not come", args[0])
		}
	}
}

// checkMode is mode FILE OCTAL: nobody has other rights.
func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", st.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has the mode %s", args[0], got)
	}
}

// untilGrown is grow FILE BYTES, or grow FILE +BYTES: waits until a file has so many bytes, or so many more than now.
func untilGrown(ts *testscript.TestScript, _ bool, args []string) {
	more, relative := strings.CutPrefix(args[1], "+") // than there is now
	want, err := strconv.ParseInt(more, 10, 64)
	ts.Check(err)
	if st, err := os.Stat(ts.MkAbs(args[0])); err == nil && relative {
		want += st.Size()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if st, err := os.Stat(ts.MkAbs(args[0])); err == nil && st.Size() >= want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not grow", args[0])
		}
	}
}

// startRefuser is refuser WHO: a daemon of that account declines every call and file.
func startRefuser(ts *testscript.TestScript, _ bool, args []string) {
	pw := strings.TrimSpace(ts.ReadFile(args[0] + ".password"))
	roots, err := xmpp.ParseCA([]byte(ts.ReadFile("ca.pem")))
	ts.Check(err)
	d, err := daemon.New(daemon.Config{Loopback: true, Accounts: []daemon.Account{{
		JID: jid.JID(ts.Getenv(strings.ToUpper(args[0]))), Password: func() (string, error) { return pw, nil },
		Connect: ts.Getenv("ADDR"), TLS: xmpp.TLSStart, RootCAs: roots,
	}}})
	ts.Check(err)
	events, err := d.Subscribe(0, &jingledv1.Welcome{Calls: true, Files: true})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-ended)
		events.Close()
	})
	online := make(chan struct{})
	go func() {
		for {
			e, err := events.Next(ctx)
			if err != nil {
				return
			}
			switch {
			case e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE:
				close(online)
			case e.GetCallIncoming() != nil:
				_, _ = d.EndCall(ctx, &jingledv1.EndCallRequest{Sid: e.GetSid()})
			case e.GetTransferOffered() != nil:
				_, _ = d.EndTransfer(ctx, &jingledv1.EndTransferRequest{Sid: e.GetSid()})
			}
		}
	}()
	select {
	case <-online:
	case <-time.After(patience):
		ts.Fatalf("%s cannot log in", args[0])
	}
}

// checkSecrets is no-secrets FILE...: none holds a password in any form, or a log line with one attribute twice.
func checkSecrets(ts *testscript.TestScript, _ bool, args []string) {
	var secrets []string
	for _, who := range []string{"alice", "bob", "carol"} {
		pw := strings.TrimSpace(ts.ReadFile(who + ".password"))
		secrets = append(secrets, pw, base64.StdEncoding.EncodeToString([]byte(pw)), hex.EncodeToString([]byte(pw)))
	}
	// Words of SASL, SDP and ICE that stand before one.
	secrets = append(secrets, "<auth", "<response", "n,,n=", "pwd=", "ice-pwd", "inline:", "PRIVATE KEY")
	attr := regexp.MustCompile(`(?:^| )([a-z_]+)=`)
	for _, file := range args {
		for line := range strings.Lines(ts.ReadFile(file)) {
			for _, s := range secrets {
				if strings.Contains(line, s) {
					ts.Fatalf("%s has a secret (%s): %s", file, s, line)
				}
			}
			seen := map[string]bool{}
			for _, m := range attr.FindAllStringSubmatch(line, -1) {
				if seen[m[1]] {
					ts.Fatalf("%s: %s stands there twice: %s", file, m[1], line)
				}
				seen[m[1]] = true
			}
		}
	}
}
