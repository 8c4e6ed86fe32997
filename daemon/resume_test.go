package daemon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// wire is a server that lets a test see and change what its clients send. Alice and Bob are friends; Carol knows nobody.
type wire struct {
	*xmppserver.Server
	mu     sync.Mutex
	ranges []string // of the requests for files: "offset+length"
	tamper func(from jid.JID, stanza *xmltree.Element)
	pass   int // bytes of in-band data from alice that get through; negative: all
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{pass: -1}
	w.Server = testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret", "carol": "secret"},
		Tap: func(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
			w.mu.Lock()
			defer w.mu.Unlock()
			if j := stanza.Child(jingle.NS, "jingle"); j != nil && j.Attr("action") == "session-initiate" {
				c := j.Child(jingle.NS, "content")
				if r := below(c, "range"); c.Attr("senders") == "responder" && r != nil {
					w.ranges = append(w.ranges, r.Attr("offset")+"+"+r.Attr("length"))
				}
			}
			if d := stanza.Child(ibb.NSIBB, "data"); d != nil && from.Local() == "alice" && w.pass >= 0 {
				if w.pass -= base64.StdEncoding.DecodedLen(len(d.Text())); w.pass <= 0 {
					w.pass = 0
					return nil
				}
			}
			if w.tamper != nil {
				stanza = stanza.Clone()
				w.tamper(from, stanza)
			}
			return stanza
		}})
	if err := w.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	return w
}

// change sets what happens to stanzas from now on.
func (w *wire) change(f func(jid.JID, *xmltree.Element)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tamper = f
}

// let says how much in-band data gets through from now on.
func (w *wire) let(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass = n
}

func (w *wire) requested() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ranges)
}

// below finds the first element of a name anywhere below e.
func below(e *xmltree.Element, local string) *xmltree.Element {
	for c := range e.Elements() {
		if c.Name.Local == local {
			return c
		}
		if f := below(c, local); f != nil {
			return f
		}
	}
	return nil
}

// without takes elements of a name out of everything below e.
func without(e *xmltree.Element, local string) {
	e.Children = slices.DeleteFunc(e.Children, func(n xmltree.Node) bool {
		c, ok := n.(*xmltree.Element)
		return ok && c.Name.Local == local
	})
	for c := range e.Elements() {
		without(c, local)
	}
}

// noise is a file that no block of is like another.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func keeping(t *testing.T) func(*daemon.Config) {
	dir := t.TempDir()
	return func(c *daemon.Config) { c.StateDir = filepath.Join(dir, "state") }
}

// pausing is a file on its way from alice to bob, by in-band bytestreams, that bob has paused in the middle.
type pausing struct {
	w          *wire
	alice, bob *peer
	data       []byte
	sid, inbox string
	bytes      uint64 // that are there
}

// pauseAt sends a file and pauses it when so many bytes have come.
func pauseAt(t *testing.T, w *wire, size, at int) *pausing {
	t.Helper()
	p := &pausing{w: w, data: noise(size), inbox: t.TempDir()}
	p.alice, p.bob = login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
	w.let(at + 128<<10) // what is on its way when it stops must not be all
	path := filepath.Join(t.TempDir(), "noise.bin")
	if err := os.WriteFile(path, p.data, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := p.alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: p.bob.jid.String(), Path: path, Via: jingledv1.Via_VIA_IBB, NoEncryption: true})
	if err != nil {
		t.Fatal(err)
	}
	p.sid = res.GetSid()
	await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := p.bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: p.sid, Dir: p.inbox}); err != nil {
		t.Fatal(err)
	}
	await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() >= uint64(at) })
	if _, err := p.bob.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	i := await(t, p.bob, interrupted).GetTransferInterrupted()
	if i.GetState() != jingledv1.TransferState_TRANSFER_STATE_PAUSED || i.GetSize() != uint64(size) || i.GetBytes() < uint64(at) || i.GetBytes() >= uint64(size) {
		t.Fatalf("bob: %v", i)
	}
	p.bytes = i.GetBytes()
	if i := await(t, p.alice, interrupted).GetTransferInterrupted(); i.GetState() != jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER || !i.GetByPeer() {
		t.Fatalf("alice: %v", i)
	}
	w.let(-1)
	return p
}

