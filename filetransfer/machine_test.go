package filetransfer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
)

var (
	content = jingle.ContentID{Creator: jingle.Initiator, Name: "f"}
	start   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	errTest = errors.New("test error")
)

func sumsOf(data string, algos ...hashes.Algo) hashes.Sums {
	m := hashes.NewMulti(algos...)
	m.Write([]byte(data))
	return m.Sums()
}

func sha256Of(data string) hashes.Hash {
	return hashes.Of(hashes.SHA256, sumsOf(data, hashes.SHA256)[hashes.SHA256])
}

// show writes effects as one line, short enough to be read in a table.
func show(effects []filetransfer.Effect) string {
	var out []string
	for _, e := range effects {
		switch e := e.(type) {
		case filetransfer.Copy:
			out = append(out, fmt.Sprintf("copy %d+%d %v", e.Offset, e.Length, e.Algos))
		case filetransfer.Info:
			s := e.Payload.Element().Name.Local
			if c, ok := e.Payload.(filetransfer.Checksum); ok && c.File.Range != nil {
				s += fmt.Sprintf(" %d+%d", *c.File.Range.Offset, *c.File.Range.Length)
			}
			out = append(out, s)
		case filetransfer.Commit:
			out = append(out, "commit")
		case filetransfer.End:
			s := "end " + string(e.Reason.Condition)
			if e.Reason.App != nil {
				s += "/" + e.Reason.App.Name.Local
			}
			out = append(out, s)
		case filetransfer.Finished:
			o := e.Outcome
			switch {
			case o.Failure != nil && o.Failure.ByPeer:
				out = append(out, fmt.Sprintf("failed by peer %s", o.Failure.Reason.Condition))
			case o.Failure != nil:
				out = append(out, fmt.Sprintf("failed %s", o.Failure.Reason.Condition))
			default:
				s := fmt.Sprintf("done %d", o.Bytes)
				if o.Verified != "" {
					s += " verified " + string(o.Verified)
				}
				if o.Confirmed {
					s += " confirmed"
				}
				out = append(out, s)
			}
		}
	}
	return strings.Join(out, "; ")
}

// step is one input and the effects that it must have.
type step struct {
	in   func(now time.Time) []filetransfer.Effect
	want string
}

// machine is what both sides have in common.
type machine interface {
	Advance(time.Time) []filetransfer.Effect
	Deadline() time.Time
}

func runSteps(t *testing.T, m machine, steps []step) {
	t.Helper()
	now := start
	for i, s := range steps {
		var got []filetransfer.Effect
		if s.in == nil { // let the deadline pass
			d := m.Deadline()
			if d.IsZero() {
				t.Fatalf("step %d: no deadline", i+1)
			}
			if early := m.Advance(d.Add(-1)); len(early) > 0 {
				t.Fatalf("step %d: %s before the deadline", i+1, show(early))
			}
			now = d
			got = m.Advance(now)
		} else {
			got = s.in(now)
		}
		if show(got) != s.want {
			t.Errorf("step %d: %q, want %q", i+1, show(got), s.want)
		}
	}
	if len(steps) > 0 && strings.Contains(steps[len(steps)-1].want, "done") && !m.Deadline().IsZero() {
		t.Error("a deadline is left over")
	}
}

func why(c jingle.Condition) *jingle.Reason { return &jingle.Reason{Condition: c} }

