package faults

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// flooder is a client that says what it likes.
func flooder(t *testing.T, srv *xmppserver.Server, user string) *xmpp.Client {
	t.Helper()
	cfg := xmpptest.AtEmbedded(srv, user, "secret")
	cfg.TLS, cfg.NoRoster, cfg.NoCarbons = xmpp.TLSPlainLoopback, true, true
	return xmpptest.Login(t, cfg)
}

// offer is a call that could be taken.
const offer = `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='%s' sid='%s'>
<content creator='initiator' name='audio' senders='both'>
<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='111' name='opus' clockrate='48000' channels='2'/><rtcp-mux/></description>
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='abcd1234' pwd='0123456789abcdef01234567'>
<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10</fingerprint>
<candidate component='1' foundation='1' generation='0' id='c1' ip='127.0.0.1' network='0' port='9' priority='2130706431' protocol='udp' type='host'/>
</transport></content></jingle>`

// TestFloodOfCalls: a contact begins ten thousand calls. Each attempt is answered, hardly any rings, little is kept of them, and
// meanwhile another contact gets through in the usual time.
func TestFloodOfCalls(t *testing.T) {
	t.Parallel()
	flood := int64(10_000)
	if testkit.RaceDetector {
		flood = 2000
	}
	srv := testkit.Embedded(t, xmppserver.Config{AllowPlain: true, Accounts: map[string]string{"romeo": "secret", "juliet": "secret", "mercutio": "secret"}})
	for _, friend := range []string{"romeo", "mercutio"} {
		if err := srv.Befriend(friend, "juliet"); err != nil {
			t.Fatal(err)
		}
	}
	at := &testkit.Server{Domain: srv.Domain(), Addr: srv.Addr(), CA: srv.CA()}
	plain := func(c *daemon.Config) { c.Accounts[0].TLS = xmpp.TLSPlainLoopback }
	a, b := stay(t, at, "romeo", plain), stay(t, at, "juliet", plain)
	c := flooder(t, srv, "mercutio")
	who, err := b.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	victim := jid.JID(who.GetAccounts()[0].GetBoundJid())
	usual := callTime(t, a, b)
	before := heap()

	var answered, taken atomic.Int64
	all := make(chan struct{})
	go func() {
		for i := range flood {
			payload, err := xmltree.Parse(fmt.Appendf(nil, offer, c.JID(), fmt.Sprintf("flood-%d", i)), xmltree.Limits{})
			if err != nil {
				t.Error(err)
				break
			}
			c.Request(victim, "set", payload, time.Hour, func(_ *xmltree.Element, err error) {
				if err == nil {
					taken.Add(1)
				}
				if answered.Add(1) == flood {
					close(all)
				}
			})
			if i%100 == 99 { // as fast as the server takes it, not as fast as a queue fills
				for answered.Load() < i-500 {
					time.Sleep(time.Millisecond)
				}
			}
		}
	}()
	for answered.Load() < flood/20 {
		time.Sleep(time.Millisecond)
	}
	during := callTime(t, a, b)
	still := answered.Load() < flood
	select {
	case <-all:
	case <-time.After(2 * patience):
		t.Fatalf("%d of %d attempts were answered", answered.Load(), flood)
	}
	after := heap()
	calls, err := b.ListCalls(t.Context(), &jingledv1.ListCallsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	rang := 0
	b.mu.Lock()
	for _, e := range b.seen {
		if e.GetCallIncoming() != nil && jid.JID(e.GetPeer()).Bare() == c.Account() {
			rang++
		}
	}
	b.mu.Unlock()
	t.Logf("%d of %d were taken, %d rang, %d calls are there; a friend's call took %v, during the flood %v (it went on: %v); heap %d KiB, then %d KiB",
		taken.Load(), flood, rang, len(calls.GetCalls()), usual, during, still, before>>10, after>>10)
	if n := taken.Load(); n == 0 || n > 32 || rang > 32 || len(calls.GetCalls()) > 32 {
		t.Errorf("%d calls of one person were taken, %d rang, %d are there", n, rang, len(calls.GetCalls()))
	}
	if after > before+32<<20 {
		t.Errorf("the flood holds %d KiB", (after-before)>>10)
	}
	if during > 20*time.Second { // a busy machine, with the race detector
		t.Errorf("a friend waits for %v, usually %v", during, usual)
	}
	for _, x := range calls.GetCalls() {
		if _, err := b.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: x.GetSid()}); err != nil {
			t.Error(err)
		}
	}
	b.rest(t)
	if sid, err := call(a, b); err != nil {
		t.Errorf("a call afterwards: %v", err)
	} else if err := hangUp(a, b, sid); err != nil {
		t.Error(err)
	}
}

// callTime is how long it takes to call somebody who answers, up to the connection.
func callTime(t *testing.T, a, b *person) time.Duration {
	t.Helper()
	began := time.Now()
	sid, err := call(a, b)
	took := time.Since(began)
	if err == nil {
		err = hangUp(a, b, sid)
	}
	if err != nil {
		t.Errorf("a call: %v", err)
	}
	return took
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
