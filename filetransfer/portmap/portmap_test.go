package portmap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huin/goupnp/dcps/internetgateway2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRouter speaks what it is told to, on the loopback.
type fakeRouter struct {
	pcp, pmp bool
	external netip.Addr
	conn     *net.UDPConn

	mu    sync.Mutex
	ports map[uint16]uint32 // mapped, with their lifetimes
	asked int
}

func newRouter(t *testing.T, pcp, pmp bool) *fakeRouter {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &fakeRouter{pcp: pcp, pmp: pmp, external: netip.MustParseAddr("203.0.113.7"), conn: conn, ports: map[uint16]uint32{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer := r.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteToUDPAddrPort([]byte{9, 9, 9, 9}, from) // what nobody has asked for
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return r
}

func (r *fakeRouter) answer(q []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked++; r.asked == 1 {
		return nil // one is lost
	}
	set := func(port uint16, lifetime uint32) {
		if delete(r.ports, port); lifetime > 0 {
			r.ports[port] = lifetime
		}
	}
	switch {
	case q[0] == 2 && !r.pcp:
		if r.pmp {
			return []byte{0, 0x81, 0, 1, 0, 0, 0, 0} // a version that is not known
		}
		return nil
	case q[0] == 2:
		out := append([]byte{}, q...)
		out[1] |= 0x80
		out[2], out[3] = 0, 0
		set(binary.BigEndian.Uint16(q[40:]), binary.BigEndian.Uint32(q[4:]))
		binary.BigEndian.PutUint16(out[42:], binary.BigEndian.Uint16(q[40:])+1)
		ip := r.external.As16()
		copy(out[44:], ip[:])
		return out
	case !r.pmp:
		return nil
	case q[1] == 0:
		return append([]byte{0, 0x80, 0, 0, 0, 0, 0, 1}, r.external.AsSlice()...)
	}
	out := make([]byte, 16)
	out[1] = q[1] | 0x80
	copy(out[8:], q[4:6])
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(q[4:])+2)
	copy(out[12:], q[8:12])
	set(binary.BigEndian.Uint16(q[4:]), binary.BigEndian.Uint32(q[8:]))
	return out
}

func (r *fakeRouter) config() Config {
	return Config{
		Router:   func() (netip.AddrPort, error) { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil },
		Gateways: func(context.Context) ([]Gateway, error) { return nil, errors.New("none") },
	}
}

// keep runs Keep until the first address was told, and then ends it.
func keep(t *testing.T, cfg Config) (got netip.AddrPort, during func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	told := make(chan netip.AddrPort, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Keep(ctx, 7777, func(a netip.AddrPort) { told <- a }, cfg)
	}()
	select {
	case got = <-told:
	case <-time.After(30 * time.Second):
		t.Error("nothing is told")
	}
	return got, func() bool {
		stop()
		<-ended
		last := netip.AddrPort{}
		for len(told) > 0 {
			last = <-told
		}
		return !last.IsValid()
	}
}

func TestKeep(t *testing.T) {
	for name, c := range map[string]struct {
		pcp, pmp bool
		want     string
	}{
		"PCP": {true, false, "203.0.113.7:7778"}, "NAT-PMP": {false, true, "203.0.113.7:7779"}, "both": {true, true, "203.0.113.7:7778"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, c.pcp, c.pmp)
			got, end := keep(t, r.config())
			r.mu.Lock()
			if got.String() != c.want || r.ports[7777] != 3600 {
				t.Errorf("%v, %v", got, r.ports)
			}
			r.mu.Unlock()
			if !end() {
				t.Error("the end is not told")
			}
			if r.mu.Lock(); len(r.ports) != 0 {
				t.Errorf("left open: %v", r.ports)
			}
			r.mu.Unlock()
		})
	}
}

// TestRouterBehindARouter has an address that is of no use to peers.
func TestRouterBehindARouter(t *testing.T) {
	for _, ip := range []string{"192.168.1.1", "100.64.3.4", "10.0.0.1", "127.0.0.1", "169.254.1.1"} {
		if public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is public", ip)
		}
	}
	r := newRouter(t, true, false)
	r.mu.Lock()
	r.external = netip.MustParseAddr("100.64.1.1")
	r.mu.Unlock()
	m, err := byPCP(t.Context(), &Config{Router: r.config().Router, Lifetime: time.Hour}, 7777)
	if err != nil || public(m.external.Addr()) {
		t.Errorf("%+v, %v", m, err)
	}
}

// igd is a router as UPnP has it.
func igd(t *testing.T, actions *[]string) *url.URL {
	t.Helper()
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("/desc.xml", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>r</friendlyName><UDN>uuid:1</UDN>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<SCPDURL>/s.xml</SCPDURL><controlURL>/ctl</controlURL><eventSubURL>/ev</eventSubURL></service></serviceList></device></root>`)
	})
	mux.HandleFunc("/ctl", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPAction"), `"`), "#")
		mu.Lock()
		defer mu.Unlock()
		*actions = append(*actions, action)
		inner := ""
		switch action {
		case "GetExternalIPAddress":
			inner = "<NewExternalIPAddress>203.0.113.9</NewExternalIPAddress>"
		case "AddPortMapping":
			if !strings.Contains(string(b), "<NewInternalClient>127.0.0.1</NewInternalClient>") || !strings.Contains(string(b), "<NewProtocol>TCP</NewProtocol>") {
				t.Errorf("%s", b)
			}
			if !strings.Contains(string(b), "<NewLeaseDuration>0</NewLeaseDuration>") { // an old one
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring></s:Fault></s:Body></s:Envelope>`)
				return
			}
		}
		_, _ = fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:%sResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">%s</u:%sResponse></s:Body></s:Envelope>`, action, inner, action)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { srv.Close(); http.DefaultClient.CloseIdleConnections() })
	u, err := url.Parse(srv.URL + "/desc.xml")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUPnP(t *testing.T) {
	var actions []string
	at := igd(t, &actions)
	cfg := Config{
		Router: func() (netip.AddrPort, error) { return netip.AddrPort{}, errors.New("none") },
		Gateways: func(ctx context.Context) ([]Gateway, error) {
			cs, err := internetgateway2.NewWANIPConnection1ClientsByURLCtx(ctx, at)
			var out []Gateway
			for _, c := range cs {
				out = append(out, c)
			}
			return out, err
		},
	}
	got, end := keep(t, cfg)
	if got.String() != "203.0.113.9:7777" || !end() {
		t.Errorf("%v", got)
	}
	if text := strings.Join(actions, " "); text != "GetExternalIPAddress AddPortMapping AddPortMapping DeletePortMapping" {
		t.Errorf("%s", text)
	}
	for _, host := range []string{"198.51.100.1:80", "example.org:80", "", "8.8.8.8"} {
		if ip, err := facing(host); err == nil {
			t.Errorf("%q is a router of ours, to which we are %v", host, ip)
		}
	}
}