func TestSending(t *testing.T) {
	type S = filetransfer.Sending
	accept := func(r *filetransfer.Range) func(*S) func(time.Time) []filetransfer.Effect {
		return func(s *S) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return s.Accepted(now, &filetransfer.File{Range: r}) }
		}
	}
	connect := func(s *S) func(time.Time) []filetransfer.Effect { return s.Connected }
	copied := func(c filetransfer.Copied) func(*S) func(time.Time) []filetransfer.Effect {
		return func(s *S) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return s.Copied(now, c) }
		}
	}
	all := copied(filetransfer.Copied{Bytes: 10, Whole: sumsOf("0123456789", hashes.SHA256)})
	received := func(name string) func(*S) func(time.Time) []filetransfer.Effect {
		return func(s *S) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect {
				return s.Received(now, filetransfer.Received{Name: name})
			}
		}
	}
	ended := func(c jingle.Condition) func(*S) func(time.Time) []filetransfer.Effect {
		return func(s *S) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return s.Ended(now, why(c), true) }
		}
	}
	pass := func(*S) func(time.Time) []filetransfer.Effect { return nil }
	type in struct {
		do   func(*S) func(time.Time) []filetransfer.Effect
		want string
	}
	used := []hashes.Used{{Algo: hashes.SHA256}}
	for name, c := range map[string]struct {
		offer filetransfer.File
		ins   []in
	}{
		"received and terminated": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {all, "checksum"},
			{received("f"), ""}, {ended(jingle.Success), "done 10 confirmed"}}},
		"connected before accepted": {filetransfer.File{HashUsed: used}, []in{
			{connect, ""}, {accept(nil), "copy 0+10 [sha-256]"}, {all, "checksum"}, {ended(jingle.Success), "done 10 confirmed"}}},
		"hash in the offer, no checksum": {filetransfer.File{Hashes: []hashes.Hash{sha256Of("0123456789")}}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 10}), ""}, {ended(jingle.Success), "done 10 confirmed"}}},
		"received, but never terminated": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {all, "checksum"}, {received(""), ""}, {pass, "end success; done 10 confirmed"}}},
		"never a word": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {all, "checksum"}, {received("other"), ""}, {pass, "end success; done 10"}}},
		"the peer is faster than our own count": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {ended(jingle.Success), ""}, {all, "done 10 confirmed"}}},
		"ended by the peer in the middle, with success": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {ended(jingle.Success), ""},
			{copied(filetransfer.Copied{Bytes: 4, Err: errTest}), "failed connectivity-error"}}},
		"ended by the peer in the middle, and the stream hangs": {filetransfer.File{HashUsed: used}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {ended(jingle.Success), ""}, {pass, "failed failed-application"}}},
		"declined":  {filetransfer.File{}, []in{{ended(jingle.Decline), "failed by peer decline"}}},
		"cancelled": {filetransfer.File{}, []in{{accept(nil), ""}, {connect, "copy 0+10 []"}, {ended(jingle.Cancel), "failed by peer cancel"}, {all, ""}}},
		"damaged":   {filetransfer.File{HashUsed: used}, []in{{accept(nil), ""}, {connect, "copy 0+10 [sha-256]"}, {all, "checksum"}, {ended(jingle.MediaError), "failed by peer media-error"}}},
		"stream broke, the peer says why": {filetransfer.File{}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 3, Err: errTest}), ""}, {ended(jingle.Cancel), "failed by peer cancel"}}},
		"stream broke, nobody says why": {filetransfer.File{}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 3, Err: errTest}), ""}, {pass, "end connectivity-error; failed connectivity-error"}}},
		"the file shrank": {filetransfer.File{}, []in{
			{accept(nil), ""}, {connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 3, Err: errTest, Local: true}), "end failed-application; failed failed-application"}}},
		"a range": {filetransfer.File{HashUsed: used, Range: &filetransfer.Range{}}, []in{
			{accept(&filetransfer.Range{Offset: new(int64(4))}), ""}, {connect, "copy 4+6 [sha-256]"},
			{copied(filetransfer.Copied{Bytes: 6, Part: sumsOf("456789", hashes.SHA256)}), "checksum 4+6"}, {ended(jingle.Success), "done 6 confirmed"}}},
		"a range over the end": {filetransfer.File{}, []in{
			{accept(&filetransfer.Range{Offset: new(int64(11))}), "end failed-application; failed failed-application"}, {connect, ""}}},
		"the offered range": {filetransfer.File{Range: &filetransfer.Range{Offset: new(int64(8))}}, []in{
			{accept(&filetransfer.Range{}), ""}, {connect, "copy 8+2 []"}}},
		"a whole file is asked for where the rest was offered": {filetransfer.File{Range: &filetransfer.Range{Offset: new(int64(8))}}, []in{
			{accept(&filetransfer.Range{Offset: new(int64(0))}), ""}, {connect, "copy 0+10 []"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.offer.Size = new(int64(10))
			s := filetransfer.NewSending(filetransfer.SendingConfig{Content: content, Offer: c.offer})
			var steps []step
			for _, i := range c.ins {
				steps = append(steps, step{i.do(s), i.want})
			}
			runSteps(t, s, steps)
			if over := s.Cancel(start, why(jingle.Cancel), nil); strings.Contains(c.ins[len(c.ins)-1].want, "done") && len(over) > 0 {
				t.Errorf("after the end: %s", show(over))
			}
		})
	}
}

