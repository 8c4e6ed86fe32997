package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/jingled/jingled/relay/credentials"
)

// Client talks to a running relay by its admin socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the relay whose admin socket is given; "" is the default one.
func NewClient(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	c := &Client{socket: socket}
	c.http.Timeout = 30 * time.Second
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return c
}

// ErrNotRunning is wrapped when nothing listens on the socket.
var ErrNotRunning = errors.New("no relay is running there")

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://relay"+path, &body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: %w", c.socket, ErrNotRunning)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: only the relay's own user and root may ask it", c.socket)
	case err != nil:
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var e adminError
		if json.NewDecoder(res.Body).Decode(&e) != nil || e.Error == "" {
			e.Error = res.Status
		}
		return errors.New(e.Error)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// Status asks for the relay's state.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, "GET", "/v1/status", nil, &s)
	return s, err
}

// Sessions asks for the running sessions.
func (c *Client) Sessions(ctx context.Context) (s []Session, err error) {
	err = c.call(ctx, "GET", "/v1/sessions", nil, &s)
	return s, err
}

// Bans asks who is kept out.
func (c *Client) Bans(ctx context.Context) (b []BanInfo, err error) {
	err = c.call(ctx, "GET", "/v1/bans", nil, &b)
	return b, err
}

// Kick ends sessions and says how many.
func (c *Client) Kick(ctx context.Context, s Selector) (int, error) {
	var n Count
	err := c.call(ctx, "POST", "/v1/kick", s, &n)
	return n.Ended, err
}

// Ban keeps a user or an address out, and says how many sessions it ended.
func (c *Client) Ban(ctx context.Context, s Selector, d time.Duration) (int, error) {
	var n Count
	err := c.call(ctx, "POST", "/v1/ban", BanRequest{s, Duration(d)}, &n)
	return n.Ended, err
}

// Unban lets a user or an address in again.
func (c *Client) Unban(ctx context.Context, s Selector) error {
	var n Count
	return c.call(ctx, "POST", "/v1/unban", s, &n)
}

// Drain begins or ends a drain.
func (c *Client) Drain(ctx context.Context, on bool, timeout time.Duration) error {
	var nothing struct{}
	return c.call(ctx, "POST", "/v1/drain", DrainRequest{on, Duration(timeout)}, &nothing)
}

// Issue asks for a credential; 0 is the configured time.
func (c *Client) Issue(ctx context.Context, user string, ttl time.Duration) (i credentials.Issued, err error) {
	err = c.call(ctx, "POST", "/v1/issue", IssueRequest{user, Duration(ttl)}, &i)
	return i, err
}
