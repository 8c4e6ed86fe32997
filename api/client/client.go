// Package client speaks the daemon's local API, jingled.v1, over its Unix socket.
package client

import (
	"context"
	"net"
	"net/http"

	"github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
)

// Client has the services of one daemon. It is safe for concurrent use.
type Client struct {
	Daemon    jingledv1connect.DaemonServiceClient
	Calls     jingledv1connect.CallServiceClient
	Transfers jingledv1connect.TransferServiceClient
	Events    jingledv1connect.EventServiceClient
	Accounts  jingledv1connect.AccountServiceClient
	Doctor    jingledv1connect.DoctorServiceClient
	Contacts  jingledv1connect.ContactServiceClient
	Blocks    jingledv1connect.BlockServiceClient
	Rooms     jingledv1connect.RoomServiceClient
	Trust     jingledv1connect.IdentityServiceClient
	History   jingledv1connect.HistoryServiceClient
	Tunnels   jingledv1connect.TunnelServiceClient
	Phone     jingledv1connect.PhoneServiceClient
	Whip      jingledv1connect.WhipServiceClient
	Delegated jingledv1connect.DelegatedMediaServiceClient

	http *http.Transport
}

// Dial returns a client of the daemon behind a Unix socket. It connects with the first request.
func Dial(socket string) *Client { return DialToken(socket, "") }

// DialToken is [Dial] for a jingled that was started with --parent-stdin, which prints its socket and its token.
func DialToken(socket, token string) *Client {
	return connectedBy(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}, token)
}

// New returns a client whose connections are made by dial.
func New(dial func(context.Context) (net.Conn, error)) *Client { return connectedBy(dial, "") }

// bearer adds a token to every request (RFC 6750 section 2.1).
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

func connectedBy(dial func(context.Context) (net.Conn, error), token string) *Client {
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: 8,
	}
	h := &http.Client{Transport: t}
	if token != "" {
		h.Transport = bearer{t, token}
	}
	const base = "http://jingled"
	return &Client{
		Daemon:    jingledv1connect.NewDaemonServiceClient(h, base),
		Calls:     jingledv1connect.NewCallServiceClient(h, base),
		Transfers: jingledv1connect.NewTransferServiceClient(h, base),
		Events:    jingledv1connect.NewEventServiceClient(h, base),
		Accounts:  jingledv1connect.NewAccountServiceClient(h, base),
		Doctor:    jingledv1connect.NewDoctorServiceClient(h, base),
		Contacts:  jingledv1connect.NewContactServiceClient(h, base),
		Blocks:    jingledv1connect.NewBlockServiceClient(h, base),
		Rooms:     jingledv1connect.NewRoomServiceClient(h, base),
		Trust:     jingledv1connect.NewIdentityServiceClient(h, base),
		History:   jingledv1connect.NewHistoryServiceClient(h, base),
		Tunnels:   jingledv1connect.NewTunnelServiceClient(h, base),
		Phone:     jingledv1connect.NewPhoneServiceClient(h, base),
		Whip:      jingledv1connect.NewWhipServiceClient(h, base),
		Delegated: jingledv1connect.NewDelegatedMediaServiceClient(h, base),
		http:      t,
	}
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }
