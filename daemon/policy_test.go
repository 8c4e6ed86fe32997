package daemon

import (
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
)

func TestPolicy(t *testing.T) {
	bob := jid.JID("bob@example.org")
	list := []jid.JID{bob, "carol@example.org/phone"}
	for _, c := range []struct {
		policy  Policy
		peer    jid.JID
		contact bool
		want    bool
	}{
		{Policy{}, bob, true, true}, {Policy{}, bob, false, false},
		{Policy{From: Contacts}, bob, true, true}, {Policy{From: Contacts}, bob, false, false},
		{Policy{From: Everyone}, bob, false, true},
		{Policy{From: Listed}, bob, true, false}, {Policy{From: Listed, List: list}, bob, false, true},
		{Policy{From: Listed, List: list}, bob + "/desk", false, true},
		{Policy{From: Listed, List: list}, "carol@example.org/phone", false, true},
		{Policy{From: Listed, List: list}, "carol@example.org/desk", true, false},
		{Policy{From: Listed, List: list}, "bob@example.com", true, false},
		{Policy{From: Contacts, List: list}, "carol@example.org/phone", false, true},
		{Policy{From: Contacts, List: list}, "dave@example.org", true, true},
	} {
		if got := c.policy.admits(c.peer, c.contact); got != c.want {
			t.Errorf("%+v admits %s (contact: %v): %v", c.policy, c.peer, c.contact, got)
		}
		if err := c.policy.validate(); err != nil {
			t.Error(err)
		}
	}
	if (Policy{From: "friends"}).validate() == nil {
		t.Error("an audience that does not exist is taken")
	}
}

func TestConfigIsChecked(t *testing.T) {
	pw := func() (string, error) { return "x", nil }
	ok := Account{JID: "alice@example.org", Password: pw}
	with := func(change func(*Account)) Config {
		a := ok
		change(&a)
		return Config{Accounts: []Account{a}}
	}
	for name, c := range map[string]Config{
		"relative downloads": {Downloads: "files"},
		"a full address":     with(func(a *Account) { a.JID = "alice@example.org/desk" }),
		"a server":           with(func(a *Account) { a.JID = "example.org" }),
		"no address":         with(func(a *Account) { a.JID = "" }),
		"no password":        with(func(a *Account) { a.Password = nil }),
		"policy of calls":    with(func(a *Account) { a.Calls.From = "friends" }),
		"policy of files":    with(func(a *Account) { a.Files.From = "friends" }),
		"mode of TLS":        with(func(a *Account) { a.TLS = "none" }),
		"a plain connection": with(func(a *Account) { a.TLS = "plain-loopback" }),
		"where to connect":   with(func(a *Account) { a.Connect = "here" }),
		"a fingerprint":      with(func(a *Account) { a.PinnedSHA256 = "ab:cd" }),
		"where to listen":    with(func(a *Account) { a.Bytestreams.Listen = "nowhere" }),
		"an account twice":   {Accounts: []Account{ok, ok}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c, err := Config{}.withDefaults()
	if err != nil || c.RingTimeout != time.Minute || c.ReachTimeout != 8*time.Second || c.Log == nil {
		t.Errorf("the default is %+v, %v", c, err)
	}
}

func TestNear(t *testing.T) {
	for _, c := range []struct {
		connect string
		peer    jid.JID
		want    bool
	}{
		{"127.0.0.1:5222", "bob@example.org/x", true}, {"[::1]:5222", "bob@example.org", true},
		{"localhost:5222", "bob@example.org", true}, {"127.0.0.1:5222", "bob@example.com", false},
		{"192.0.2.1:5222", "bob@example.org", false}, {"", "bob@example.org", false},
		{"xmpp.example.org:5222", "bob@example.org", false},
	} {
		a := &account{cfg: Account{JID: "alice@example.org", Connect: c.connect}}
		if got := a.near(c.peer); got != c.want {
			t.Errorf("at %s %s is near: %v", c.connect, c.peer, got)
		}
	}
}
