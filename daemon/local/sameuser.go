package local

import (
	"log/slog"
	"net"
)

// SameUser returns a listener that lets in only connections of this user's programs, and root's, where the system tells
// whose they are. Others are closed without a word, and the log has it; what names the listener there.
func SameUser(l net.Listener, what string, log *slog.Logger) net.Listener {
	return sameUser{l, what, log}
}

type sameUser struct {
	net.Listener
	what string
	log  *slog.Logger
}

// Accept implements [net.Listener].
func (s sameUser) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkPeer(c); err != nil {
			s.log.Warn("a connection to "+s.what+" was refused", "err", err)
			_ = c.Close()
			continue
		}
		return c, nil
	}
}

func checkPeer(c net.Conn) error {
	switch c := c.(type) {
	case *net.UnixConn:
		return checkUnix(c)
	case *net.TCPConn:
		return checkTCP(c)
	}
	return nil
}
