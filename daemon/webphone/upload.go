package webphone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/filetransfer/store"
)

// readTime is how long an upload may stand still.
const readTime = 30 * time.Second

const (
	folderPrefix = "jingle-upload-"
	keptFor      = 7 * 24 * time.Hour
)

// uploads are files that were dropped on the page. Each lies in a folder of its own until its transfer has ended.
type uploads struct {
	cfg  Config
	room chan struct{} // one for each file that exists

	mu   sync.Mutex
	ctx  context.Context // of Run
	busy sync.WaitGroup
}

func (u *uploads) life(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ctx = ctx
}

func (u *uploads) wait() { u.busy.Wait() }

// begin counts an upload, unless the server ends.
func (u *uploads) begin() (context.Context, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx == nil || u.ctx.Err() != nil {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the daemon is stopping"))
	}
	select {
	case u.room <- struct{}{}:
	default:
		return nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d files are on their way already: wait for one of them", cap(u.room)))
	}
	u.busy.Add(1)
	return u.ctx, nil
}

func (u *uploads) end() {
	<-u.room
	u.busy.Done()
}

// upload serves POST /upload?account=&peer=&name=: the body is offered to the peer as a file of this name.
func (u *uploads) upload(w http.ResponseWriter, r *http.Request) {
	life, err := u.begin()
	if err != nil {
		fail(w, err)
		return
	}
	kept := false
	defer func() {
		if !kept {
			u.end()
		}
	}()
	path, remove, err := u.receive(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	q := r.URL.Query()
	res, err := u.cfg.Daemon.SendFile(r.Context(), &jingledv1.SendFileRequest{Account: q.Get("account"), Peer: q.Get("peer"), Path: path})
	if err != nil {
		remove()
		fail(w, err)
		return
	}
	kept = true
	go func() {
		defer u.end()
		// A transfer that was paused, or whose peer is away, goes on after a restart.
		if u.await(life, q.Get("account"), res.GetSid()) || u.cfg.Uploads == "" {
			remove()
		}
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"sid": res.GetSid()})
}

// sweep removes what was left for transfers that have not gone on.
func (u *uploads) sweep() {
	if u.cfg.Uploads == "" {
		return
	}
	folders, err := filepath.Glob(filepath.Join(u.cfg.Uploads, folderPrefix+"*"))
	if err != nil {
		return // a name with brackets in it
	}
	for _, f := range folders {
		if st, err := os.Lstat(f); err == nil && st.IsDir() && u.cfg.Now().Sub(st.ModTime()) > keptFor {
			if err := os.RemoveAll(f); err != nil {
				u.cfg.Log.Warn("remove an old upload", "err", err)
			}
		}
	}
}

// receive writes the body of a request to a file. remove takes it away again.
func (u *uploads) receive(w http.ResponseWriter, r *http.Request) (path string, remove func(), err error) {
	size := r.ContentLength
	switch {
	case size < 0:
		return "", nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the upload does not say how long it is"))
	case size > u.cfg.MaxUpload:
		return "", nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the file is larger than %d MiB", u.cfg.MaxUpload>>20))
	}
	if u.cfg.Uploads != "" {
		if err := os.MkdirAll(u.cfg.Uploads, 0o700); err != nil {
			return "", nil, err
		}
	}
	dir, err := os.MkdirTemp(u.cfg.Uploads, folderPrefix) // mode 0700
	if err != nil {
		return "", nil, err
	}
	remove = func() {
		if err := os.RemoveAll(dir); err != nil {
			u.cfg.Log.Warn("remove an upload", "err", err)
		}
	}
	if path, err = write(dir, r.URL.Query().Get("name"), size, &steady{r.Body, http.NewResponseController(w)}); err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// write makes the file; its name is one that can do no harm.
func write(dir, name string, size int64, body io.Reader) (path string, err error) {
	folder, err := store.Open(dir, store.Config{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	f, err := folder.Create(name, size)
	if errors.Is(err, store.ErrNoSpace) {
		return "", connect.NewError(connect.CodeResourceExhausted, err)
	}
	if err != nil {
		return "", err
	}
	if _, err := io.CopyN(f, body, size); err != nil {
		return "", errors.Join(connect.NewError(connect.CodeAborted, fmt.Errorf("the upload broke off: %w", err)), f.Close())
	}
	return f.Commit()
}

// steady fails when nothing comes for a while.
type steady struct {
	io.Reader
	control *http.ResponseController
}

// Read implements [io.Reader].
func (s *steady) Read(b []byte) (int, error) {
	if err := s.control.SetReadDeadline(time.Now().Add(readTime)); err != nil {
		return 0, err
	}
	return s.Reader.Read(b)
}

// await returns when a transfer has ended, or with ctx, and then false.
func (u *uploads) await(ctx context.Context, account, sid string) bool {
	for ctx.Err() == nil {
		sub, err := u.cfg.Daemon.Subscribe(0)
		if err != nil {
			return false
		}
		// What has ended before is not listed; what ends from now on is an event.
		if u.lists(ctx, account, sid) {
			err = ended(ctx, sub, sid)
		}
		sub.Close()
		if !errors.Is(err, daemon.ErrSlowReader) {
			return err == nil
		}
	}
	return false
}

func (u *uploads) lists(ctx context.Context, account, sid string) bool {
	res, err := u.cfg.Daemon.ListTransfers(ctx, &jingledv1.ListTransfersRequest{Account: account})
	if err != nil {
		return false
	}
	for _, t := range res.GetTransfers() {
		if t.GetSid() == sid {
			return true
		}
	}
	return false
}

func ended(ctx context.Context, sub *daemon.Subscription, sid string) error {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if e.GetSid() == sid && (e.GetTransferDone() != nil || e.GetTransferFailed() != nil) {
			return nil
		}
	}
}

// fail answers with an error and its code.
func fail(w http.ResponseWriter, err error) {
	code := connect.CodeOf(err)
	status := map[connect.Code]int{
		connect.CodeInvalidArgument: http.StatusBadRequest, connect.CodeNotFound: http.StatusNotFound,
		connect.CodeFailedPrecondition: http.StatusBadRequest, connect.CodePermissionDenied: http.StatusForbidden,
		connect.CodeUnavailable: http.StatusServiceUnavailable, connect.CodeResourceExhausted: http.StatusTooManyRequests,
	}[code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	text := err.Error()
	if e := new(connect.Error); errors.As(err, &e) {
		text = e.Message()
	}
	refuse(w, status, code.String(), text)
}
