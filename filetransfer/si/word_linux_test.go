package si_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"testing"

	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// between stands between the receiver and the sender's streamhost. It lets the SOCKS5 handshake through and then gives the
// sender's connection, of which it takes a little only, and the receiver's to hold.
func between(w *world, hold func(sender, receiver *net.TCPConn)) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = ln.Close() })
	host := make(chan string, 1)
	w.tamper = func(_ jid.JID, e *xmltree.Element) (*xmltree.Element, *jingle.StanzaError) {
		for h := range e.Elements() {
			if h.Is(bytestreams, "streamhost") {
				host <- net.JoinHostPort(h.Attr("host"), h.Attr("port"))
				h.Set("host", "127.0.0.1").Set("port", strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
			}
		}
		return e, nil
	}
	w.wg.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			w.t.Error(err)
			return
		}
		defer c.Close()
		small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			return errors.Join(raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }), err)
		}}
		s, err := small.Dial("tcp", <-host)
		if err != nil {
			w.t.Error(err)
			return
		}
		defer s.Close()
		go func() { _, _ = io.Copy(s, c) }()
		// RFC 1928: two bytes, and a reply with a name of 40.
		if _, err := io.CopyN(c, s, 2+5+40+2); err != nil {
			w.t.Error(err)
			return
		}
		hold(s.(*net.TCPConn), c.(*net.TCPConn))
	})
}

// TestClosedStreamIsAWordOnlyIfAllHasCome closes the receiver's direction of a stream while most of the file is in the
// sender's socket.
func TestClosedStreamIsAWordOnlyIfAllHasCome(t *testing.T) {
	data := pattern(200_000)
	t.Run("it comes nevertheless", func(t *testing.T) {
		w := newWorld(t, true)
		between(w, func(s, r *net.TCPConn) {
			_ = s.CloseWrite()
			if e := early(w.people[romeo]); e != nil {
				t.Errorf("%+v", e)
			}
			_, _ = io.Copy(r, s)
		})
		w.send(data)
		w.arrived(data, bytestreams)
	})
	t.Run("the receiver has died", func(t *testing.T) {
		w := newWorld(t, true)
		between(w, func(s, r *net.TCPConn) {
			_ = s.CloseWrite()
			if e := early(w.people[romeo]); e != nil {
				t.Errorf("%+v", e)
			}
			_, _ = s.Close(), r.Close()
		})
		w.send(data)
		for _, who := range []jid.JID{romeo, juliet} {
			if f, ok := w.people[who].last().(transfers.Failed); !ok || f.Reason != jingle.ConnectivityError {
				t.Errorf("%s: %+v", who, f)
			}
		}
	})
}
