package apiserver

import (
	"net/http"

	"connectrpc.com/connect"

	"github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
	"github.com/jingled/jingled/daemon"
)

// Mount is a service that is served besides those of the daemon.
type Mount struct {
	Path    string
	Handler http.Handler
}

// Phone serves the service that opens the phone.
func Phone(p jingledv1connect.PhoneServiceHandler) Mount {
	path, h := jingledv1connect.NewPhoneServiceHandler(p, connect.WithReadMaxBytes(maxRequest))
	return Mount{path, h}
}

// EventStream returns the handler of GET /v1/events, for other servers.
func EventStream(d *daemon.Daemon) http.Handler { return impatient(serverSentEvents{d}) }

// History returns the history service, for other servers.
func History(d *daemon.Daemon) jingledv1connect.HistoryServiceHandler { return history{d} }
