package xmppserver_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/xmppserver"
)

// joining opens a component's stream and sends its handshake.
func joining(t *testing.T, addr, domain, secret string) (net.Conn, func(until string) string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	read := func(until string) string {
		var b strings.Builder
		one := make([]byte, 1)
		for !strings.HasSuffix(b.String(), until) {
			if _, err := io.ReadFull(c, one); err != nil {
				return b.String()
			}
			b.Write(one)
		}
		return b.String()
	}
	fmt.Fprintf(c, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='%s'>", domain)
	head := read(">") // the XML declaration
	head += read(">")
	_, id, _ := strings.Cut(head, "id='")
	id, _, _ = strings.Cut(id, "'")
	sum := sha1.Sum([]byte(id + secret))
	fmt.Fprintf(c, "<handshake>%s</handshake>", hex.EncodeToString(sum[:]))
	return c, read
}

func TestComponent(t *testing.T) {
	s, err := xmppserver.New(xmppserver.Config{Domain: "example.test", ComponentSecret: "open sesame"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	}()

	c, read := joining(t, s.ComponentAddr(), "relay.example.test", "open sesame")
	if got := read("<handshake/>"); !strings.HasSuffix(got, "<handshake/>") {
		t.Fatalf("the handshake was answered with %q", got)
	}
	// What is for nobody comes back, and what speaks for others goes nowhere.
	fmt.Fprint(c, "<iq type='get' id='forged' from='example.test' to='nobody@example.test/x'><ping xmlns='urn:xmpp:ping'/></iq>"+
		"<iq type='get' id='mine' from='relay.example.test' to='nobody@example.test/x'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := read("</iq>"); !strings.Contains(got, "id=\"mine\"") || !strings.Contains(got, "service-unavailable") {
		t.Errorf("answered with %q", got)
	}

	for name, bad := range map[string][2]string{
		"wrong secret": {"other.example.test", "guess"},
		"no domain":    {"", "open sesame"},
		"the server's": {"example.test", "open sesame"},
		"taken":        {"relay.example.test", "open sesame"},
	} {
		_, read := joining(t, s.ComponentAddr(), bad[0], bad[1])
		if got := read("</stream:stream>"); !strings.HasPrefix(got, "<error xmlns=") {
			t.Errorf("%s: answered with %q", name, got)
		}
	}
}
