package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/jingled/jingled/api/client"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/configfile"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/internal/memlisten"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/xmpp"
)

// global holds the flags that every command has.
type global struct {
	config, socket, account string
	json                    bool
	verbose                 int

	standalone                               bool
	jid, passwordFile, connect, tls, ca, pin string
	proxy                                    string
	resource, state                          string
	loopback                                 bool
	encryption                               string
}

func (g *global) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "configuration `FILE` of a standalone run (default: none)")
	f.StringVar(&g.socket, "socket", "", "`FILE` of the daemon's socket (default: $JINGLED_SOCKET, or jingled/jingled.sock in $XDG_RUNTIME_DIR)")
	f.StringVar(&g.account, "account", "", "`JID` of the account to use, if the daemon has several")
	f.BoolVar(&g.json, "json", false, "print one JSON object a line")
	f.CountVarP(&g.verbose, "verbose", "v", "log more to standard error; -vv for debugging")
	f.BoolVar(&g.standalone, "standalone", false, "log in here instead of asking a running daemon")
	f.StringVar(&g.jid, "jid", "", "standalone: the account's `JID`")
	f.StringVar(&g.passwordFile, "password-file", "", "standalone: `FILE` that holds the password; - is standard input")
	f.StringVar(&g.connect, "connect", "", "standalone: `HOST:PORT` to use instead of the domain's DNS records, or a wss:// or https:// (BOSH) URL")
	f.StringVar(&g.proxy, "proxy", "", "standalone: `URL` of a proxy to reach the server, relays and web servers by: http, https or socks5; none for none (default: environment)")
	f.StringVar(&g.tls, "tls", "", "standalone: `MODE` auto, starttls, direct or plain-loopback (default auto)")
	f.StringVar(&g.ca, "ca", "", "standalone: `FILE` of certificates (PEM) to trust besides the system's")
	f.StringVar(&g.pin, "pin", "", "standalone: SHA-256 `FINGERPRINT` of the server certificate to trust")
	f.StringVar(&g.state, "state", "", "standalone: `FOLDER` of the history and of the identity that files are encrypted by (default: none)")
	f.StringVar(&g.resource, "resource", "", "standalone: the `NAME` of this device")
	f.BoolVar(&g.loopback, "loopback", false, "standalone: use the loopback interface alone for media and files, for tests")
	f.StringVar(&g.encryption, "call-encryption", "", "standalone: the `LEAST` that calls must have: dtls, sdes (keys that the XMPP servers can read) or none (default dtls)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return environment(cmd.Flags()) }
}

// environment gives flags that were not set the value of JINGLE_<NAME>, e.g. JINGLE_PASSWORD_FILE.
func environment(f *pflag.FlagSet) error {
	var failure error
	f.VisitAll(func(fl *pflag.Flag) {
		name := "JINGLE_" + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		// Flags only: help and version are commands in disguise.
		if v, ok := os.LookupEnv(name); ok && v != "" && !fl.Changed && failure == nil && fl.Name != "help" && fl.Name != "version" {
			if err := f.Set(fl.Name, v); err != nil {
				failure = &exitError{exitUsage, fmt.Errorf("environment variable %s: %w", name, err)}
			}
		}
	})
	return failure
}

func (g *global) logger() *slog.Logger {
	level := slog.LevelWarn
	switch g.verbose {
	case 0:
	case 1:
		level = slog.LevelInfo
	default:
		level = slog.LevelDebug
	}
	plain := !term.IsTerminal(int(os.Stderr.Fd())) || os.Getenv("NO_COLOR") != "" // no-color.org
	return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{Level: level, NoColor: plain, TimeFormat: "15:04:05.000"}))
}

// session is a client of a daemon: of one that runs, or of one in this process.
type session struct {
	*client.Client
	// failed gets the error with which a standalone daemon ended.
	failed <-chan error
	close  func()
}

