package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// keepAlive is how long a stream of server-sent events may be silent. It lets both sides notice that the other is gone.
const keepAlive = 15 * time.Second

// serverSentEvents serves GET /v1/events, the stream of EventService.Watch for shells and EventSource: "event" is the
// name of the event's body, "data" the event in JSON, "id" its number. A reader resumes with ?since_seq= or the
// Last-Event-ID that an EventSource sends by itself.
type serverSentEvents struct{ d *daemon.Daemon }

// ServeHTTP implements [http.Handler].
func (s serverSentEvents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	since, err := sinceSeq(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_argument", err.Error())
		return
	}
	sub, err := s.d.Subscribe(since)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_argument", err.Error())
		return
	}
	defer sub.Close()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil { // the head goes out at once: readers wait for it
		return
	}
	for {
		text, err := nextEvent(r.Context(), sub, since > 0)
		if err != nil {
			return // the reader comes again and resumes
		}
		if _, err := w.Write(text); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

// nextEvent returns the next event, or a comment when there is none for a while.
func nextEvent(ctx context.Context, sub *daemon.Subscription, resumed bool) ([]byte, error) {
	wait, cancel := context.WithTimeout(ctx, keepAlive)
	defer cancel()
	e, err := sub.Next(wait)
	switch {
	case err == nil:
		return frame(e, resumed)
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return []byte(":\n\n"), nil
	case errors.Is(err, daemon.ErrSlowReader):
		return nil, err
	}
	return nil, err
}

// frame writes an event as the HTML standard has it (section 9.2.6). Its JSON is one line. The Hello of a resumed
// stream comes before what is replayed and has a higher number, so it must not become the last one that was seen.
func frame(e *jingledv1.Event, resumed bool) ([]byte, error) {
	data, err := protojson.Marshal(e)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	m := e.ProtoReflect()
	if body := m.WhichOneof(m.Descriptor().Oneofs().ByName("body")); body != nil {
		fmt.Fprintf(&out, "event: %s\n", body.Name())
	}
	if e.GetHello() == nil || !resumed {
		fmt.Fprintf(&out, "id: %d\n", e.GetSeq())
	}
	out.WriteString("data: ")
	if err := json.Compact(&out, data); err != nil { // protojson puts blanks where it likes
		return nil, err
	}
	out.WriteString("\n\n")
	return out.Bytes(), nil
}

// sinceSeq reads the number that a stream is resumed behind. What the browser has seen last counts more than the
// address, which stays the same when it connects again.
func sinceSeq(r *http.Request) (uint64, error) {
	name, v := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if v == "" {
		name, v = "since_seq", r.URL.Query().Get("since_seq")
	}
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not the number of an event", name)
	}
	return n, nil
}

// refuse answers with an error in the shape of Connect's.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}
