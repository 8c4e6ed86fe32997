// Package whip serves WHIP (RFC 9725) and WHEP to programs of this machine that bring sound and pictures into calls, or play
// them: OBS, GStreamer, ffmpeg.
//
// It is on a loopback address. Every request needs a bearer token (RFC 6750), which is handed out over the daemon's socket,
// so neither other users nor web sites that a browser shows get anything.
package whip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/daemon/local"
)

// DefaultListen is tried first where [Config] names no address, so that what others have in their settings stays true.
const DefaultListen = "127.0.0.1:7468"

// Config says how clients are served. Only Daemon has to be set.
type Config struct {
	Daemon *daemon.Daemon
	// Listen is a loopback address and a port, 0 for any. Empty: [DefaultListen], or another port if that is taken, and
	// not before the first [Server.OpenWhip].
	Listen string
	// StateDir is where the token is kept, in a file that only the user can read. Empty: it is another one in each run.
	StateDir string
	// Log may be nil.
	Log *slog.Logger
}

// Server is made by [New] and driven by [Server.Run].
type Server struct {
	token  string
	server *local.Server
}

const (
	tokenFile = "whip.token"
	maxToken  = 256
)

// New checks the configuration and finds the token, or makes one.
func New(cfg Config) (*Server, error) {
	if cfg.Daemon == nil {
		return nil, errors.New("whip: no daemon")
	}
	s := &Server{}
	var err error
	if s.token, err = token(cfg.StateDir); err != nil {
		return nil, fmt.Errorf("whip: %w", err)
	}
	s.server, err = local.New(local.Config{
		What: "WHIP", Listen: cfg.Listen, Usual: DefaultListen, AtOnce: cfg.Listen != "", Timeout: time.Minute, Log: cfg.Log,
		Handler: func(addr string) http.Handler { return s.guard(addr, apiserver.Clients(cfg.Daemon)) },
	})
	if err != nil {
		return nil, fmt.Errorf("whip: %w", err)
	}
	return s, nil
}

// token reads the token in a folder, or makes it. An empty folder keeps none.
func token(dir string) (string, error) {
	if dir == "" {
		return rand.Text(), nil
	}
	path := filepath.Join(dir, tokenFile)
	b, err := os.ReadFile(path)
	if t := strings.TrimSpace(string(b)); err == nil && len(t) >= 16 && len(t) <= maxToken {
		return t, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	t := rand.Text()
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(t + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return t, os.Rename(tmp, path)
}

// Run serves until ctx ends; then it closes every connection and returns nil.
func (s *Server) Run(ctx context.Context) error { return s.server.Run(ctx) }

// guard lets in only who has the token (RFC 9725 section 4.5), and who means this server: a name of somebody else's that was
// made to point here is still in Host.
func (s *Server) guard(addr string, next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(addr)
	hosts := map[string]bool{addr: true, "127.0.0.1:" + port: true, "localhost:" + port: true, "[::1]:" + port: true}
	next = local.Bearer(s.token, next, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "The bearer token is missing or wrong: jingle whip tells it.", http.StatusUnauthorized)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !hosts[r.Host] {
			http.Error(w, "This server is not here under this name.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// OpenWhip implements the service of the API.
func (s *Server) OpenWhip(context.Context, *jingledv1.OpenWhipRequest) (*jingledv1.OpenWhipResponse, error) {
	addr, err := s.server.Open()
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	return &jingledv1.OpenWhipResponse{Url: "http://" + addr + "/v1/calls/", Token: s.token}, nil
}
