package httpupload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// Origin is where a file is fetched from, and how to know that it is still the same one there.
type Origin struct {
	URL string
	// Validator is what the server told it by: a strong entity tag, or the time of the last modification (RFC 9110 section
	// 8.8). It is "" if there was neither, or before there was an answer.
	Validator string
}

// StatusError is an answer of a web server that is not the file.
type StatusError struct{ Code int }

func (e *StatusError) Error() string { return fmt.Sprintf("the server answers %d", e.Code) }

// later reports whether an attempt that failed like this may do better later: the network's fault, or a busy server.
func later(err error) bool {
	var status *StatusError
	var stanza *jingle.StanzaError
	switch {
	case errors.As(err, &status):
		return status.Code >= 500 || status.Code == http.StatusRequestTimeout || status.Code == http.StatusTooManyRequests
	case errors.As(err, &stanza):
		return stanza.Type == "wait"
	}
	return !errors.Is(err, ErrNotPublic) && !errors.Is(err, errWrong)
}

// whether is the reason for a failure that may be over later, or not.
func whether(later bool) jingle.Condition {
	if later {
		return jingle.ConnectivityError
	}
	return jingle.FailedApplication
}

// errWrong is wrapped by what a server says that does not fit to the file.
var errWrong = errors.New("this is not the file")

// Origin returns where a transfer of this manager gets its file from. ok is false for others and for those that have ended.
func (m *Manager) Origin(t *transfers.Transfer) (o Origin, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.fetches[t]
	if r == nil {
		return Origin{}, false
	}
	return r.origin, true
}

// get fetches a file that was accepted. The connection outlives it.
func (m *Manager) get(ctx context.Context, r *request, s Share) {
	res, stop, err := m.ask(ctx, r, Origin{URL: s.URL}, 0)
	if err == nil {
		if err = usable(res, s.File.Size); err != nil {
			_ = res.Body.Close()
		}
	}
	if err != nil {
		stop()
		r.fail(whether(later(err)), fmt.Errorf("the file cannot be fetched: %w", err))
		return
	}
	r.validated(res)
	if s.File.Size == nil {
		r.driver.Sized(res.ContentLength)
	}
	r.driver.Connected(&download{res.Body, func() { stop(); r.cancel() }}, NS)
}

// ask sends the request for a file from an offset on. stop must be called in the end; the request lives until then or until
// ctx is done.
func (m *Manager) ask(ctx context.Context, r *request, o Origin, offset int64) (*http.Response, func() bool, error) {
	stop := context.AfterFunc(ctx, r.cancel)
	u, err := ParseURL(o.URL)
	if err != nil {
		return nil, stop, fmt.Errorf("%w: %w", errWrong, err)
	}
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, stop, err
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		if o.Validator != "" {
			// RFC 9110 section 13.1.5: the rest if it is the same, else all of it.
			req.Header.Set("If-Range", o.Validator)
		}
	}
	res, err := m.down.Do(req)
	return res, stop, err
}

// validated notes how the server knows this version of the file.
func (r *request) validated(res *http.Response) {
	v := res.Header.Get("ETag")
	if v == "" || strings.HasPrefix(v, "W/") {
		v = res.Header.Get("Last-Modified")
	}
	if len(v) > maxHeader {
		v = ""
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.origin.Validator = v
}

// usable returns why a response is not the file, or nil. size is what the sender said of it, or nil.
func usable(res *http.Response, size *int64) error {
	switch {
	case res.StatusCode != http.StatusOK:
		return &StatusError{res.StatusCode}
	case res.Header.Get("Content-Encoding") != "" && res.Header.Get("Content-Encoding") != "identity":
		return fmt.Errorf("%w: the server sends it in an encoding that was not asked for", errWrong)
	case size == nil && res.ContentLength < 0:
		return fmt.Errorf("%w: neither the sender nor the server says how large it is", errWrong)
	case size != nil && res.ContentLength >= 0 && res.ContentLength != *size:
		return fmt.Errorf("%w: it has %d bytes at the server, but %d were announced", errWrong, res.ContentLength, *size)
	}
	return nil
}

// Rest is a connection to a server that sends the rest of a file.
type Rest struct {
	// Offset is where it begins: where it was asked to, or 0 if the server knows no ranges or has another version by now.
	Offset int64

	r    *request
	res  *http.Response
	stop func() bool
}

// Close drops a connection that is not used.
func (r *Rest) Close() error {
	r.stop()
	r.r.cancel()
	return r.res.Body.Close()
}

// FailedForGoodError says that a file cannot be had any more from where it was fetched.
type FailedForGoodError struct{ Err error }

func (e *FailedForGoodError) Error() string {
	return "the file cannot be fetched any more: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FailedForGoodError) Unwrap() error { return e.Err }

// Reopen asks the server for the rest of a file of size bytes of which have are there (RFC 9110 section 14). It blocks. size
// is 0 if it is not known, and then everything is asked for. The error is a [*FailedForGoodError] if trying again is no use.
func (m *Manager) Reopen(ctx context.Context, o Origin, size, have int64) (*Rest, error) {
	// Nothing can be asked for behind the end.
	have = max(min(have, size-1), 0)
	r := m.newRequest()
	r.origin = o
	res, stop, err := m.ask(ctx, r, o, have)
	rest := &Rest{r: r, res: res, stop: stop}
	if err == nil {
		if rest.Offset, err = offsetOf(res, size, have); err != nil {
			_ = res.Body.Close()
		}
	}
	if err != nil {
		stop()
		r.cancel()
		if !later(err) {
			err = &FailedForGoodError{err}
		}
		return nil, err
	}
	return rest, nil
}

// offsetOf returns where in the file a response begins.
func offsetOf(res *http.Response, size, have int64) (int64, error) {
	if res.StatusCode != http.StatusPartialContent {
		if size == 0 {
			return 0, usable(res, nil)
		}
		return 0, usable(res, &size)
	}
	// RFC 9110 section 14.4. What was not asked for, or is of another file, is not put together with what is there.
	want := fmt.Sprintf("bytes %d-%d/%d", have, size-1, size)
	if got := res.Header.Get("Content-Range"); have == 0 || got != want || res.ContentLength >= 0 && res.ContentLength != size-have {
		return 0, fmt.Errorf("%w: the server sends the part %.80q, not %q", errWrong, got, want)
	}
	return have, nil
}

// Fetch begins a transfer that goes on with one that was accepted before. The rest is its own from then on; it waits for
// [transfers.Transfer.AcceptInto] with the offset.
func (m *Manager) Fetch(from jid.JID, sid string, file filetransfer.File, rest *Rest) (*transfers.Transfer, error) {
	r := rest.r
	r.validated(rest.res)
	file.HashUsed, file.Range = nil, &filetransfer.Range{}
	r.accept = func() {
		if file.Size == nil {
			r.driver.Sized(rest.res.ContentLength)
		}
		r.driver.Connected(&download{rest.res.Body, func() { rest.stop(); r.cancel() }}, NS)
	}
	t, err := m.cfg.Transfers.Fetch(from, sid, file, r.signal)
	if err != nil {
		return nil, errors.Join(err, rest.Close())
	}
	return t, nil
}

// download is what the transfer reads from.
type download struct {
	io.ReadCloser
	done func()
}

// Write implements [io.Writer]: nothing goes back.
func (*download) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Close ends the fetch.
func (d *download) Close() error {
	d.done()
	return d.ReadCloser.Close()
}
