package dtlssrtp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"

	"github.com/jingled/jingled/internal/pionlog"
)

// Data secures a packet connection for application data, as data channels have it (RFC 8261): DTLS with the same check
// of fingerprints, and no SRTP. It shakes hands and returns the connection, which closes raw in the end; an error closes
// raw at once. The functions of cfg are not used.
func Data(ctx context.Context, raw net.Conn, cfg Config) (net.Conn, error) {
	conn, err := data(ctx, raw, cfg)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func data(ctx context.Context, raw net.Conn, cfg Config) (net.Conn, error) {
	peer, err := verifiable(cfg.Remote)
	if err != nil {
		return nil, err
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 20 * time.Second
	}
	shared := []dtls.Option{
		dtls.WithCertificates(cfg.Certificate.tls),
		// Not used, but WebRTC stacks that are servers insist on the extension.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is the check
		dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) == 0 {
				return ErrFingerprint
			}
			return verify(certs[0], peer)
		}),
		dtls.WithFlightInterval(flight),
		dtls.WithDisableRetransmitBackoff(true),
		dtls.WithMTU(1200),
	}
	if cfg.Log != nil {
		shared = append(shared, dtls.WithLoggerFactory(pionlog.Factory(cfg.Log)))
	}
	pc := dtlsnet.PacketConnFromConn(raw)
	var conn *dtls.Conn
	if cfg.Role == Client {
		opts := make([]dtls.ClientOption, len(shared))
		for i, o := range shared {
			opts[i] = o
		}
		conn, err = dtls.ClientWithOptions(pc, raw.RemoteAddr(), opts...)
	} else {
		opts := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true)}
		for _, o := range shared {
			opts = append(opts, o)
		}
		conn, err = dtls.ServerWithOptions(pc, raw.RemoteAddr(), opts...)
	}
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	hctx, cancel := context.WithTimeoutCause(ctx, cfg.HandshakeTimeout, errHandshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(hctx); err != nil {
		_ = conn.Close()
		switch cause := context.Cause(hctx); {
		case cause != nil:
			return nil, cause
		case errors.Is(err, ErrFingerprint):
			return nil, ErrFingerprint
		}
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return conn, nil
}
