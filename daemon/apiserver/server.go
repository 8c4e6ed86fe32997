// Package apiserver serves a daemon's local API, jingled.v1, over Connect, gRPC and gRPC-Web, and its events also as
// server-sent events.
package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/local"
)

// maxRequest bounds the body of a request.
const maxRequest = 1 << 20

// Serve answers requests that come in on l until ctx ends; then it closes l and every connection and returns nil. On a
// Unix socket only processes of the same user are served. more is served besides what the daemon does.
func Serve(ctx context.Context, l net.Listener, d *daemon.Daemon, log *slog.Logger, more ...Mount) error {
	return ServeToken(ctx, l, d, log, "", more...)
}

// ServeToken is [Serve] for those who have a token: others of the same user get the error unauthenticated. Without one ("") it is
// Serve.
func ServeToken(ctx context.Context, l net.Listener, d *daemon.Daemon, log *slog.Logger, token string, more ...Mount) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	h := handler(d, more)
	if token != "" {
		h = local.Bearer(token, h, func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusUnauthorized, connect.CodeUnauthenticated.String(), "the token is missing or wrong: this jingled serves the program that started it")
		})
	}
	s := &http.Server{
		Handler:           impatient(h),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	if u, ok := l.(*net.UnixListener); ok {
		l = local.SameUser(u, "the API", log)
	}
	return local.Serve(ctx, s, l, "the API", log)
}

func handler(d *daemon.Daemon, more []Mount) http.Handler {
	limit := connect.WithReadMaxBytes(maxRequest)
	mux := http.NewServeMux()
	mux.Handle(jingledv1connect.NewDaemonServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewCallServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewTransferServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewEventServiceHandler(events{d}, limit))
	mux.Handle(jingledv1connect.NewAccountServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewDoctorServiceHandler(doctor{d}, limit))
	mux.Handle(jingledv1connect.NewContactServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewBlockServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewRoomServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewIdentityServiceHandler(d, limit))
	mux.Handle(jingledv1connect.NewHistoryServiceHandler(history{d}, limit))
	mux.Handle(jingledv1connect.NewTunnelServiceHandler(tunnels{d}, connect.WithReadMaxBytes(maxPush)))
	mux.Handle("GET /v1/events", serverSentEvents{d})
	mux.Handle(jingledv1connect.NewDelegatedMediaServiceHandler(d, limit))
	mountClients(mux, d)
	for _, m := range more {
		mux.Handle(m.Path, m.Handler)
	}
	return mux
}

// writeTime is how long a client may leave unread what was sent to it.
const writeTime = 30 * time.Second

// impatient cuts off clients that do not read.
func impatient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&impatientWriter{w, http.NewResponseController(w)}, r)
	})
}

type impatientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write implements [http.ResponseWriter].
func (w *impatientWriter) Write(b []byte) (n int, err error) {
	err = w.inTime(func() error {
		n, err = w.ResponseWriter.Write(b)
		return err
	})
	return n, err
}

// FlushError is what [http.ResponseController] looks for.
func (w *impatientWriter) FlushError() error { return w.inTime(w.control.Flush) }

// inTime sets a deadline for something that is written. In between there is none, as a stream may be silent for long.
func (w *impatientWriter) inTime(write func() error) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return errors.Join(write(), w.control.SetWriteDeadline(time.Time{}))
}

// Flush implements [http.Flusher], which streaming needs.
func (w *impatientWriter) Flush() { _ = w.FlushError() }

type events struct{ d *daemon.Daemon }

func (e events) Watch(ctx context.Context, req *jingledv1.WatchRequest, stream *connect.ServerStream[jingledv1.WatchResponse]) error {
	return e.d.Watch(ctx, req, func(ev *jingledv1.Event) error {
		return stream.Send(&jingledv1.WatchResponse{Event: ev})
	})
}
