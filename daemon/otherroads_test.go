package daemon_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// inBand leaves stream initiation nothing but in-band bytestreams, and passes everything else to more.
func inBand(more func(jid.JID, *xmltree.Element)) func(jid.JID, *xmltree.Element) {
	return func(from jid.JID, stanza *xmltree.Element) {
		if q := stanza.Child("http://jabber.org/protocol/bytestreams", "query"); q != nil {
			for h := range q.Elements() {
				if h.Name.Local == "streamhost" {
					h.Set("port", "1")
				}
			}
		}
		if more != nil {
			more(from, stanza)
		}
	}
}

// offerSI sends a file by stream initiation from alice to bob until so many bytes have come.
func offerSI(t *testing.T, w *wire, size, at int) *pausing {
	t.Helper()
	p := &pausing{w: w, data: noise(size), inbox: t.TempDir()}
	p.alice, p.bob = login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
	w.let(at + 64<<10)
	path := filepath.Join(t.TempDir(), "noise.bin")
	if err := os.WriteFile(path, p.data, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := p.alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: p.bob.jid.String(), Path: path, Via: jingledv1.Via_VIA_SI})
	if err != nil {
		t.Fatal(err)
	}
	p.sid = res.GetSid()
	await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := p.bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: p.sid, Dir: p.inbox}); err != nil {
		t.Fatal(err)
	}
	await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() >= uint64(at) })
	return p
}

func becomes(want jingledv1.TransferState) func(*jingledv1.Event) bool {
	return func(e *jingledv1.Event) bool { return e.GetTransferInterrupted().GetState() == want }
}

// came waits for the end at both sides. What goes without a hash is not verified.
func (p *pausing) came(t *testing.T) {
	t.Helper()
	for _, who := range []*peer{p.alice, p.bob} {
		e := await(t, who, over)
		if d := e.GetTransferDone(); d == nil || e.GetSid() != p.sid || d.GetBytes() != uint64(len(p.data)) {
			t.Errorf("%s: %v", who.jid, e)
		}
	}
	p.whole(t)
}

// whole checks that the file is there and nothing else.
func (p *pausing) whole(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.inbox, "noise.bin"))
	if err != nil || !bytes.Equal(b, p.data) {
		t.Errorf("%d bytes have come: %v", len(b), err)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// again starts a daemon anew.
func (p *pausing) again(t *testing.T, who *peer, user string) *peer {
	t.Helper()
	dir := who.state
	who.stop()
	return login(t, p.w.Server, user, func(c *daemon.Config) { c.StateDir = dir })
}

// TestStreamInitiationGoesOn pauses a file that goes by stream initiation, at each side, and lets it go on.
func TestStreamInitiationGoesOn(t *testing.T) {
	t.Run("the sender pauses", func(t *testing.T) {
		t.Parallel() // they wait for each other's silence
		w := newWire(t)
		w.change(inBand(nil))
		p := offerSI(t, w, 1<<20, 1<<19)
		if _, err := p.alice.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
			t.Fatal(err)
		}
		await(t, p.alice, becomes(jingledv1.TransferState_TRANSFER_STATE_PAUSED))
		await(t, p.bob, becomes(jingledv1.TransferState_TRANSFER_STATE_WAITING)) // there is no word for it
		p.alice, p.bob = p.again(t, p.alice, "alice"), p.again(t, p.bob, "bob")
		w.let(-1)
		p.resume(t, p.alice)
		if s := await(t, p.bob, started).GetTransferStarted(); s.GetTransport() != "si" || s.GetOffset() < 1<<19 {
			t.Errorf("%v", s)
		}
		p.came(t)
	})
	t.Run("the receiver pauses", func(t *testing.T) {
		t.Parallel() // they wait for each other's silence
		w := newWire(t)
		w.change(inBand(nil))
		p := offerSI(t, w, 1<<20, 1<<19)
		if _, err := p.bob.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
			t.Fatal(err)
		}
		await(t, p.bob, becomes(jingledv1.TransferState_TRANSFER_STATE_PAUSED))
		await(t, p.alice, becomes(jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER))
		w.let(-1)
		p.resume(t, p.bob)
		p.came(t)
	})
	t.Run("the receiver gives up", func(t *testing.T) {
		t.Parallel() // they wait for each other's silence
		w := newWire(t)
		w.change(inBand(nil))
		p := offerSI(t, w, 1<<20, 1<<19)
		w.let(-1)
		if _, err := p.bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
			t.Fatal(err)
		}
		for _, who := range []*peer{p.bob, p.alice} {
			if f := await(t, who, over).GetTransferFailed(); f == nil {
				t.Errorf("%s: it has come all the same", who.jid)
			}
		}
	})
	t.Run("the sender gives up", func(t *testing.T) {
		t.Parallel() // they wait for each other's silence
		w := newWire(t)
		w.change(inBand(nil))
		p := offerSI(t, w, 1<<20, 1<<19)
		w.let(-1)
		if _, err := p.alice.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
			t.Fatal(err)
		}
		for _, who := range []*peer{p.alice, p.bob} {
			if f := await(t, who, over).GetTransferFailed(); f.GetReason() != "cancel" {
				t.Errorf("%s: %v", who.jid, f)
			}
		}
		if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// TestStreamInitiationOfOthers goes on with senders that name no transfer, as Pidgin and its kin.
func TestStreamInitiationOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		strip string
		fresh bool
	}{
		"with a date": {"resume", false}, "without a date": {"resume date", true}, "without ranges": {"resume range", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for each other's silence
			w := newWire(t)
			w.change(inBand(func(_ jid.JID, stanza *xmltree.Element) {
				if o := stanza.Child(si.NS, "si"); o != nil && o.Attr("id") != "" {
					f := o.Child(si.NSFile, "file")
					for local := range strings.FieldsSeq(c.strip) {
						if local == "date" {
							f.Set("date", "")
						} else {
							without(f, local)
						}
					}
				}
				if b := stanza.Child(resume.NS, "blocks"); b != nil {
					b.Name.Local = "unknown"
				}
			}))
			p := offerSI(t, w, 1<<20, 1<<19)
			if _, err := p.alice.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
				t.Fatal(err)
			}
			await(t, p.bob, becomes(jingledv1.TransferState_TRANSFER_STATE_WAITING))
			w.let(-1)
			p.resume(t, p.alice)
			if s := await(t, p.bob, started).GetTransferStarted(); c.fresh != (s.GetOffset() == 0) {
				t.Errorf("it goes on at %d", s.GetOffset())
			}
			p.came(t)
		})
	}
}

