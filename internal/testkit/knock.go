package testkit

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

// knockEnv names, in a process that [KnockAs] has started, a network and an address.
const knockEnv = "JINGLED_TEST_KNOCK"

// What [KnockAs] finds.
const (
	Answered    = 0 // HTTP is spoken there
	ShutOut     = 3 // the connection is closed without a word
	NobodyThere = 4
)

// Knocking is for the beginning of TestMain: a process that [KnockAs] has started ends there with this status.
func Knocking() (status int, knocking bool) {
	network, addr, knocking := strings.Cut(os.Getenv(knockEnv), " ")
	if !knocking {
		return 0, false
	}
	return knock(network, addr), true
}

func knock(network, addr string) int {
	c, err := net.Dial(network, addr)
	if err != nil {
		return NobodyThere
	}
	defer c.Close()
	host := addr
	if network == "unix" {
		host = "localhost"
	}
	_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 ") {
		return ShutOut
	}
	return Answered
}
