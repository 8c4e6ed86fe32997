package dtlssrtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// link is one end of a packet connection in memory, with a delay and losses.
type link struct {
	in, out chan []byte
	done    chan struct{} // of this end
	once    sync.Once
	delay   time.Duration
	lose    func(n int) bool
	mu      sync.Mutex
	n       int
	last    []byte
}

func newLink(delay time.Duration, lose func(n int) bool) (a, b *link) {
	x, y := make(chan []byte, 256), make(chan []byte, 256)
	if lose == nil {
		lose = func(int) bool { return false }
	}
	return &link{in: x, out: y, done: make(chan struct{}), delay: delay, lose: lose},
		&link{in: y, out: x, done: make(chan struct{}), delay: delay, lose: lose}
}

func (l *link) Read(b []byte) (int, error) {
	select {
	case p := <-l.in:
		return copy(b, p), nil
	case <-l.done:
		return 0, io.EOF
	}
}

func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if l.lose(l.n) {
		return len(b), nil
	}
	p := append([]byte(nil), b...)
	l.last = p
	// The nanoseconds keep the order.
	time.AfterFunc(l.delay+time.Duration(l.n), func() {
		select {
		case l.out <- p:
		default:
		}
	})
	return len(b), nil
}

func (l *link) Close() error                     { l.once.Do(func() { close(l.done) }); return nil }
func (l *link) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (l *link) RemoteAddr() net.Addr             { return &net.UDPAddr{} }
func (l *link) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (l *link) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (l *link) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func certificate(t *testing.T) *Certificate {
	t.Helper()
	c, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type side struct {
	*Conn
	rtp  []string
	rtcp int
}

// pair secures a link and runs f, all in fake time.
func pair(t *testing.T, la, lb net.Conn, change func(a, b *Config), f func(a, b *side)) (errA, errB error) {
	t.Helper()
	ca, cb := certificate(t), certificate(t)
	a, b := &side{}, &side{}
	cfgA := Config{Certificate: ca, Role: Client, Remote: []ice.Fingerprint{cb.Fingerprint(ice.SetupPassive)}}
	cfgB := Config{Certificate: cb, Role: Server, Remote: []ice.Fingerprint{ca.Fingerprint(ice.SetupActive)}}
	for s, cfg := range map[*side]*Config{a: &cfgA, b: &cfgB} {
		cfg.RTP = func(h *rtp.Header, p []byte, _ time.Time) {
			s.rtp = append(s.rtp, fmt.Sprintf("%d:%d:%s", h.PayloadType, h.SequenceNumber, p))
		}
		cfg.RTCP = func(ps []rtcp.Packet, _ time.Time) { s.rtcp += len(ps) }
	}
	if change != nil {
		change(&cfgA, &cfgB)
	}
	var err error
	if a.Conn, err = New(la, cfgA); err != nil {
		t.Fatal(err)
	}
	if b.Conn, err = New(lb, cfgB); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { errA = a.Run(ctx) })
	wg.Go(func() { errB = b.Run(ctx) })
	f(a, b)
	cancel()
	wg.Wait()
	return errA, errB
}

// settle lets everything that is on its way arrive.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func write(t *testing.T, c *side, pt uint8, seq uint16, payload string) {
	t.Helper()
	h := &rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: uint32(seq) * 960, SSRC: 42}
	if err := c.WriteRTP(h, []byte(payload)); err != nil {
		t.Error(err)
	}
}

func TestRTPAndRTCPGoThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(10*time.Millisecond, nil)
		start := time.Now()
		pair(t, la, lb, nil, func(a, b *side) {
			if err := a.WriteRTP(&rtp.Header{Version: 2}, nil); !errors.Is(err, ErrNotReady) {
				t.Errorf("before the handshake: %v", err)
			}
			<-a.Ready()
			<-b.Ready()
			// Two round trips of 20 ms: no cookie exchange.
			if d := time.Since(start); d > 45*time.Millisecond {
				t.Errorf("the handshake took %v", d)
			}
			write(t, a, 111, 1, "hello")
			write(t, b, 0, 7, strings.Repeat("x", 1200))
			write(t, a, 126, 2, "dtmf")
			if err := a.WriteRTCP(&rtcp.ReceiverReport{SSRC: 42}); err != nil {
				t.Error(err)
			}
			settle()
			if got := fmt.Sprint(b.rtp); got != "[111:1:hello 126:2:dtmf]" {
				t.Errorf("b got %s", got)
			}
			if len(a.rtp) != 1 || b.rtcp != 1 {
				t.Errorf("a got %d RTP, b got %d RTCP", len(a.rtp), b.rtcp)
			}
		})
	})
}

func TestPacketsBeforeOurKeysAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(10*time.Millisecond, nil)
		pair(t, la, lb, nil, func(a, b *side) {
			// The server is done first; what it sends at once arrives together with its last message.
			<-b.Ready()
			write(t, b, 111, 1, "early")
			settle()
			write(t, b, 111, 2, "later")
			settle()
			if got := fmt.Sprint(a.rtp); got != "[111:1:early 111:2:later]" {
				t.Errorf("a got %s", got)
			}
		})
	})
}

func TestHandshakeSurvivesLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(25*time.Millisecond, func(n int) bool { return n%3 == 1 })
		start := time.Now()
		pair(t, la, lb, nil, func(a, b *side) {
			<-a.Ready()
			<-b.Ready()
			if d := time.Since(start); d > 1500*time.Millisecond {
				t.Errorf("with every third packet lost the handshake took %v", d)
			}
		})
	})
}

