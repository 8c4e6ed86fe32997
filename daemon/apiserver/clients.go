package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/media/bridge"
)

// maxSDP bounds an offer.
const maxSDP = 256 << 10

// Clients returns the handler of what is below /v1/calls/, for other servers, which have to see who asks: WebRTC clients
// are joined to a call there. docs/embedding.md says how.
func Clients(d *daemon.Daemon) http.Handler {
	mux := http.NewServeMux()
	mountClients(mux, d)
	return mux
}

func mountClients(mux *http.ServeMux, d *daemon.Daemon) {
	for name, role := range map[string]bridge.Role{"webrtc": bridge.Phone, "whip": bridge.Source, "whep": bridge.Player} {
		c := clients{d, name, role}
		mux.HandleFunc("POST /v1/calls/{call}/"+name, c.attach)
		mux.HandleFunc("OPTIONS /v1/calls/{call}/"+name, c.options)
		mux.HandleFunc("DELETE /v1/calls/{call}/"+name+"/{id}", c.detach)
		mux.HandleFunc("PATCH /v1/calls/{call}/"+name+"/{id}", c.patch)
		mux.HandleFunc("OPTIONS /v1/calls/{call}/"+name+"/{id}", c.options)
	}
}

// clients serves one kind of WebRTC clients: offers and answers by POST, as in WHIP (RFC 9725) and WHEP.
type clients struct {
	d    *daemon.Daemon
	name string
	role bridge.Role
}

const (
	typeSDP     = "application/sdp"
	typeSDPFrag = "application/trickle-ice-sdpfrag" // RFC 8840
)

// attach takes an offer (RFC 9725 section 4.2).
func (c clients) attach(w http.ResponseWriter, r *http.Request) {
	offer, ok := body(w, r, typeSDP)
	if !ok {
		return
	}
	client, err := c.d.AttachClient(r.Context(), r.URL.Query().Get("account"), r.PathValue("call"), c.role, offer)
	if err != nil {
		problem(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Cache-Control", "no-store")
	h.Set("Location", "/v1/calls/"+url.PathEscape(client.SID)+"/"+c.name+"/"+client.ID)
	h.Set("ETag", entityTag(client.ID))
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, client.Answer)
}

// entityTag names the ICE session (RFC 9725 section 4.3.1), of which a client has but one.
func entityTag(id string) string { return `"` + id + `"` }

// detach ends a client (RFC 9725 section 4.2).
func (c clients) detach(w http.ResponseWriter, r *http.Request) {
	if err := c.d.DetachClient(r.URL.Query().Get("account"), r.PathValue("call"), r.PathValue("id")); err != nil {
		problem(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// options tells what can be posted (RFC 9725 section 4.2). Pages of other origins get no leave.
func (c clients) options(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Accept-Post", typeSDP)
	w.WriteHeader(http.StatusNoContent)
}

// patch refuses to trickle and to restart ICE, as RFC 9725 section 4.3 has it for servers that do neither: candidates are
// all in the answer, and those of clients are not needed, as their checks show where they are.
func (c clients) patch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "DELETE, OPTIONS")
	tell(w, http.StatusMethodNotAllowed, "Candidates need not be told one by one, and ICE is not restarted: post a new offer.")
}

// body reads what was posted, which must be of this type.
func body(w http.ResponseWriter, r *http.Request, want string) (string, bool) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != want {
		tell(w, http.StatusUnsupportedMediaType, "The body has to be "+want+".")
		return "", false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSDP))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		tell(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", maxSDP))
		return "", false
	case err != nil:
		tell(w, http.StatusBadRequest, "The body cannot be read.")
		return "", false
	}
	return string(b), true
}

// problem answers with an error of the daemon.
func problem(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch connect.CodeOf(err) {
	case connect.CodeNotFound:
		status = http.StatusNotFound
	case connect.CodeInvalidArgument:
		status = http.StatusBadRequest
	case connect.CodeFailedPrecondition:
		status = http.StatusConflict
	case connect.CodeResourceExhausted:
		status = http.StatusServiceUnavailable
	}
	text := err.Error()
	if c, ok := errors.AsType[*connect.Error](err); ok {
		text = c.Message()
	}
	tell(w, status, sentence(text))
}

// sentence makes one of an error's text.
func sentence(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		s = string(s[0]-'a'+'A') + s[1:]
	}
	return s + "."
}

// tell answers with a problem (RFC 9457).
func tell(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}
