package portmap

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
)

// router returns the gateway of the default route.
func router() (netip.AddrPort, error) {
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return parseRoutes(string(b))
}

func parseRoutes(text string) (netip.AddrPort, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "00000000" {
			continue
		}
		// As the machine has it in memory: the first byte is the last.
		if ip, err := hex.DecodeString(f[2]); err == nil && len(ip) == 4 && f[2] != "00000000" {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{ip[3], ip[2], ip[1], ip[0]}), routerPort), nil
		}
	}
	return netip.AddrPort{}, errors.New("there is no default route")
}