func interrupted(e *jingledv1.Event) bool { return e.GetTransferInterrupted() != nil }

func started(e *jingledv1.Event) bool { return e.GetTransferStarted() != nil }

func over(e *jingledv1.Event) bool { return e.GetTransferDone() != nil || e.GetTransferFailed() != nil }

func (p *pausing) part() string { return filepath.Join(p.inbox, "noise.bin.part") }

// arrive waits for the end at both sides and checks it.
func (p *pausing) arrive(t *testing.T) {
	t.Helper()
	for _, who := range []*peer{p.alice, p.bob} {
		e := await(t, who, over)
		if d := e.GetTransferDone(); d == nil || e.GetSid() != p.sid || d.GetBytes() != uint64(len(p.data)) || !d.GetVerified() {
			t.Errorf("%s: %v", who.jid, e)
		}
	}
	b, err := os.ReadFile(filepath.Join(p.inbox, "noise.bin"))
	if err != nil || !bytes.Equal(b, p.data) {
		t.Errorf("%d bytes have come: %v", len(b), err)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, who := range []*peer{p.alice, p.bob} {
		if l, err := who.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{}); err != nil || len(l.GetTransfers()) != 0 {
			t.Errorf("%s: %v, %v", who.jid, l, err)
		}
	}
}

func (p *pausing) resume(t *testing.T, who *peer) {
	t.Helper()
	if _, err := who.ResumeTransfer(t.Context(), &jingledv1.ResumeTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedPart changes a byte of what has come while the transfer rests. Only its block comes again.
func TestDamagedPart(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 3<<20, 2<<20)
	f, err := os.OpenFile(p.part(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^p.data[1<<20+77]}, 1<<20+77); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.resume(t, p.bob)
	s := await(t, p.bob, started).GetTransferStarted()
	if s.GetOffset() < 2<<20 || s.GetOffset() > p.bytes {
		t.Errorf("it goes on at %d of %d", s.GetOffset(), p.bytes)
	}
	p.arrive(t)
	if got := w.requested(); len(got) != 2 || got[0] != "1048576+1048576" || strings.HasSuffix(got[1], "+1048576") {
		t.Errorf("asked for: %v", got)
	}
}

// TestDamagedOnTheWay changes a byte in a stanza. The file is mended before anybody is told that it has come.
func TestDamagedOnTheWay(t *testing.T) {
	w := newWire(t)
	alice, bob := login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
	p := &pausing{w: w, alice: alice, bob: bob, data: noise(2<<20 + 1), inbox: t.TempDir()}
	seen := 0
	w.change(func(from jid.JID, stanza *xmltree.Element) {
		if d := stanza.Child(ibb.NSIBB, "data"); d != nil && from.Bare() == alice.jid {
			if seen++; seen == 10 {
				b, err := base64.StdEncoding.DecodeString(d.Text())
				if err != nil {
					t.Errorf("data: %v", err)
					return
				}
				b[0] ^= 1
				d.Children = []xmltree.Node{xmltree.Text(base64.StdEncoding.EncodeToString(b))}
			}
		}
	})
	path := filepath.Join(t.TempDir(), "noise.bin")
	if err := os.WriteFile(path, p.data, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, Via: jingledv1.Via_VIA_IBB, NoEncryption: true})
	if err != nil {
		t.Fatal(err)
	}
	p.sid = res.GetSid()
	await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: p.sid, Dir: p.inbox}); err != nil {
		t.Fatal(err)
	}
	p.arrive(t)
	if got := w.requested(); len(got) != 1 || !strings.HasSuffix(got[0], "+1048576") {
		t.Errorf("asked for: %v", got)
	}
}

