package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// adminListener is the admin socket.
type adminListener struct {
	net.Listener
	path string
}

// listenAdmin makes the socket. Nobody else can connect at any moment: it is made inside a directory that only this
// user may enter, and moved into place when its mode is 0600.
func (r *Relay) listenAdmin() (*adminListener, error) {
	path := r.plan.cfg.Admin.Socket
	switch path {
	case "off":
		return nil, nil
	case "":
		path = DefaultSocket
	}
	a, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	return a, nil
}

func listenPrivate(path string) (*adminListener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is not a socket", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s belongs to a relay that is running", path)
		}
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	ln, err := net.Listen("unix", filepath.Join(tmp, "s"))
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(filepath.Join(tmp, "s"), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(tmp, "s"), path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &adminListener{ln, path}, nil
}

func (a *adminListener) serve(ctx context.Context, h http.Handler) error {
	defer os.Remove(a.path)
	return serveHTTP(ctx, a.Listener, h)
}

func (a *adminListener) close() {
	if a != nil {
		a.Close()
		os.Remove(a.path)
	}
}

// The admin API is HTTP with JSON:
//
//	GET  /v1/status             Status
//	GET  /v1/sessions           []Session
//	GET  /v1/bans               []BanInfo
//	POST /v1/kick    Selector   Count
//	POST /v1/ban     BanRequest Count
//	POST /v1/unban   Selector   Count
//	POST /v1/drain   DrainRequest
//	POST /v1/issue   IssueRequest  credentials.Issued
type (
	// Count says how many sessions were ended.
	Count struct {
		Ended int `json:"ended"`
	}
	// BanRequest is a ban to be made.
	BanRequest struct {
		Selector
		For Duration `json:"for"`
	}
	// BanInfo is a ban that holds.
	BanInfo struct {
		User    string    `json:"user,omitempty"`
		Address string    `json:"address,omitempty"`
		Until   time.Time `json:"until"`
	}
	// DrainRequest begins or ends a drain.
	DrainRequest struct {
		On      bool     `json:"on"`
		Timeout Duration `json:"timeout"`
	}
	// IssueRequest asks for a credential.
	IssueRequest struct {
		User string   `json:"user"`
		TTL  Duration `json:"ttl"`
	}
)

func (r *Relay) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, r.Status(), nil) })
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, _ *http.Request) {
		list := r.Sessions()
		if list == nil {
			list = []Session{}
		}
		answer(w, list, nil)
	})
	mux.HandleFunc("GET /v1/bans", func(w http.ResponseWriter, _ *http.Request) {
		out := []BanInfo{}
		for _, b := range r.Bans() {
			i := BanInfo{User: b.User, Until: b.Until}
			if b.Prefix.IsValid() {
				i.Address = b.Prefix.String()
			}
			out = append(out, i)
		}
		answer(w, out, nil)
	})
	mux.HandleFunc("POST /v1/kick", handle(func(s Selector) (any, error) {
		n, err := r.Kick(s)
		return Count{n}, err
	}))
	mux.HandleFunc("POST /v1/ban", handle(func(b BanRequest) (any, error) {
		n, err := r.Ban(b.Selector, time.Duration(b.For))
		return Count{n}, err
	}))
	mux.HandleFunc("POST /v1/unban", handle(func(s Selector) (any, error) { return Count{}, r.Unban(s) }))
	mux.HandleFunc("POST /v1/drain", handle(func(d DrainRequest) (any, error) {
		if d.Timeout < 0 {
			return nil, errors.New("a time to drain cannot be negative")
		}
		if d.On {
			r.Drain(time.Duration(d.Timeout))
		} else {
			r.Undrain()
		}
		return struct{}{}, nil
	}))
	mux.HandleFunc("POST /v1/issue", handle(func(i IssueRequest) (any, error) { return r.Issue(i.User, time.Duration(i.TTL)) }))
	return mux
}

// handle decodes a request strictly and answers it.
func handle[T any](f func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var v T
		dec := json.NewDecoder(io.LimitReader(req.Body, 64<<10))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			answer(w, nil, err)
			return
		}
		out, err := f(v)
		answer(w, out, err)
	}
}

type adminError struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		v = adminError{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v)
}