// TestHashByOtherMeans: an upload announces no checksum, but its message has the hash.
func TestHashByOtherMeans(t *testing.T) {
	s := filetransfer.NewSending(filetransfer.SendingConfig{Content: content, Offer: filetransfer.File{Size: new(int64(10))}, Hash: true})
	s.Accepted(start, nil)
	if got := show(s.Connected(start)); got != "copy 0+10 [sha-256]" {
		t.Error(got)
	}
}

// TestMoving: the time to confirm begins when the last byte has left.
func TestMoving(t *testing.T) {
	s := filetransfer.NewSending(filetransfer.SendingConfig{Content: content, Offer: filetransfer.File{Size: new(int64(10))}, ConfirmTimeout: time.Minute})
	s.Accepted(start, nil)
	s.Connected(start)
	s.Moving(start) // nothing to wait for yet
	if d := s.Deadline(); !d.IsZero() {
		t.Errorf("a deadline while copying: %v", d)
	}
	s.Copied(start, filetransfer.Copied{Bytes: 10})
	s.Moving(start.Add(50 * time.Second))
	if got := show(s.Advance(start.Add(109 * time.Second))); got != "" {
		t.Errorf("too early: %s", got)
	}
	s.Received(start.Add(109*time.Second), filetransfer.Received{})
	d := s.Deadline()
	if s.Moving(start.Add(110 * time.Second)); !s.Deadline().Equal(d) {
		t.Error("it is confirmed, and there is nothing more to wait for")
	}
}