// TestReceiverAsks lets bob go on with what he has paused: he asks for the rest, and has what he has.
func TestReceiverAsks(t *testing.T) {
	p := pauseAt(t, newWire(t), 2<<20, 1<<20)
	if _, err := p.bob.ResumeTransfer(t.Context(), &jingledv1.ResumeTransferRequest{Sid: "j"}); err == nil {
		t.Error("what is not there goes on")
	}
	p.resume(t, p.bob)
	p.arrive(t)
}

// TestRestartedWhilePaused stops both daemons while a transfer is paused, and starts them again.
func TestRestartedWhilePaused(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 2<<20, 1<<20)
	again := func(who *peer, user string) *peer {
		dir := who.state
		who.stop()
		return login(t, w.Server, user, func(c *daemon.Config) { c.StateDir = dir })
	}
	p.alice, p.bob = again(p.alice, "alice"), again(p.bob, "bob")
	for who, want := range map[*peer]jingledv1.TransferState{p.alice: jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER,
		p.bob: jingledv1.TransferState_TRANSFER_STATE_PAUSED} {
		l, err := who.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{})
		if err != nil || len(l.GetTransfers()) != 1 || l.GetTransfers()[0].GetState() != want || l.GetTransfers()[0].GetSid() != p.sid {
			t.Errorf("%s: %v, %v", who.jid, l, err)
		}
	}
	// The sender may want to go on, but bob has paused it.
	p.resume(t, p.alice)
	if i := await(t, p.alice, interrupted).GetTransferInterrupted(); i.GetState() != jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER {
		t.Errorf("alice: %v", i)
	}
	p.resume(t, p.bob)
	p.arrive(t)
}

// TestOtherClients goes on with a sender that names no transfer and tells no hashes of blocks.
func TestOtherClients(t *testing.T) {
	for name, c := range map[string]struct {
		strip string // of every offer
		fresh bool   // whether it begins anew
	}{
		"with a date":    {"resume", false},
		"without a date": {"resume date", true},
		"without ranges": {"resume range", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.change(func(from jid.JID, stanza *xmltree.Element) {
				if j := stanza.Child(jingle.NS, "jingle"); j != nil && j.Attr("action") == "session-initiate" {
					for local := range strings.FieldsSeq(c.strip) {
						without(j, local)
					}
				}
				if b := stanza.Child(resume.NS, "blocks"); b != nil {
					b.Name.Local = "unknown"
				}
			})
			p := pauseAt(t, w, 1<<20, 1<<19)
			w.setWaiting(t, p)
			p.resume(t, p.alice)
			s := await(t, p.bob, started).GetTransferStarted()
			if c.fresh != (s.GetOffset() == 0) || s.GetOffset() > p.bytes {
				t.Errorf("it goes on at %d of %d", s.GetOffset(), p.bytes)
			}
			p.arrive(t)
		})
	}
}

