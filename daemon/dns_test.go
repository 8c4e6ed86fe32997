package daemon

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/internal/testkit"
)

// impatient is a resolver whose user does not wait as long as the system says.
type impatient struct{ *net.Resolver }

const impatience = time.Second

func (r impatient) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	ctx, cancel := context.WithTimeout(ctx, impatience)
	defer cancel()
	return r.Resolver.LookupSRV(ctx, service, proto, name)
}

func (r impatient) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, impatience)
	defer cancel()
	return r.Resolver.LookupNetIP(ctx, network, host)
}

// TestDNSFails breaks the resolver in each way there is. A daemon that is online stays so, and is back by what DNS has said before
// if its stream is cut, unless DNS denies the name. Who has to ask says what is wrong, and is online after the repair without
// anybody's help.
func TestDNSFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault testkit.DNSFault
		says  string
		back  bool // while DNS is broken
	}{
		{"silent", testkit.DNSSilent, "the name example.test could not be looked up: no answer in time", true},
		{"servfail", testkit.DNSServFail, "the name example.test could not be looked up: server misbehaving", true},
		{"no names", testkit.DNSNoNames, "there is no host called example.test", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t)
			cable := testkit.NewCable(t, srv.Addr())
			_, port, err := net.SplitHostPort(cable.Addr())
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			dns := testkit.NewDNS(t)
			dns.Host("xmpp.example.test", netip.MustParseAddr("127.0.0.1"))
			dns.Service("_xmpp-client._tcp.example.test", "xmpp.example.test", uint16(number))
			byName := func(cfg *Config) {
				a := &cfg.Accounts[0]
				a.Connect, a.Resolver = "", impatient{dns.Resolver()}
			}
			alice, bob := act(t, srv, "alice", byName), act(t, srv, "bob", nil)

			dns.Break(tc.fault)
			asked := dns.Asked()
			if _, err := alice.AddContact(context.Background(), &jingledv1.AddContactRequest{Jid: bob.jid.String(), Name: "Bob"}); err != nil {
				t.Errorf("the stream does not outlive DNS: %v", err)
			}
			if n := dns.Asked(); n != asked {
				t.Errorf("DNS was asked %d times though the stream is there", n-asked)
			}
			cable.Cut()
			carol := begin(t, partOf(t, srv, "carol", byName))
			says := func(a *actor) {
				t.Helper()
				a.await("being offline for "+tc.says, func(e *jingledv1.Event) bool {
					return strings.Contains(e.GetAccountChanged().GetError(), tc.says)
				})
			}
			says(carol)
			if tc.back {
				alice.online()
			} else {
				says(alice)
			}
			dns.Break(testkit.DNSWorks)
			if !tc.back {
				alice.online()
			}
			carol.online()
		})
	}
}

// TestRelaysWithoutDNS makes a call while the names of the relays cannot be looked up, by the resolver of the account: it goes
// by the paths that there are.
func TestRelaysWithoutDNS(t *testing.T) {
	srv, dns := newServer(t), testkit.NewDNS(t)
	dns.Break(testkit.DNSSilent)
	alice, bob := act(t, srv, "alice", func(cfg *Config) { cfg.Accounts[0].Resolver = dns.Resolver() }), act(t, srv, "bob", nil)
	for _, a := range alice.accounts {
		a.awaitRelays(t.Context())
		a.relays.mu.Lock()
		a.relays.services = []extdisco.Service{{Type: "stun", Host: "relay.example.test"},
			{Type: "turn", Host: "relay.example.test", Transport: "udp", Username: "u", Password: "p"},
			{Type: "turns", Host: "relay.example.test", Transport: "tcp", Username: "u", Password: "p"}}
		a.relays.mu.Unlock()
	}
	sid := alice.call(bob.jid)
	bob.answer(bob.incoming().GetSid())
	alice.connected(sid)
	bob.connected(sid)
	for end := time.Now().Add(20 * time.Second); dns.Asked() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the account's resolver was not asked for the relays")
		}
	}
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
	alice.idle()
}
