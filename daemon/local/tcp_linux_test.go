package local

import (
	"net/netip"
	"strings"
	"testing"
)

// The tables are those of a little-endian machine.
const (
	table4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1D2B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1D2B 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:1D2B 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20 4 30 10 -1
   3: 0100007F:C351 0100007F:1D2B 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   4: short
   5: 0100007F:XXXX zz:1D2B 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 30 10 -1
`
	table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:C352 00000000000000000000000001000000:1D2B 01 00000000:00000000 00:00000000 00000000  1002        0 9 1 0 20 4 30 10 -1
   1: 0000000000000000FFFF00000100007F:C353 0000000000000000FFFF00000100007F:1D2B 01 00000000:00000000 00:00000000 00000000  1003        0 9 1 0 20 4 30 10 -1
`
)

func TestOwner(t *testing.T) {
	if !littleEndian {
		t.Skip("skipped: the tables are of little-endian machines")
	}
	for _, c := range []struct {
		table, from, to string
		uid             int
		found           bool
	}{
		{table4, "127.0.0.1:50000", "127.0.0.1:7467", 1000, true},
		{table4, "127.0.0.1:7467", "127.0.0.1:50000", 0, true},
		{table4, "127.0.0.1:50001", "127.0.0.1:7467", 0, false}, // not established
		{table4, "127.0.0.1:50002", "127.0.0.1:7467", 0, false},
		{table6, "[::1]:50002", "[::1]:7467", 1002, true},
		{table6, "127.0.0.1:50003", "127.0.0.1:7467", 1003, true}, // a socket for both families
		{"", "127.0.0.1:50000", "127.0.0.1:7467", 0, false},
	} {
		uid, found, err := owner(strings.NewReader(c.table), netip.MustParseAddrPort(c.from), netip.MustParseAddrPort(c.to))
		if uid != c.uid || found != c.found || err != nil {
			t.Errorf("%s to %s: %d, %v, %v", c.from, c.to, uid, found, err)
		}
	}
}
