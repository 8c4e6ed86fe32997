package apiserver

import (
	"context"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

type doctor struct{ d *daemon.Daemon }

func (x doctor) Examine(ctx context.Context, req *jingledv1.ExamineRequest, stream *connect.ServerStream[jingledv1.ExamineResponse]) error {
	return x.d.Examine(ctx, req, stream.Send)
}