// setWaiting makes of bob's pause an interruption, as the end of his program would: it is written down so while he is away.
func (w *wire) setWaiting(t *testing.T, p *pausing) {
	t.Helper()
	dir := p.bob.state
	p.bob.stop()
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Unfinished(t.Context(), p.bob.jid.String())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	rows[0].Phase = state.Running
	if err := s.Journal(t.Context(), rows[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.bob = login(t, w.Server, "bob", func(c *daemon.Config) { c.StateDir = dir })
}

// TestAnotherFile offers under the name of an interrupted transfer what is not its file. It is an offer as any other.
func TestAnotherFile(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 1<<20, 1<<19)
	w.setWaiting(t, p)
	w.change(func(from jid.JID, stanza *xmltree.Element) {
		if f := below(stanza, "file"); f != nil && from.Bare() == p.alice.jid {
			if s := f.Child(filetransfer.NS, "size"); s != nil {
				s.Children = []xmltree.Node{xmltree.Text("1048577")}
			}
		}
	})
	p.resume(t, p.alice)
	e := await(t, p.bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if e.GetSid() == p.sid || e.GetTransferOffered().GetSize() != 1<<20+1 {
		t.Errorf("%v", e)
	}
	if st, err := os.Stat(p.part()); err != nil || st.Size() == 0 {
		t.Errorf("what had come: %v, %v", st, err)
	}
}

// TestSourceChanged changes the file at the sender while the transfer rests.
func TestSourceChanged(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 1<<20, 1<<19)
	l, err := p.alice.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{})
	if err != nil || len(l.GetTransfers()) != 1 {
		t.Fatal(l, err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(l.GetTransfers()[0].GetPath(), later, later); err != nil {
		t.Fatal(err)
	}
	p.resume(t, p.alice)
	if f := await(t, p.alice, over).GetTransferFailed(); !strings.Contains(f.GetText(), "has changed") {
		t.Errorf("%v", f)
	}
}

// TestGivenUp cancels an interrupted transfer at the receiver, which is started again, while the sender is away. When the sender,
// which has not heard of it, comes with it again it is told so.
func TestGivenUp(t *testing.T) {
	w := newWire(t)
	w.change(func(_ jid.JID, stanza *xmltree.Element) { without(stanza, "cancelled") })
	p := pauseAt(t, w, 1<<20, 1<<19)
	dir := p.alice.state
	p.alice.stop()
	if _, err := p.bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	if f := await(t, p.bob, over).GetTransferFailed(); f.GetReason() != "cancel" {
		t.Errorf("bob: %v", f)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	own := p.bob.state
	p.bob.stop()
	p.bob = login(t, w.Server, "bob", func(c *daemon.Config) { c.StateDir = own })
	p.alice = login(t, w.Server, "alice", func(c *daemon.Config) { c.StateDir = dir })
	p.resume(t, p.alice)
	if f := await(t, p.alice, over).GetTransferFailed(); f.GetReason() != "decline" || !f.GetByPeer() {
		t.Errorf("alice: %v", f)
	}
}

// TestGivenUpByPeer cancels an interrupted transfer at the sender. The receiver hears of it.
func TestGivenUpByPeer(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 1<<20, 1<<19)
	if _, err := p.alice.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	if f := await(t, p.alice, over).GetTransferFailed(); f.GetReason() != "cancel" || f.GetByPeer() {
		t.Errorf("alice: %v", f)
	}
	if f := await(t, p.bob, over).GetTransferFailed(); f.GetReason() != "cancel" || !f.GetByPeer() {
		t.Errorf("bob: %v", f)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestGivenUpWhileAway cancels an interrupted transfer at the sender while the receiver is away. It hears of it when it is back.
func TestGivenUpWhileAway(t *testing.T) {
	w := newWire(t)
	p := pauseAt(t, w, 1<<20, 1<<19)
	dir := p.bob.state
	p.bob.stop()
	if _, err := p.alice.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: p.sid}); err != nil {
		t.Fatal(err)
	}
	if f := await(t, p.alice, over).GetTransferFailed(); f.GetReason() != "cancel" || f.GetByPeer() {
		t.Errorf("alice: %v", f)
	}
	p.bob = login(t, w.Server, "bob", func(c *daemon.Config) { c.StateDir = dir })
	if f := await(t, p.bob, over).GetTransferFailed(); f.GetReason() != "cancel" || !f.GetByPeer() {
		t.Errorf("bob: %v", f)
	}
	if left, err := os.ReadDir(p.inbox); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBrokenForOneSide lets the answer to the opening of a bytestream come as an error: there was a stream for the receiver and
// none for the sender, who gives up. The receiver does not wait for what nobody will send.
func TestBrokenForOneSide(t *testing.T) {
	w := newWire(t)
	alice, bob := login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
	opening := ""
	w.change(func(from jid.JID, stanza *xmltree.Element) {
		switch {
		case stanza.Child(ibb.NSIBB, "open") != nil:
			opening = stanza.Attr("id")
		case from.Bare() == bob.jid && stanza.Attr("id") == opening && opening != "":
			stanza.Set("type", "error").Add(jingle.ErrServiceUnavailable().Element("jabber:client"))
		}
	})
	path := filepath.Join(t.TempDir(), "noise.bin")
	if err := os.WriteFile(path, noise(1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, Via: jingledv1.Via_VIA_IBB, NoEncryption: true})
	if err != nil {
		t.Fatal(err)
	}
	await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: res.GetSid(), Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	for _, who := range []*peer{alice, bob} {
		if f := await(t, who, over).GetTransferFailed(); f == nil {
			t.Errorf("%s: it has not failed", who.jid)
		}
		if l, err := who.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{}); err != nil || len(l.GetTransfers()) != 0 {
			t.Errorf("%s: %v, %v", who.jid, l, err)
		}
	}
}

// TestRecalled starts a daemon with a journal that says all kinds of things.
func TestRecalled(t *testing.T) {
	w := newWire(t)
	dir, inbox := filepath.Join(t.TempDir(), "state"), t.TempDir()
	s, err := state.Open(dir, state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	bob := "bob@" + w.Domain()
	for _, u := range []state.Unfinished{
		{ID: "old", Name: "old.bin", Part: "old.bin.part", Size: 10, Bytes: 5, Phase: state.Waiting, Updated: now.Add(-8 * 24 * time.Hour)},
		{ID: "empty", Name: "empty.bin", Part: "empty.bin.part", Size: 10, Phase: state.Running, Updated: now.Add(-2 * time.Hour)},
		{ID: "stored", Name: "stored.bin", Part: "stored.bin.part", Size: 10, Bytes: 10, Phase: state.Storing, Updated: now},
		{ID: "proved", Name: "proved.bin", Part: "proved.bin.part", Size: 10, Bytes: 10, Phase: state.Storing, Updated: now, Hash: "sha-256:00ff"},
		{ID: "ended", Name: "ended.bin", Part: "ended.bin.part", Size: 10, Bytes: 10, Phase: state.Running, Updated: now},
		{ID: "../x", Name: "../../x", Part: "../x.part", Size: 10, Bytes: 10, Phase: state.Running, Updated: now.Add(-8 * 24 * time.Hour)},
		{ID: "rests", Name: "rests.bin", Part: "rests.bin.part", Size: 10, Bytes: 4, Phase: state.Running, Updated: now.Add(-24 * time.Hour)},
	} {
		u.Account, u.Peer, u.SID, u.Content, u.Incoming, u.Path = bob, "alice@"+w.Domain()+"/x", u.ID, "file", true, inbox
		u.Began = u.Updated
		if err := s.Journal(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old.bin.part", "empty.bin.part", "rests.bin.part"} {
		if err := os.WriteFile(filepath.Join(inbox, name), []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(filepath.Dir(inbox), "x.part")
	if err := os.WriteFile(outside, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTransfer(t.Context(), state.Transfer{Account: bob, Peer: "alice@" + w.Domain() + "/x", SID: "ended", Incoming: true, Complete: true, Ended: now}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := login(t, w.Server, "bob", func(c *daemon.Config) { c.StateDir = dir })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		l, err := b.ListTransfers(ctx, &jingledv1.ListTransfersRequest{})
		if err != nil || ctx.Err() != nil {
			t.Fatalf("%v, %v", l, err)
		}
		if len(l.GetTransfers()) == 1 {
			if x := l.GetTransfers()[0]; x.GetSid() != "rests" || x.GetBytes() != 4 || x.GetState() != jingledv1.TransferState_TRANSFER_STATE_WAITING {
				t.Errorf("%v", x)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.stop()
	if s, err = state.Open(dir, state.Config{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	past, err := s.Transfers(t.Context(), state.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range past {
		got[x.SID] = x.Reason
		if x.Complete {
			got[x.SID] = "complete"
			if x.Verified {
				got[x.SID] += " " + x.Hash
			}
		}
	}
	for id, want := range map[string]string{"old": "expired", "empty": "expired", "stored": "complete", "proved": "complete sha-256:00ff",
		"ended": "complete", "../x": "expired"} {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
	if len(got) != 6 {
		t.Errorf("%v", got)
	}
	left, err := os.ReadDir(inbox)
	if err != nil || len(left) != 1 || left[0].Name() != "rests.bin.part" {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("outside the folder: %v", err)
	}
}
