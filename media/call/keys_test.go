package call_test

import (
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/call"
)

// A key in the signalling that the peer refuses (XEP-0181 section 2) is told.
func TestRefusedKeysAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, func(_ jid.JID, m *jingle.Message) *jingle.Message {
			out := *m
			switch {
			case m.Action == jingle.SessionInitiate: // without telephone events
				out.Contents = append([]jingle.Content(nil), m.Contents...)
				d := out.Contents[0].Description.(rtp.Description)
				d.PayloadTypes = d.PayloadTypes[:1]
				out.Contents[0].Description = d
			case m.Action == jingle.SessionInfo && len(m.Info) == 1:
				if tone, ok := m.Info[0].(sigdtmf.Tone); ok && tone.Code == "5" {
					tone.Code = "X" // what the peer does not know
					out.Info = []jingle.Payload{tone}
				}
			}
			return &out
		})
		sc.answer(t)
		await[call.Connected](sc.romeo)
		if err := sc.out.SendDTMF("456", 0); err != nil {
			t.Fatal(err)
		}
		awaitThat(sc.juliet, func(d call.DTMF) bool { return d.Digit == '6' })
		if r := await[call.DTMFRefused](sc.romeo); r.Digit != '5' || r.Err == nil {
			t.Errorf("refused: %+v", r)
		}
		sc.out.HangUp(nil)
		await[call.Ended](sc.juliet)
	})
}
