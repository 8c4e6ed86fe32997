package main

import (
	"context"
	"crypto/md5"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"

	"github.com/jingled/jingled/relay/offload"
	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/turn"
)

// What every server under test is set up with.
const (
	user     = "load"
	password = "generator"
	realm    = "bench.invalid"
)

// serve is one of our own servers under test, in a process of its own. It prints a line when it is ready and ends with SIGTERM.
func serve(args []string) error {
	if len(args) == 0 {
		return errors.New("which server?")
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:3478", "address")
	coalesce := fs.Duration("coalesce", 0, "coalescing time of our relay")
	profile := fs.String("profile", "", "CPU profile to write")
	kernel := fs.String("offload", "", "offload of our relay: tc or xdp")
	clients := fs.String("clients", "", "forward: the clients' prefix and port")
	peers := fs.String("peers", "", "forward: the peers' prefix and port")
	sockets := fs.Int("sockets", 1, "forward: sockets to the peers")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	switch args[0] {
	case "relay":
		return serveRelay(ctx, at, *coalesce, *kernel)
	case "pion":
		return servePion(ctx, at)
	case "forward":
		return forward(ctx, at, *clients, *peers, *sockets)
	}
	return fmt.Errorf("no server %q", args[0])
}

func ready() { fmt.Fprintln(os.Stdout, "ready") }

// oneUser is the authenticator of our relay.
type oneUser struct{ key [16]byte }

func (u oneUser) Authenticate(r turn.AuthRequest) (turn.Credential, error) {
	if r.Username != user {
		return turn.Credential{}, errors.New("unknown user")
	}
	return turn.Credential{Key: u.key[:], User: user}, nil
}

func (oneUser) Failed(turn.AuthRequest) {}

func serveRelay(ctx context.Context, at netip.AddrPort, coalesce time.Duration, kernel string) error {
	// Peers on loopback are refused unless the operator names them, as here.
	peers, err := policy.New(policy.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), vethPeers}})
	if err != nil {
		return err
	}
	cfg := turn.Config{
		Listeners: []turn.Listener{{Transport: udp, Address: at}, {Transport: tcp, Address: at}},
		Settings: turn.Settings{
			Realm: realm, Peers: peers, NoSHA256: true,
			Auth: oneUser{md5.Sum([]byte(user + ":" + realm + ":" + password))},
		},
		Coalesce: coalesce, MaxStreamsPerAddress: 1 << 16,
	}
	failed := make(chan error, 1)
	if kernel != "" {
		cfg.Offload = func(addrs []netip.Addr) (turn.Offloader, error) {
			dev, err := offload.Open(offload.Config{Mode: kernel, Addresses: addrs})
			failed <- err
			return dev, err
		}
	}
	cfg.Loops = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(cfg.Loops + turn.Loops(cfg))
	srv, err := turn.New(cfg)
	if err != nil {
		return err
	}
	go func() {
		<-srv.Ready()
		if kernel != "" {
			if err := <-failed; err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
		}
		ready()
	}()
	return srv.Run(ctx)
}

const (
	udp turn.Transport = iota
	tcp
)

// servePion is pion/turn with nothing added.
func servePion(ctx context.Context, at netip.AddrPort) error {
	key := pion.GenerateAuthKey(user, realm, password)
	pc, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		pc.Close()
		return err
	}
	gen := &pion.RelayAddressGeneratorStatic{RelayAddress: at.Addr().AsSlice(), Address: at.Addr().String()}
	lf := logging.NewDefaultLoggerFactory()
	lf.DefaultLogLevel = logging.LogLevelDisabled
	srv, err := pion.NewServer(pion.ServerConfig{
		Realm: realm, LoggerFactory: lf,
		AuthHandler: func(r *pion.RequestAttributes) (string, []byte, bool) {
			return r.Username, key, r.Username == user
		},
		PacketConnConfigs: []pion.PacketConnConfig{{PacketConn: pc, RelayAddressGenerator: gen}},
		ListenerConfigs:   []pion.ListenerConfig{{Listener: l, RelayAddressGenerator: gen}},
	})
	if err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return srv.Close()
}
