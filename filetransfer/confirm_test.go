package filetransfer_test

import (
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/jingle"
)

// TestConfirms: what the last bytes have come to is told by the receiver, and what its silence says depends on who it is.
func TestConfirms(t *testing.T) {
	size := int64(10)
	received := func(s *filetransfer.Sending) func(time.Time) []filetransfer.Effect {
		return func(now time.Time) []filetransfer.Effect { return s.Received(now, filetransfer.Received{Name: "f"}) }
	}
	success := func(s *filetransfer.Sending) func(time.Time) []filetransfer.Effect {
		return func(now time.Time) []filetransfer.Effect {
			return s.Ended(now, &jingle.Reason{Condition: jingle.Success}, true)
		}
	}
	copied := func(s *filetransfer.Sending, n int64, err error) func(time.Time) []filetransfer.Effect {
		return func(now time.Time) []filetransfer.Effect {
			return s.Copied(now, filetransfer.Copied{Bytes: n, Err: err})
		}
	}
	for name, c := range map[string]struct {
		confirms bool
		then     func(*filetransfer.Sending) []step
	}{
		"silence": {false, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 10, nil), ""}, {nil, "end success; done 10"}}
		}},
		"silence of who would speak": {true, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 10, nil), ""}, {nil, "end timeout; failed timeout"}}
		}},
		"received, and the session stays": {true, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 10, nil), ""}, {received(s), ""}, {nil, "end success; done 10 confirmed"}}
		}},
		"received before our own end": {true, func(s *filetransfer.Sending) []step {
			return []step{{received(s), ""}, {copied(s, 10, nil), ""}, {nil, "end success; done 10 confirmed"}}
		}},
		"the last answer is lost, and it is success": {true, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 10, errTest), ""}, {success(s), "done 10 confirmed"}}
		}},
		"not all of it, and success": {true, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 9, errTest), ""}, {success(s), "failed by peer failed-application"}}
		}},
		"the last answer is lost": {false, func(s *filetransfer.Sending) []step {
			return []step{{copied(s, 10, errTest), ""}, {nil, "end connectivity-error; failed connectivity-error"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := filetransfer.NewSending(filetransfer.SendingConfig{
				Content: content, Offer: filetransfer.File{Size: &size, Hashes: nil}, Confirms: c.confirms,
			})
			s.Accepted(start, nil)
			s.Connected(start)
			runSteps(t, s, c.then(s))
		})
	}
}
