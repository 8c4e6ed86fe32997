package media

import (
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
)

// Keys go as tones to a peer without telephone events, and are told once.
func TestKeysInTheSound(t *testing.T) {
	for _, codec := range []*audio.Codec{audio.Opus(), audio.PCMA(), audio.G722()} {
		for _, events := range []bool{false, true} {
			name := codec.Name
			if events {
				name += " with events"
			}
			t.Run(name, func(t *testing.T) {
				inFakeTime(t, func(t *testing.T, w *wide) {
					inBand := func(c *Config) { c.InBandDTMF, c.Codecs = true, []*audio.Codec{codec} }
					a, b := newParty(t, w, jingle.Initiator, inBand), newParty(t, w, jingle.Responder, inBand)
					a.SetAudio(open(t, "tone:440"), nil)
					b.SetAudio(open(t, "tone:1000"), nil)
					a.withoutEvents = !events
					hangUp := dial(t, a, b)
					await[Heard](t, a, "sound", nil)
					await[Heard](t, b, "sound", nil)
					keys, err := dtmf.Parse("147#", 0)
					if err != nil {
						t.Fatal(err)
					}
					if err := a.SendKeys(keys...); err != nil {
						t.Fatal(err)
					}
					await(t, b, "the end of #", func(e KeyUp) bool { return e.Key.Digit == '#' })
					hangUp()
					var digits string
					for _, e := range b.events {
						if k, ok := e.(KeyDown); ok {
							digits += string(k.Key.Digit)
						}
					}
					if digits != "147#" {
						t.Errorf("pressed: %q", digits)
					}
				})
			})
		}
	}
}

// eventless takes the telephone events out of contents.
func eventless(contents []jingle.Content) []jingle.Content {
	var out []jingle.Content
	for _, c := range contents {
		d := c.Description.(rtp.Description)
		var kept []rtp.PayloadType
		for _, p := range d.PayloadTypes {
			if p.Name != telephoneEvent {
				kept = append(kept, p)
			}
		}
		d.PayloadTypes = kept
		c.Description = d
		out = append(out, c)
	}
	return out
}
