package relay

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// coturn's client makes time-limited credentials from the same secret by itself, and judges the whole relay with them.
func TestCoturnsClientWithTheSharedSecret(t *testing.T) {
	bin, err := exec.LookPath("turnutils_uclient")
	if err != nil {
		t.Skip("coturn's turnutils_uclient is not installed")
	}
	r := run(t, nil)
	for i, args := range [][]string{{}, {"-t"}} {
		a := r.Addrs().TURN[i].Address
		out, err := exec.Command(bin, append(args, "-y", "-n", "5", "-m", "2", "-z", "5", "-u", "romeo", "-W", r.cfg.Credentials.Secrets[0],
			"-p", strconv.Itoa(int(a.Port())), a.Addr().String())...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Total lost packets 0 ") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	until(t, "records name the user", func() bool {
		for _, l := range lines(t, r.cfg.Records.File) {
			if l["user"] == "romeo" {
				return true
			}
		}
		return false
	})
}
