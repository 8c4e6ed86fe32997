package daemon

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/daemon/tunnel"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/xmpp"
)

// Config says what a [Daemon] does. The zero value is a daemon without accounts.
type Config struct {
	Accounts []Account
	// Downloads is the folder of files that are accepted without naming one; absolute. Empty: such files are refused.
	Downloads string
	// MaxFileSize refuses larger files, in bytes; 0 means no bound but the disk.
	MaxFileSize int64
	// RingTimeout is how long a call may ring, in either direction (default 60 s).
	RingTimeout time.Duration
	// ReachTimeout is how long to wait for a stranger's client to show itself before a file is offered (default 8 s).
	ReachTimeout time.Duration
	// IdleAfter is how long after the last call, transfer or client of the API the XMPP server is told that nobody uses
	// the account (XEP-0352); negative: never (default 30 s).
	IdleAfter time.Duration
	// Upload lets files go by the XMPP server's web server (XEP-0363) to people who are not online or cannot take them
	// directly: the server then holds a copy. Who asks for this road by name gets it in any case.
	Upload bool
	// FetchNetworks are networks that are not of the public internet, such as a company's, from which shared files may be fetched
	// all the same. Whoever may offer files could have these hosts asked for something, by https.
	FetchNetworks []netip.Prefix
	// Accept are the rules by which offered files are taken without asking. The first that fits says where they go.
	Accept []AcceptRule
	// Completed is run for files that have arrived.
	Completed Hook
	// UploadLimit and DownloadLimit bound the rates of files, of all transfers together, in bytes per second; 0: no bound.
	UploadLimit, DownloadLimit int64
	// PortMapping asks the router, by PCP, NAT-PMP or UPnP, to let peers in that bring or fetch files.
	PortMapping bool
	// RequireEncryption neither sends nor takes files that others could read on their way.
	RequireEncryption bool
	// RelayOnly sends calls through TURN servers and files through proxies or the XMPP server only, so that no peer
	// learns our addresses.
	RelayOnly bool
	// CallEncryption is the least that calls must have. The zero value wants DTLS-SRTP. Peers whose clients have that are
	// held to it in any case; with less, calls by raw UDP (XEP-0177) are possible, too.
	CallEncryption media.Encryption
	// InBandDTMF takes keys for pressed whose tones are in a peer's sound, and presses keys so where a peer has no telephone
	// events. It is for gateways: speech can be taken for a key now and then.
	InBandDTMF bool
	// Loopback lets media and files use the loopback interface, which no peer elsewhere can reach. For demos and tests.
	Loopback bool
	// StateDir is a folder for the history, see package state. It can be used by one daemon at a time. Empty: nothing is
	// kept.
	StateDir string
	// Secrets has the passwords of accounts that bring none of their own, and keeps those of accounts that are added while
	// the daemon runs. nil keeps them in memory.
	Secrets *secrets.Store
	// Version is what GetInfo tells.
	Version string
	// Log may be nil.
	Log *slog.Logger

	keepLegs time.Duration // see wayBack; 0 is the default
}

// Account is one XMPP account of a daemon.
type Account struct {
	JID jid.JID // bare
	// Password is asked for at each login and may block. nil asks [Config].Secrets.
	Password func() (string, error)
	// Resource, Connect, Proxy, TLS, RootCAs, PinnedSHA256 and Resolver are as in [xmpp.Config].
	Resource, Connect, Proxy string
	TLS                      xmpp.TLSMode
	RootCAs                  *x509.CertPool
	PinnedSHA256             string
	Resolver                 xmpp.Resolver
	// Calls and Files say who may call and who may offer files.
	Calls, Files Policy
	// Transfers says what becomes of a peer's wish that a call goes on with somebody else.
	Transfers TransferPolicy
	// Bytestreams says where peers connect to us to bring or fetch files.
	Bytestreams Bytestreams
	// Share is a folder that others may fetch files from.
	Share Share
	// Bind2 is as in [xmpp.Config].
	Bind2 bool
	// Priority of our presence (RFC 6121 section 4.7.2.3). With a negative one a call by XEP-0353 does not reach us.
	Priority int8
	// FailFast ends the daemon's Run if the first login does not succeed.
	FailFast bool

	tunnel   *tunnel.Tunnel             // nil: the stream is our own
	added    bool                       // by AddAccount, or by one before us
	settings *jingledv1.AccountSettings // of AddAccount and TrustCertificate; nil: none
}

// Bytestreams is where SOCKS5 bytestreams (XEP-0260) listen. The zero value is a port chosen by the system on every
// interface. Behind a NAT that forwards a port both are set.
type Bytestreams struct {
	// Listen is "host:port".
	Listen string
	// Advertise are the addresses that peers are told, with the port of Listen; nil stands for those of the interfaces.
	Advertise []netip.Addr
}

func (c Config) withDefaults() (Config, error) {
	if c.RingTimeout <= 0 {
		c.RingTimeout = time.Minute
	}
	if c.ReachTimeout <= 0 {
		c.ReachTimeout = 8 * time.Second
	}
	if c.keepLegs <= 0 {
		c.keepLegs = keepLegs
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Downloads != "" && !filepath.IsAbs(c.Downloads) {
		return c, fmt.Errorf("the folder for downloads, %q, is not absolute", c.Downloads)
	}
	if err := c.Completed.validate(); err != nil {
		return c, fmt.Errorf("the command for files: %w", err)
	}
	if c.UploadLimit < 0 || c.DownloadLimit < 0 {
		return c, errors.New("a limit of a rate is negative")
	}
	for i, r := range c.Accept {
		if err := r.validate(c.Downloads); err != nil {
			return c, fmt.Errorf("rule %d of what is accepted: %w", i+1, err)
		}
	}
	seen := map[jid.JID]bool{}
	for i, a := range c.Accounts {
		if !a.JID.IsBare() || a.JID.Local() == "" {
			return c, fmt.Errorf("%q is not the address of an account, such as alice@example.org", a.JID)
		}
		if seen[a.JID] {
			return c, fmt.Errorf("the account %s is there twice", a.JID)
		}
		seen[a.JID] = true
		if a.Password == nil && c.Secrets == nil {
			return c, fmt.Errorf("the account %s has no password", a.JID)
		}
		if err := errors.Join(a.Calls.validate(), a.Files.validate(), a.Transfers.validate(), a.Share.validate()); err != nil {
			return c, fmt.Errorf("the policy of %s: %w", a.JID, err)
		}
		c.Accounts[i] = a
	}
	if c.Secrets == nil {
		c.Secrets = secrets.New(secrets.Config{})
	}
	return c, nil
}
