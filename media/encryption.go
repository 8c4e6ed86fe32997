package media

import (
	"errors"
	"fmt"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/sdes"
)

// Encryption is how the media of a call are secured, from the best down. As a setting it is the least that is accepted.
type Encryption uint8

const (
	// DTLS is keys that the two devices agree on, whose fingerprints are signalled (XEP-0320).
	DTLS Encryption = iota
	// SDES is keys that stand in the signalling (XEP-0167 section 7), so the XMPP servers in between could listen.
	SDES
	// Plain is no encryption: whoever is on the path can listen.
	Plain
)

// ParseEncryption reads "dtls", "sdes" or "none"; "" is dtls.
func ParseEncryption(s string) (Encryption, error) {
	for e := range Plain + 1 {
		if s == e.String() {
			return e, nil
		}
	}
	if s == "" {
		return DTLS, nil
	}
	return DTLS, fmt.Errorf("%q is none of dtls, sdes, none", s)
}

func (e Encryption) String() string {
	switch e {
	case SDES:
		return "sdes"
	case Plain:
		return "none"
	}
	return "dtls"
}

var (
	// ErrOnlySDES says that the peer encrypts with keys in the signalling, which is not taken here.
	ErrOnlySDES = errors.New("the peer encrypts calls only with keys that its servers can read (SDES), which is off here; " +
		"it would take a client with DTLS-SRTP (XEP-0320) there, or call_encryption = \"sdes\" here")
	// ErrUnencrypted says that the peer does not encrypt, while SDES at least is asked for.
	ErrUnencrypted = errors.New("the peer does not encrypt calls, and unencrypted calls are off here; " +
		"it would take a client with DTLS-SRTP (XEP-0320) or SDES there, or call_encryption = \"none\" here")
	// ErrRawUDP says that raw UDP is offered, which goes with no encryption that is accepted here.
	ErrRawUDP = errors.New("the peer offers raw UDP (XEP-0177), which is not encrypted by DTLS-SRTP (XEP-0320) and therefore off here; " +
		"it would take a client with ICE and DTLS-SRTP there, or call_encryption = \"sdes\" or \"none\" here")
)

// encryptionOf says how a content is secured by what the peer has sent of it, if that is enough. A peer with a
// fingerprint is held to it, whatever else it offers.
func encryptionOf(d rtp.Description, t ice.Transport, least Encryption) (Encryption, error) {
	if len(t.Fingerprints) > 0 || least == DTLS {
		err := dtlssrtp.CheckFingerprints(t.Fingerprints)
		switch {
		case err == nil || len(t.Fingerprints) > 0:
			return DTLS, err
		case t.NS == ice.NSRawUDP:
			return DTLS, ErrRawUDP
		case d.Encryption != nil && len(d.Encryption.Cryptos) > 0:
			return DTLS, ErrOnlySDES
		}
		return DTLS, fmt.Errorf("%w here; it would take a client with DTLS-SRTP there, or call_encryption = \"none\" here", err)
	}
	if d.Encryption != nil && len(sdes.Usable(d.Encryption.Cryptos)) > 0 {
		return SDES, nil
	}
	if least == SDES {
		if d.Encryption != nil && len(d.Encryption.Cryptos) > 0 {
			_, err := sdes.Parse(d.Encryption.Cryptos[0])
			return SDES, &rtp.CryptoError{Condition: rtp.InvalidCrypto, Problem: upper(err.Error()) + "."}
		}
		return SDES, ErrUnencrypted
	}
	return Plain, nil
}

// secure makes our capabilities those of a content that is secured in one way; ours are our keys.
func secure(able rtp.Capabilities, how Encryption, ours []rtp.Crypto) rtp.Capabilities {
	able.DTLS = how == DTLS
	if how == SDES {
		able.Encryption, able.Cryptos = rtp.EncryptionRequired, ours
	}
	return able
}

// offerable makes our capabilities those of an offer: DTLS, and keys beside it where less would do.
func offerable(able rtp.Capabilities, least Encryption, ours []rtp.Crypto) rtp.Capabilities {
	if least != DTLS {
		able.Encryption, able.Cryptos = rtp.EncryptionOptional, ours
	}
	return able
}

// usableOnly leaves of the peer's keys those that can be used.
func usableOnly(d rtp.Description) rtp.Description {
	if d.Encryption != nil {
		e := *d.Encryption
		e.Cryptos = sdes.Usable(e.Cryptos)
		d.Encryption = &e
	}
	return d
}

// keysOf finds the keys that two descriptions have agreed on: ours are what we offered or answered with.
func keysOf(agreed *rtp.Encryption, theirs []rtp.Crypto, ours []rtp.Crypto) (send, receive *sdes.Keys, err error) {
	if agreed == nil || len(agreed.Cryptos) == 0 {
		return nil, nil, ErrUnencrypted
	}
	chosen := agreed.Cryptos[0]
	find := func(cs []rtp.Crypto) (*sdes.Keys, error) {
		for _, c := range cs {
			if c.Tag == chosen.Tag && c.Suite == chosen.Suite {
				return sdes.Parse(c)
			}
		}
		return nil, fmt.Errorf("%w: no key of the suite that was chosen", sdes.ErrCrypto)
	}
	if send, err = find(ours); err == nil {
		receive, err = find(theirs)
	}
	return send, receive, err
}

// Offered is what media need to know of an offer before it is answered.
type Offered struct {
	// Transport is the namespace of its transport.
	Transport string
	// RTCPComponent is set if RTCP has a path of its own.
	RTCPComponent bool
}

// OfferedIn looks at an offer.
func OfferedIn(contents []jingle.Content, groups []jingle.Group) Offered {
	for _, media := range []string{"audio", "video"} {
		for _, c := range contents {
			d, t, ok := partsOf(c, media)
			if !ok {
				continue
			}
			muxed := d.RTCPMux || len(t.Fingerprints) > 0 || answerGroups(groups, c.Name) != nil
			return Offered{t.NS, !muxed}
		}
	}
	return Offered{}
}

// secrecy keeps what a user may want to know.
func (c *Call) secrecy(how Encryption, theirs rtp.Description) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = Secrecy{Encryption: how}
	if e := theirs.Encryption; e != nil && len(e.ZRTPHashes) > 0 {
		c.secret.ZRTPHash = e.ZRTPHashes[0].Version + " " + e.ZRTPHashes[0].Hash
	}
}