func TestAnotherCertificateIsRefused(t *testing.T) {
	for _, role := range []Role{Client, Server} {
		synctest.Test(t, func(t *testing.T) {
			la, lb := newLink(time.Millisecond, nil)
			errA, _ := pair(t, la, lb, func(a, b *Config) {
				a.Role, b.Role = role, Client+Server-role
				a.Remote = []ice.Fingerprint{certificate(t).Fingerprint(ice.SetupActive)}
			}, func(a, b *side) {
				time.Sleep(time.Minute)
				select {
				case <-a.Ready():
					t.Error("secured with somebody else")
				default:
				}
			})
			if !errors.Is(errA, ErrFingerprint) {
				t.Errorf("role %v: %v", role, errA)
			}
		})
	}
}

func TestSilentPeerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(0, func(int) bool { return true })
		errA, _ := pair(t, la, lb, nil, func(*side, *side) { time.Sleep(time.Minute) })
		if !errors.Is(errA, errHandshakeTimeout) {
			t.Errorf("%v", errA)
		}
	})
}

func TestPeerSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(time.Millisecond, nil)
		ca, cb := certificate(t), certificate(t)
		a, err := New(la, Config{Certificate: ca, Role: Client, Remote: []ice.Fingerprint{cb.Fingerprint("")}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(lb, Config{Certificate: cb, Role: Server, Remote: []ice.Fingerprint{ca.Fingerprint("")}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, hangUp := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { errs <- a.Run(ctx) }()
		var bErr error
		var wg sync.WaitGroup
		wg.Go(func() { bErr = b.Run(t.Context()) })
		<-a.Ready()
		<-b.Ready()
		hangUp()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("who hangs up: %v", err)
		}
		wg.Wait()
		if bErr != nil {
			t.Errorf("who is hung up on: %v", bErr)
		}
	})
}

func TestRubbishOnTheWireDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(time.Millisecond, nil)
		pair(t, la, lb, nil, func(a, b *side) {
			<-a.Ready()
			<-b.Ready()
			for i := range 300 {
				p := make([]byte, i%40)
				for j := range p {
					p[j] = byte(i*7 + j*13)
				}
				if len(p) > 0 {
					p[0] = byte(i)
				}
				if len(p) > 0 && p[0] >= 20 && p[0] <= 63 {
					continue // an unencrypted DTLS record is the next test's
				}
				_, _ = la.Write(p)
			}
			forged := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 1}, Payload: make([]byte, 40)}
			raw, err := forged.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = la.Write(raw)
			settle()
			if len(b.rtp) != 0 || b.rtcp != 0 {
				t.Errorf("b took %v and %d RTCP", b.rtp, b.rtcp)
			}
			if b.Undecryptable() == 0 {
				t.Error("nothing was counted")
			}
			write(t, a, 111, 1, "still here")
			settle()
			if len(b.rtp) != 1 {
				t.Errorf("b got %v", b.rtp)
			}
		})
	})
}

func TestReplayedPacketsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		la, lb := newLink(time.Millisecond, nil)
		pair(t, la, lb, nil, func(a, b *side) {
			<-a.Ready()
			<-b.Ready()
			write(t, a, 111, 1, "once")
			packet := append([]byte(nil), la.last...)
			settle()
			la.out <- packet
			settle()
			if len(b.rtp) != 1 || b.Undecryptable() != 1 {
				t.Errorf("b got %v, and %d were dropped", b.rtp, b.Undecryptable())
			}
		})
	})
}

func TestFingerprintsThatCannotBeChecked(t *testing.T) {
	good := certificate(t).Fingerprint(ice.SetupActive)
	short := good
	short.Value = good.Value[:20]
	weak := ice.Fingerprint{Hash: "sha-1", Value: strings.Repeat("AA:", 19) + "AA"}
	for name, fs := range map[string][]ice.Fingerprint{"none": nil, "short": {short}, "sha-1": {weak}} {
		if err := CheckFingerprints(fs); !errors.Is(err, ErrNoFingerprint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckFingerprints([]ice.Fingerprint{weak, good}); err != nil {
		t.Error(err)
	}
}

func TestSetups(t *testing.T) {
	for _, c := range []struct {
		offer  ice.Setup
		answer ice.Setup
		role   Role
	}{{ice.SetupActpass, ice.SetupActive, Client}, {ice.SetupPassive, ice.SetupActive, Client},
		{ice.SetupActive, ice.SetupPassive, Server}, {"", ice.SetupActive, Client}} {
		s, r, err := Answer(c.offer)
		if err != nil || s != c.answer || r != c.role {
			t.Errorf("%q is answered with %q, %v, %v", c.offer, s, r, err)
		}
	}
	if _, _, err := Answer(ice.SetupHoldconn); !errors.Is(err, ErrSetup) {
		t.Errorf("holdconn: %v", err)
	}
	for setup, want := range map[ice.Setup]Role{ice.SetupActive: Server, ice.SetupPassive: Client, ice.SetupActpass: Server} {
		if r, err := Answered(setup); err != nil || r != want {
			t.Errorf("answered %q: %v, %v", setup, r, err)
		}
	}
	if _, err := Answered("nonsense"); !errors.Is(err, ErrSetup) {
		t.Error("nonsense is fine")
	}
}
