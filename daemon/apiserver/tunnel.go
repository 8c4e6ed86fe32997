package apiserver

import (
	"context"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// maxPush bounds what a host hands over at once: a roster is large at times.
const maxPush = 8 << 20

type tunnels struct{ d *daemon.Daemon }

func (t tunnels) OpenTunnel(ctx context.Context, req *jingledv1.OpenTunnelRequest, stream *connect.ServerStream[jingledv1.OpenTunnelResponse]) error {
	return t.d.OpenTunnel(ctx, req, stream.Send)
}

func (t tunnels) PushStanzas(ctx context.Context, req *jingledv1.PushStanzasRequest) (*jingledv1.PushStanzasResponse, error) {
	return t.d.PushStanzas(ctx, req)
}
