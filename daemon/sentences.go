package daemon

import (
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// sentence says why a call ended, for people, where nobody has said it in words. A conversation that is over needs none.
func (c *call) sentence(e *jingledv1.CallEnded) string {
	type who struct{ theirs, ours string }
	text, known := map[jingle.Condition]who{
		jingle.Busy:                    {"They are in another call.", "We are in another call."},
		jingle.Decline:                 {"They have declined the call.", "We have declined the call."},
		jingle.Cancel:                  {"They have given up.", "We have given up before they answered."},
		jingle.Timeout:                 {"Nobody answered.", "Nobody answered."},
		jingle.Gone:                    {"They cannot be reached any more.", "They cannot be reached any more."},
		jingle.Expired:                 {"The call has taken too long to be set up.", "The call has taken too long to be set up."},
		jingle.AlternativeSession:      {"The call goes on in another session.", "The call goes on in another session."},
		jingle.ConnectivityError:       {"Their client found no connection to us.", "No connection to their client was found."},
		jingle.SecurityError:           {"Their client does not agree to how the call is encrypted.", "The call could not be encrypted."},
		jingle.UnsupportedApplications: {"Their client does not take such calls.", "We do not take such calls."},
		jingle.UnsupportedTransports:   {"Their client knows none of our ways to connect.", "We know none of their ways to connect."},
		jingle.FailedApplication:       {"The call has failed in their client, which does not say why.", "The call has failed here."},
		jingle.FailedTransport:         {"The connection has failed in their client.", "The connection has failed here."},
		jingle.IncompatibleParameters:  {"Their client cannot do what we have offered.", "We cannot do what their client has offered."},
		jingle.MediaError:              {"Their client has trouble with sound or video.", "There is trouble with sound or video here."},
		jingle.GeneralError:            {"Their client has had an error.", "An error has ended the call here."},
	}[jingle.Condition(e.GetReason())]
	switch {
	case !known && e.GetReason() == string(jingle.Success):
		return ""
	case !known:
		return "Their client has ended the call for a reason that is not known here."
	case e.GetByPeer():
		return text.theirs
	}
	return text.ours
}

// failure is what has kept a call from being here. Its words are for the user: the paths and addresses of this machine that may
// be in them are not the peer's business.
type failure struct{ error }

func (f failure) reason() *jingle.Reason {
	return &jingle.Reason{Condition: jingle.FailedApplication, Text: "The call has failed at the other side."}
}

// Unwrap makes it a refusal of the session, too.
func (f failure) Unwrap() []error { return []error{f.error, &engine.Rejection{Reason: f.reason()}} }

// forPeer is the text that goes along with a reason of ours, for the one who hears of it.
func forPeer(condition jingle.Condition) string {
	switch condition {
	case jingle.Busy:
		return "The other side is in another call."
	case jingle.Decline:
		return "The other side does not want the call."
	case jingle.Gone:
		return "The other side has gone."
	}
	return ""
}
