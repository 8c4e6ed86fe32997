package datachannel_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/filetransfer/datachannel"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// host is the session of one side: a goroutine that runs what is posted.
type host struct {
	t         testing.TB
	tr        engine.Transport
	peer      func(jingle.Payload)
	mu        sync.Mutex
	queue     []func()
	wake      chan struct{}
	quit      chan struct{}
	done      chan struct{}
	connected chan io.ReadWriteCloser
	failed    chan error
}

func newHost(t testing.TB, f engine.TransportFactory, role jingle.Role) *host {
	t.Helper()
	h := &host{t: t, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		connected: make(chan io.ReadWriteCloser, 1), failed: make(chan error, 1)}
	var err error
	h.tr, err = f.New(engine.TransportConfig{SID: "s", Local: romeo, Peer: juliet, Role: role, Offerer: role == jingle.Initiator, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.done)
		for {
			h.mu.Lock()
			q := h.queue
			h.queue = nil
			h.mu.Unlock()
			for _, f := range q {
				f()
			}
			select {
			case <-h.wake:
			case <-h.quit:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(h.quit)
		<-h.done
		h.tr.Close()
		select {
		case c := <-h.connected:
			_ = c.Close()
		default:
		}
	})
	return h
}

func (h *host) Post(f func()) {
	h.mu.Lock()
	h.queue = append(h.queue, f)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// do runs f on the session's goroutine and waits for it.
func (h *host) do(f func() error) {
	h.t.Helper()
	done := make(chan error, 1)
	h.Post(func() { done <- f() })
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) SendInfo(p jingle.Payload)      { h.Post(func() { h.peer(p) }) }
func (h *host) Connected(c io.ReadWriteCloser) { h.connected <- c }
func (h *host) Failed(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

func (h *host) conn() io.ReadWriteCloser {
	h.t.Helper()
	select {
	case c := <-h.connected:
		h.t.Cleanup(func() { _ = c.Close() })
		return c
	case err := <-h.failed:
		h.t.Fatal(err)
	case <-time.After(20 * time.Second):
		h.t.Fatal("not connected in 20 s")
	}
	return nil
}

// wire writes a payload as XML and reads it again.
func wire(t testing.TB, p jingle.Payload) jingle.Payload {
	t.Helper()
	e, err := xmltree.Parse(p.Element().AppendXML(nil, ""), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var out jingle.Payload
	if e.Name.Space == ice.NSDataChannel {
		out, err = ice.ParseDataChannel(e)
	} else {
		out, err = ice.ParseTransport(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func factory(t testing.TB, form datachannel.Form, tune func(*datachannel.Config)) *datachannel.Factory {
	t.Helper()
	cert, err := dtlssrtp.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	cfg := datachannel.Config{Form: form, Certificate: cert,
		ICE: func(jid.JID) agent.Config { return agent.Config{LoopbackOnly: true} }}
	if tune != nil {
		tune(&cfg)
	}
	f, err := datachannel.NewFactory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pair connects two transports. tamper may change the answer.
func pair(t testing.TB, f, g *datachannel.Factory, tamper func(jingle.Payload) jingle.Payload) (a, b *host) {
	t.Helper()
	a, b = newHost(t, f, jingle.Initiator), newHost(t, g, jingle.Responder)
	a.peer = func(p jingle.Payload) { q := wire(t, p); b.Post(func() { _ = b.tr.Info(q) }) }
	b.peer = func(p jingle.Payload) { q := wire(t, p); a.Post(func() { _ = a.tr.Info(q) }) }
	var offer, answer jingle.Payload
	a.do(func() (err error) { offer, err = a.tr.Offer(); return err })
	offer = wire(t, offer)
	b.do(func() (err error) { answer, err = b.tr.Answer(offer); return err })
	answer = wire(t, answer)
	if tamper != nil {
		answer = tamper(answer)
	}
	a.do(func() error { return a.tr.Accepted(answer) })
	b.do(func() error { b.tr.Start(); return nil })
	a.do(func() error { a.tr.Start(); return nil })
	return a, b
}

func TestBothForms(t *testing.T) {
	for name, form := range map[string]datachannel.Form{"own": datachannel.Own, "sctpmap": datachannel.SCTPMap} {
		t.Run(name, func(t *testing.T) {
			f := factory(t, form, nil)
			if want := map[datachannel.Form]string{datachannel.Own: ice.NSDataChannel, datachannel.SCTPMap: ice.NSUDP}[form]; f.NS() != want {
				t.Errorf("namespace %s", f.NS())
			}
			a, b := pair(t, f, factory(t, form, nil), nil)
			x, y := a.conn(), b.conn()
			for _, d := range [][2]io.ReadWriteCloser{{x, y}, {y, x}} { // each direction has its channel
				data := make([]byte, 3<<20+17)
				_, _ = rand.Read(data)
				sent := make(chan error, 1)
				go func() { _, err := d[0].Write(data); sent <- err }()
				got := make([]byte, len(data))
				if _, err := io.ReadFull(d[1], got); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%v, equal: %v", err, bytes.Equal(got, data))
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
			}
			_ = x.Close()
			if n, err := y.Read(make([]byte, 10)); n != 0 || err == nil {
				t.Errorf("after the end: %d, %v", n, err)
			}
			if _, err := x.Write([]byte("x")); err == nil {
				t.Error("written after Close")
			}
		})
	}
}

func TestWrongFingerprint(t *testing.T) {
	a, b := pair(t, factory(t, datachannel.Own, nil), factory(t, datachannel.Own, nil), func(p jingle.Payload) jingle.Payload {
		d := p.(ice.DataChannel)
		fp := d.ICE.Fingerprints[0]
		d.ICE.Fingerprints[0] = ice.NewFingerprint("sha-256", fp.Setup, make([]byte, 32))
		return d
	})
	for name, h := range map[string]*host{"the one who checks": a, "the one who is not believed": b} {
		select {
		case err := <-h.failed:
			if name == "the one who checks" && !errors.Is(err, dtlssrtp.ErrFingerprint) {
				t.Errorf("%s: %v", name, err)
			}
		case <-h.connected:
			t.Errorf("%s: connected", name)
		case <-time.After(25 * time.Second):
			t.Errorf("%s: nothing happens", name)
		}
	}
}

func TestRefused(t *testing.T) {
	good := ice.Transport{Ufrag: "abcd", Pwd: "0123456789012345678901"}
	f := ice.NewFingerprint("sha-256", ice.SetupActpass, make([]byte, 32))
	withFP := good
	withFP.Fingerprints = []ice.Fingerprint{f}
	noCredentials := withFP
	noCredentials.Pwd = ""
	for name, c := range map[string]struct {
		form datachannel.Form
		p    jingle.Payload
	}{
		"no ICE":         {datachannel.Own, ice.DataChannel{SCTPPort: 5000}},
		"no fingerprint": {datachannel.Own, ice.DataChannel{SCTPPort: 5000, ICE: &good}},
		"no password":    {datachannel.Own, ice.DataChannel{SCTPPort: 5000, ICE: &noCredentials}},
		"another form":   {datachannel.Own, withFP},
		"no sctpmap":     {datachannel.SCTPMap, withFP},
		"own form":       {datachannel.SCTPMap, ice.DataChannel{SCTPPort: 5000, ICE: &withFP}},
	} {
		h := newHost(t, factory(t, c.form, nil), jingle.Responder)
		h.peer = func(jingle.Payload) {}
		h.do(func() error {
			if p, err := h.tr.Answer(c.p); err == nil {
				t.Errorf("%s: answered with %+v", name, p)
			}
			return nil
		})
	}
}

// TestCloseWhileConnecting looks for what is left of attempts that are given up at any time.
func TestCloseWhileConnecting(t *testing.T) {
	for range 5 {
		a, b := pair(t, factory(t, datachannel.Own, nil), factory(t, datachannel.Own, nil), nil)
		a.do(func() error { a.tr.Close(); return nil })
		b.do(func() error { b.tr.Close(); return nil })
	}
}
