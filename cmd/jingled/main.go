// Command jingled gives XMPP accounts audio calls and peer-to-peer file transfer, for clients to drive over its socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jingled/jingled/daemon/webphone"
	"github.com/jingled/jingled/daemon/whip"
	"github.com/jingled/jingled/internal/buildinfo"
	"github.com/jingled/jingled/internal/manual"
)

// version is set when a release is built.
var version = buildinfo.Devel

func main() {
	version = buildinfo.Version(version)
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "jingled: "+err.Error())
		if errors.As(err, new(*usageError)) {
			fmt.Fprintln(os.Stderr, `Try "jingled --help".`)
			return 2
		}
		return 1
	}
	return 0
}

// usageError is wrong usage, which the help explains.
type usageError struct{ error }

// options are the flags.
type options struct {
	config, socket, state string
	phone, whip           string
	parentStdin           bool
	stdin                 io.Reader
	stdout                io.Writer
	log                   *slog.Logger
}

func newRoot() *cobra.Command {
	var o options
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
  password_file = "alice.password"

Accounts can also be added while it runs, with "jingle account add". Their passwords, and those of accounts without a
password_file, are in the keyring of the desktop, or where there is none in a file of the state folder that only this user
can read. Credentials of systemd that are named like an account go first.

A program that starts jingled for itself alone uses --parent-stdin: jingled then prints one line of JSON with its socket
and a token, which requests have to bring, when it is ready, reads no configuration unless --config names one, keeps no state unless --state names a folder, and
quits when its standard input is closed, so it never outlives that program.

Under systemd it takes the socket of a socket unit, and tells when it is ready (Type=notify).`,
		Example: `  jingled
  jingled --config ./jingled.toml --socket /tmp/j/jingled.sock -v
  jingled --parent-stdin`,
		Version: version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("it takes flags only, and no %q; the commands are those of jingle", args[0])}
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.stdin, o.stdout, o.log = cmd.InOrStdin(), cmd.OutOrStdout(), logger(verbose)
			return o.serve(cmd.Context())
		},
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	man := manual.Command("jingled", "1", version, "  jingled man --dir /usr/local/share/man/man1")
	man.Hidden = true // it is for those who make packages
	c.AddCommand(man)
	c.Flags().StringVar(&o.config, "config", "", "configuration `FILE` (default: jingled/config.toml in the user's configuration folder)")
	c.Flags().StringVar(&o.socket, "socket", "", "`FILE` of the socket (default: jingled/jingled.sock in $XDG_RUNTIME_DIR)")
	c.Flags().StringVar(&o.state, "state", "", "`FOLDER` of the history; \"none\" keeps none (default: jingled in $XDG_STATE_HOME)")
	c.Flags().StringVar(&o.phone, "phone", "", "loopback `ADDRESS` of the page that jingle phone opens; \"none\" serves none (default: "+webphone.DefaultListen+", or another port)")
	c.Flags().StringVar(&o.whip, "whip", "", "loopback `ADDRESS` for OBS and others by WHIP and WHEP; \"none\" serves none (default: "+whip.DefaultListen+", or another port, once jingle whip asks)")
	c.Flags().BoolVar(&o.parentStdin, "parent-stdin", false, "serve the program that holds standard input, and quit when it closes it")
	c.Flags().CountVarP(&verbose, "verbose", "v", "log more, for debugging")
	return c
}

func logger(verbose int) *slog.Logger {
	level := slog.LevelInfo
	if verbose > 0 {
		level = slog.LevelDebug
	}
	plain := !term.IsTerminal(int(os.Stderr.Fd())) || os.Getenv("NO_COLOR") != "" // no-color.org
	return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{Level: level, NoColor: plain}))
}
