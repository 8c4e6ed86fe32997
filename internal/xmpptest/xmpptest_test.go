package xmpptest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

func TestLogin(t *testing.T) {
	testkit.Each(t, func(t *testing.T, srv *testkit.Server) {
		srv.AddUser(t, "romeo", "pw")
		if c := xmpptest.Login(t, xmpptest.At(srv, "romeo", "pw")); c.State().State != xmpp.Online {
			t.Errorf("%+v", c.State())
		}
	})
	t.Run("embedded", func(t *testing.T) {
		srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "pw"}})
		if c := xmpptest.Login(t, xmpptest.AtEmbedded(srv, "romeo", "pw")); c.State().State != xmpp.Online {
			t.Errorf("%+v", c.State())
		}
	})
}
