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

// notStored is the condition by which a receiver says, in place of a result for <close/>, that it does not have the file
// (RFC 6120 section 8.3.3.6). Its type says whether to try again (section 8.3.2). XEP-0047 section 2.3 knows item-not-found,
// which is what clients say of a stream that they have closed themselves.
const notStored = "internal-server-error"

// refusal is the answer to the end of an in-band bytestream whose file was not kept for this reason; nil if the reason is
// the stream itself.
func refusal(why *jingle.Reason) *jingle.StanzaError {
	se := &jingle.StanzaError{Type: "wait", Condition: notStored, Text: why.Text}
	switch why.Condition {
	case jingle.ConnectivityError:
		return nil
	case jingle.MediaError, jingle.FailedApplication, jingle.SecurityError, jingle.Decline, jingle.Cancel:
		if !resume.IsPaused(why.App) {
			se.Type = "cancel"
		}
	}
	return se
}

// refused says in the words of Jingle that the receiver could not keep the file; nil if the answer to the end of the stream
// does not say so. Other errors, and none at all, say nothing about it: clients are like that.
func refused(answer error) *jingle.Reason {
	var se *jingle.StanzaError
	switch {
	case !errors.As(answer, &se) || se.Condition != notStored:
		return nil
	case se.Type == "wait":
		return &jingle.Reason{Condition: jingle.Gone, Text: "The other side has stopped before the file was stored."}
	case se.Text == "":
		return &jingle.Reason{Condition: jingle.MediaError, Text: "The other side could not store the file."}
	}
	return &jingle.Reason{Condition: jingle.MediaError, Text: "The other side did not keep the file: " + se.Text}
}