// with runs a command with a session and a printer, and closes both.
func (g *global) with(cmd *cobra.Command, run func(context.Context, *session, *printer) error) error {
	s, err := g.open(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	p := g.printer(cmd.OutOrStdout())
	defer p.close()
	if err := run(cmd.Context(), s, p); err != nil {
		return err
	}
	if p.lost != nil {
		return fmt.Errorf("not all could be printed: %w", p.lost)
	}
	return nil
}

// open connects to the daemon, or starts one with --standalone.
func (g *global) open(ctx context.Context) (*session, error) {
	if !g.standalone {
		return g.dial()
	}
	cfg, err := g.daemonConfig()
	if err != nil {
		return nil, err
	}
	return start(ctx, cfg)
}

// ofAccount returns the flags that describe an account, in a fixed order.
func (g *global) ofAccount() [][2]string {
	return [][2]string{{"jid", g.jid}, {"password-file", g.passwordFile}, {"connect", g.connect}, {"proxy", g.proxy}, {"tls", g.tls},
		{"ca", g.ca}, {"pin", g.pin}, {"resource", g.resource}}
}

func (g *global) dial() (*session, error) {
	for _, f := range append(g.ofAccount(), [2]string{"config", g.config}, [2]string{"state", g.state}, [2]string{"call-encryption", g.encryption}) {
		if f[1] != "" {
			return nil, exitf(exitUsage, "--%s goes with --standalone only: a running daemon has its own accounts", f[0])
		}
	}
	path := g.socket
	if path == "" {
		var err error
		if path, err = apiserver.DefaultSocket(); err != nil {
			return nil, err
		}
	}
	if c, err := net.Dial("unix", path); err != nil {
		return nil, exitf(exitFailed, "no jingled answers on %s: start it, or use --standalone (%w)", path, err)
	} else if err := c.Close(); err != nil {
		return nil, err
	}
	c := client.DialToken(path, os.Getenv("JINGLED_TOKEN"))
	return &session{Client: c, close: c.Close}, nil
}

// start runs a daemon in this process.
func start(ctx context.Context, cfg daemon.Config) (*session, error) {
	d, err := daemon.New(cfg)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := memlisten.New()
	failed := make(chan error, 1)
	served := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := d.Run(ctx); err != nil {
			failed <- err
		}
	}()
	go func() { served <- serve(ctx, l, d, cfg) }()
	c := client.New(l.Dial)
	return &session{Client: c, failed: failed, close: func() {
		cancel()
		<-ended
		if err := <-served; err != nil && cfg.Log != nil {
			cfg.Log.Warn("the API ended", "err", err)
		}
		c.Close()
		if err := d.Close(); err != nil && cfg.Log != nil {
			cfg.Log.Error("history", "err", err)
		}
	}}, nil
}

func (g *global) daemonConfig() (daemon.Config, error) {
	cfg := daemon.Config{Log: g.logger(), Version: version, Loopback: g.loopback}
	if g.config != "" {
		var err error
		if cfg, err = configfile.Load(g.config); err != nil {
			return cfg, &exitError{exitUsage, err}
		}
		cfg.Log, cfg.Version = g.logger(), version
		for _, w := range configfile.Warnings(g.config) {
			cfg.Log.Warn(w, "file", g.config)
		}
		cfg.Secrets = secrets.New(secrets.Config{Dir: cfg.StateDir, Credentials: os.Getenv("CREDENTIALS_DIRECTORY")})
		cfg.Loopback = cfg.Loopback || g.loopback
	}
	if g.state != "" {
		cfg.StateDir = g.state
	}
	if g.encryption != "" {
		var err error
		if cfg.CallEncryption, err = media.ParseEncryption(g.encryption); err != nil {
			return cfg, exitf(exitUsage, "--call-encryption: %v", err)
		}
	}
	if g.jid == "" {
		if len(cfg.Accounts) == 0 {
			return cfg, exitf(exitUsage, "--standalone needs --jid and --password-file, or --config with an account")
		}
		for _, f := range g.ofAccount() {
			if f[1] != "" {
				return cfg, exitf(exitUsage, "--%s goes with --jid: the accounts of the configuration have settings of their own", f[0])
			}
		}
		for i := range cfg.Accounts {
			cfg.Accounts[i].FailFast = true
		}
		return cfg, nil
	}
	j, err := jid.Parse(g.jid)
	if err != nil {
		return cfg, &exitError{exitUsage, fmt.Errorf("--jid: %w", err)}
	}
	a := daemon.Account{JID: j.Bare(), Resource: g.resource, Connect: g.connect, Proxy: g.proxy, TLS: xmpp.TLSMode(g.tls),
		PinnedSHA256: g.pin, FailFast: true}
	if a.Resource == "" {
		a.Resource = j.Resource()
	}
	if a.Password, err = configfile.PasswordFile(g.passwordFile); err != nil {
		return cfg, &exitError{exitUsage, fmt.Errorf("--password-file: %w", err)}
	}
	if configfile.Exposed(g.passwordFile) {
		cfg.Log.Warn("everybody on this machine can read the password file: run chmod 600 on it", "file", g.passwordFile)
	}
	if g.ca != "" {
		if a.RootCAs, err = configfile.CertPool(g.ca); err != nil {
			return cfg, &exitError{exitUsage, fmt.Errorf("--ca: %w", err)}
		}
	}
	cfg.Accounts = []daemon.Account{a}
	return cfg, nil
}

// absolute makes a path of the command line one that the daemon understands.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}
