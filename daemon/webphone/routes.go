package webphone

import (
	"net/http"

	"connectrpc.com/connect"

	v1 "github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/web"
)

// maxRequest bounds the body of a request of the API; the page's are small.
const maxRequest = 64 << 10

// procedures are those that the page calls. No other is there for it.
var procedures = []string{
	v1.DaemonServiceGetInfoProcedure, v1.DaemonServiceListAccountsProcedure,
	v1.ContactServiceListContactsProcedure, v1.ContactServiceAddContactProcedure, v1.ContactServiceUpdateContactProcedure,
	v1.ContactServiceRemoveContactProcedure, v1.ContactServiceAnswerSubscriptionProcedure, v1.ContactServiceSetPresenceProcedure,
	v1.CallServiceStartCallProcedure, v1.CallServiceAnswerCallProcedure, v1.CallServiceEndCallProcedure,
	v1.CallServiceSendDtmfProcedure, v1.CallServiceControlCallProcedure, v1.CallServiceListCallsProcedure,
	v1.TransferServiceAcceptFileProcedure, v1.TransferServiceEndTransferProcedure, v1.TransferServicePauseTransferProcedure,
	v1.TransferServiceResumeTransferProcedure, v1.TransferServiceListTransfersProcedure,
	v1.BlockServiceListBlockedProcedure, v1.BlockServiceBlockProcedure, v1.BlockServiceUnblockProcedure,
	v1.HistoryServiceListHistoryProcedure,
}

// handler is everything that is served at an address.
func (s *Server) handler(addr string) http.Handler {
	door := entrance{&s.doors, cookieName(addr)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /session", door.enter)
	mux.Handle("DELETE /session", door.only(http.HandlerFunc(door.leave)))
	mux.Handle("GET /{$}", page("index.html"))
	for _, name := range web.Assets() {
		mux.Handle("GET /"+name, page(name))
	}

	d := narrow{s.cfg.Daemon, s.cfg.Downloads}
	limit := connect.WithReadMaxBytes(maxRequest)
	api := http.NewServeMux()
	api.Handle(v1.NewDaemonServiceHandler(d, limit))
	api.Handle(v1.NewContactServiceHandler(d, limit))
	api.Handle(v1.NewCallServiceHandler(d, limit))
	api.Handle(v1.NewTransferServiceHandler(d, limit))
	api.Handle(v1.NewBlockServiceHandler(d, limit))
	api.Handle(v1.NewHistoryServiceHandler(apiserver.History(d.Daemon), limit))
	for _, p := range procedures {
		mux.Handle("POST "+p, door.only(api))
	}
	mux.Handle("GET /v1/events", door.only(apiserver.EventStream(d.Daemon)))
	clients := door.only(apiserver.Clients(d.Daemon))
	mux.Handle("POST /v1/calls/{call}/webrtc", clients)
	mux.Handle("DELETE /v1/calls/{call}/webrtc/{id}", clients)
	mux.Handle("POST /upload", door.only(http.HandlerFunc(s.files.upload)))
	return guard(hostsOf(addr), mux)
}

// page serves one file of the page.
func page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Browsers ask again each time and get it only if it is another: after an update nobody has an old script.
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Etag", web.Version(name))
		http.ServeFileFS(w, r, web.Files(), name)
	})
}
