// Package testkit starts strangers for tests: real servers and clients of other people, each in a directory of its own,
// on loopback, on ports of its own, gone when the test ends.
//
// A component that is not on the machine is a skip with its reason, and a failure where CI=true. scripts/test-deps.sh
// installs them.
package testkit

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// Missing ends the test for want of a component: a failure where CI=true, a skip elsewhere. The reason says what is
// missing and how to get it.
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true and a component is missing: %s", reason)
	}
	t.Skipf("skipped: %s", reason)
}

// Binary returns the path of a program of a Debian package, or ends the test by [Missing].
func Binary(t testing.TB, name, debianPackage string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		// Debian has some servers where only root's PATH looks.
		for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/", "/sbin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				return dir + name
			}
		}
		Missing(t, name+" is not installed: sudo apt-get install "+debianPackage)
	}
	return p
}

// Python returns the path of a python3 that has the given module, or ends the test by [Missing]. It prefers the
// system's own, where Debian's packages go.
func Python(t testing.TB, module, debianPackage string) string {
	t.Helper()
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(p)
		if err == nil && exec.Command(path, "-c", "import "+module).Run() == nil {
			return path
		}
	}
	Missing(t, "there is no python3 with "+module+": sudo apt-get install "+debianPackage)
	return ""
}

// FreePorts returns n different TCP ports of 127.0.0.1 that nobody listened on a moment ago. They are below those that systems
// give to connections: a server that is started again finds its port free.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	const first, last, most = 10_000, 32_000, 1000
	ports := make([]int, 0, n)
	var held []net.Listener // until the last is found, so that they differ
	for tried := 0; len(ports) < n; tried++ {
		port := first + rand.IntN(last-first)
		l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			if tried >= most {
				t.Fatal(err)
			}
			continue
		}
		held, ports = append(held, l), append(ports, port)
	}
	for _, l := range held {
		_ = l.Close()
	}
	return ports
}
