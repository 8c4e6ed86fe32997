package xmpp

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/coder/websocket"
)

const nsFraming = "urn:ietf:params:xml:ns:xmpp-framing"

// webSocket makes a WebSocket look like a TCP stream (RFC 7395): stream headers become <open/> and <close/>, and each
// stanza is a message.
type webSocket struct {
	ws     *websocket.Conn
	http   *webClient
	addr   net.Addr
	ctx    context.Context // of the connection's life
	cancel context.CancelFunc
	split  *splitter
	wait   deadline // of writes

	head []byte    // to be given out before body
	body io.Reader // rest of the message, nil between messages
}

// webAddr is what a web connection says of the other end.
type webAddr string

// Network implements net.Addr.
func (webAddr) Network() string { return "tcp" }

func (a webAddr) String() string { return string(a) }

func (c *Config) dialWebSocket(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	client := c.webClient(t)
	ws, resp, err := websocket.Dial(ctx, t.url.String(), &websocket.DialOptions{
		HTTPClient: client.Client, Subprotocols: []string{"xmpp"}, // RFC 7395 section 3.1
	})
	client.transport.CloseIdleConnections()
	if err != nil {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		if known := new(Error); errors.As(client.cause(err), &known) {
			return nil, known
		}
		e := &Error{Kind: ErrNotXMPP, Addr: t.addr, Err: err, Message: "no WebSocket is opened there",
			Advice: "Check the URL"}
		switch {
		case resp != nil:
			e.Message = fmt.Sprintf("no WebSocket is opened there: the answer is HTTP status %d", resp.StatusCode)
		case isTimeout(err) || ctx.Err() != nil:
			e.Kind, e.Message, e.Advice = ErrUnreachable, "no answer to the connection attempt", "Check the network and firewalls"
		}
		return nil, e
	}
	if ws.Subprotocol() != "xmpp" {
		_ = ws.CloseNow()
		return nil, &Error{Kind: ErrNotXMPP, Addr: t.addr, Message: "the WebSocket there does not speak XMPP", Advice: "Check the URL"}
	}
	ws.SetReadLimit(-1) // messages are read as streams, and bounded by the framer
	w := &webSocket{ws: ws, http: client, addr: webAddr(t.addr)}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.split = newSplitter(w, c.Limits.Send+1024)
	return w, nil
}

// Write implements net.Conn.
func (w *webSocket) Write(b []byte) (int, error) { return w.split.write(b) }

func (w *webSocket) openStream(domain string) error {
	var to bytes.Buffer
	if err := xml.EscapeText(&to, []byte(domain)); err != nil {
		return err
	}
	return w.message([]byte(`<open xmlns="` + nsFraming + `" to="` + to.String() + `" version="1.0"/>`))
}

func (w *webSocket) sendElement(text []byte) error { return w.message(text) }

func (w *webSocket) endStream() error { return w.message([]byte(`<close xmlns="` + nsFraming + `"/>`)) }

func (w *webSocket) message(b []byte) error {
	ctx, cancel := context.WithDeadline(w.ctx, w.wait.get())
	defer cancel()
	err := w.ws.Write(ctx, websocket.MessageText, b)
	switch {
	case err != nil && w.ctx.Err() != nil:
		return net.ErrClosed
	case err != nil && ctx.Err() != nil:
		return errWriteTimeout
	}
	return err
}

// Read implements net.Conn.
func (w *webSocket) Read(b []byte) (int, error) {
	for {
		if len(w.head) > 0 {
			n := copy(b, w.head)
			w.head = w.head[n:]
			return n, nil
		}
		if w.body == nil {
			if err := w.next(); err != nil {
				return 0, w.ended(err)
			}
			continue
		}
		n, err := w.body.Read(b)
		if err == io.EOF {
			w.body, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, w.ended(err)
		}
	}
}

// next begins the next message.
func (w *webSocket) next() error {
	typ, r, err := w.ws.Reader(w.ctx)
	if err != nil {
		return err
	}
	if typ != websocket.MessageText {
		return errNotXML // RFC 7395 section 3.3.1
	}
	// A message of the framing is one small tag. Everything else is passed on as it comes.
	w.body = r
	buf := make([]byte, 1024)
	n := 0
	for n < len(buf) && bytes.IndexByte(buf[:n], '>') < 0 {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			w.body = nil
			break
		}
		if err != nil {
			return err
		}
	}
	w.head = buf[:n]
	if !bytes.Contains(w.head, []byte(nsFraming)) {
		return nil
	}
	start, err := firstTag(w.head)
	if err != nil || start.Name.Space != nsFraming {
		return nil // a stanza that speaks of it
	}
	switch start.Name.Local {
	case "open":
		w.head = header(attr(start, "from"), attr(start, "id"))
	case "close":
		if there := attr(start, "see-other-uri"); there != "" { // RFC 7395 section 3.6.1
			w.head = nil
			return &StreamError{Condition: seeOtherURI, Host: there}
		}
		w.head = []byte(streamEndTag)
	default:
		return errNotXML
	}
	if w.body != nil {
		_, err = io.Copy(io.Discard, io.LimitReader(w.body, headerLimit))
		w.body = nil
	}
	return err
}

// ended tells an orderly end from a broken connection.
func (w *webSocket) ended(err error) error {
	switch {
	case err == nil:
		return nil
	case w.ctx.Err() != nil:
		return net.ErrClosed
	case websocket.CloseStatus(err) != -1:
		return io.EOF
	}
	return err
}

// Close implements net.Conn: at once.
func (w *webSocket) Close() error {
	w.cancel()
	err := w.ws.CloseNow()
	w.http.transport.CloseIdleConnections()
	return err
}

// LocalAddr implements net.Conn.
func (w *webSocket) LocalAddr() net.Addr { return webAddr("") }

// RemoteAddr implements net.Conn.
func (w *webSocket) RemoteAddr() net.Addr { return w.addr }

// SetDeadline implements net.Conn, for writes.
func (w *webSocket) SetDeadline(t time.Time) error { return w.SetWriteDeadline(t) }

// SetReadDeadline implements net.Conn: nothing here reads with one.
func (w *webSocket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (w *webSocket) SetWriteDeadline(t time.Time) error {
	w.wait.set(t)
	return nil
}
