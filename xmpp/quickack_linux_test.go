package xmpp

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestQuickAck: the option is on after a read, also if the kernel took it back in between.
func TestQuickAck(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	plain, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := quickAck(plain)
	defer c.Close()
	for range 5 {
		if err := c.(*quickConn).raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) }); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		on := 0
		if err := c.(*quickConn).raw.Control(func(fd uintptr) { on, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK) }); err != nil || on != 1 {
			t.Fatalf("%d, %v", on, err)
		}
	}
	if a, b := net.Pipe(); quickAck(a) != a {
		t.Error("what is no TCP connection is left alone")
	} else {
		a.Close()
		b.Close()
	}
}
