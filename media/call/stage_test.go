package call_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/transport/v4/vnet"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/internal/pionlog"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

// stage joins two engines by a wire that carries XML in order, and two machines by a network of 10 ms there and back, all
// in fake time.
type stage struct {
	t       *testing.T
	engines map[jid.JID]*engine.Engine
	// tamper, if set, changes what a side sends; nil drops it with success.
	tamper func(from jid.JID, m *jingle.Message) *jingle.Message
	mu     sync.Mutex
	log    []string
	wg     sync.WaitGroup
	router *vnet.Router
	hosts  int
	pipes  map[jid.JID]chan func()
	calls  sync.WaitGroup
}

type signaler struct {
	s    *stage
	self jid.JID
}

func (g signaler) Send(to jid.JID, m *jingle.Message, done func(error)) {
	s := g.s
	if s.tamper != nil {
		if m = s.tamper(g.self, m); m == nil {
			go done(nil)
			return
		}
	}
	text := m.Element().String()
	s.mu.Lock()
	name := string(m.Action)
	if m.Action == jingle.SessionInfo && len(m.Info) > 0 {
		name += ":" + m.Info[0].Element().Name.Local
	}
	s.log = append(s.log, g.self.Local()+" "+name)
	s.mu.Unlock()
	s.pipes[g.self] <- func() {
		x, err := xmltree.Parse([]byte(text), xmltree.Limits{})
		if err != nil {
			s.t.Error(err)
			return
		}
		s.engines[to].Receive(g.self, x, func(se *jingle.StanzaError) {
			s.pipes[to] <- func() {
				if se != nil {
					done(se)
				} else {
					done(nil)
				}
			}
		})
	}
}

// sent tells whether a side has sent such an action.
func (s *stage) sent(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.log, line)
}

func newStage(t *testing.T, incoming func(*engine.Session, *jingle.Message) (engine.Application, error)) *stage {
	t.Helper()
	router, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "192.0.2.0/24", MinDelay: 5 * time.Millisecond, LoggerFactory: pionlog.Factory(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, router: router, engines: map[jid.JID]*engine.Engine{}, pipes: map[jid.JID]chan func(){}}
	ctx, cancel := context.WithCancel(context.Background())
	quit := make(chan struct{})
	var running sync.WaitGroup
	for _, self := range []jid.JID{romeo, juliet} {
		s.pipes[self] = make(chan func(), 1000)
	}
	for _, self := range []jid.JID{romeo, juliet} {
		s.wg.Go(func() {
			for {
				select {
				case f := <-s.pipes[self]:
					f()
				case <-quit:
					return
				}
			}
		})
		var reg jingle.Registry
		call.Register(&reg)
		e, err := engine.New(engine.Config{
			Local: func() jid.JID { return self }, Signaler: signaler{s, self}, Registry: &reg, Incoming: incoming,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.engines[self] = e
		running.Go(func() { _ = e.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		s.calls.Wait()
		close(quit)
		s.wg.Wait()
		if err := router.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// host adds a machine to the network.
func (s *stage) host() *vnet.Net {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts++
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("192.0.2.%d", s.hosts)}})
	if err == nil {
		err = s.router.AddNet(n)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// carrier is a machine's network with what it hangs on.
type carrier struct {
	*vnet.Net
	router *vnet.Router
}

// user watches one call.
type user struct {
	t      *testing.T
	mu     sync.Mutex
	events []call.Event
	news   chan struct{}
}

func newUser(t *testing.T) *user { return &user{t: t, news: make(chan struct{}, 1000)} }

func (u *user) notify(e call.Event) {
	u.mu.Lock()
	u.events = append(u.events, e)
	u.mu.Unlock()
	u.news <- struct{}{}
}

func (u *user) config(s *stage, change func(*call.Config)) call.Config {
	u.t.Helper()
	cert, err := dtlssrtp.NewCertificate()
	if err != nil {
		u.t.Fatal(err)
	}
	cfg := call.Config{
		Certificate: cert, ICE: agent.Config{Net: &carrier{s.host(), s.router}}, Notify: u.notify, Go: func(f func()) { s.calls.Go(f) },
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func await[E call.Event](u *user) E {
	u.t.Helper()
	return awaitThat(u, func(E) bool { return true })
}

func awaitThat[E call.Event](u *user, is func(E) bool) E {
	u.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		u.mu.Lock()
		for _, e := range u.events {
			if e, ok := e.(E); ok && is(e) {
				u.mu.Unlock()
				return e
			}
		}
		u.mu.Unlock()
		select {
		case <-u.news:
		case <-deadline:
			var e E
			u.mu.Lock()
			defer u.mu.Unlock()
			u.t.Fatalf("no %T among %+v", e, u.events)
		}
	}
}

// calls sets up a stage on which romeo calls juliet; juliet's phone is handed to her as it rings.
type scene struct {
	*stage
	romeo, juliet *user
	phone         chan *call.Call
	out           *call.Call
	dir           string
}

func ring(t *testing.T, changeRomeo, changeJuliet func(*call.Config), tamper func(jid.JID, *jingle.Message) *jingle.Message) *scene {
	t.Helper()
	sc := &scene{romeo: newUser(t), juliet: newUser(t), phone: make(chan *call.Call, 1), dir: t.TempDir()}
	var cfg call.Config
	sc.stage = newStage(t, func(s *engine.Session, m *jingle.Message) (engine.Application, error) {
		c, err := call.PickUp(s, m, cfg)
		if err != nil {
			return nil, err
		}
		c.Ring()
		sc.phone <- c
		return c, nil
	})
	sc.tamper = tamper
	cfg = sc.juliet.config(sc.stage, changeJuliet)
	source, err := audio.Open("tone:440")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := audio.Create(filepath.Join(sc.dir, "romeo.wav"))
	if err != nil {
		t.Fatal(err)
	}
	sc.out, err = call.Dial(sc.engines[romeo], juliet, "", sc.romeo.config(sc.stage, changeRomeo), source, sink)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func (sc *scene) answer(t *testing.T) *call.Call {
	t.Helper()
	source, err := audio.Open("tone:1000")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := audio.Create(filepath.Join(sc.dir, "juliet.ogg"))
	if err != nil {
		t.Fatal(err)
	}
	in := <-sc.phone
	in.Answer(source, sink)
	return in
}

func heard(t *testing.T, path string, freq float64) {
	t.Helper()
	src, err := audio.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer src.Close()
	best, buf := 0.0, make([]float32, audio.FrameSize*5)
	for {
		n, err := src.Read(buf)
		if n == len(buf) {
			best = max(best, audio.Share(buf, audio.SampleRate, freq))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
	if best < 0.95 {
		t.Errorf("%s: %.0f Hz has at most the share %.3f", filepath.Base(path), freq, best)
	}
}
