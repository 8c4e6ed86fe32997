// Command jingle makes and takes calls and sends and receives files over XMPP. It drives a running jingled over its
// socket, or with --standalone does everything in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/jingled/jingled/internal/buildinfo"
	"github.com/jingled/jingled/internal/manual"
	"github.com/jingled/jingled/internal/usage"
	"github.com/jingled/jingled/xmpp"
)

// version is set when a release is built.
var version = buildinfo.Devel

// The exit statuses, as docs/cli.md has them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPeer    = 3
	exitAuth    = 4
	exitTimeout = 5
)

// exitError is an error with an exit status. Its text, if there is one, goes to standard error.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is wrong usage of a command, which its help explains.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func misused(err error) error { return &exitError{exitUsage, &usageError{err}} }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func main() {
	version = buildinfo.Version(version)
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second interrupt ends at once.
	context.AfterFunc(ctx, stop)
	cmd, err := newRoot().ExecuteContextC(ctx)
	code := exitCode(err)
	if text := message(err); code != exitDone && text != "" {
		fmt.Fprintln(os.Stderr, "jingle: "+cleanLines(text))
		if _, ok := errors.AsType[*usageError](err); ok {
			fmt.Fprintf(os.Stderr, "Try \"%s --help\".\n", cmd.CommandPath())
		}
	}
	return code
}

// message is an error in words for people, without the code in front that Connect gives it.
func message(err error) string {
	switch ce, ok := errors.AsType[*connect.Error](err); {
	case ok && ce.Code() == connect.CodeUnimplemented:
		return "this jingled cannot do that: it is an older one, or was started without it"
	case ok && lost(ce):
		return "jingled has gone away (" + ce.Message() + ")"
	case ok:
		return ce.Message()
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// lost reports whether an error is not the daemon's, but tells that there is none any more.
func lost(err *connect.Error) bool {
	if connect.IsWireError(err) {
		return false
	}
	switch err.Code() {
	case connect.CodeUnavailable, connect.CodeUnknown, connect.CodeInternal:
		return true
	case connect.CodeInvalidArgument: // a stream of events that broke off
		return errors.Is(err, io.ErrUnexpectedEOF)
	}
	return false
}

func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, xmpp.ErrAuth), errors.Is(err, xmpp.ErrCertificate), errors.Is(err, xmpp.ErrNoMechanism),
		errors.Is(err, xmpp.ErrTLSRequired), errors.Is(err, xmpp.ErrPassword):
		return exitAuth
	case errors.Is(err, context.Canceled):
		return exitFailed
	}
	if ce, ok := errors.AsType[*connect.Error](err); ok && lost(ce) {
		return exitFailed
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeUnimplemented:
		return exitUsage
	case connect.CodeUnavailable, connect.CodePermissionDenied:
		return exitPeer
	case connect.CodeUnauthenticated:
		return exitAuth
	case connect.CodeDeadlineExceeded:
		return exitTimeout
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "jingle",
		Short: "Calls and file transfer for any XMPP account",
		Long: `jingle makes and takes calls and sends and receives files over XMPP, peer to peer (Jingle).

It drives a running jingled over its socket. With --standalone it needs none: it logs in by itself with the account
that --jid names, and logs out when it is done.`,
		Example: `  jingle --standalone --jid alice@example.org --password-file ~/.alice call bob@example.org
  jingle call bob@example.org --dtmf 12#
  jingle send bob@example.org holiday.jpg
  jingle receive --dir ~/Downloads --once
  jingle demo`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.UnknownCommand(c, args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused(err) })
	g.register(root)
	root.AddCommand(newCall(g), newAnswer(g), newSend(g), newReceive(g), newStatus(g), newHistory(g), newExport(g), newDemo(g),
		manual.Command("jingle", "1", version, "  jingle man --dir /usr/local/share/man/man1\n  jingle man --dir . && man ./jingle-call.1"))
	root.AddCommand(newControls(g)...)
	root.AddCommand(newRooms(g)...)
	root.AddCommand(newTransferControls(g)...)
	root.AddCommand(newDoctor(g), newAccount(g), newContacts(g), newPresence(g), newBlock(g), newUnblock(g), newBlocked(g))
	root.AddCommand(newPhone(g), newTrust(g), newWhip(g))
	root.InitDefaultCompletionCmd("completion")
	root.InitDefaultHelpCmd()
	sortIntoGroups(root)
	completing(g, root)
	fittingHelp(root)
	strict(root)
	return root
}

// strict gives every wrong argument the exit status of wrong usage.
func strict(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return misused(usage.Arguments(cmd, a, err))
			}
			return nil
		}
	}
	if c.Name() == "completion" {
		c.Example = "  jingle completion bash > /etc/bash_completion.d/jingle"
		c.Args = func(c *cobra.Command, a []string) error {
			if len(a) == 0 {
				return exitf(exitUsage, "which shell? bash, zsh, fish or powershell")
			}
			return misused(usage.UnknownCommand(c, a[0]))
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		if c.Name() == "completion" {
			sub.Example = "  jingle completion " + sub.Name() + " --no-descriptions"
		}
		strict(sub)
	}
}