// fetching is bob, who fetches a file that somebody has told him of.
func fetching(t *testing.T, w *wire, site *testkit.FileSite, data []byte, at int, hash, size bool) *pausing {
	t.Helper()
	p := &pausing{w: w, data: data, inbox: t.TempDir()}
	p.bob = login(t, w.Server, "bob", func(c *daemon.Config) {
		keeping(t)(c)
		c.Accounts[0].RootCAs.AddCert(site.Certificate())
	})
	c := xmpptest.Login(t, xmpptest.AtEmbedded(w.Server, "alice", "secret"))
	f := filetransfer.File{Name: "noise.bin", MediaType: "application/octet-stream"}
	if size {
		f.Size = new(int64(len(data)))
	}
	if hash {
		sum := sha256.Sum256(data)
		f.Hashes = []hashes.Hash{hashes.Of(hashes.SHA256, sum[:])}
	}
	site.Cut(at)
	if err := c.Send(httpupload.Message(p.bob.jid.String(), "m1", httpupload.Share{Disposition: "attachment", File: f, URL: site.URL + "/noise.bin"})); err != nil {
		t.Fatal(err)
	}
	p.sid = await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil }).GetSid()
	if _, err := p.bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: p.sid, Dir: p.inbox}); err != nil {
		t.Fatal(err)
	}
	await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() >= uint64(at) })
	return p
}

// TestFetchGoesOn cuts the connection to a web server, or pauses, and fetches the rest.
func TestFetchGoesOn(t *testing.T) {
	const size, at = 1 << 20, 1 << 19
	for name, c := range map[string]struct {
		between     func(t *testing.T, p *pausing, s *testkit.FileSite)
		hash, size  bool
		fresh       bool
		failure     string // part of what is said
		interrupted bool   // by itself
	}{
		"cut off":         {size: true, hash: true, between: func(_ *testing.T, _ *pausing, s *testkit.FileSite) { s.Cut(-1) }},
		"only an address": {between: func(_ *testing.T, _ *pausing, s *testkit.FileSite) { s.Cut(-1) }},
		"started again":   {size: true, between: func(t *testing.T, p *pausing, s *testkit.FileSite) { p.restart(t, s) }},
		"paused, restarted": {size: true, between: func(t *testing.T, p *pausing, s *testkit.FileSite) {
			p.pauseBob(t)
			p.restart(t, s)
			p.resume(t, p.bob)
		}},
		"another version": {size: true, fresh: true, between: func(t *testing.T, p *pausing, s *testkit.FileSite) {
			p.pauseBob(t)
			p.data = noise(size + 1)[1:]
			s.Change(func(a *testkit.FileAnswer) { a.ETag, a.Data = `"two"`, p.data })
			s.Cut(-1)
			p.resume(t, p.bob)
		}},
		"no ranges": {size: true, hash: true, fresh: true, between: func(_ *testing.T, _ *pausing, s *testkit.FileSite) {
			s.Change(func(a *testkit.FileAnswer) { a.NoRanges = true })
			s.Cut(-1)
		}},
		"a weak tag": {size: true, hash: true, fresh: false, between: func(_ *testing.T, _ *pausing, s *testkit.FileSite) { s.Cut(-1) }},
		"gone": {size: true, failure: "404", between: func(_ *testing.T, _ *pausing, s *testkit.FileSite) {
			s.Change(func(a *testkit.FileAnswer) { a.Status = http.StatusNotFound })
			s.Cut(-1)
		}},
		"another size": {size: true, failure: "announced", between: func(t *testing.T, p *pausing, s *testkit.FileSite) {
			p.pauseBob(t)
			s.Change(func(a *testkit.FileAnswer) { a.ETag, a.Data = `"two"`, noise(100) })
			s.Cut(-1)
			p.resume(t, p.bob)
		}},
		"given up": {size: true, failure: "cancel", between: func(t *testing.T, p *pausing, s *testkit.FileSite) {
			p.pauseBob(t)
			if _, err := p.bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for each other's silence
			w, data := newWire(t), noise(size)
			site := testkit.NewFileSite(t, data)
			if name == "a weak tag" {
				site.Change(func(a *testkit.FileAnswer) { a.ETag = `W/"one"` })
			}
			p := fetching(t, w, site, data, at, c.hash, c.size)
			c.between(t, p, site)
			if c.failure != "" {
				e := await(t, p.bob, over)
				if f := e.GetTransferFailed(); !strings.Contains(f.GetText()+f.GetReason(), c.failure) {
					t.Errorf("%v", e)
				}
				if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
				return
			}
			s := await(t, p.bob, started).GetTransferStarted()
			if c.fresh != (s.GetOffset() == 0) || s.GetTransport() != "http" {
				t.Errorf("%v", s)
			}
			d, sum := await(t, p.bob, over).GetTransferDone(), ""
			if c.hash { // otherwise there is nothing to compare with, and nothing is computed
				sum = fmt.Sprintf("%x", sha256.Sum256(p.data))
			}
			if d.GetBytes() != size || d.GetVerified() != c.hash || d.GetHash()["sha-256"] != sum {
				t.Errorf("%v", d)
			}
			p.whole(t)
			t.Log(site.Asked())
		})
	}
}

func (p *pausing) pauseBob(t *testing.T) {
	t.Helper()
	if _, err := p.bob.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	await(t, p.bob, becomes(jingledv1.TransferState_TRANSFER_STATE_PAUSED))
}

// restart starts bob's daemon again, who trusts the site.
func (p *pausing) restart(t *testing.T, site *testkit.FileSite) {
	t.Helper()
	dir := p.bob.state
	p.bob.stop()
	site.Cut(-1)
	p.bob = login(t, p.w.Server, "bob", func(c *daemon.Config) {
		c.StateDir = dir
		c.Accounts[0].RootCAs.AddCert(site.Certificate())
	})
}

// TestUploadBeginsAnew pauses an upload and stops the daemon in the middle of it. There is nothing to go on with, but the
// file gets there.
func TestUploadBeginsAnew(t *testing.T) {
	srv := testkit.Uploading(t, testkit.Chosen(t), 10_000_000)
	for _, u := range []string{"alice", "bob"} {
		srv.AddUser(t, u, "secret")
	}
	srv.Befriend(t, "alice", "bob")
	run := func(user, dir string, rate int64) *peer {
		return run(t, daemon.Config{Loopback: true, StateDir: dir, UploadLimit: rate, Accounts: []daemon.Account{{
			JID: jid.JID(user + "@" + srv.Domain), FailFast: true, Connect: srv.Addr, RootCAs: srv.Pool(),
			Password: func() (string, error) { return "secret", nil }}}})
	}
	dir, inbox := filepath.Join(t.TempDir(), "state"), t.TempDir()
	alice := run("alice", dir, 300_000)
	data := noise(2_000_000)
	path := filepath.Join(t.TempDir(), "noise.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "bob@" + srv.Domain, Path: path, Via: jingledv1.Via_VIA_HTTP})
	if err != nil {
		t.Fatal(err)
	}
	p := &pausing{alice: alice, sid: res.GetSid(), data: data, inbox: inbox}
	moving := func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() > 0 }
	await(t, alice, moving)
	if _, err := alice.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	await(t, alice, becomes(jingledv1.TransferState_TRANSFER_STATE_PAUSED))
	p.resume(t, alice)
	if s := await(t, alice, started).GetTransferStarted(); s.GetOffset() != 0 || s.GetTransport() != "http" {
		t.Errorf("%v", s)
	}
	await(t, alice, moving)
	alice.stop()
	p.alice = run("alice", dir, 0)
	if d := await(t, p.alice, over).GetTransferDone(); d.GetBytes() != uint64(len(data)) {
		t.Errorf("%v", d)
	}
	p.bob = run("bob", filepath.Join(t.TempDir(), "state"), 0)
	if _, err := p.bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: p.bob.offered(t), Dir: inbox}); err != nil {
		t.Fatal(err)
	}
	if d := await(t, p.bob, over).GetTransferDone(); !d.GetVerified() {
		t.Errorf("%v", d)
	}
	p.whole(t)
}

// offered waits for an offer that may have come before the event that says we are online.
func (p *peer) offered(t *testing.T) (sid string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // the server
		l, err := p.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.GetTransfers()) > 0 {
			return l.GetTransfers()[0].GetSid()
		}
	}
	t.Fatal("nothing was offered")
	return ""
}
