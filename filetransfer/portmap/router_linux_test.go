package portmap

import "testing"

func TestRoutes(t *testing.T) {
	text := "Iface\tDestination\tGateway \tFlags\n" + "eth0\t0000A8C0\t00000000\t0001\n" + "eth0\t00000000\t0101A8C0\t0003\n"
	if got, err := parseRoutes(text); err != nil || got.String() != "192.168.1.1:5351" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseRoutes("Iface\n"); err == nil {
		t.Error("a route from nowhere")
	}
}
