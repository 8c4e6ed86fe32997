//go:build linux && (amd64 || arm64 || riscv64 || loong64)

package offload

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/turn"
)

//go:embed turn.o
var object []byte

const (
	defaultAllocations = 1 << 16
	routesPerSlot      = 8
)

// key and route are struct key and struct route of turn.c.
type key struct {
	Remote, Local [16]byte
	RPort, LPort  [2]byte
	Channel       [2]byte
	Family        uint16
}

type route struct {
	Src, Dst     [16]byte
	SPort, DPort [2]byte
	Channel      [2]byte
	_            [2]byte
	Slot         uint32
	_            uint32
	Expires      uint64
}

// kernel is the offloader.
type kernel struct {
	log     *slog.Logger
	objects *ebpf.Collection
	links   []link.Link
	routes  *ebpf.Map
	used    *ebpf.Map
	granted *ebpf.Map

	mu    sync.Mutex // guards what follows
	slots uint32
	high  uint32 // slots that were ever used
	free  []uint32
}

// Open loads the program and attaches it.
func Open(cfg Config) (turn.Offloader, error) {
	if cfg.Mode != TC && cfg.Mode != XDP {
		return nil, fmt.Errorf("%w: mode %q is none of tc, xdp", ErrConfig, cfg.Mode)
	}
	if cfg.Allocations <= 0 {
		cfg.Allocations = defaultAllocations
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ifs, err := interfaces(&cfg)
	if err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("offload: the embedded object: %w", err)
	}
	n := uint32(min(cfg.Allocations, math.MaxUint32/routesPerSlot))
	spec.Maps["routes"].MaxEntries = n * routesPerSlot
	spec.Maps["used"].MaxEntries, spec.Maps["granted"].MaxEntries = n, n
	// Only the program that is attached must pass the kernel's verifier.
	program := "turn_" + cfg.Mode
	for name := range spec.Programs {
		if name != program {
			delete(spec.Programs, name)
		}
	}
	objects, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, explain(fmt.Errorf("loading the program: %w", err))
	}
	k := &kernel{
		log: cfg.Logger, objects: objects, slots: n,
		routes: objects.Maps["routes"], used: objects.Maps["used"], granted: objects.Maps["granted"],
	}
	for _, i := range ifs {
		if err := objects.Maps["ports"].Put(uint32(i.index), uint32(1)); err != nil {
			k.Close()
			return nil, explain(err)
		}
		if err := k.attach(cfg.Mode, objects.Programs[program], i); err != nil {
			k.Close()
			return nil, explain(fmt.Errorf("attaching to %s: %w", i.name, err))
		}
	}
	return k, nil
}

// explain says whose fault an error is.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !isVerifier(err):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS), isVerifier(err):
		return fmt.Errorf("%w (tc needs Linux 6.6, xdp 5.18): %w", ErrUnsupported, err)
	}
	return fmt.Errorf("offload: %w", err)
}

func isVerifier(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v)
}

func (k *kernel) attach(mode string, p *ebpf.Program, i device) error {
	if mode == TC {
		l, err := link.AttachTCX(link.TCXOptions{Interface: i.index, Program: p, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			k.links = append(k.links, l)
			k.log.Info("channels are offloaded", "mode", mode, "interface", i.name)
		}
		return err
	}
	// A virtual interface in driver mode drops silently what the other end is not prepared for.
	how := "generic"
	flags := link.XDPGenericMode
	if i.physical {
		how, flags = "driver", link.XDPDriverMode
	}
	l, err := link.AttachXDP(link.XDPOptions{Interface: i.index, Program: p, Flags: flags})
	if err != nil && i.physical {
		k.log.Info("the driver has no XDP, trying generic mode", "interface", i.name, "err", err)
		how = "generic"
		l, err = link.AttachXDP(link.XDPOptions{Interface: i.index, Program: p, Flags: link.XDPGenericMode})
	}
	if err == nil {
		k.links = append(k.links, l)
		k.log.Info("channels are offloaded", "mode", mode, "how", how, "interface", i.name)
	}
	return err
}

// Acquire takes a slot.
func (k *kernel) Acquire() (uint32, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var slot uint32
	switch {
	case len(k.free) > 0:
		slot = k.free[len(k.free)-1]
		k.free = k.free[:len(k.free)-1]
	case k.high < k.slots:
		slot = k.high
		k.high++
	default:
		return 0, false
	}
	if k.granted.Put(slot, [2]uint64{}) != nil || k.used.Put(slot, turn.OffloadUsage{}) != nil {
		k.free = append(k.free, slot)
		return 0, false
	}
	return slot, true
}

// Release gives a slot back.
func (k *kernel) Release(slot uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, slot)
}

