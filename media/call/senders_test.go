package call_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
)

// TestSendVideo has one side stop to send its video while the other goes on, and both again.
func TestSendVideo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var modified []jingle.Senders
		sc := ring(t, func(c *call.Config) {
			c.Bundle, c.Codecs, c.Videos = true, []*audio.Codec{audio.PCMU()}, []call.Video{{Source: film(t)}}
		}, nil, func(_ jid.JID, m *jingle.Message) *jingle.Message {
			if m.Action == jingle.ContentModify {
				mu.Lock()
				modified = append(modified, m.Contents[0].Senders)
				mu.Unlock()
			}
			return m
		})
		in := <-sc.phone
		in.AnswerWith(nil, nil, call.Video{Source: film(t)})
		awaitThat(sc.romeo, seen)
		awaitThat(sc.juliet, seen)
		sent := func() (out, back uint64) {
			o, b := sc.out.Stats().Videos[0].PacketsSent, in.Stats().Videos[0].PacketsSent
			time.Sleep(time.Second)
			return sc.out.Stats().Videos[0].PacketsSent - o, in.Stats().Videos[0].PacketsSent - b
		}
		sc.out.SendVideo(false)
		sc.out.SendVideo(false) // nothing new
		time.Sleep(100 * time.Millisecond)
		if o, b := sent(); o != 0 || b == 0 {
			t.Errorf("we send %d packets, they %d", o, b)
		}
		in.SendVideo(false)
		time.Sleep(100 * time.Millisecond)
		if o, b := sent(); o != 0 || b != 0 {
			t.Errorf("neither sends, and there are %d and %d packets", o, b)
		}
		sc.out.SendVideo(true)
		in.SendVideo(true) // which cross
		time.Sleep(time.Second)
		if o, b := sent(); o == 0 || b == 0 {
			t.Errorf("both send again, and there are %d and %d packets", o, b)
		}
		want := []jingle.Senders{jingle.SendersResponder, jingle.SendersNone}
		if len(modified) < 4 || modified[0] != want[0] || modified[1] != want[1] {
			t.Errorf("modified: %v", modified)
		}
		sc.out.HangUp(nil)
		await[call.Ended](sc.romeo)
		await[call.Ended](sc.juliet)
	})
}
