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
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
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
	if c.Listen != "" {
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return c, fmt.Errorf("webphone: %w", err)
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return c, fmt.Errorf("webphone: %q is no loopback address: the phone is for this machine only", host)
		}
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
	cfg   Config
	doors doors
	files uploads
	begun chan net.Listener // the listener, once

	mu      sync.Mutex
	running bool
	addr    string // empty until it listens
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, begun: make(chan net.Listener, 1)}
	s.doors.now = cfg.Now
	s.files = uploads{cfg: cfg, room: make(chan struct{}, cfg.MaxUploads)}
	return s, nil
}

// Run serves until ctx ends; then it closes every connection, removes what was uploaded and returns nil.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	defer s.stopped()
	ctx, cancel := context.WithCancel(ctx)
	defer s.files.wait() // they see that ctx has ended
	defer cancel()
	s.files.sweep()
	s.files.life(ctx)
	select {
	case <-ctx.Done():
		return nil
	case l := <-s.begun:
		return s.serve(ctx, l)
	}
}

func (s *Server) stopped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.addr = false, ""
	select {
	case l := <-s.begun: // it came too late
		_ = l.Close()
	default:
	}
}

func (s *Server) serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.handler(l.Addr().String()),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() {
		if err := h.Close(); err != nil {
			s.cfg.Log.Debug("close the phone", "err", err)
		}
	})
	defer stop()
	if err := h.Serve(sameUser{l, s.cfg.Log}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("webphone: %w", err)
	}
	return nil
}

// OpenPhone implements the service of the API. The token that it hands out is good once and for some minutes.
func (s *Server) OpenPhone(context.Context, *jingledv1.OpenPhoneRequest) (*jingledv1.OpenPhoneResponse, error) {
	addr, err := s.listen()
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

// listen opens the listener, unless that was done, and returns its address.
func (s *Server) listen() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return "", errors.New("the phone is not served: the daemon starts or stops")
	}
	if s.addr != "" {
		return s.addr, nil
	}
	l, err := listen(s.cfg.Listen)
	if err != nil {
		return "", fmt.Errorf("the phone cannot be served: %w", err)
	}
	s.addr = l.Addr().String()
	s.begun <- l
	s.cfg.Log.Info("the phone is served", "addr", s.addr)
	return s.addr, nil
}

func listen(addr string) (net.Listener, error) {
	if addr != "" {
		return net.Listen("tcp", addr)
	}
	if l, err := net.Listen("tcp", DefaultListen); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// sameUser lets in only connections of this user's programs, where the system tells.
type sameUser struct {
	net.Listener
	log *slog.Logger
}

// Accept implements [net.Listener].
func (s sameUser) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkPeer(c); err != nil {
			s.log.Warn("a connection to the phone was refused", "err", err)
			_ = c.Close()
			continue
		}
		return c, nil
	}
}
