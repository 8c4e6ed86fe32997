package daemon

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// examined is what the doctor has found, by check.
type examined struct {
	t   *testing.T
	all []*jingledv1.Finding
}

func (a *actor) examine(req *jingledv1.ExamineRequest) *examined {
	a.t.Helper()
	x := &examined{t: a.t}
	err := a.Examine(a.t.Context(), req, func(r *jingledv1.ExamineResponse) error {
		x.all = append(x.all, r.GetFinding())
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range x.all {
		if f.GetVerdict() == problem && f.GetAdvice() == "" || f.GetText() == "" || f.GetCheck() == "" || f.GetSubject() == "" {
			a.t.Errorf("a finding that helps nobody: %v", f)
		}
	}
	return x
}

// wants one finding with a verdict and these words.
func (x *examined) wants(check string, v jingledv1.Verdict, words ...string) *jingledv1.Finding {
	x.t.Helper()
	for _, f := range x.all {
		text := f.GetSubject() + " " + f.GetText() + " " + f.GetAdvice()
		all := f.GetCheck() == check && f.GetVerdict() == v
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return f
		}
	}
	x.t.Errorf("no %v about %s with %q in:", v, check, words)
	for _, f := range x.all {
		x.t.Logf("  %v", f)
	}
	return nil
}

func (x *examined) no(check string) {
	x.t.Helper()
	for _, f := range x.all {
		if f.GetCheck() == check {
			x.t.Errorf("unexpected: %v", f)
		}
	}
}

// A server without any services, and peers of every kind.
func TestDoctorWithoutServices(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	bob := "bob@" + srv.Domain()
	x := alice.examine(&jingledv1.ExamineRequest{})
	x.wants("login", fine, "alice@"+srv.Domain())
	x.wants("server.services", problem, "no STUN and no TURN", "XEP-0215")
	x.wants("server.proxy", note)
	x.wants("server.upload", note)
	x.wants("calls", problem, "same network")
	x.no("peer")
	x.no("turn")

	alice.contact(jid.JID(bob), "the list", func(*jingledv1.Contact) bool { return true })
	alice.examine(&jingledv1.ExamineRequest{Peer: bob}).wants("peer", note, "not online")
	act(t, srv, "bob", nil)
	alice.contact(jid.JID(bob), "Bob", func(c *jingledv1.Contact) bool { return len(c.GetDevices()) == 1 })
	x = alice.examine(&jingledv1.ExamineRequest{Peer: bob})
	x.wants("peer", fine, "one device")
	if f := x.wants("peer.device", fine, "Jingled takes audio calls", "files"); f.GetDetails()["encrypted"] != "true" {
		t.Errorf("what it can do: %v", f)
	}
	x = alice.examine(&jingledv1.ExamineRequest{Peer: "carol@" + srv.Domain()})
	x.wants("peer", note, "not on the contact list", "jingle contacts add")
	x.no("peer.device")
	alice.examine(&jingledv1.ExamineRequest{Peer: alice.jid.String()}).wants("peer", note, "No other device")

	for name, req := range map[string]*jingledv1.ExamineRequest{
		"peer": {Peer: "@"}, "STUN server": {StunServers: []string{"x"}}, "many": {StunServers: make([]string, 9)},
	} {
		err := alice.Examine(t.Context(), req, func(*jingledv1.ExamineResponse) error { return nil })
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := errors.New("nobody reads")
	if err := alice.Examine(t.Context(), &jingledv1.ExamineRequest{}, func(*jingledv1.ExamineResponse) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("a reader who is gone: %v", err)
	}
}

func TestDoctorLogin(t *testing.T) {
	srv, dns := newServer(t), testkit.NewDNS(t)
	dns.Break(testkit.DNSServFail)
	for name, c := range map[string]struct {
		change func(*Account)
		words  []string
	}{
		"password":    {func(a *Account) { a.Password = func() (string, error) { return "wrong", nil } }, []string{"jingle account password"}},
		"certificate": {func(a *Account) { a.RootCAs = nil }, []string{"unknown authority", "jingle account trust"}},
		"no server":   {func(a *Account) { a.Connect = "127.0.0.1:1" }, []string{"127.0.0.1:1", "its port? Check that", "firewall"}},
		"no DNS":      {func(a *Account) { a.Connect, a.Resolver = "", dns.Resolver() }, []string{"could not be looked up", "network and DNS. Check that"}},
	} {
		roots, err := xmpp.ParseCA(srv.CA())
		if err != nil {
			t.Fatal(err)
		}
		acc := Account{JID: jid.JID("carol@" + srv.Domain()), Password: func() (string, error) { return "secret of carol", nil },
			Connect: srv.Addr(), TLS: xmpp.TLSStart, RootCAs: roots}
		c.change(&acc)
		a := bare(t, Config{Accounts: []Account{acc}})
		x := a.examine(&jingledv1.ExamineRequest{})
		x.wants("login", problem, c.words...)
		if len(x.all) != 1 {
			t.Errorf("%s: more is found without a login: %v", name, x.all)
		}
		a.shut()
	}
}

// TestDoctorRelays is with Prosody and coturn: servers of other people, and relays that are broken in the usual ways.
func TestDoctorRelays(t *testing.T) {
	turn := testkit.Coturn(t)
	_, port, err := net.SplitHostPort(turn.Addr)
	if err != nil {
		t.Fatal(err)
	}
	closed := testkit.FreePorts(t, 1)[0]
	good := fmt.Sprintf(`host = "127.0.0.1"; port = %s; username = %q; password = %q`, port, turn.Username, turn.Password)
	wrong := fmt.Sprintf(`host = "localhost"; port = %s; username = %q; password = "another"`, port, turn.Username)
	for name, c := range map[string]struct {
		services string
		look     func(*examined)
	}{
		"good": {`{ type = "stun"; transport = "udp"; host = "127.0.0.1"; port = ` + port + ` };
			{ type = "turn"; transport = "udp"; ` + good + ` }; { type = "turn"; transport = "tcp"; ` + good + ` };`, func(x *examined) {
			x.wants("server.services", fine, "one STUN server", "2 TURN servers")
			x.wants("stun", fine, "127.0.0.1", "its own address")
			x.wants("turn", fine, "TURN by UDP at "+turn.Addr, "carries packets")
			x.wants("turn", fine, "TURN by TCP", "carries packets")
			x.wants("calls", fine, "directly or through a relay")
		}},
		"wrong password": {`{ type = "turn"; transport = "tcp"; ` + wrong + ` };`, func(x *examined) {
			x.wants("turn", problem, "TURN by TCP at localhost:"+port, "refuses the user and password", "same secret")
			x.wants("calls", problem)
		}},
		"closed port": {fmt.Sprintf(`{ type = "stun"; transport = "udp"; host = "127.0.0.1"; port = %[1]d };
			{ type = "turn"; transport = "tcp"; host = "127.0.0.1"; port = %[1]d; username = "a"; password = "b" };`, closed), func(x *examined) {
			x.wants("stun", problem, "No STUN server answers")
			x.wants("turn", problem, "The port is closed")
			x.wants("calls", problem, "no STUN or TURN server works")
		}},
		"no certificate": {`{ type = "turns"; transport = "tcp"; host = "127.0.0.1"; port = ` + turn.TLSAddr[strings.LastIndex(turn.TLSAddr, ":")+1:] + `; username = "a"; password = "b" };`, func(x *examined) {
			x.wants("turn", problem, "TURN by TLS", "No encrypted connection", "certificate")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := testkit.ProsodyWith(t, testkit.ProsodyConfig{Host: "  external_services = {" + c.services + "}"})
			srv.AddUser(t, "alice", "secret")
			a := bare(t, Config{Accounts: []Account{{JID: jid.JID("alice@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
				Connect: srv.Addr, TLS: xmpp.TLSStart, RootCAs: srv.Pool()}}})
			x := a.examine(&jingledv1.ExamineRequest{})
			x.t = t
			x.wants("login", fine)
			x.wants("server.carbons", fine)
			x.wants("server.proxy", fine)
			c.look(x)
			for _, f := range x.all {
				if strings.Contains(f.String(), turn.Password) {
					t.Errorf("a password is told: %v", f)
				}
			}
			a.shut()
		})
	}
}
