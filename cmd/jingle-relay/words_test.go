package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jingled/jingled/relay"
)

// Users choose their names: what is printed of them steers no terminal, and JSON still says the same.
func TestUsersWords(t *testing.T) {
	const name = "mallory\u009b2J\u202e\u2066\x7f\x1b[2J"
	list := []relay.Session{{ID: "t1", Kind: "turn", User: name, Started: time.Now()}}
	var asJSON, asText bytes.Buffer
	if err := printJSON(&asJSON, list); err != nil {
		t.Fatal(err)
	}
	if err := printTop(&asText, list, nil, time.Second, 10, false); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{asJSON.String(), asText.String()} {
		if strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || !strings.Contains(out, "mallory") {
			t.Errorf("printed is %+q", out)
		}
	}
	var back []relay.Session
	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || len(back) != 1 || back[0].User != name {
		t.Errorf("%+v, %v", back, err)
	}
}
