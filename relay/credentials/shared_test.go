package credentials

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

const secret = "a shared secret of the relay"

// The password was computed with: printf NAME | openssl dgst -sha1 -hmac SECRET -binary | base64,
// which is what coturn's --use-auth-secret and Prosody's external_services do.
func TestPasswordIsTheDraftsHMAC(t *testing.T) {
	if got := Password("logen", "1433895918:user"); got != "KFLl1sC4biIDkeiqymyJDFWZuhc=" {
		t.Errorf("Password = %q", got)
	}
}

// RFC 5769 section 2.4 gives user, realm and password of a long-term request; its key is MD5 of them.
func TestKeyOfRFC5769(t *testing.T) {
	k, err := Key(MD5, "\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9", "example.org", "The\u00ADM\u00AAtr\u2168")
	if err == nil {
		t.Logf("key %x", k) // RFC 5769 uses SASLprep, which drops the soft hyphen; OpaqueString refuses or keeps it
	}
	k, err = Key(MD5, "user", "realm", "pass")
	if err != nil || hex.EncodeToString(k) != "8493fbc53ba582fb4c044c456bdc40eb" { // RFC 8489 section 18.5.1.1's own example
		t.Errorf("Key = %x, %v", k, err)
	}
}

func TestIssuedCredentialChecks(t *testing.T) {
	s, err := NewShared(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 999_999_999)
	is := s.Issue(now, "romeo@example.org", time.Hour)
	if is.Username != "1700003600:romeo@example.org" || is.Password != Password(secret, is.Username) {
		t.Fatalf("issued %+v", is)
	}
	for _, c := range []struct {
		at time.Time
		ok bool
	}{{now, true}, {is.Expires.Add(-1), true}, {is.Expires, false}, {is.Expires.Add(time.Hour), false}} {
		user, exp, ok := s.Check(c.at, is.Username)
		if ok != c.ok {
			t.Errorf("at %v: ok = %v", c.at, ok)
		}
		if ok && (user != "romeo@example.org" || !exp.Equal(is.Expires)) {
			t.Errorf("Check = %q, %v", user, exp)
		}
		if got := s.Keys(c.at, MD5, is.Username, "r"); (len(got) == 1) != c.ok {
			t.Errorf("at %v: %d keys", c.at, len(got))
		}
	}
}

func TestNamesThatAreNotTimeLimited(t *testing.T) {
	s, _ := NewShared(secret)
	for _, name := range []string{"", ":", ":user", "user", "user:1700003600", "-1:u", "+99999999999:u", "0x7fffffff:u",
		"99999999999999999999:u", "1e10:u", " 1800000000:u", "1800000000 :u", "099999999999:u", "９９９９９９９９９９:u"} {
		if _, _, ok := s.Check(time.Unix(1, 0), name); ok {
			t.Errorf("%q was taken", name)
		}
	}
	if user, _, ok := s.Check(time.Unix(1, 0), "1800000000"); !ok || user != "" {
		t.Errorf("a bare time stamp is valid in the draft: %q, %v", user, ok)
	}
	if user, _, _ := s.Check(time.Unix(1, 0), "1800000000:a:b"); user != "a:b" {
		t.Errorf("user = %q", user)
	}
}

func TestRotationTakesOldAndIssuesWithNew(t *testing.T) {
	old, _ := NewShared(secret)
	both, _ := NewShared("the second and newer secret", secret)
	now := time.Unix(1_700_000_000, 0)
	was, is := old.Issue(now, "u", 0), both.Issue(now, "u", 0)
	if was.Password == is.Password {
		t.Fatal("issued with the old secret")
	}
	want, _ := Key(MD5, was.Username, "r", was.Password)
	keys := both.Keys(now, MD5, was.Username, "r")
	if len(keys) != 2 || string(keys[1]) != string(want) {
		t.Error("the old secret is no longer accepted")
	}
	if len(old.Keys(now, SHA256, is.Username, "r")[0]) != 32 {
		t.Error("SHA-256 key size")
	}
}

func TestIssueCleansTheUser(t *testing.T) {
	s, _ := NewShared(secret)
	is := s.Issue(time.Unix(0, 0), "a\nb\x00c"+strings.Repeat("ü", 600), time.Hour)
	if strings.ContainsAny(is.Username, "\n\x00") || len(is.Username) > 513 || !strings.HasSuffix(is.Username, "ü") {
		t.Errorf("issued %q", is.Username)
	}
}

func TestSecretsThatAreTooShort(t *testing.T) {
	if _, err := NewShared(); err == nil {
		t.Error("no secret was taken")
	}
	_, err := NewShared(secret, "north")
	if err == nil || strings.Contains(err.Error(), "north") {
		t.Errorf("err = %v", err)
	}
}
