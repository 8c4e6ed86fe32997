//go:build linux && (amd64 || arm64 || riscv64 || loong64)

package offload

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
)

// device is an interface to attach to.
type device struct {
	name     string
	index    int
	physical bool
}

// interfaces finds those that are named, or hold one of the addresses, and checks that they can serve.
func interfaces(cfg *Config) ([]device, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("offload: cannot list interfaces: %w", err)
	}
	var out []device
	missing := slices.Clone(cfg.Interfaces)
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("offload: cannot list the addresses of %s: %w", i.Name, err)
		}
		var v4, v6, ours bool
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || !slices.Contains(cfg.Addresses, p.Addr().Unmap()) {
				continue
			}
			ours = true
			if p.Addr().Is4() {
				v4 = true
			} else {
				v6 = true
			}
		}
		if len(cfg.Interfaces) > 0 {
			ours = slices.Contains(cfg.Interfaces, i.Name)
			missing = slices.DeleteFunc(missing, func(s string) bool { return s == i.Name })
		} else if i.Flags&net.FlagLoopback != 0 {
			continue // all its traffic is local
		}
		if !ours {
			continue
		}
		if len(i.HardwareAddr) != 6 || i.Flags&net.FlagLoopback != 0 {
			return nil, fmt.Errorf("%w: %s is no Ethernet interface", ErrConfig, i.Name)
		}
		if err := forwarding(i.Name, v4, v6); err != nil {
			return nil, err
		}
		_, err = os.Stat("/sys/class/net/" + i.Name + "/device")
		out = append(out, device{name: i.Name, index: i.Index, physical: err == nil})
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: no interface %q", ErrConfig, missing[0])
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no Ethernet interface holds any of %v", ErrConfig, cfg.Addresses)
	}
	return out, nil
}

// forwarding checks what the kernel asks for before it tells a program the next hop.
func forwarding(name string, v4, v6 bool) error {
	for family, needed := range map[string]bool{"ipv4": v4, "ipv6": v6} {
		if !needed {
			continue
		}
		b, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + name + "/forwarding")
		if err != nil || string(bytes.TrimSpace(b)) == "0" {
			return fmt.Errorf("%w: set net.%s.conf.%s.forwarding = 1, with a firewall that forwards nothing: without it the kernel tells no next hops",
				ErrConfig, family, name)
		}
	}
	return nil
}
