package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
)

// Gateway is a router as UPnP has it; the clients of goupnp are.
type Gateway interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string, internalPort uint16,
		internalClient string, enabled bool, description string, leaseDuration uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, externalPort uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetServiceClient() *goupnp.ServiceClient
}

// search looks for routers in the local network.
func search(ctx context.Context) ([]Gateway, error) {
	var out []Gateway
	ones, _, err := internetgateway2.NewWANIPConnection1ClientsCtx(ctx)
	for _, c := range ones {
		out = append(out, c)
	}
	twos, _, err2 := internetgateway2.NewWANIPConnection2ClientsCtx(ctx)
	for _, c := range twos {
		out = append(out, c)
	}
	return out, errors.Join(err, err2)
}

func byUPnP(ctx context.Context, cfg *Config, port uint16) (*mapping, error) {
	gateways, err := cfg.Gateways(ctx)
	failures := []error{err}
	for _, g := range gateways {
		m, err := byGateway(ctx, g, cfg, port)
		if err == nil {
			return m, nil
		}
		failures = append(failures, err)
	}
	if len(gateways) == 0 {
		failures = append(failures, errors.New("nobody answers"))
	}
	return nil, fmt.Errorf("UPnP: %w", errors.Join(failures...))
}

func byGateway(ctx context.Context, g Gateway, cfg *Config, port uint16) (*mapping, error) {
	local, err := facing(g.GetServiceClient().Location.Host)
	if err != nil {
		return nil, err
	}
	text, err := g.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("the router's address: %w", err)
	}
	lease := uint32(cfg.Lifetime.Seconds())
	err = g.AddPortMappingCtx(ctx, "", port, "TCP", port, local.String(), true, "jingled", lease)
	if err != nil {
		// Some routers know mappings for ever only.
		err = g.AddPortMappingCtx(ctx, "", port, "TCP", port, local.String(), true, "jingled", 0)
	}
	if err != nil {
		return nil, err
	}
	return &mapping{netip.AddrPortFrom(ip, port), cfg.Lifetime, func(ctx context.Context) error {
		return g.DeletePortMappingCtx(ctx, "", port, "TCP")
	}}, nil
}

// facing returns our address towards a host. Who answers a search of the local network and is not in it is no router of ours.
func facing(host string) (netip.Addr, error) {
	to, err := netip.ParseAddrPort(host)
	if err != nil {
		if ip, e := netip.ParseAddr(host); e == nil {
			to, err = netip.AddrPortFrom(ip, 80), nil
		}
	}
	if err != nil || !to.Addr().IsPrivate() && !to.Addr().IsLoopback() && !to.Addr().IsLinkLocalUnicast() {
		return netip.Addr{}, fmt.Errorf("the router %q is not in the local network", host)
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // sends nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
