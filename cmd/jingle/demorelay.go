package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/relay"
)

// relayed lets two accounts that hide their addresses do the same through a jingle-relay that is plugged into the server
// as a component.
func (d *demo) relayed(ctx context.Context, server *xmppserver.Server, secret string, passwords map[string]string) error {
	stop, err := d.plugRelay(ctx, server, secret)
	if err != nil {
		return err
	}
	defer stop()
	d.relayOnly = true
	carol, err := d.login(ctx, server, "carol", passwords["carol"])
	if err != nil {
		return err
	}
	defer carol.close()
	dave, err := d.login(ctx, server, "dave", passwords["dave"])
	if err != nil {
		return err
	}
	defer dave.close()

	d.say("\nCarol calls Dave; neither learns the other's address.")
	var heard, said lines
	err = both(ctx,
		func(ctx context.Context) error {
			return runAnswer(ctx, dave, d.printer(&heard), "", []string{"carol@demo.test"}, true, &jingledv1.Media{}, &mediaFlags{})
		},
		func(ctx context.Context) error {
			flags := &mediaFlags{duration: time.Second}
			media := &jingledv1.Media{AudioIn: fmt.Sprintf("tone:%d", demoTone)}
			return runCall(ctx, carol, d.printer(&said), "", "dave@demo.test", media, flags)
		})
	if err != nil {
		return fmt.Errorf("the relayed call: %w", err)
	}
	path, _ := said.one("call.connected")["candidate_pair"].(map[string]any)
	d.check(path["local_type"] == "relay", "connected in %.0f ms from a %v to a %v address",
		number(said.one("call.connected"), "setup_ms"), path["local_type"], path["remote_type"])
	ended := heard.one("call.ended")
	d.check(number(ended, "packets_received") > 20 && number(ended, "packets_lost") == 0, "%.0f packets came by the relay, %.0f lost",
		number(ended, "packets_received"), number(ended, "packets_lost"))

	d.say("\nDave sends Carol a file of %d MiB through the relay's SOCKS5 proxy.", demoBytes>>20)
	return d.send(ctx, party{dave, "dave@demo.test"}, party{carol, "carol@demo.test"}, "s5b", "file-by-relay.bin", demoBytes)
}

// plugRelay starts a relay and joins it to the server.
func (d *demo) plugRelay(ctx context.Context, server *xmppserver.Server, secret string) (stop func(), err error) {
	cfg := relay.Dev(0)
	cfg.XMPP = relay.XMPP{Component: "relay." + server.Domain(), Server: server.ComponentAddr(), Secret: secret,
		Domains: []string{server.Domain()}, Host: "127.0.0.1"}
	cfg.SOCKS5.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	r, err := relay.New(cfg, d.g.logger())
	if err != nil {
		return nil, err
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + r.Loops())
	relayCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(relayCtx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			d.check(false, "the relay ended with %v", err)
		}
		runtime.GOMAXPROCS(before)
	}
	select {
	case <-r.Ready():
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("the relay: %w", err)
	}
	for !connected(r) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			stop()
			return nil, fmt.Errorf("the relay did not join the server: %w", context.Cause(ctx))
		}
	}
	d.say("\nA jingle-relay has joined the server as %s.", strings.ToLower(cfg.XMPP.Component))
	return stop, nil
}

func connected(r *relay.Relay) bool {
	c := r.Status().XMPP
	return c != nil && c.Connected
}
