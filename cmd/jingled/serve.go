package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	sdaemon "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/configfile"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/daemon/state"
)

// greeting is the line that a parent reads.
type greeting struct {
	Socket  string `json:"socket"`
	Token   string `json:"token"` // that every request has to bring
	PID     int    `json:"pid"`
	Version string `json:"version"`
}

// serve runs until ctx ends or, with --parent-stdin, standard input is closed.
func (o *options) serve(ctx context.Context) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	cfg.Log, cfg.Version = o.log, version
	if cfg.StateDir, err = o.stateDir(cfg.StateDir); err != nil {
		return err
	}
	cfg.Secrets = secrets.New(secrets.Config{Dir: cfg.StateDir, Credentials: os.Getenv("CREDENTIALS_DIRECTORY")})
	// The state is opened first: a second daemon must neither log in nor take the socket.
	d, err := daemon.New(cfg)
	if errors.Is(err, state.ErrInUse) {
		return fmt.Errorf("%w: stop it first, or give this one another folder with --state", err)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := d.Close(); err != nil {
			o.log.Error("state", "err", err)
		}
	}()
	mounts, runPhone, err := o.webphone(d, cfg)
	if err != nil {
		return err
	}
	whipMounts, runWhip, err := o.serveWhip(d, cfg)
	if err != nil {
		return err
	}
	mounts = append(mounts, whipMounts...)
	l, remove, err := o.listen()
	if err != nil {
		return err
	}
	defer remove()
	socket := l.Addr().String()
	o.log.Info("ready", "socket", socket, "accounts", len(cfg.Accounts))
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	token := ""
	if o.parentStdin {
		token = rand.Text()
		if err := json.NewEncoder(o.stdout).Encode(greeting{socket, token, os.Getpid(), version}); err != nil {
			return errors.Join(err, l.Close())
		}
		go func() {
			_, _ = io.Copy(io.Discard, o.stdin) // however it ends, there is nobody left to work for
			quit()
		}()
	}
	notify(o.log, sdaemon.SdNotifyReady)
	defer notify(o.log, sdaemon.SdNotifyStopping)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Run(ctx) })
	g.Go(func() error { return runPhone(ctx) })
	g.Go(func() error { return runWhip(ctx) })
	g.Go(func() error { return apiserver.ServeToken(ctx, l, d, o.log, token, mounts...) })
	return g.Wait()
}

// load reads the configuration. A program that starts jingled for itself does not mean the user's accounts.
func (o *options) load() (daemon.Config, error) {
	path := o.config
	if path == "" {
		if o.parentStdin {
			return daemon.Config{}, nil
		}
		dir, err := os.UserConfigDir()
		if err != nil {
			return daemon.Config{}, err
		}
		path = filepath.Join(dir, "jingled", "config.toml")
	}
	// A file that the configuration names may be missing, too: that is an error.
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && path != o.config {
		o.log.Info("there is no configuration: accounts can be added with jingle account add", "file", path)
		return daemon.Config{}, nil
	}
	cfg, err := configfile.Load(path)
	if err != nil {
		return cfg, err
	}
	for _, w := range configfile.Warnings(path) {
		o.log.Warn(w, "file", path)
	}
	return cfg, nil
}

// stateDir decides where the history is kept; "" means nowhere. The flag counts first, then the configuration, then the
// folder that systemd has made for us.
func (o *options) stateDir(configured string) (string, error) {
	switch {
	case o.state == "none":
		return "", nil
	case o.state != "":
		return filepath.Abs(o.state)
	case configured != "" || o.parentStdin:
		return configured, nil
	}
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "jingled"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the history, name one with --state: %w", err)
	}
	return filepath.Join(home, ".local", "state", "jingled"), nil
}

// listen returns the socket that systemd hands over, the one that is named, a private one for a parent, or the usual
// one. remove takes a private one's folder away.
func (o *options) listen() (l net.Listener, remove func(), err error) {
	remove = func() {}
	inherited, err := activation.Listeners()
	if err != nil {
		return nil, nil, fmt.Errorf("systemd: %w", err)
	}
	switch {
	case len(inherited) > 1:
		return nil, nil, fmt.Errorf("systemd handed over %d sockets: one is enough", len(inherited))
	case len(inherited) == 1 && o.socket != "":
		return nil, nil, errors.New("systemd handed over a socket: leave out --socket")
	case len(inherited) == 1:
		u, ok := inherited[0].(*net.UnixListener)
		if !ok {
			return nil, nil, errors.New("systemd handed over a socket that is not a Unix stream socket: others could connect to it")
		}
		return u, remove, nil
	}
	path := o.socket
	switch {
	case path != "":
	case o.parentStdin:
		dir, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "jingled-") // mode 0700
		if err != nil {
			return nil, nil, err
		}
		remove = func() { _ = os.RemoveAll(dir) }
		path = filepath.Join(dir, "s")
	default:
		if path, err = apiserver.DefaultSocket(); err != nil {
			return nil, nil, err
		}
	}
	if path, err = filepath.Abs(path); err == nil {
		l, err = apiserver.Listen(path)
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return l, remove, nil
}

// notify tells systemd, if it has started us.
func notify(log *slog.Logger, state string) {
	if _, err := sdaemon.SdNotify(false, state); err != nil {
		log.Debug("systemd", "err", err)
	}
}
