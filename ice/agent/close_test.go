package agent

import (
	"net"
	"testing"
	"time"
)

// TestCloseWithSilentServers closes an agent that still waits for TURN servers that say nothing, by UDP and by TCP.
func TestCloseWithSilentServers(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for name, uri := range map[string]string{
		"udp": "turn:" + udp.LocalAddr().String() + "?transport=udp",
		"tcp": "turn:" + tcp.Addr().String() + "?transport=tcp",
	} {
		t.Run(name, func(t *testing.T) {
			a, err := NewAgent(Config{LoopbackOnly: true, Servers: []Server{{URI: uri, Username: "u", Password: "p"}}}, Handler{})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Gather(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // there is no event for a request that has left
			began := time.Now()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("closing took %v", took)
			} else {
				t.Logf("closing took %v", took)
			}
		})
	}
}
