package personas

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pionrtp "github.com/pion/rtp"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// theirTone is what a persona says, in Hz.
const theirTone = 1000

// medium is a content of a persona.
type medium struct {
	Media, Name                    string
	Ufrag, Pwd, Fingerprint, Setup string
	Payloads                       []rtp.PayloadType // of an answer
	Candidates                     []ice.Candidate
	Crypto                         rtp.Crypto
	conn                           *conn
}

// conn is a transport of a persona.
type conn struct {
	group    *media.Group
	gathered chan struct{}
	mu       sync.Mutex
	found    []ice.Transport
}

// peer is a persona that is logged in.
type peer struct {
	t      *testing.T
	p      *persona
	client *xmpp.Client
	reg    jingle.Registry
	cert   *dtlssrtp.Certificate
	inbox  chan received

	ctx     context.Context
	running sync.WaitGroup

	sid  string
	us   jid.JID // the device of ours
	seen []received
	ids  int

	mu    sync.Mutex // guards the use of what follows, and the transports
	media []*medium
	early []*jingle.Message // transport-infos that came before there were media
	late  []*jingle.Message // and before there was this medium

	driver atomic.Pointer[muc.Driver] // of its rooms, or nil

	saw   atomic.Int32 // packets of our video
	heard atomic.Int32 // packets with our tone
	ready atomic.Int32 // transports that are secured
}

// received is a stanza that came: its name is "propose", "session-initiate" and so on.
type received struct {
	name   string
	stanza *xmltree.Element // of messages
	from   jid.JID
	jmi    *jmi.Message
	jingle *jingle.Message
}

func login(t *testing.T, p *persona, srv *xmppserver.Server, user, resource string) *peer {
	t.Helper()
	return loginAs(t, p, xmpp.Config{JID: jid.JID(user + "@" + srv.Domain()), Resource: resource, Connect: srv.Addr(), TLS: xmpp.TLSPlainLoopback})
}

// loginAs is login anywhere.
func loginAs(t *testing.T, p *persona, cfg xmpp.Config) *peer {
	t.Helper()
	r := &peer{t: t, p: p, inbox: make(chan received, 1000)}
	rtp.Register(&r.reg)
	ice.Register(&r.reg)
	var err error
	if r.cert, err = dtlssrtp.NewCertificate(); err != nil {
		t.Fatal(err)
	}
	cfg.Password = func() (string, error) { return "secret", nil }
	cfg.Features, cfg.CapsNode, cfg.FailFast, cfg.Timeouts = p.features, p.node, true, xmpp.Timeouts{Answer: time.Hour}
	r.client = xmpptest.Client(t, cfg)
	r.client.HandleIQ(jingle.NS, "jingle", r.receiveJingle)
	r.client.HandleMessage(r.receiveMessage)
	r.client.HandlePresence(func(p *xmpp.PresenceStanza) {
		if d := r.driver.Load(); d != nil {
			d.Receive(p.Element)
		}
	})
	var stop context.CancelFunc
	r.ctx, stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		r.running.Wait()
	})
	xmpptest.Run(t, r.client)
	return r
}

func (r *peer) receiveJingle(iq *xmpp.IQ) {
	m, err := jingle.ParseMessage(iq.Payload, &r.reg)
	if err != nil {
		r.t.Errorf("%s gets what it cannot parse: %v", r.p.name, err)
		iq.Fail(jingle.ErrBadRequest("%v", err))
		return
	}
	switch name := string(m.Action); {
	case r.p.silent[name]:
	case r.p.refuses[name]:
		iq.Fail(&jingle.StanzaError{Type: "cancel", Condition: "feature-not-implemented"})
	default:
		iq.Reply(nil)
	}
	if m.Action == jingle.TransportInfo {
		r.mu.Lock()
		r.info(m)
		r.mu.Unlock()
	}
	r.inbox <- received{name: string(m.Action), from: iq.From, jingle: m}
}

// info takes our candidates; r.mu is held.
func (r *peer) info(m *jingle.Message) {
	if r.media == nil {
		r.early = append(r.early, m)
		return
	}
	for _, c := range m.Contents {
		found := false
		for _, own := range r.media {
			if own.Name != c.Name {
				continue
			}
			found = true
			if _, err := own.conn.group.Add(r.transport(c)); err != nil {
				r.t.Errorf("%s cannot take our transport-info: %v", r.p.name, err)
			}
		}
		if !found {
			r.late = append(r.late, m) // for a content that is being added
		}
	}
}

func (r *peer) receiveMessage(m *xmpp.Message) {
	in, ok, err := jmi.ParseStanza(m.Element, &r.reg)
	switch {
	case err != nil:
		r.t.Errorf("%s gets what it cannot parse: %v", r.p.name, err)
	case !ok || m.Outgoing():
	case in.Message != nil:
		r.inbox <- received{name: string(in.Message.Kind), stanza: m.Element, from: m.From, jmi: in.Message}
	case in.Receipt != "":
		r.inbox <- received{name: "receipt", stanza: m.Element, from: m.From}
	}
}

