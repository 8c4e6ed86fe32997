// Package local is what the servers for programs of this machine have in common: they are on a loopback address from the
// time that somebody asks for it, and some are for this user only.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says what is served, and where.
type Config struct {
	// What is served, as in "the phone": errors and the log begin with it.
	What string
	// Listen is a loopback address and a port, 0 for any. Empty: Usual, or another port if that is taken.
	Listen string
	// Usual is tried first where Listen is empty.
	Usual string
	// AtOnce listens when Run begins. Otherwise the first [Server.Open] does.
	AtOnce bool
	// Handler returns what answers the requests that come to an address.
	Handler func(addr string) http.Handler
	// Timeout is for reading a request, and for writing an answer. 0 is none, for what streams.
	Timeout time.Duration
	// SameUser turns away the programs of others; see [SameUser].
	SameUser bool
	// Log may be nil.
	Log *slog.Logger
}

// Server is made by [New] and driven by [Server.Run].
type Server struct {
	cfg   Config
	begun chan net.Listener // the listener, once

	mu      sync.Mutex
	running bool
	addr    string // empty until it listens
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Listen != "" {
		host, _, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("%q is no loopback address, and %s is for programs of this machine only", host, cfg.What)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, begun: make(chan net.Listener, 1)}, nil
}

// Run serves until ctx ends; then it closes every connection and returns nil.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	defer s.stopped()
	if s.cfg.AtOnce {
		if _, err := s.Open(); err != nil {
			return err
		}
	}
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
		Handler:           s.cfg.Handler(l.Addr().String()),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       s.cfg.Timeout,
		WriteTimeout:      s.cfg.Timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if s.cfg.SameUser {
		l = SameUser(l, s.cfg.What, s.cfg.Log)
	}
	return Serve(ctx, h, l, s.cfg.What, s.cfg.Log)
}

// Serve has h serve l until ctx ends; then it closes both and every connection, and returns nil. It does not wait for
// requests, as streams last as long as their clients like.
func Serve(ctx context.Context, h *http.Server, l net.Listener, what string, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, func() {
		if err := h.Close(); err != nil {
			log.Debug("close a server", "of", what, "err", err)
		}
	})
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Open listens, unless that was done, and returns the address.
func (s *Server) Open() (addr string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return "", fmt.Errorf("%s cannot be served: the daemon starts or stops", s.cfg.What)
	}
	if s.addr != "" {
		return s.addr, nil
	}
	l, err := s.listen()
	if err != nil {
		return "", fmt.Errorf("%s cannot be served: %w", s.cfg.What, err)
	}
	s.addr = l.Addr().String()
	s.begun <- l
	s.cfg.Log.Info(s.cfg.What+" is served", "addr", s.addr)
	return s.addr, nil
}

func (s *Server) listen() (net.Listener, error) {
	if s.cfg.Listen != "" {
		return net.Listen("tcp", s.cfg.Listen)
	}
	if l, err := net.Listen("tcp", s.cfg.Usual); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}
