package portmap

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// routerPort is that of PCP and NAT-PMP.
const routerPort = 5351

// askRouter sends a request to a router until it answers, as RFC 6886 section 3.1 has it. fits says whether an answer is to it.
func askRouter(ctx context.Context, cfg *Config, request func(local netip.Addr) []byte, fits func([]byte) bool) ([]byte, error) {
	to, err := cfg.Router()
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)) // nobody else's answers come in
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	message := request(conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
	buf := [1100]byte{}
	for wait := 250 * time.Millisecond; ; wait *= 2 {
		if _, err := conn.Write(message); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		for {
			n, err := conn.Read(buf[:])
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				break
			}
			if err != nil {
				return nil, err // nobody listens there
			}
			if fits(buf[:n]) {
				return buf[:n], nil
			}
		}
	}
}

// byPCP asks by RFC 6887 section 11.
func byPCP(ctx context.Context, cfg *Config, port uint16) (*mapping, error) {
	var nonce [12]byte
	_, _ = rand.Read(nonce[:]) // never fails
	request := func(ctx context.Context, lifetime time.Duration) ([]byte, error) {
		return askRouter(ctx, cfg, func(local netip.Addr) []byte {
			b := make([]byte, 60)
			b[0], b[1] = 2, 1 // version, MAP
			binary.BigEndian.PutUint32(b[4:], uint32(lifetime.Seconds()))
			client := local.As16()
			copy(b[8:], client[:])
			copy(b[24:], nonce[:])
			b[36] = 6 // TCP
			binary.BigEndian.PutUint16(b[40:], port)
			binary.BigEndian.PutUint16(b[42:], port) // what we would like
			any4 := netip.IPv4Unspecified().As16()
			copy(b[44:], any4[:])
			return b
		}, func(b []byte) bool {
			// A router that knows NAT-PMP only says so with its version (RFC 6886 section 3.5).
			return len(b) >= 4 && b[1]&0x80 != 0 && (b[0] != 2 || len(b) >= 60 && bytes.Equal(b[24:36], nonce[:]))
		})
	}
	answer, err := request(ctx, cfg.Lifetime)
	if err != nil {
		return nil, fmt.Errorf("PCP: %w", err)
	}
	if answer[0] != 2 || answer[3] != 0 {
		return nil, fmt.Errorf("PCP: the router answers with version %d, result %d", answer[0], answer[3])
	}
	ip, _ := netip.AddrFromSlice(answer[44:60])
	return &mapping{
		external: netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(answer[42:])),
		lifetime: time.Duration(binary.BigEndian.Uint32(answer[4:])) * time.Second,
		remove: func(ctx context.Context) error {
			_, err := request(ctx, 0)
			return err
		},
	}, nil
}

// byPMP asks by RFC 6886 sections 3.2 and 3.3.
func byPMP(ctx context.Context, cfg *Config, port uint16) (*mapping, error) {
	request := func(ctx context.Context, op byte, lifetime time.Duration, length int) ([]byte, error) {
		answer, err := askRouter(ctx, cfg, func(netip.Addr) []byte {
			if op == 0 {
				return []byte{0, 0}
			}
			b := make([]byte, 12)
			b[1] = op
			binary.BigEndian.PutUint16(b[4:], port)
			if lifetime > 0 {
				binary.BigEndian.PutUint16(b[6:], port)
			}
			binary.BigEndian.PutUint32(b[8:], uint32(lifetime.Seconds()))
			return b
		}, func(b []byte) bool { return len(b) >= 4 && b[0] == 0 && b[1] == 0x80|op })
		if err == nil && binary.BigEndian.Uint16(answer[2:]) != 0 {
			err = fmt.Errorf("the router answers with result %d", binary.BigEndian.Uint16(answer[2:]))
		}
		if err == nil && len(answer) < length {
			err = errors.New("the router's answer is too short")
		}
		if err != nil {
			return nil, fmt.Errorf("NAT-PMP: %w", err)
		}
		return answer, nil
	}
	const address, mapTCP = 0, 2
	outside, err := request(ctx, address, 0, 12)
	if err != nil {
		return nil, err
	}
	answer, err := request(ctx, mapTCP, cfg.Lifetime, 16)
	if err != nil {
		return nil, err
	}
	return &mapping{
		external: netip.AddrPortFrom(netip.AddrFrom4([4]byte(outside[8:12])), binary.BigEndian.Uint16(answer[10:])),
		lifetime: time.Duration(binary.BigEndian.Uint32(answer[12:])) * time.Second,
		remove: func(ctx context.Context) error {
			_, err := request(ctx, mapTCP, 0, 16)
			return err
		},
	}, nil
}
