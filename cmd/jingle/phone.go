package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/webphone"
	"github.com/jingled/jingled/daemon/whip"
)

func newPhone(g *global) *cobra.Command {
	var noOpen bool
	c := &cobra.Command{
		Use:   "phone",
		Short: "Open the phone in a browser of this machine",
		Long: `Opens a page from which people call and send files: contacts, calls with sound, camera and screen, files by drag
and drop. The daemon serves it to this machine alone. The address that is printed works once and for five minutes; after
that the browser stays signed in until the daemon ends.

With --standalone the phone is there until the command is interrupted.`,
		Example: `  jingle phone
  jingle phone --no-open
  jingle --standalone --jid alice@example.org --password-file ~/.alice phone`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runPhone(ctx, g, s, p, !noOpen)
			})
		},
	}
	c.Flags().BoolVar(&noOpen, "no-open", false, "print the address only")
	return c
}

func runPhone(ctx context.Context, g *global, s *session, p *printer, openIt bool) error {
	res, err := s.Phone.OpenPhone(ctx, &jingledv1.OpenPhoneRequest{})
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return exitf(exitFailed, "this jingled serves no phone: it was started with --phone none, or is an older one")
	}
	if err != nil {
		return s.cause(err)
	}
	if p.json {
		err = json.NewEncoder(p.out).Encode(struct {
			Event   string `json:"event"`
			URL     string `json:"url"`
			Expires string `json:"expires"`
		}{"phone", res.GetUrl(), res.GetExpires().AsTime().Format("2006-01-02T15:04:05Z07:00")})
	} else {
		p.line("%s", res.GetUrl())
	}
	if err != nil {
		return err
	}
	if openIt {
		if err := browse(ctx, res.GetUrl()); err != nil {
			fmt.Fprintf(os.Stderr, "jingle: no browser could be opened, open the address yourself: %v\n", err)
		}
	}
	if !g.standalone {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// browse opens an address in the user's browser, where there is a desktop.
func browse(ctx context.Context, url string) error {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		cmd = exec.CommandContext(ctx, "open", url)
	case "windows":
		cmd = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", url)
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return nil
		}
		cmd = exec.CommandContext(ctx, "xdg-open", url)
	}
	return cmd.Run()
}

// serve serves a daemon of this process: its API, the phone, and WHIP.
func serve(ctx context.Context, l net.Listener, d *daemon.Daemon, cfg daemon.Config) error {
	phone, err := webphone.New(webphone.For(d, cfg))
	if err != nil {
		return err
	}
	w, err := whip.New(whip.Config{Daemon: d, StateDir: cfg.StateDir, Log: cfg.Log})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return phone.Run(ctx) })
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return apiserver.Serve(ctx, l, d, cfg.Log, apiserver.Phone(phone), apiserver.Whip(w)) })
	return g.Wait()
}
