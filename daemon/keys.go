package daemon

import "strings"

// maxKeys bounds the keys of a call that are remembered, in each direction.
const maxKeys = 256

// keys are those that were pressed in a call, for its history. They are guarded by the account's lock.
type keys struct{ sent, received string }

// keysSent notes what we have pressed; spaces, hyphens and pauses are no keys.
func (c *call) keysSent(digits string) {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.keys.sent = remember(c.keys.sent, strings.NewReplacer(" ", "", "-", "", ",", "").Replace(digits))
}

// keyReceived notes what the peer has pressed.
func (c *call) keyReceived(digit byte) {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.keys.received = remember(c.keys.received, string(digit))
}

func remember(keys, more string) string {
	keys += more
	return keys[:min(len(keys), maxKeys)]
}
