package component

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/socks5"
)

// BenchmarkBytestream sends 256 MiB through a bare forwarder that splices and through our proxy, and 16 MiB through
// Prosody's proxy65, one after the other in each round, and prints the ratios. Sender and receiver run in this process, on the
// same processors.
func BenchmarkBytestream(b *testing.B) {
	const size, less = 256 << 20, 16 << 20
	direct := forwarder(b)
	ours := ourProxy(b)
	prosody := prosodyProxy(b)
	spent := map[string]time.Duration{}
	b.SetBytes(size)
	for b.Loop() {
		for name, pair := range map[string]func() (net.Conn, net.Conn){"forwarder": direct, "ours": ours, "proxy65": prosody} {
			if pair == nil {
				continue
			}
			n := int64(size)
			if name == "proxy65" {
				n = less
			}
			from, to := pair()
			d, err := transfer(from, to, n)
			if err != nil && name == "proxy65" { // it gets stuck now and then; then there is nothing to compare with
				b.Logf("Prosody's proxy65: %v", err)
				prosody = nil
				continue
			}
			if err != nil {
				b.Fatal(err)
			}
			spent[name] += d
		}
	}
	rate := func(name string, size float64) float64 { return float64(b.N) * size / 1e6 / spent[name].Seconds() }
	b.ReportMetric(rate("forwarder", size), "forwarder-MB/s")
	b.ReportMetric(rate("ours", size), "ours-MB/s")
	b.ReportMetric(rate("ours", size)/rate("forwarder", size), "ours/forwarder")
	if prosody != nil {
		b.ReportMetric(rate("proxy65", less), "proxy65-MB/s")
		b.ReportMetric(rate("ours", size)/rate("proxy65", less), "ours/proxy65")
	}
	b.ReportMetric(0, "ns/op") // three transfers in one
}

func transfer(from, to net.Conn, size int64) (time.Duration, error) {
	defer from.Close()
	defer to.Close()
	_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 256<<10)
	began := time.Now()
	go func() {
		for left := size; left > 0; left -= int64(len(buf)) {
			if _, err := from.Write(buf); err != nil {
				return
			}
		}
		if c, ok := from.(*net.TCPConn); ok {
			_ = c.CloseWrite() // Prosody's proxy65 keeps the last few kB until then
		}
	}()
	in := make([]byte, 256<<10)
	for got := int64(0); got < size; {
		n, err := to.Read(in)
		if err != nil {
			return 0, fmt.Errorf("after %d bytes: %w", got, err)
		}
		got += int64(n)
	}
	return time.Since(began), nil
}

// forwarder joins each two connections that it gets with io.Copy and nothing else.
func forwarder(b *testing.B) func() (net.Conn, net.Conn) {
	ln := benchListen(b)
	go func() {
		for {
			x, err := ln.Accept()
			if err != nil {
				return
			}
			y, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(x, y); x.Close() }()
			go func() { _, _ = io.Copy(y, x); y.Close() }()
		}
	}()
	return func() (net.Conn, net.Conn) { return benchDial(b, ln.Addr().String()), benchDial(b, ln.Addr().String()) }
}

func ourProxy(b *testing.B) func() (net.Conn, net.Conn) {
	s, err := socks5.New(socks5.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ln := benchListen(b)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.Run(ctx, ln); close(done) }()
	b.Cleanup(func() { cancel(); <-done })
	n := 0
	return func() (net.Conn, net.Conn) {
		n++
		a := socks5.Activation{SID: strconv.Itoa(n), Requester: "a@x/y", Target: "b@x/y"}
		key := socks5.NewKey(a.SID, a.Requester, a.Target).String()
		to, from := benchJoin(b, ln.Addr().String(), key), benchJoin(b, ln.Addr().String(), key)
		if err := s.Activate(a); err != nil {
			b.Fatal(err)
		}
		return from, to
	}
}

// prosodyProxy activates streams at Prosody's proxy65 as a component, or returns nil where there is no Prosody.
func prosodyProxy(b *testing.B) func() (net.Conn, net.Conn) {
	if _, err := exec.LookPath("prosody"); err != nil {
		return nil
	}
	port := freePorts(b, 1)[0]
	_, comp := startProsodyWith(b, fmt.Sprintf("proxy65_ports = { %d }\nproxy65_interfaces = { \"127.0.0.1\" }\n", port),
		fmt.Sprintf("Component %q \"proxy65\"\n\tproxy65_acl = { %q }\n", "proxy."+strangerDomain, strangerRelay))
	conn := benchDial(b, "127.0.0.1:"+strconv.Itoa(comp))
	c := &Component{cfg: Config{Domain: strangerRelay, Secret: strangerSecret}}
	sc := newScanner(conn)
	if err := c.join(conn, sc); err != nil {
		b.Fatal(err)
	}
	n := 0
	return func() (net.Conn, net.Conn) {
		n++
		sid, target := strconv.Itoa(n), "b@x/y"
		key := socks5.NewKey(sid, strangerRelay, target).String()
		addr := "127.0.0.1:" + strconv.Itoa(port)
		to, from := benchJoin(b, addr, key), benchJoin(b, addr, key)
		fmt.Fprintf(conn, "<iq type='set' id='a' from='%s' to='proxy.%s'><query xmlns='%s' sid='%s'><activate>%s</activate></query></iq>", strangerRelay, strangerDomain, nsBytes, sid, target)
		e, _, err := sc.next()
		if err != nil || e.attr("type") != "result" {
			b.Fatalf("proxy65 does not activate: %+v, %v", e, err)
		}
		return from, to
	}
}

func benchListen(b *testing.B) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	return ln
}

func benchDial(b *testing.B, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func benchJoin(b *testing.B, addr, key string) net.Conn {
	c := benchDial(b, addr)
	msg := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(key))}, key...)
	if _, err := c.Write(msg[:3]); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write(append(msg[3:], 0, 0)); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 47)); err != nil {
		b.Fatal(err)
	}
	return c
}
