package apiserver

import (
	"connectrpc.com/connect"

	"github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
)

// Whip serves the service that opens WHIP.
func Whip(s jingledv1connect.WhipServiceHandler) Mount {
	path, h := jingledv1connect.NewWhipServiceHandler(s, connect.WithReadMaxBytes(maxRequest))
	return Mount{path, h}
}
