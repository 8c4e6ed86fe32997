package offload

import (
	"errors"
	"log/slog"
	"net/netip"
)

// The modes.
const (
	// TC attaches behind the kernel's own packet buffers, to any Ethernet interface.
	TC = "tc"
	// XDP attaches to the driver of a network card; on virtual interfaces, or where the driver cannot, right behind it.
	XDP = "xdp"
)

// Config makes an offloader.
type Config struct {
	// Mode is TC or XDP.
	Mode string
	// Interfaces by name: packets are taken from them and sent by them, in any combination. Empty: those that hold Addresses.
	Interfaces []string
	// Addresses of listeners and relays.
	Addresses []netip.Addr
	// Allocations that may be offloaded at once, default 65536; more are relayed by the sockets. Each channel takes
	// two routes, and there is room for four channels per allocation on average.
	Allocations int
	// Logger, nil discards.
	Logger *slog.Logger
}

// Why there is no offloading.
var (
	// ErrUnsupported: this system or its kernel cannot do it.
	ErrUnsupported = errors.New("offload: this system cannot relay in the kernel")
	// ErrPermission: the process may not load programs into the kernel.
	ErrPermission = errors.New("offload: needs root, or CAP_BPF and CAP_NET_ADMIN")
	// ErrConfig: the configuration cannot work.
	ErrConfig = errors.New("offload: bad configuration")
)
