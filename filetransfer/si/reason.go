package si

import (
	"errors"

	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/jingle"
)

// reasonOf says in the words of Jingle why an offer was not accepted. again says that it went on with an earlier one.
func reasonOf(err error, again bool) (reason *jingle.Reason, byPeer bool) {
	var se *jingle.StanzaError
	if !errors.As(err, &se) {
		return &jingle.Reason{Condition: jingle.Timeout, Text: "The offer was not answered: " + err.Error()}, false
	}
	switch {
	case resume.IsPaused(se.App):
		return &jingle.Reason{Condition: jingle.Cancel, Text: "The transfer is paused.", App: se.App}, true
	case resume.IsComplete(se.App):
		return &jingle.Reason{Condition: jingle.Success}, true
	case again && se.App == nil && (se.Condition == "service-unavailable" || se.Condition == "recipient-unavailable"):
		return &jingle.Reason{Condition: jingle.Gone, Text: "The other side is not there."}, true
	case se.App != nil && se.App.Is(NS, "no-valid-streams"):
		return &jingle.Reason{Condition: jingle.UnsupportedTransports, Text: "The other side knows none of the offered streams."}, true
	case se.App != nil && se.App.Is(NS, "bad-profile"), se.Condition == "feature-not-implemented", se.Condition == "service-unavailable":
		return &jingle.Reason{Condition: jingle.UnsupportedApplications, Text: "The other side takes no files."}, true
	case se.Condition == "forbidden", se.Condition == "not-acceptable", se.Condition == "not-allowed":
		return &jingle.Reason{Condition: jingle.Decline}, true
	}
	return &jingle.Reason{Condition: jingle.GeneralError, Text: se.Text}, true
}