func TestReceiving(t *testing.T) {
	type R = filetransfer.Receiving
	type do = func(*R) func(time.Time) []filetransfer.Effect
	connect := func(r *R) func(time.Time) []filetransfer.Effect { return r.Connected }
	copied := func(c filetransfer.Copied) do {
		return func(r *R) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return r.Copied(now, c) }
		}
	}
	all := copied(filetransfer.Copied{Bytes: 10, Whole: sumsOf("0123456789", hashes.SHA256, hashes.SHA1)})
	checksum := func(name string, hs ...hashes.Hash) do {
		return func(r *R) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect {
				return r.Checksum(now, filetransfer.Checksum{Name: name, File: filetransfer.File{Hashes: hs}})
			}
		}
	}
	rangeSum := func(offset int64, data string) do {
		return func(r *R) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect {
				return r.Checksum(now, filetransfer.Checksum{File: filetransfer.File{Range: &filetransfer.Range{Offset: &offset, Hashes: []hashes.Hash{sha256Of(data)}}}})
			}
		}
	}
	committed := func(err error) do {
		return func(r *R) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return r.Committed(now, "dir/f", err) }
		}
	}
	ended := func(c jingle.Condition) do {
		return func(r *R) func(time.Time) []filetransfer.Effect {
			return func(now time.Time) []filetransfer.Effect { return r.Ended(now, why(c), true) }
		}
	}
	pass := func(*R) func(time.Time) []filetransfer.Effect { return nil }
	good, bad := sha256Of("0123456789"), sha256Of("something else")
	sha1 := hashes.Of(hashes.SHA1, sumsOf("0123456789", hashes.SHA1)[hashes.SHA1])
	conversations := filetransfer.File{MediaType: "text/plain", MediaTypeSpelling: filetransfer.MediaTypeCamel}
	used := []hashes.Used{{Algo: hashes.SHA256}}
	const finish = "received; end success; done 10"
	type in struct {
		do   do
		want string
	}
	for name, c := range map[string]struct {
		offer filetransfer.File
		have  int64
		ins   []in
	}{
		"without a hash, as Dino offers": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {all, "commit"}, {committed(nil), finish}}},
		"hash in the offer": {filetransfer.File{Hashes: []hashes.Hash{good}}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, "commit"}, {committed(nil), finish + " verified sha-256"}}},
		"a hash that is not the file's": {filetransfer.File{Hashes: []hashes.Hash{bad}}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, "end media-error; failed media-error"}}},
		"an unknown function": {filetransfer.File{Hashes: []hashes.Hash{hashes.Of("tiger", []byte{1})}}, 0, []in{
			{connect, "copy 0+10 []"}, {all, "commit"}, {committed(nil), finish}}},
		"only sha-1": {filetransfer.File{Hashes: []hashes.Hash{sha1}}, 0, []in{
			{connect, "copy 0+10 [sha-1]"}, {all, "commit"}, {committed(nil), finish + " verified sha-1"}}},
		"checksum after the last byte": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {checksum("f", good), "commit"}, {committed(nil), finish + " verified sha-256"}}},
		"checksum before the last byte": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {checksum("f", good), ""}, {all, "commit"}, {committed(nil), finish + " verified sha-256"}}},
		"checksum that nobody announced, as Conversations sends it": {conversations, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {checksum("f", sha1, good), "commit"}, {committed(nil), finish + " verified sha-256"}}},
		"the same before the last byte, and the file is another": {conversations, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {checksum("f", sha1, bad), ""}, {all, "end media-error; failed media-error"}}},
		"the same, but for once it does not come": {conversations, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {pass, "commit"}, {committed(nil), finish}}},
		"a checksum that nobody announced, of nobody who is known to": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {checksum("f", bad), ""}, {copied(filetransfer.Copied{Bytes: 10}), "commit"}, {committed(nil), finish}}},
		"a checksum of another file": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {checksum("other", bad), ""}, {all, ""}, {pass, "commit"}, {committed(nil), finish}}},
		"a wrong checksum": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {checksum("", bad), "end media-error; failed media-error"}}},
		"a checksum with nothing in it": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {checksum("f"), ""}, {checksum("f", good), "commit"}}},
		"the checksum never comes": {filetransfer.File{Hashes: []hashes.Hash{{Algo: hashes.SHA256}}}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {pass, "commit"}, {committed(nil), finish}}},
		"the sender ends before its checksum": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {all, ""}, {ended(jingle.Success), "commit"}, {committed(nil), "done 10"}}},
		"the sender ends while bytes are on the way": {filetransfer.File{HashUsed: used}, 0, []in{
			{connect, "copy 0+10 [sha-256]"}, {ended(jingle.Success), ""}, {all, "commit"}, {committed(nil), "done 10"}}},
		"the sender ends and the bytes never come": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {ended(jingle.Success), ""}, {pass, "failed connectivity-error"}}},
		"the sender ends while we commit": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {all, "commit"}, {ended(jingle.Cancel), ""}, {committed(nil), "done 10"}}},
		"too much": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 10, TooMuch: true}), "end media-error/file-too-large; failed media-error"}}},
		"too little": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 9}), ""}, {pass, "end connectivity-error; failed connectivity-error"}}},
		"too little, and the peer says why": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 9}), ""}, {ended(jingle.Cancel), "failed by peer cancel"}}},
		"too little, and the peer calls it success": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 9}), ""}, {ended(jingle.Success), "failed by peer failed-application"}}},
		"disk full": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {copied(filetransfer.Copied{Bytes: 2, Err: errTest, Local: true}), "end media-error; failed media-error"}}},
		"cannot be renamed": {filetransfer.File{}, 0, []in{
			{connect, "copy 0+10 []"}, {all, "commit"}, {committed(errTest), "end media-error; failed media-error"}}},
		"resumed": {filetransfer.File{Hashes: []hashes.Hash{good}, Range: &filetransfer.Range{}}, 4, []in{
			{connect, "copy 4+6 [sha-256]"}, {copied(filetransfer.Copied{Bytes: 6, Whole: sumsOf("0123456789", hashes.SHA256)}), "commit"},
			{committed(nil), "received; end success; done 6 verified sha-256"}}},
		"resumed, checksum of the range": {filetransfer.File{HashUsed: used}, 4, []in{
			{connect, "copy 4+6 [sha-256]"}, {rangeSum(3, "x"), ""}, {rangeSum(4, "456789"), ""},
			{copied(filetransfer.Copied{Bytes: 6, Part: sumsOf("456789", hashes.SHA256)}), "commit"}, {committed(nil), "received; end success; done 6 verified sha-256"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.offer.Size = new(int64(10))
			r, no := filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: content, Offer: c.offer})
			if no != nil {
				t.Fatal(no)
			}
			answer := r.Accept(c.have)
			if c.have > 0 && answer.Range.Start() != c.have {
				t.Errorf("accepted with the range %+v", answer.Range)
			}
			var steps []step
			for _, i := range c.ins {
				steps = append(steps, step{i.do(r), i.want})
			}
			runSteps(t, r, steps)
		})
	}
}

