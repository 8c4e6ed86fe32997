package daemon_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// TestSmallStanzas goes in-band by a server that ends the stream of who sends stanzas as large as our blocks are elsewhere, and
// says so (XEP-0478): nobody loses a stream.
func TestSmallStanzas(t *testing.T) {
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "pw", "juliet": "pw"}, MaxStanza: 12_000})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(srv.CA())
	romeo := atHome(t, "romeo@"+srv.Domain(), srv.Addr(), roots, nil)
	juliet := atHome(t, "juliet@"+srv.Domain(), srv.Addr(), roots, nil)
	data := bytes.Repeat([]byte("wherefore "), 20_000)
	for _, pair := range [][2]*home{{romeo, juliet}, {juliet, romeo}} {
		if road := send(t, pair[0], pair[1], pair[1].jid, jingledv1.Via_VIA_IBB, data); road != "ibb" {
			t.Errorf("it went by %s", road)
		}
	}
	for _, h := range []*home{romeo, juliet} {
		h.mu.Lock()
		for _, e := range h.all {
			if e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_OFFLINE {
				t.Errorf("%s lost its stream: %v", h.jid, e)
			}
		}
		h.mu.Unlock()
	}
}
