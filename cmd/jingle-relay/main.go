// Command jingle-relay is a TURN and STUN server and a SOCKS5 bytestream proxy that plugs into any XMPP server.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jingled/jingled/internal/buildinfo"
	"github.com/jingled/jingled/internal/manual"
	"github.com/jingled/jingled/internal/usage"
	"github.com/jingled/jingled/relay"
)

// version is set when a release is built.
var version = buildinfo.Devel

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitConfig = 2 // the configuration or the command line is wrong
	exitAway   = 3 // no relay is running
)

func main() {
	version = buildinfo.Version(version)
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	// The relay itself drains on the first signal; everything else ends.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitDone
	case errors.Is(err, relay.ErrNotRunning):
		fmt.Fprintln(os.Stderr, "jingle-relay: "+err.Error())
		return exitAway
	}
	fmt.Fprintln(os.Stderr, "jingle-relay: "+err.Error())
	if _, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintln(os.Stderr, `Try "jingle-relay --help".`)
		return exitConfig
	}
	if errors.Is(err, relay.ErrConfig) {
		return exitConfig
	}
	return exitFailed
}

// usageError is a wrong command line.
type usageError struct{ error }

func (u *usageError) Unwrap() error { return u.error }

// global are the options of every command.
type global struct {
	config string
	socket string
}

func newRoot() *cobra.Command {
	var g global
	start := newRun(&g)
	root := &cobra.Command{
		Use:   "jingle-relay",
		Short: "TURN, STUN and SOCKS5 relay for XMPP",
		Long: `jingle-relay relays calls (TURN, STUN) and files (SOCKS5 bytestreams) for people behind NATs, next to an XMPP
server such as Prosody or ejabberd.

Without a command it runs the relay. Try it without any file: jingle-relay --dev`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          start.RunE,
	}
	root.Flags().AddFlagSet(start.Flags())
	root.PersistentFlags().StringVarP(&g.config, "config", "c", relay.DefaultConfigFile, "configuration `FILE`")
	root.PersistentFlags().StringVar(&g.socket, "socket", "", "admin socket `FILE` of the running relay (default: the configuration's)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(start, newCheck(&g), newStatus(&g), newTop(&g), newDrain(&g), newKick(&g), newBan(&g), newUnban(&g), newBans(&g), newCredentials(&g),
		manual.Command("jingle-relay", "8", version, "  jingle-relay man --dir /usr/local/share/man/man8"))
	strict(root)
	return root
}

// strict says what is wrong with arguments in words, as wrong usage.
func strict(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, given []string) error {
			err := args(c, given)
			switch {
			case err == nil:
				return nil
			case c.HasSubCommands() && len(given) > 0:
				return &usageError{usage.UnknownCommand(c, given[0])}
			}
			return &usageError{usage.Arguments(c, given, err)}
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// client is a client of the running relay: at --socket, or where the configuration says, or at the usual place.
func (g *global) client() *relay.Client {
	socket := g.socket
	if socket == "" {
		// A configuration that cannot be read by this user, or is broken by now, must not hide a running relay.
		if cfg, err := relay.Load(g.config); err == nil {
			socket = cfg.Admin.Socket
		}
	}
	return relay.NewClient(socket)
}

var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}
