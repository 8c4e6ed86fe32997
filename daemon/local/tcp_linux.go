package local

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// checkTCP asks the kernel whose socket is at the other end of a connection over the loopback. Root may connect as well:
// it could anyway.
func checkTCP(c *net.TCPConn) error {
	remote, errRemote := netip.ParseAddrPort(c.RemoteAddr().String())
	local, errLocal := netip.ParseAddrPort(c.LocalAddr().String())
	if err := errors.Join(errRemote, errLocal); err != nil {
		return err
	}
	for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return err
		}
		uid, found, err := owner(f, remote, local)
		_ = f.Close()
		if err != nil {
			return err
		}
		if found {
			if uid != 0 && uid != os.Getuid() {
				return fmt.Errorf("it is of the user %d", uid)
			}
			return nil
		}
	}
	return errors.New("nobody on this machine has the other end")
}

// owner finds the user of the established socket from one address to another in a table as proc(5) describes it.
func owner(table io.Reader, from, to netip.AddrPort) (uid int, found bool, err error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid ...
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[3] != "01" {
			continue
		}
		if same(f[1], from) && same(f[2], to) {
			uid, err = strconv.Atoi(f[7])
			return uid, true, err
		}
	}
	return 0, false, lines.Err()
}

// same compares an address with its form in the table: 32-bit words in the machine's byte order, and a port.
func same(text string, want netip.AddrPort) bool {
	host, port, ok := strings.Cut(text, ":")
	if !ok {
		return false
	}
	if n, err := strconv.ParseUint(port, 16, 16); err != nil || n != uint64(want.Port()) {
		return false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return false
	}
	if littleEndian {
		for word := range slices.Chunk(b, 4) {
			slices.Reverse(word)
		}
	}
	addr, ok := netip.AddrFromSlice(b)
	return ok && addr.Unmap() == want.Addr().Unmap()
}

var littleEndian = func() bool {
	n := uint16(1)
	return *(*byte)(unsafe.Pointer(&n)) == 1
}()
