package files

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp"
)

// scene is one file between the daemon and a peer.
type scene struct {
	*peer
	side *ours.Side
	dir  string
	data []byte
	id   string // of our transfer
}

func newScene(t *testing.T, d *dialect) *scene {
	t.Helper()
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "romeo": "secret"}, AllowPlain: true})
	if err := srv.Befriend("alice", "romeo"); err != nil {
		t.Fatal(err)
	}
	s := &scene{dir: t.TempDir(), data: make([]byte, 50_001)}
	for i := range s.data {
		s.data[i] = byte(i * i >> 3)
	}
	s.side = ours.Run(t, daemon.Config{Loopback: true, Downloads: s.dir, Accounts: []daemon.Account{{JID: jid.JID("alice@" + srv.Domain()),
		Password: func() (string, error) { return "secret", nil }, Resource: "desk", Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback}}})
	s.peer = login(t, d, srv)
	s.us = jid.JID(s.side.JID(t))
	s.side.Meets(t, s.client.JID().Bare().String())
	return s
}

// give offers our file to the peer.
func (s *scene) give() {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "note.bin")
	if err := os.WriteFile(path, s.data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	res, err := s.side.D.SendFile(s.t.Context(), &jingledv1.SendFileRequest{Peer: s.client.JID().String(), Path: path, Description: "A note"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.id = res.GetSid()
}

// end waits for what the daemon says of the end.
func (s *scene) end() *jingledv1.Event {
	s.t.Helper()
	return s.side.Await(s.t, s.id, "end", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil || e.GetTransferFailed() != nil })
}

// arrived checks that our transfer went well, by this road.
func (s *scene) arrived(road string) *jingledv1.TransferDone {
	s.t.Helper()
	e := s.end()
	done := e.GetTransferDone()
	if done.GetTransport() != road {
		s.t.Fatalf("%s: %v, want %s", s.d.name, e, road)
	}
	return done
}

// took checks what the peer got.
func (s *scene) took(got []byte) {
	s.t.Helper()
	if !bytes.Equal(got, s.data) {
		s.t.Errorf("%s has %d other bytes", s.d.name, len(got))
	}
}

// offered reads our session-initiate as the client does.
func (s *scene) offered() (*jingle.Content, s5b.Transport) {
	s.t.Helper()
	m := s.await(jingle.SessionInitiate, nil)
	if s.sid = m.SID; len(m.Contents) != 1 {
		s.t.Fatalf("%s takes one content, not %d", s.d.name, len(m.Contents))
	}
	c := &m.Contents[0]
	f := c.Description.(filetransfer.Description).File
	if f.Name != "note.bin" || f.Size == nil || *f.Size != int64(len(s.data)) {
		s.t.Errorf("%s needs name and size: %+v", s.d.name, f)
	}
	if s.d.needs != nil {
		s.d.needs(s.t, c, f)
	}
	strictCandidates(s.t, c)
	tr, _ := c.Transport.(s5b.Transport)
	return c, tr
}

// accept takes our offer; inner is what it says of the file.
func (s *scene) accept(c *jingle.Content, transport, inner string) {
	s.t.Helper()
	s.jingle("session-accept", content(c.Name, transport, fmt.Sprintf("<description xmlns='%s'><file><name>note.bin</name><size>%d</size>%s</file></description>",
		nsFT, len(s.data), inner)))
}

func s5bElement(sid, inner string) string {
	return fmt.Sprintf("<transport xmlns='%s' sid='%s'>%s</transport>", s5b.NS, sid, inner)
}

// finish ends a transfer that the peer has taken.
func (s *scene) finish(c *jingle.Content) {
	s.t.Helper()
	if s.d.ranges { // it verifies
		m := s.await(jingle.SessionInfo, nil)
		sum := m.Info[0].(filetransfer.Checksum)
		if sum.Name != c.Name || sum.Creator != c.Creator {
			s.t.Errorf("%s does not know the checksum's content: %+v", s.d.name, sum)
		}
	}
	if s.d.received {
		s.jingle("session-info", fmt.Sprintf("<received xmlns='%s' creator='initiator' name='%s'/>", nsFT, c.Name))
	}
	s.jingle("session-terminate", "<reason><success/></reason>")
}

// takeDirect takes our offer over our own candidate, from an offset.
func (s *scene) takeDirect(rest int) {
	s.t.Helper()
	c, tr := s.offered()
	i := slices.IndexFunc(tr.Candidates, func(x s5b.Candidate) bool { return x.Type == s5b.Direct && x.Host == "127.0.0.1" })
	if i < 0 {
		s.t.Fatalf("%s finds no way: %+v", s.d.name, tr.Candidates)
	}
	inner := ""
	if rest > 0 {
		inner = fmt.Sprintf("<range offset='%d'/>", rest)
	}
	s.accept(c, s5bElement(tr.SID, ""), inner)
	conn := s.dial(tr.Candidates[i].Host, tr.Candidates[i].Port, dst(tr.SID, s.us, s.client.JID()))
	s.jingle("transport-info", content(c.Name, s5bElement(tr.SID, fmt.Sprintf("<candidate-used cid='%s'/>", tr.Candidates[i].CID))))
	got := make([]byte, len(s.data)-rest)
	if _, err := io.ReadFull(conn, got); err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(got, s.data[rest:]) {
		s.t.Errorf("%s has other bytes", s.d.name)
	}
	s.finish(c)
}

// offer offers the peer's file to us, which is accepted, and returns our answer's transport and where we come in.
func (s *scene) offer(withCandidate bool) (s5b.Transport, <-chan net.Conn, string) {
	s.t.Helper()
	s.sid, s.id = "their-"+s.d.content, "their-"+s.d.content
	streamSID := "stream-1"
	inner, conns := "", (<-chan net.Conn)(nil)
	if withCandidate {
		var port int
		port, conns = s.listen(dst(streamSID, s.client.JID(), s.us))
		inner = fmt.Sprintf("<candidate cid='c1' host='127.0.0.1' port='%d' jid='%s' priority='%d' type='direct'/>", port, s.client.JID(), s.d.priority)
	}
	attrs := ""
	if s.d.dstaddr {
		attrs = " dstaddr='" + dst(streamSID, s.client.JID(), s.us) + "'"
	}
	sum := sha256.Sum256(s.data)
	s.jingle("session-initiate", content(s.d.content, fmt.Sprintf("<transport xmlns='%s' mode='tcp' sid='%s'%s>%s</transport>", s5b.NS, streamSID, attrs, inner),
		fmt.Sprintf("<description xmlns='%s'><file>%s</file></description>", nsFT, s.d.offer(len(s.data), sum[:]))))
	s.side.Await(s.t, s.id, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := s.side.D.AcceptFile(s.t.Context(), &jingledv1.AcceptFileRequest{Sid: s.id}); err != nil {
		s.t.Fatal(err)
	}
	m := s.await(jingle.SessionAccept, nil)
	if len(m.Contents) != 1 || m.Contents[0].Name != s.d.content {
		s.t.Fatalf("%s cannot find its content in %+v", s.d.name, m.Contents)
	}
	strictCandidates(s.t, &m.Contents[0])
	return m.Contents[0].Transport.(s5b.Transport), conns, streamSID
}

// given ends a transfer whose bytes the peer has sent.
func (s *scene) given(road string) {
	s.t.Helper()
	if s.d.tellsHash != "" {
		s.jingle("session-info", s.d.checksum(s.data))
	}
	if s.d.wantsReceived {
		r := s.await(jingle.SessionInfo, nil).Info[0].(filetransfer.Received)
		if r.Creator != jingle.Initiator || r.Name != s.d.content {
			s.t.Errorf("%s does not take %+v for its file", s.d.name, r)
		}
	}
	// Dino waits for this for ever.
	if m := s.await(jingle.SessionTerminate, nil); m.Reason.Condition != jingle.Success {
		s.t.Errorf("it ends with %v", m.Reason)
	}
	done := s.arrived(road)
	b, err := os.ReadFile(done.GetPath())
	if err != nil || !bytes.Equal(b, s.data) || filepath.Dir(done.GetPath()) != s.dir {
		s.t.Errorf("%d bytes, %v", len(b), err)
	}
	if s.d.verifiable && !done.GetVerified() {
		s.t.Error("nothing was verified")
	}
}

// testCase is a row of the table.
type testCase struct {
	name, what string
	has        func(*dialect) bool // nil: everybody of Jingle
	run        func(*scene)
}

func ofJingle(d *dialect) bool { return !d.si }
func everybody(*dialect) bool  { return true }

var cases = []testCase{
	{"we send", "we send over SOCKS5, or data channels if they have them, they end when they have everything", everybody, func(s *scene) {
		s.give()
		if s.d.channels {
			s.takeChannel()
			return
		}
		if s.d.si {
			s.takeSI(s5b.NSBytestreams)
			return
		}
		s.takeDirect(0)
		s.arrived("s5b")
	}},
	{"they send", "they send over SOCKS5, or data channels, we end when we have everything", everybody, func(s *scene) {
		if s.d.channels {
			s.giveChannel()
			return
		}
		if s.d.si {
			s.giveSI(s5b.NSBytestreams)
			return
		}
		_, conns, sid := s.offer(true)
		s.await(jingle.TransportInfo, func(m *jingle.Message) bool {
			t, ok := m.Contents[0].Transport.(s5b.Transport)
			return ok && t.CandidateUsed == "c1"
		})
		s.jingle("transport-info", content(s.d.content, s5bElement(sid, "<candidate-error/>")))
		conn := <-conns
		if _, err := conn.Write(s.data); err != nil {
			s.t.Fatal(err)
		}
		s.given("s5b")
		_ = conn.Close()
	}},
	{"we send in band", "SOCKS5 and data channels do not work, we replace them by in-band bytestreams", func(d *dialect) bool { return !d.rejectsReplace }, func(s *scene) {
		s.give()
		if s.d.channels {
			s.replaceChannel()
			return
		}
		if s.d.si {
			s.takeSI("http://jabber.org/protocol/ibb")
			return
		}
		c, tr := s.offered()
		s.accept(c, s5bElement(tr.SID, ""), "")
		s.jingle("transport-info", content(c.Name, s5bElement(tr.SID, "<candidate-error/>")))
		r := s.await(jingle.TransportReplace, func(m *jingle.Message) bool { return jingle.NSOf(m.Contents[0].Transport) == ibb.NS })
		t := r.Contents[0].Transport.(ibb.Transport)
		s.d.block = min(s.d.block, int(t.BlockSize))
		s.jingle("transport-accept", content(c.Name, fmt.Sprintf("<transport xmlns='%s' block-size='%d' sid='%s'/>", ibb.NS, s.d.block, t.SID)))
		s.took(s.takeInBand(len(s.data)))
		s.finish(c)
		s.arrived("ibb")
	}},
	{"they send in band", "SOCKS5 and data channels do not work, they replace them by in-band bytestreams", func(d *dialect) bool { return !d.replacesBySame }, func(s *scene) {
		if s.d.channels {
			s.offerChannel()
			s.jingle("transport-replace", content(s.d.content, fmt.Sprintf("<transport xmlns='%s' block-size='%d' sid='ibb-1'/>", ibb.NS, s.d.block)))
			a := s.await(jingle.TransportAccept, nil).Contents[0].Transport.(ibb.Transport)
			s.d.block = min(s.d.block, int(a.BlockSize))
			s.sendInBand("ibb-1", s.data)
			s.given("ibb")
			return
		}
		if s.d.si {
			s.giveSI("http://jabber.org/protocol/ibb")
			return
		}
		_, _, sid := s.offer(false)
		s.jingle("transport-info", content(s.d.content, s5bElement(sid, "<candidate-error/>")))
		s.jingle("transport-replace", content(s.d.content, fmt.Sprintf("<transport xmlns='%s' block-size='%d' sid='ibb-1'/>", ibb.NS, s.d.block)))
		a := s.await(jingle.TransportAccept, nil).Contents[0].Transport.(ibb.Transport)
		s.d.block = min(s.d.block, int(a.BlockSize))
		s.sendInBand("ibb-1", s.data)
		s.given("ibb")
	}},
	{"no way through", "SOCKS5 does not work and their fallback neither: the transfer ends on both sides, with words", func(d *dialect) bool { return d.rejectsReplace }, func(s *scene) {
		s.give()
		c, tr := s.offered()
		s.accept(c, s5bElement(tr.SID, ""), "")
		s.jingle("transport-info", content(c.Name, s5bElement(tr.SID, "<candidate-error/>")))
		for range 3 { // it rejects whatever it is offered
			m := <-s.inbox
			if m.Action == jingle.SessionTerminate {
				break
			}
			if m.Action == jingle.TransportReplace {
				s.jingle("transport-reject", content(c.Name, string(m.Contents[0].Transport.Element().AppendXML(nil, ""))))
			}
		}
		if f := s.end().GetTransferFailed(); f.GetText() == "" {
			s.t.Errorf("%v", f)
		}
	}},
	{"we decline", "they offer, we decline", ofJingle, func(s *scene) {
		s.sid, s.id = "their-x", "their-x"
		sum := sha256.Sum256(s.data)
		s.jingle("session-initiate", content(s.d.content, s5bElement("s1", ""), fmt.Sprintf("<description xmlns='%s'><file>%s</file></description>", nsFT, s.d.offer(len(s.data), sum[:]))))
		s.side.Await(s.t, s.id, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
		if _, err := s.side.D.EndTransfer(s.t.Context(), &jingledv1.EndTransferRequest{Sid: s.id}); err != nil {
			s.t.Fatal(err)
		}
		if m := s.await(jingle.SessionTerminate, nil); m.Reason.Condition != jingle.Decline {
			s.t.Errorf("%v", m.Reason)
		}
	}},
	{"they decline", "we offer, they decline", everybody, func(s *scene) {
		s.give()
		if s.d.si {
			iq := <-s.si
			iq.Fail(&jingle.StanzaError{Type: "cancel", Condition: "forbidden", Text: "Offer Declined"})
		} else {
			s.offered()
			s.jingle("session-terminate", "<reason><decline/></reason>")
		}
		if f := s.end().GetTransferFailed(); f.GetReason() != "decline" || !f.GetByPeer() {
			s.t.Errorf("%v", f)
		}
	}},
	{"they cancel", "they give up while the bytes come", func(d *dialect) bool { return ofJingle(d) && !d.channels }, func(s *scene) {
		_, conns, sid := s.offer(true)
		s.jingle("transport-info", content(s.d.content, s5bElement(sid, "<candidate-error/>")))
		conn := <-conns
		if _, err := conn.Write(s.data[:1000]); err != nil {
			s.t.Fatal(err)
		}
		s.side.Await(s.t, s.id, "start", func(e *jingledv1.Event) bool { return e.GetTransferStarted() != nil })
		s.jingle("session-terminate", "<reason><cancel/></reason>")
		if f := s.end().GetTransferFailed(); f.GetReason() != "cancel" || !f.GetByPeer() {
			s.t.Errorf("%v", f)
		}
		if left, _ := os.ReadDir(s.dir); len(left) > 0 {
			s.t.Errorf("left behind: %v", left)
		}
	}},
	{"the rest of a file", "they have the beginning and ask for the rest", func(d *dialect) bool { return d.ranges }, func(s *scene) {
		s.give()
		s.takeDirect(20_000)
		if done := s.arrived("s5b"); done.GetBytes() != uint64(len(s.data)) {
			s.t.Errorf("%v", done)
		}
	}},
}

// takeSI takes our offer by stream initiation.
func (s *scene) takeSI(method string) {
	s.t.Helper()
	iq := <-s.si
	f := iq.Payload.Child("http://jabber.org/protocol/si/profile/file-transfer", "file")
	if f.Attr("name") != "note.bin" || f.Attr("size") != fmt.Sprint(len(s.data)) {
		s.t.Errorf("%s needs name and size: %s", s.d.name, f)
	}
	sid := iq.Payload.Attr("id")
	iq.Reply(parse(s.t, fmt.Sprintf("<si xmlns='http://jabber.org/protocol/si'><feature xmlns='http://jabber.org/protocol/feature-neg'><x xmlns='jabber:x:data' type='submit'>"+
		"<field var='stream-method'><value>%s</value></field></x></feature></si>", method)))
	if method != s5b.NSBytestreams {
		s.took(s.takeInBand(len(s.data)))
		s.arrived("si")
		return
	}
	q := <-s.host
	for h := range q.Payload.Elements() {
		if h.Attr("host") != "127.0.0.1" {
			continue
		}
		var port uint16
		_, _ = fmt.Sscan(h.Attr("port"), &port)
		conn := s.dial(h.Attr("host"), port, dst(sid, s.us, s.client.JID()))
		q.Reply(parse(s.t, fmt.Sprintf("<query xmlns='%s' sid='%s'><streamhost-used jid='%s'/></query>", s5b.NSBytestreams, sid, h.Attr("jid"))))
		got, err := io.ReadAll(conn) // it waits for the end
		if err != nil {
			s.t.Fatal(err)
		}
		s.took(got)
		_ = conn.Close() // this is how a sender knows
		s.arrived("si")
		return
	}
	s.t.Fatalf("%s finds no way: %s", s.d.name, q.Payload)
}

// giveSI sends by stream initiation.
func (s *scene) giveSI(method string) {
	s.t.Helper()
	s.id = "si-1"
	hash := ""
	if s.d.name == "Pidgin" {
		sum := md5.Sum(s.data)
		hash = " hash='" + hex.EncodeToString(sum[:]) + "'"
	}
	wait := s.ask(fmt.Sprintf("<si xmlns='http://jabber.org/protocol/si' id='si-1' profile='http://jabber.org/protocol/si/profile/file-transfer'>"+
		"<file xmlns='http://jabber.org/protocol/si/profile/file-transfer' name='note.bin' size='%d'%s/><feature xmlns='http://jabber.org/protocol/feature-neg'>"+
		"<x xmlns='jabber:x:data' type='form'><field var='stream-method' type='list-single'><option><value>%s</value></option></field></x></feature></si>",
		len(s.data), hash, method))
	s.side.Await(s.t, s.id, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := s.side.D.AcceptFile(s.t.Context(), &jingledv1.AcceptFileRequest{Sid: s.id}); err != nil {
		s.t.Fatal(err)
	}
	answer := wait()
	if x := answer.String(); !bytes.Contains([]byte(x), []byte(method)) {
		s.t.Fatalf("%s finds no method in %s", s.d.name, x)
	}
	if method != s5b.NSBytestreams {
		s.sendInBand("si-1", s.data)
	} else {
		port, conns := s.listen(dst("si-1", s.client.JID(), s.us))
		s.request(fmt.Sprintf("<query xmlns='%s' sid='si-1' mode='tcp'><streamhost jid='%s' host='127.0.0.1' port='%d'/></query>",
			s5b.NSBytestreams, s.client.JID(), port))
		conn := <-conns
		if _, err := conn.Write(s.data); err != nil {
			s.t.Fatal(err)
		}
		_ = conn.Close()
	}
	done := s.arrived("si")
	if b, err := os.ReadFile(done.GetPath()); err != nil || !bytes.Equal(b, s.data) {
		s.t.Errorf("%d bytes, %v", len(b), err)
	}
}
