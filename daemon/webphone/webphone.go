// Package webphone serves the phone of package web to the browsers of this machine: the page, the part of the local API
// that it needs, and the files that are dropped on it.
//
// It is on a loopback address, so every program and every web site that a browser shows can try to talk to it. What
// stands against them:
//
//   - On Linux only connections of the same user are taken.
//   - A request for a Host that is not the page's own is refused, so that no name can be made to point here.
//   - A one-time token, which is handed out over the daemon's socket, becomes a session: a cookie that scripts cannot
//     read, and a key that only this origin's scripts have. Cookies are sent to all ports of a host; the key is not.
//   - Requests from other origins are refused, and the page cannot be framed, nor load or send anything elsewhere.
//   - Paths of this machine cannot be named: files come by upload and go to the folder for downloads.
package webphone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/local"
)

// DefaultListen is tried first where [Config] names no address. Browsers remember by address and port who may use the
// microphone.
const DefaultListen = "127.0.0.1:7467"

// Config says how the phone is served. Only Daemon has to be set.
type Config struct {
	Daemon *daemon.Daemon
	// Listen is a loopback address and a port, 0 for any. Empty: [DefaultListen], or another port if that is taken.
	Listen string
	// Downloads is the absolute path of the folder for received files. Empty: the daemon's.
	Downloads string
	// Uploads is the absolute path of a folder for files on their way from the page to a peer. What a transfer still needs
	// when Run ends stays there for a week. Empty: the system's folder for temporary files, and nothing stays.
	Uploads string
	// MaxUpload refuses larger files, in bytes (default 16 GiB). The disk's free room is a bound in any case.
	MaxUpload int64
	// MaxUploads bounds how many uploaded files exist at once (default 64).
	MaxUploads int
	// Now replaces the clock, for tests.
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
}

// For is the usual configuration for a daemon: files go where its configuration says, or else to the user's folder for
// downloads.
func For(d *daemon.Daemon, cfg daemon.Config) Config {
	c := Config{Daemon: d, Log: cfg.Log}
	if cfg.StateDir != "" {
		c.Uploads = filepath.Join(cfg.StateDir, "uploads")
	}
	if cfg.Downloads == "" {
		c.Downloads = defaultDownloads()
	}
	return c
}

func (c Config) withDefaults() (Config, error) {
	if c.Daemon == nil {
		return c, errors.New("webphone: no daemon")
	}
	if c.MaxUpload <= 0 {
		c.MaxUpload = 16 << 30
	}
	if c.MaxUploads <= 0 {
		c.MaxUploads = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Server is made by [New] and driven by [Server.Run]. It listens from the first [Server.OpenPhone] on.
type Server struct {
	cfg    Config
	doors  doors
	files  uploads
	server *local.Server
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	s.doors.now = cfg.Now
	s.files = uploads{cfg: cfg, room: make(chan struct{}, cfg.MaxUploads)}
	s.server, err = local.New(local.Config{
		What: "the phone", Listen: cfg.Listen, Usual: DefaultListen, Handler: s.handler, SameUser: true, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("webphone: %w", err)
	}
	return s, nil
}

// Run serves until ctx ends; then it closes every connection, removes what was uploaded and returns nil.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.files.wait() // they see that ctx has ended
	defer cancel()
	s.files.sweep()
	s.files.life(ctx)
	return s.server.Run(ctx)
}

// OpenPhone implements the service of the API. The token that it hands out is good once and for some minutes.
func (s *Server) OpenPhone(context.Context, *jingledv1.OpenPhoneRequest) (*jingledv1.OpenPhoneResponse, error) {
	addr, err := s.server.Open()
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	token, expires, err := s.doors.invite()
	if err != nil {
		return nil, connect.NewError(connect.CodeResourceExhausted, err)
	}
	// A fragment is neither sent to the server nor told to other pages.
	return &jingledv1.OpenPhoneResponse{Url: "http://" + addr + "/#" + token, Expires: timestamppb.New(expires)}, nil
}