// await waits for a stanza of that name, which may have come already.
func (r *peer) await(name string) received {
	r.t.Helper()
	deadline := time.After(ours.Patience)
	for i := 0; ; i++ {
		for i >= len(r.seen) {
			select {
			case m := <-r.inbox:
				r.seen = append(r.seen, m)
			case <-deadline:
				var names []string
				for _, m := range r.seen {
					names = append(names, m.name)
				}
				r.t.Fatalf("%s gets no %s but %v", r.p.name, name, names)
			}
		}
		if r.seen[i].name == name {
			m := r.seen[i]
			r.seen = append(r.seen[:i:i], r.seen[i+1:]...)
			return m
		}
	}
}

// send sends a stanza of the persona, and reports false if it has none of that name.
func (r *peer) send(name string, change ...func(*script)) bool {
	r.t.Helper()
	st := r.make(name, change...)
	if st == nil {
		return false
	}
	if err := r.client.Send(st); err != nil {
		r.t.Fatalf("%s, %s: %v", r.p.name, name, err)
	}
	return true
}

// ask sends a request of the persona, and waits for a result.
func (r *peer) ask(name string, change ...func(*script)) {
	r.t.Helper()
	iq := r.make(name, change...)
	payload := iq.First()
	ctx, cancel := context.WithTimeout(r.ctx, ours.Patience)
	defer cancel()
	if _, err := r.client.Query(ctx, jid.JID(iq.Attr("to")), iq.Attr("type"), payload); err != nil {
		r.t.Fatalf("%s, %s: %v", r.p.name, name, err)
	}
}

// make makes a stanza of the persona, nil if it has none of that name.
func (r *peer) make(name string, change ...func(*script)) *xmltree.Element {
	r.t.Helper()
	r.ids++
	data := script{ID: fmt.Sprintf("id%d", r.ids), SID: r.sid, Peer: r.us.String(), PeerBare: r.us.Bare().String(),
		Me: r.client.JID().String(), MeBare: r.client.Account().String(), Reason: "success", Media: r.media}
	for _, f := range change {
		f(&data)
	}
	st, err := r.p.stanza(name, data)
	if err != nil {
		r.t.Fatalf("%s, %s: %v", r.p.name, name, err)
	}
	return st
}

func because(reason string) func(*script) { return func(s *script) { s.Reason = reason } }

