//go:build !linux

package portmap

import (
	"errors"
	"net/netip"
)

// router is not known here; UPnP finds it by itself.
func router() (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.New("the router is not known on this system")
}
