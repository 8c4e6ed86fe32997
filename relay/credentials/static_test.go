package credentials

import (
	"strings"
	"testing"
)

func TestStaticUserKeys(t *testing.T) {
	u, err := NewUser("user", "realm", "pass")
	if err != nil {
		t.Fatal(err)
	}
	if u.MD5 != "8493fbc53ba582fb4c044c456bdc40eb" { // what turnadmin -k -u user -r realm -p pass prints, without 0x
		t.Errorf("MD5 = %s", u.MD5)
	}
	s, err := NewStatic([]User{u})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Key(MD5, "user")) != 16 || len(s.Key(SHA256, "user")) != 32 || s.Key(MD5, "User") != nil {
		t.Error("keys")
	}
}

func TestStaticRefuses(t *testing.T) {
	good := strings.Repeat("ab", 16)
	for name, users := range map[string][]User{
		"no name":       {{MD5: good}},
		"no key":        {{Name: "a"}},
		"short key":     {{Name: "a", MD5: "abcd"}},
		"not hex":       {{Name: "a", MD5: strings.Repeat("zz", 16)}},
		"twice":         {{Name: "a", MD5: good}, {Name: "a", MD5: good}},
		"time-limited":  {{Name: "1800000000:a", MD5: good}},
		"only a number": {{Name: "1800000000", MD5: good}},
	} {
		_, err := NewStatic(users)
		if err == nil {
			t.Errorf("%s: was taken", name)
		} else if strings.Contains(err.Error(), "zz") {
			t.Errorf("%s: the key stands in the error: %v", name, err)
		}
	}
}
