package credentials

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const tokenServer = "blackdow.carleon.gov" // RFC 7635 appendix A's name

var (
	tokenKey = []byte("SEkrjIxkn39WpvNaaa1000000000000!")
	tokenMAC = []byte("ZksjpweoixXmvn67534m000000000000")
	tokenAt  = time.Unix(92470300704768>>16, 0)
)

// Made by coturn's turnutils_oauth 4.6.1 with the values above, nonce "abcdefghijkl", lifetime 3600.
var tokenGolden = map[int]string{
	32: "AAxhYmNkZWZnaGlqa2yIngNiMvjipdRYZlKmaDu7++0FFOCSCTIAfULoUumqJe73m7Q6dqR9Wnf3Bw3L51+Y3IjIhjlb+INeZLENaQ==",
	16: "AAxhYmNkZWZnaGlqa2xyXYLg6bcJSMVgo27fpmwAlzxzpAD6MdbQSBCmE1UZtT9UMiUlFvCDvhaQ4sJhCIGPNDDjnJynDkY4mJBb3g==",
}

func TestTokenOfCoturn(t *testing.T) {
	for size, text := range tokenGolden {
		raw, _ := base64.StdEncoding.DecodeString(text)
		tk, err := NewTokens(tokenServer, []TokenKey{{ID: "north", Key: tokenKey[:size]}})
		if err != nil {
			t.Fatal(err)
		}
		mac, exp, err := tk.Open(tokenAt.Add(time.Minute), "north", raw)
		if err != nil || !bytes.Equal(mac, tokenMAC) || !exp.Equal(tokenAt.Add(time.Hour)) {
			t.Errorf("A%dGCM: Open = %q, %v, %v", 8*size, mac, exp, err)
		}
		sealed, err := Seal(bytes.NewReader([]byte("abcdefghijkl")), tokenKey[:size], tokenServer, tokenMAC, tokenAt, time.Hour)
		if err != nil || !bytes.Equal(sealed, raw) {
			t.Errorf("A%dGCM: Seal = %x, %v", 8*size, sealed, err)
		}
	}
}

func TestTokenTimes(t *testing.T) {
	tk, _ := NewTokens(tokenServer, []TokenKey{{ID: "k", Key: tokenKey}})
	raw, _ := Seal(rand.Reader, tokenKey, tokenServer, tokenMAC, tokenAt, time.Hour)
	for at, want := range map[time.Duration]error{
		-6 * time.Second:             ErrTokenExpired, // begins later than any clock error
		-4 * time.Second:             nil,
		time.Hour + 4*time.Second:    nil, // RFC 7635 section 4.1.2: five seconds of grace
		time.Hour + 5*time.Second:    ErrTokenExpired,
		1_000_000 * time.Second:      ErrTokenExpired,
		-1_000_000_000 * time.Second: ErrTokenExpired,
	} {
		if _, _, err := tk.Open(tokenAt.Add(at), "k", raw); !errors.Is(err, want) {
			t.Errorf("at %v: %v, want %v", at, err, want)
		}
	}
}

func TestTokenForOthers(t *testing.T) {
	raw, _ := Seal(rand.Reader, tokenKey, tokenServer, tokenMAC, tokenAt, time.Hour)
	other, _ := NewTokens("other.example.org", []TokenKey{{ID: "k", Key: tokenKey}})
	if _, _, err := other.Open(tokenAt, "k", raw); !errors.Is(err, ErrTokenForged) {
		t.Errorf("a token for another server: %v", err)
	}
	tk, _ := NewTokens(tokenServer, []TokenKey{{ID: "k", Key: tokenKey}, {ID: "l", Key: tokenKey[:16]}})
	if _, _, err := tk.Open(tokenAt, "m", raw); !errors.Is(err, ErrTokenKey) {
		t.Errorf("unknown kid: %v", err)
	}
	if _, _, err := tk.Open(tokenAt, "l", raw); !errors.Is(err, ErrTokenForged) {
		t.Errorf("another key: %v", err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, _, err := tk.Open(tokenAt, "k", bad); err == nil {
			t.Fatalf("byte %d changed and nobody saw it", i)
		}
	}
	for n := range raw {
		if _, _, err := tk.Open(tokenAt, "k", raw[:n]); err == nil {
			t.Fatalf("cut to %d bytes and nobody saw it", n)
		}
	}
}

// coturn judges what we seal.
func TestCoturnOpensOurToken(t *testing.T) {
	bin, err := exec.LookPath("turnutils_oauth")
	if err != nil {
		t.Skip("coturn's turnutils_oauth is not installed")
	}
	now := time.Now()
	raw, _ := Seal(rand.Reader, tokenKey, tokenServer, tokenMAC, now, time.Hour)
	out, err := exec.Command(bin, "-v", "-d", "-i", tokenServer, "-j", "k", "-k", base64.StdEncoding.EncodeToString(tokenKey),
		"-l", strconv.FormatInt(now.Unix()-60, 10), "-m", "86400", "-n", "A256GCM", "-t", base64.StdEncoding.EncodeToString(raw)).CombinedOutput()
	if err != nil || !bytes.Contains(out, tokenMAC) && !bytes.Contains(out, []byte(base64.StdEncoding.EncodeToString(tokenMAC))) {
		js, _ := json.Marshal(string(out))
		t.Errorf("turnutils_oauth: %v\n%s", err, js)
	}
}

func FuzzTokenOpen(f *testing.F) {
	for _, text := range tokenGolden {
		raw, _ := base64.StdEncoding.DecodeString(text)
		f.Add(raw, false)
		f.Add(raw[:30], true)
	}
	f.Add([]byte{0xff, 0xff, 0}, true) // CVE-2026-43994: a length that reaches past the token
	tk, _ := NewTokens(tokenServer, []TokenKey{{ID: "k", Key: tokenKey}})
	a, _ := tokenAEAD(tokenKey)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal { // hostile plain text inside a valid seal
			nonce := make([]byte, 12)
			b = a.Seal(append([]byte{0, 12}, nonce...), nonce, b, []byte(tokenServer))
		}
		mac, exp, err := tk.Open(tokenAt, "k", b)
		if err == nil && (len(mac) < minMACKey || len(mac) > maxMACKey || exp.Sub(tokenAt) > maxLifetime+2*tokenLeeway) {
			t.Errorf("took a key of %d bytes until %v", len(mac), exp)
		}
	})
}
