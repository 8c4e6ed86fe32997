package apiserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// DefaultSocket returns where the API's socket is: $JINGLED_SOCKET, or jingled/jingled.sock in $XDG_RUNTIME_DIR, or in
// a folder of the user's cache where the system has no such folder.
func DefaultSocket() (string, error) {
	if s := os.Getenv("JINGLED_SOCKET"); s != "" {
		return s, nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("no place for the socket: %w", err)
		}
	}
	return filepath.Join(dir, "jingled", "jingled.sock"), nil
}

// ErrRunning says that another daemon serves the socket.
var ErrRunning = errors.New("another jingled is running")

// Listen makes the socket at path, mode 0600 in a folder of mode 0700. A socket that a dead daemon left behind is
// replaced; if a live one answers, the error wraps [ErrRunning].
func Listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%w on %s: stop it first, or give this one another socket", ErrRunning, path)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is there and is no socket: it is left alone", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivate(path)
	if errors.Is(err, syscall.EINVAL) && len(path) > maxPath {
		return nil, fmt.Errorf("the path of the socket is too long for this system, which takes about %d characters: %s", maxPath, path)
	}
	return l, err
}

// maxPath is how long the path of a Unix socket can be everywhere (sun_path of unix(4) on macOS; Linux takes four more).
const maxPath = 103
