package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/jingled/jingled/relay"
	"github.com/jingled/jingled/relay/turn/alloc"
)

func newRun(g *global) *cobra.Command {
	var dev bool
	var port uint16
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the relay",
		Long: `Runs the relay until it gets SIGTERM or SIGINT. Then it takes no new sessions and ends when the last one has ended,
or after drain.timeout; a second signal ends it at once.

SIGHUP reads the configuration again: secrets, users, limits, peers, certificates and what XMPP users get change
without losing a packet. What needs a restart is named in the log.`,
		Example: `  jingle-relay run --config /etc/jingle-relay/jingle-relay.toml
  jingle-relay run --dev`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dev {
				return runDev(cmd.Context(), port, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			cfg, err := relay.Load(g.config)
			if err != nil {
				return err
			}
			if g.socket != "" {
				cfg.Admin.Socket = g.socket
			}
			cfg.Version = version
			return serve(cfg, logger(cfg.Log, cmd.ErrOrStderr()), func() (relay.Config, error) { return relay.Load(g.config) }, nil)
		},
	}
	c.Flags().BoolVar(&dev, "dev", false, "try things out on loopback, without a file: prints a credential")
	c.Flags().Uint16Var(&port, "port", 3478, "`PORT` of --dev; 0 takes a free one")
	return c
}

func logger(l relay.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if l.Level != "" {
		_ = level.UnmarshalText([]byte(l.Level)) // checked with the configuration
	}
	opt := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" { // systemd's journal has its own clock
		opt.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// serve runs a relay and obeys signals. ready, if given, is called when clients are served.
func serve(cfg relay.Config, log *slog.Logger, load func() (relay.Config, error), ready func(*relay.Relay)) error {
	r, err := relay.New(cfg, log)
	if err != nil {
		return err
	}
	// Packet loops sit in system calls: each needs a processor of its own in the scheduler's eyes, or the others wait.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + r.Loops())

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end, hup := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(end, endSignals...)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(end)
	defer signal.Stop(hup)
	started := r.Ready()
	ending := false
	for {
		select {
		case err := <-done:
			return err
		case <-started:
			started = nil
			notify(log, daemon.SdNotifyReady)
			if ready != nil {
				ready(r)
			}
		case <-hup:
			notify(log, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()/time.Microsecond))
			reload(r, log, load)
			notify(log, daemon.SdNotifyReady)
		case s := <-end:
			notify(log, daemon.SdNotifyStopping)
			if wait := r.DrainTimeout(); wait > 0 && !ending {
				ending = true
				r.Drain(wait)
				continue
			}
			log.Info("ending", "signal", s.String())
			stop()
		}
	}
}

func reload(r *relay.Relay, log *slog.Logger, load func() (relay.Config, error)) {
	if load == nil {
		log.Warn("there is no configuration file to read again")
		return
	}
	cfg, err := load()
	if err == nil {
		_, err = r.Reload(cfg)
	}
	if err != nil {
		log.Error("the new configuration is not taken; the old one stays", "error", err)
	}
}

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Debug("systemd cannot be told", "error", err)
	}
}

// runDev runs a relay on loopback and prints what to paste.
func runDev(_ context.Context, port uint16, out, errOut io.Writer) error {
	cfg := relay.Dev(port)
	cfg.Version = version
	log := logger(relay.Log{Level: "warn"}, errOut)
	return serve(cfg, log, nil, func(r *relay.Relay) {
		is, err := r.Issue("dev", 24*time.Hour)
		if err != nil {
			log.Error("cannot issue a credential", "error", err)
			return
		}
		for _, b := range r.Addrs().TURN {
			if b.Transport == alloc.UDP {
				fmt.Fprintf(out, "stun:%s\n", b.Address)
			}
			fmt.Fprintf(out, "turn:%s?transport=%s username=%s password=%s\n", b.Address, b.Transport, is.Username, is.Password)
		}
		a := r.Addrs().TURN[0].Address
		fmt.Fprintf(out, "{\"urls\":[\"turn:%s\"],\"username\":%q,\"credential\":%q}\n", a, is.Username, is.Password)
		fmt.Fprintf(out, "turnutils_uclient -y -u %s -w %s -p %d %s\n", is.Username, is.Password, a.Port(), a.Addr())
	})
}

func newCheck(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		Short:   "Check the configuration",
		Long:    "Reads the configuration and every file it names, says all that is wrong with it, and ends with 0 if that is nothing, else 2.",
		Example: "  jingle-relay check --config jingle-relay.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := relay.Load(g.config)
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(cmd.OutOrStdout(), "note: "+w)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), g.config+" is good")
			return err
		},
	}
}
