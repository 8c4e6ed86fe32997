package daemon

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// tokens keeps what a server has given an account in place of its password (XEP-0484), where passwords are kept.
type tokens struct{ a *account }

// keyringTime is how long a login waits for a keyring before it takes the password.
const keyringTime = 3 * time.Second

// tokenName is what a token is kept under: no account has such an address.
func tokenName(account jid.JID) jid.JID { return "token of " + account }

// Token implements [xmpp.Tokens].
func (t tokens) Token() (token xmpp.Token) {
	got := make(chan string, 1)
	go func() {
		text, _, err := t.a.d.cfg.Secrets.Get(tokenName(t.a.cfg.JID))
		if err != nil && !errors.Is(err, secrets.ErrNotFound) {
			t.a.log.Debug("token", "err", err)
		}
		got <- text
	}()
	select {
	case text := <-got:
		if text != "" && json.Unmarshal([]byte(text), &token) != nil {
			return xmpp.Token{}
		}
	case <-time.After(keyringTime):
	}
	return token
}

// Keep implements [xmpp.Tokens].
func (t tokens) Keep(token xmpp.Token) {
	done := make(chan error, 1)
	go func() {
		if token.Secret == "" {
			done <- t.a.d.cfg.Secrets.Delete(tokenName(t.a.cfg.JID))
			return
		}
		text, err := json.Marshal(token)
		if err == nil {
			_, err = t.a.d.cfg.Secrets.Set(tokenName(t.a.cfg.JID), string(text))
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.a.log.Warn("the token of the server is not kept: the password is used again", "err", err)
		}
	case <-time.After(keyringTime):
	}
}
