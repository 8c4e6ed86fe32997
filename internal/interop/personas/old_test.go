package personas

import (
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/sdes"
)

// least is what the configuration has to allow for calls with the client.
func (p *persona) least() media.Encryption {
	switch {
	case p.sdes:
		return media.SDES
	case p.unencrypted:
		return media.Plain
	}
	return media.DTLS
}

// old reports whether the client has no DTLS.
func (p *persona) old() bool { return p.unencrypted || p.sdes }

// codec is the one that the client speaks.
func (p *persona) codec() *audio.Codec {
	for _, c := range audio.Codecs() {
		if strings.EqualFold(c.Name, p.speaks) {
			return c
		}
	}
	return audio.Opus()
}

// decoder returns what decodes our sound, by the static payload types and else as Opus.
func (r *peer) decoder() func(payloadType uint8, payload []byte) ([]float32, error) {
	r.t.Helper()
	decoders := make(map[uint8]audio.Decoder)
	for _, c := range audio.Codecs() {
		d, err := c.NewDecoder()
		if err != nil {
			r.t.Fatal(err)
		}
		pt := min(c.PayloadType, 96)
		decoders[pt] = d
	}
	return func(pt uint8, payload []byte) ([]float32, error) {
		if d := decoders[min(pt, 96)]; d != nil {
			return d.Decode(nil, payload)
		}
		return nil, nil
	}
}

// transport is the namespace of the one that the client uses.
func (p *persona) transport() string {
	if p.raw {
		return ice.NSRawUDP
	}
	return ice.NSUDP
}

// offerKeys makes the keys of a medium for an offer.
func (r *peer) offerKeys(m *medium) {
	if r.p.sdes {
		m.Crypto = sdes.Offer()[0]
	}
}

// disarm has a transport go without DTLS, in the way that the client has, before it is answered. Theirs is our description.
func (r *peer) disarm(m *medium, ours rtp.Description, answering bool) {
	r.t.Helper()
	if !r.p.old() {
		return
	}
	if !r.p.sdes {
		m.conn.group.WithoutDTLS(nil, nil, false)
		return
	}
	if ours.Encryption == nil || len(ours.Encryption.Cryptos) == 0 {
		r.t.Fatalf("%s gets no keys", r.p.name)
	}
	key := ours.Encryption.Cryptos[0]
	if answering {
		m.Crypto = sdes.Offer()[0]
		m.Crypto.Tag, m.Crypto.Suite = key.Tag, key.Suite
	}
	send, err := sdes.Parse(m.Crypto)
	if err != nil {
		r.t.Fatal(err)
	}
	receive, err := sdes.Parse(key)
	if err != nil {
		r.t.Fatal(err)
	}
	m.conn.group.WithoutDTLS(send, receive, false)
}

// transport returns that of a content of ours.
func (r *peer) transport(c jingle.Content) ice.Transport {
	t, ok := ice.TransportOf(c.Transport)
	if !ok {
		r.t.Errorf("%s cannot use the transport %v", r.p.name, c.Transport.Element())
	}
	return t
}

// TestRefusals is what becomes of calls with clients that have no DTLS, unless the configuration allows them.
func TestRefusals(t *testing.T) {
	for _, p := range personas(t) {
		if !p.old() {
			continue
		}
		t.Run(p.name+" is called", func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, p, media.DTLS)
			if p.raw { // nothing that it could take is offered
				_, err := s.us.D.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: s.client.Account().String()})
				if err == nil || !strings.Contains(err.Error(), "raw UDP") {
					t.Errorf("called: %v", err)
				}
				return
			}
			s.callOut()
			s.pickUp()
			s.wantRefusal()
		})
		t.Run(p.name+" calls", func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, p, media.DTLS)
			s.callIn("audio")
			s.wantRefusal()
		})
	}
}
