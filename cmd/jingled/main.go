// Command jingled gives XMPP accounts audio calls and peer-to-peer file transfer, for clients to drive over its socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	sdaemon "github.com/coreos/go-systemd/v22/daemon"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/configfile"
)

// version is set when a release is built.
var version = "devel"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "jingled: "+err.Error())
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	var config, socket string
	var verbose int
	c := &cobra.Command{
		Use:   "jingled",
		Short: "Calls and file transfer for XMPP accounts, as a daemon",
		Long: `jingled logs in with the accounts of its configuration and serves its API on a Unix socket, which only this user can
open. The command line for it is jingle.

A configuration:

  downloads = "/home/alice/Downloads"

  [[account]]
  jid = "alice@example.org"
  password_file = "alice.password"`,
		Example: `  jingled
  jingled --config ./jingled.toml --socket /tmp/j/jingled.sock -v`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), config, socket, logger(verbose))
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration `FILE` (default: jingled/config.toml in the user's configuration folder)")
	c.Flags().StringVar(&socket, "socket", "", "`FILE` of the socket (default: jingled/jingled.sock in $XDG_RUNTIME_DIR)")
	c.Flags().CountVarP(&verbose, "verbose", "v", "log more; -vv for debugging")
	return c
}

func logger(verbose int) *slog.Logger {
	level := []slog.Level{slog.LevelInfo, slog.LevelInfo, slog.LevelDebug}[min(verbose, 2)]
	return slog.New(tint.NewHandler(os.Stderr, &tint.Options{Level: level, NoColor: !term.IsTerminal(int(os.Stderr.Fd()))}))
}

func serve(ctx context.Context, config, socket string, log *slog.Logger) error {
	var err error
	if config == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return err
		}
		config = filepath.Join(dir, "jingled", "config.toml")
	}
	cfg, err := configfile.Load(config)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no configuration %s: write one, see jingled --help", config)
	}
	if err != nil {
		return err
	}
	cfg.Log, cfg.Version = log, version
	if socket == "" {
		if socket, err = apiserver.DefaultSocket(); err != nil {
			return err
		}
	}
	d, err := daemon.New(cfg)
	if err != nil {
		return err
	}
	l, err := apiserver.Listen(socket)
	if err != nil {
		return err
	}
	log.Info("ready", "socket", socket, "accounts", len(cfg.Accounts))
	notify(log, sdaemon.SdNotifyReady)
	defer notify(log, sdaemon.SdNotifyStopping)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Run(ctx) })
	g.Go(func() error { return apiserver.Serve(ctx, l, d, log) })
	return g.Wait()
}

// notify tells systemd, if it has started us.
func notify(log *slog.Logger, state string) {
	if _, err := sdaemon.SdNotify(false, state); err != nil {
		log.Debug("systemd", "err", err)
	}
}