// Put adds or renews the two routes of a shortcut.
func (k *kernel) Put(slot uint32, s turn.Shortcut) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	at := func(t time.Time) uint64 { return uint64(max(0, now.Nano()+int64(time.Until(t)))) }
	c2p, p2c := keys(s)
	toPeer := route{Slot: slot, Expires: at(s.ToPeer)}
	toPeer.Src, toPeer.SPort = raw(s.Relay)
	toPeer.Dst, toPeer.DPort = raw(s.Peer)
	toClient := route{Slot: slot, Expires: at(s.ToClient), Channel: c2p.Channel}
	toClient.Src, toClient.SPort = raw(s.Server)
	toClient.Dst, toClient.DPort = raw(s.Client)
	if err := k.routes.Put(c2p, toPeer); err != nil {
		return err
	}
	if err := k.routes.Put(p2c, toClient); err != nil {
		_ = k.routes.Delete(c2p)
		return err
	}
	return nil
}

// Remove takes the two routes away.
func (k *kernel) Remove(s turn.Shortcut) {
	c2p, p2c := keys(s)
	_ = k.routes.Delete(c2p) // it may not be there
	_ = k.routes.Delete(p2c)
}

func keys(s turn.Shortcut) (c2p, p2c key) {
	family := uint16(unix.AF_INET)
	if s.Client.Addr().Is6() {
		family = unix.AF_INET6
	}
	c2p.Family, p2c.Family = family, family
	c2p.Remote, c2p.RPort = raw(s.Client)
	c2p.Local, c2p.LPort = raw(s.Server)
	c2p.Channel = [2]byte{byte(s.Channel >> 8), byte(s.Channel)}
	p2c.Remote, p2c.RPort = raw(s.Peer)
	p2c.Local, p2c.LPort = raw(s.Relay)
	return c2p, p2c
}

// raw is an address as packets have it, IPv4 in front, and a port.
func raw(a netip.AddrPort) (addr [16]byte, port [2]byte) {
	copy(addr[:], a.Addr().AsSlice())
	return addr, [2]byte{byte(a.Port() >> 8), byte(a.Port())}
}

// Grant says how much a slot may relay.
func (k *kernel) Grant(slot uint32, bytes [2]uint64) {
	if err := k.granted.Put(slot, bytes); err != nil {
		k.log.Warn("a limit could not be passed to the kernel", "err", err)
	}
}

// Used reads a slot's counters.
func (k *kernel) Used(slot uint32) (u turn.OffloadUsage) {
	if err := k.used.Lookup(slot, &u); err != nil {
		k.log.Warn("a counter could not be read from the kernel", "err", err)
	}
	return u
}

// Snapshot reads the counters of all slots that were ever used.
func (k *kernel) Snapshot(into []turn.OffloadUsage) []turn.OffloadUsage {
	k.mu.Lock()
	n := int(k.high)
	k.mu.Unlock()
	if cap(into) < n {
		into = make([]turn.OffloadUsage, n+n/2)
	}
	into = into[:n]
	if n == 0 {
		return into
	}
	var cursor ebpf.MapBatchCursor
	indices := make([]uint32, n)
	got, err := k.used.BatchLookup(&cursor, indices, into, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		k.log.Warn("counters could not be read from the kernel", "err", err)
		return into[:0]
	}
	return into[:got]
}

// Close detaches the program. What was relayed by it comes to the sockets.
func (k *kernel) Close() error {
	var err error
	for _, l := range k.links {
		err = errors.Join(err, l.Close())
	}
	k.objects.Close()
	return err
}