// connect makes a transport, which looks for its candidates at once.
func (r *peer) connect(controlling bool) *conn {
	r.t.Helper()
	c := &conn{gathered: make(chan struct{})}
	decode := r.decoder()
	var err error
	c.group, err = media.NewGroup(media.GroupConfig{
		ICE: agent.Config{LoopbackOnly: true}, Certificate: r.cert, Controlling: controlling,
		NS: r.p.transport(), RTCPComponent: r.p.old(),
		Candidate: func(x ice.Transport) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.found = append(c.found, x)
		},
		Gathered: sync.OnceFunc(func() { close(c.gathered) }),
		RTP: func(h *pionrtp.Header, payload []byte, _ time.Time) {
			if !r.p.old() && isVideo(h.PayloadType) {
				r.saw.Add(1)
				return
			}
			pcm, err := decode(h.PayloadType, payload)
			if err == nil && audio.Share(pcm, audio.SampleRate, ours.Tone) > 0.9 {
				r.heard.Add(1)
			}
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.running.Go(func() { _ = c.group.Run(r.ctx) })
	r.running.Go(func() {
		select {
		case <-c.group.Ready():
			r.ready.Add(1)
		case <-r.ctx.Done():
		}
	})
	return c
}

// candidates returns what was found so far with these credentials.
func (c *conn) candidates(ufrag string) []ice.Candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []ice.Candidate
	for _, t := range c.found {
		if t.Ufrag == ufrag {
			out = append(out, t.Candidates...)
		}
	}
	return out
}

// restart looks for another path in the way of the client.
func (r *peer) restart() {
	r.t.Helper()
	group := r.media[0].conn.group
	before, _ := group.Selected()
	r.mu.Lock()
	t, err := group.Restart()
	for _, m := range r.media {
		m.Ufrag, m.Pwd = t.Ufrag, t.Pwd
	}
	r.mu.Unlock()
	if err != nil {
		r.t.Fatal(err)
	}
	r.send("restart")
	r.eventually("finds candidates again", func() bool { return len(r.media[0].conn.candidates(t.Ufrag)) > 0 })
	for _, m := range r.media {
		m.Candidates = m.conn.candidates(t.Ufrag)
	}
	r.trickle()
	r.eventually("changes the path", func() bool {
		now, ok := group.Selected()
		return ok && now.Local != before.Local && now.Remote != before.Remote
	})
}

// prepare makes the media of an offer, or of the answer to one of ours.
func (r *peer) prepare(offer *jingle.Message, kinds ...string) {
	r.t.Helper()
	var made []*medium
	if offer != nil {
		for _, c := range offer.Contents {
			kinds = append(kinds, c.Description.(rtp.Description).Media)
		}
	}
	for i, kind := range kinds {
		m := &medium{Media: kind, Name: r.p.names[i], Setup: "actpass"}
		fresh := i == 0 || !r.p.bundle
		if fresh {
			m.conn = r.connect(offer == nil)
		} else {
			m.conn = made[0].conn
		}
		if offer != nil {
			c := offer.Contents[i]
			m.Name, m.Setup = c.Name, "active"
			m.Payloads = r.p.answer(c.Description.(rtp.Description))
			if fresh {
				r.disarm(m, c.Description.(rtp.Description), true)
				if _, err := m.conn.group.Answer(r.transport(c)); err != nil {
					r.t.Fatalf("%s cannot take the offer: %v", r.p.name, err)
				}
			}
		}
		if offer == nil {
			r.offerKeys(m)
		}
		local := m.conn.group.Offer()
		m.Ufrag, m.Pwd, m.Fingerprint = local.Ufrag, local.Pwd, local.Fingerprints[0].Value
		made = append(made, m)
	}
	for _, m := range made {
		<-m.conn.gathered
		m.Candidates = m.conn.candidates(m.Ufrag)
	}
	r.mu.Lock()
	r.media = made
	for _, m := range r.early {
		r.info(m)
	}
	r.mu.Unlock()
	if offer != nil {
		r.speak(made[0].Payloads[0].ID)
	}
}

// answer is what the client takes of an offer: what both have, or the first of it.
func (p *persona) answer(d rtp.Description) []rtp.PayloadType {
	if p.oneCodec {
		return d.PayloadTypes[:1]
	}
	if p.speaks != "" && d.Media == "audio" {
		return slices.DeleteFunc(slices.Clone(d.PayloadTypes), func(t rtp.PayloadType) bool { return !strings.EqualFold(t.Name, p.speaks) })
	}
	return d.PayloadTypes
}

// accepted takes our answer to its offer.
func (r *peer) accepted(m *jingle.Message) {
	r.t.Helper()
	if r.p.sameMedia && len(m.Contents) != len(r.media) {
		r.t.Errorf("%s ends a call whose answer has %d media in place of %d", r.p.name, len(m.Contents), len(r.media))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	done := make(map[*conn]bool)
	for _, c := range m.Contents {
		for _, own := range r.media {
			if own.Name != c.Name || done[own.conn] {
				continue
			}
			done[own.conn] = true
			r.disarm(own, c.Description.(rtp.Description), false)
			if err := own.conn.group.Accepted(r.transport(c)); err != nil {
				r.t.Fatalf("%s cannot take the answer: %v", r.p.name, err)
			}
		}
	}
	r.speak(r.p.answer(m.Contents[0].Description.(rtp.Description))[0].ID)
}

// trickle sends the candidates that its descriptions did not have, one by one.
func (r *peer) trickle() {
	r.t.Helper()
	done := make(map[*conn]bool)
	for _, m := range r.media {
		if done[m.conn] {
			continue
		}
		done[m.conn] = true
		for _, c := range m.Candidates {
			r.send("candidate", func(s *script) { s.medium, s.C = m, c })
		}
		r.send("gathered", func(s *script) { s.medium = m })
	}
}

// speak says the persona's tone, once there is a transport for it.
func (r *peer) speak(payloadType uint8) {
	r.t.Helper()
	codec := r.p.codec()
	enc, err := codec.NewEncoder(audio.EncoderConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	group := r.media[0].conn.group
	tone := audio.NewTone(theirTone, 0.5)
	r.running.Go(func() {
		select {
		case <-group.Ready():
		case <-r.ctx.Done():
			return
		}
		next := time.NewTimer(0)
		defer next.Stop()
		at := time.Now()
		pcm := make([]float32, audio.FrameSize)
		h := pionrtp.Header{Version: 2, PayloadType: payloadType, SSRC: 101, Marker: true}
		for {
			select {
			case <-next.C:
			case <-r.ctx.Done():
				return
			}
			// What is late is sent all the same, as a sound card would have it.
			at = at.Add(audio.FrameDuration)
			next.Reset(time.Until(at))
			_, _ = tone.Read(pcm)
			if packet, err := enc.Encode(nil, pcm); err == nil {
				_ = group.WriteRTP(&h, packet)
			}
			h.SequenceNumber++
			h.Timestamp += uint32(codec.ClockRate / 50)
			h.Marker = false
		}
	})
}

// wantTone waits until the persona has heard us.
func (r *peer) wantTone() {
	r.t.Helper()
	r.eventually("hears us", func() bool { return r.heard.Load() >= 40 })
}

func (r *peer) eventually(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(ours.Patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("it never holds that %s %s", r.p.name, what)
		}
	}
}
