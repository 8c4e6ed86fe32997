package apiserver

import (
	"context"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

type history struct{ d *daemon.Daemon }

func (h history) ListHistory(ctx context.Context, req *jingledv1.ListHistoryRequest) (*jingledv1.ListHistoryResponse, error) {
	return h.d.ListHistory(ctx, req)
}

func (h history) ExportState(ctx context.Context, req *jingledv1.ExportStateRequest, stream *connect.ServerStream[jingledv1.ExportStateResponse]) error {
	return h.d.ExportState(ctx, req, stream.Send)
}