func TestReceivingRefuses(t *testing.T) {
	for want, o := range map[string]filetransfer.File{
		"The offer does not say how large the file is.":        {},
		"The file has 101 bytes; at most 100 are taken.":       {Size: new(int64(101))},
		"The offered range reaches over the end of the file.":  {Size: new(int64(5)), Range: &filetransfer.Range{Offset: new(int64(6))}},
		"The offered range reaches over the end of the file. ": {Size: new(int64(5)), Range: &filetransfer.Range{Length: new(int64(6))}},
	} {
		r, no := filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: content, Offer: o, MaxSize: 100})
		if r != nil || no == nil || no.Text != strings.TrimSpace(want) {
			t.Errorf("%+v: %v", o, no)
		}
	}
	if r, no := filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: content, Offer: filetransfer.File{Size: new(int64(100))}, MaxSize: 100}); r == nil {
		t.Errorf("a file at the limit is refused: %v", no)
	}
}

// TestRestOfferedWithoutItsBeginning: a sender wants to go on where an earlier transfer stopped, of which we have nothing.
func TestRestOfferedWithoutItsBeginning(t *testing.T) {
	r, _ := filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: content, Offer: filetransfer.File{Size: new(int64(10)), Range: &filetransfer.Range{Offset: new(int64(4))}}})
	a := r.Accept(0)
	if a.Range == nil || a.Range.Offset == nil || *a.Range.Offset != 0 {
		t.Errorf("accepted with %+v, want an explicit offset 0", a.Range)
	}
	if got := show(r.Connected(start)); got != "copy 0+10 []" {
		t.Error(got)
	}
}

// TestMachinesNeverFinishTwice throws inputs in any order at both machines.
func TestMachinesNeverFinishTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := filetransfer.File{Size: new(int64(10))}
		if rapid.Bool().Draw(t, "announced") {
			offer.HashUsed = []hashes.Used{{Algo: hashes.SHA256}}
		}
		s := filetransfer.NewSending(filetransfer.SendingConfig{Content: content, Offer: offer})
		r, _ := filetransfer.NewReceiving(filetransfer.ReceivingConfig{Content: content, Offer: offer})
		now, finishedS, finishedR, endsS, endsR := start, 0, 0, 0, 0
		count := func(es []filetransfer.Effect, finished, ends *int) {
			for _, e := range es {
				if *finished > 0 {
					t.Fatalf("%s after the end", show(es))
				}
				switch e.(type) {
				case filetransfer.Finished:
					*finished++
				case filetransfer.End:
					*ends++
				}
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			cond := rapid.SampledFrom([]jingle.Condition{jingle.Success, jingle.Cancel, jingle.MediaError}).Draw(t, "reason")
			c := filetransfer.Copied{Bytes: rapid.Int64Range(0, 10).Draw(t, "bytes"), Whole: sumsOf("x", hashes.SHA256), Local: rapid.Bool().Draw(t, "local"), TooMuch: rapid.Bool().Draw(t, "more")}
			if rapid.Bool().Draw(t, "err") {
				c.Err = errTest
			}
			switch rapid.IntRange(0, 7).Draw(t, "input") {
			case 0:
				count(s.Accepted(now, nil), &finishedS, &endsS)
				r.Accept(0)
			case 1:
				count(s.Connected(now), &finishedS, &endsS)
				count(r.Connected(now), &finishedR, &endsR)
			case 2:
				count(s.Copied(now, c), &finishedS, &endsS)
				count(r.Copied(now, c), &finishedR, &endsR)
			case 3:
				count(s.Received(now, filetransfer.Received{}), &finishedS, &endsS)
				count(r.Checksum(now, filetransfer.Checksum{File: filetransfer.File{Hashes: []hashes.Hash{sha256Of("x")}}}), &finishedR, &endsR)
			case 4:
				count(s.Ended(now, why(cond), true), &finishedS, &endsS)
				count(r.Ended(now, why(cond), true), &finishedR, &endsR)
			case 5:
				count(r.Committed(now, "p", c.Err), &finishedR, &endsR)
			case 6:
				count(s.Cancel(now, why(jingle.Cancel), nil), &finishedS, &endsS)
				count(r.Cancel(now, why(jingle.Cancel), nil), &finishedR, &endsR)
			case 7:
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
				count(s.Advance(now), &finishedS, &endsS)
				count(r.Advance(now), &finishedR, &endsR)
			}
		}
		if endsS > 1 || endsR > 1 || endsS > finishedS || endsR > finishedR {
			t.Fatalf("ended %d and %d times, finished %d and %d", endsS, endsR, finishedS, finishedR)
		}
	})
}
