package si_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/jingle"
)

// trace writes effects as a script has them.
func trace(effects []si.Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case si.Reply:
			s := "reply " + strings.TrimPrefix(e.Answer.Method, "http://jabber.org/protocol/")
			if r := e.Answer.File.Range; r != nil && r.Offset != nil {
				s += fmt.Sprintf(" from %d", *r.Offset)
			}
			out = append(out, s)
		case si.Refuse:
			out = append(out, "refuse "+e.Err.Condition)
		case si.Wanted:
			out = append(out, fmt.Sprintf("wanted from %d", e.Range.Start()))
		case si.Open:
			out = append(out, "open "+strings.TrimPrefix(e.Method, "http://jabber.org/protocol/"))
		case si.Join:
			out = append(out, "join "+e.Query.SID)
		case si.AwaitInBand:
			out = append(out, "await")
		case si.Fail:
			out = append(out, "fail "+string(e.Reason.Condition))
		}
	}
	return strings.Join(out, "; ")
}

func check(t *testing.T, what string, effects []si.Effect, want string) {
	t.Helper()
	if got := trace(effects); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestRequesting(t *testing.T) {
	both := []string{bytestreams, ibb}
	off := int64(5)
	r := si.NewRequesting(both, false)
	check(t, "accepted", r.Answered(si.SI{Method: bytestreams, File: &si.File{Range: &si.Range{Offset: &off}}}), "wanted from 5; open bytestreams")
	check(t, "a second answer", r.Answered(si.SI{Method: ibb}), "")
	check(t, "no streamhost", r.StreamFailed(errors.New("x")), "open ibb")
	check(t, "nor in-band", r.StreamFailed(errors.New("x")), "fail connectivity-error")
	check(t, "after the end", r.StreamFailed(errors.New("x")), "")

	r = si.NewRequesting([]string{bytestreams}, false)
	check(t, "another method", r.Answered(si.SI{Method: ibb}), "fail unsupported-transports")
	r = si.NewRequesting([]string{bytestreams}, false)
	check(t, "no method", r.Answered(si.SI{}), "fail unsupported-transports")
	r = si.NewRequesting([]string{bytestreams}, false)
	r.Answered(si.SI{Methods: []string{bytestreams}})
	check(t, "nothing to fall back to", r.StreamFailed(errors.New("x")), "fail connectivity-error")
	r = si.NewRequesting(both, false)
	r.Answered(si.SI{Method: ibb})
	r.Opened()
	check(t, "a late failure", r.StreamFailed(errors.New("x")), "")

	for _, c := range []struct {
		err  error
		want string
	}{
		{&jingle.StanzaError{Condition: "forbidden"}, "fail decline"},
		{&jingle.StanzaError{Condition: "not-acceptable"}, "fail decline"}, // libpurple
		{&jingle.StanzaError{Condition: "bad-request", App: si.NoValidStreams()}, "fail unsupported-transports"},
		{&jingle.StanzaError{Condition: "bad-request", App: si.BadProfile()}, "fail unsupported-applications"},
		{&jingle.StanzaError{Condition: "service-unavailable"}, "fail unsupported-applications"},
		{errors.New("no answer"), "fail timeout"},
	} {
		check(t, c.err.Error(), si.NewRequesting(both, false).Refused(c.err), c.want)
	}
}

func TestAnswering(t *testing.T) {
	size, off := int64(10), int64(4)
	offer := si.SI{ID: "a", Profile: si.NSFile, File: &si.File{Name: "x", Size: &size, Range: &si.Range{}}, Methods: []string{"urn:other", ibb, bytestreams}}
	q := s5b.Query{SID: "a"}
	from4 := &filetransfer.Range{Offset: &off}
	accept := func(o si.SI) *si.Answering {
		a, se := si.NewAnswering(o)
		if se != nil {
			t.Fatal(se)
		}
		return a
	}

	a := accept(offer)
	if _, se := a.Bytestream(q); se == nil || se.Condition != "not-acceptable" {
		t.Errorf("a stream before the answer: %v", se)
	}
	check(t, "accept", a.Accept(nil), "await; reply bytestreams")
	check(t, "accept again", a.Accept(nil), "")
	check(t, "decline after accept", a.Decline(nil), "")
	e, se := a.Bytestream(q)
	check(t, "streamhosts", e, "join a")
	if se != nil {
		t.Error(se)
	}
	if _, se := a.Bytestream(q); se == nil {
		t.Error("a second offer of streamhosts while the first is tried was accepted")
	}
	check(t, "no streamhost: an in-band one may come", a.StreamFailed(errors.New("x")), "")
	a.Opened()
	check(t, "it has come", a.NoOther(errors.New("x")), "")
	if _, se := a.Bytestream(q); se == nil {
		t.Error("a stream besides the one in use was accepted")
	}
	a = accept(offer)
	a.Accept(nil)
	a.Bytestream(q)
	check(t, "a stream that is tried", a.NoOther(errors.New("x")), "")
	a.StreamFailed(errors.New("x"))
	check(t, "it has not come", a.NoOther(errors.New("x")), "fail connectivity-error")
	check(t, "it has ended", a.NoOther(errors.New("x")), "")

	offer.Methods = []string{bytestreams}
	a = accept(offer)
	check(t, "a range", a.Accept(from4), "reply bytestreams from 4")
	a.Bytestream(q)
	check(t, "no streamhost", a.StreamFailed(errors.New("x")), "fail connectivity-error")

	offer.Methods = []string{ibb}
	check(t, "in-band", accept(offer).Accept(nil), "await; reply ibb")
	check(t, "decline", accept(offer).Decline(nil), "refuse forbidden")
	offer.File = &si.File{Name: "x", Size: &size}
	check(t, "no ranges", accept(offer).Accept(from4), "refuse forbidden; fail failed-application")

	for name, o := range map[string]si.SI{
		"profile": {ID: "a", Profile: "urn:other", File: offer.File, Methods: []string{ibb}},
		"no file": {ID: "a", Profile: si.NSFile, Methods: []string{ibb}},
		"no size": {ID: "a", Profile: si.NSFile, File: &si.File{Name: "x"}, Methods: []string{ibb}},
		"no id":   {Profile: si.NSFile, File: offer.File, Methods: []string{ibb}},
		"streams": {ID: "a", Profile: si.NSFile, File: offer.File, Methods: []string{"urn:other"}},
	} {
		if _, se := si.NewAnswering(o); se == nil || se.Condition != "bad-request" {
			t.Errorf("%s: %v", name, se)
		}
	}
}
