package transfers

import (
	"net"
	"net/netip"

	"github.com/jingled/jingled/jingle"
)

// NetworkChanged has transfers whose connection is from an address that this machine does not have any more break off, so that
// they go on by another connection. TCP itself would send to nowhere for a quarter of an hour.
func (m *Manager) NetworkChanged() {
	ours, err := addresses()
	if err != nil {
		return // StallTimeout sees to it
	}
	for _, t := range m.Active() {
		t.post(func() { t.leave(ours) })
	}
}

func addresses() (map[netip.Addr]bool, error) {
	list, err := net.InterfaceAddrs()
	out := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out[p.Addr().Unmap().WithZone("")] = true
		}
	}
	return out, err
}

// leave breaks off what is under way from an address that is none of ours.
func (t *Transfer) leave(ours map[netip.Addr]bool) {
	c, ok := t.conn.(*net.TCPConn)
	if !ok || t.finished || t.copying == nil && !t.draining {
		return
	}
	local, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	if a := local.AddrPort().Addr().Unmap().WithZone(""); a.IsLoopback() || ours[a] {
		return
	}
	t.fail(&jingle.Reason{Condition: jingle.ConnectivityError, Text: "The network has changed."}, nil)
}
