package rtp

import (
	"slices"
)

// Complete returns what holds after our offer was answered: the answer, without what was not offered. The order of its
// payload types is the responder's preference, so the first is the one to send (XEP-0167 section 5). An answer may have
// one payload type only, as Dino's has. The error is as that of [Answer].
func Complete(offer, answer Description, local Capabilities) (Description, error) {
	if !sameMedia(offer.Media, answer.Media) {
		return Description{}, &MediaError{Theirs: answer.Media, Ours: offer.Media}
	}
	d := answer
	d.layout = nil
	d.PayloadTypes = nil
	primary := false
	for _, a := range usable(answer.PayloadTypes) {
		o, ok := offered(offer.PayloadTypes, a)
		if !ok {
			continue
		}
		if a.Clockrate == 0 {
			a.Clockrate = o.Clockrate
		}
		a.Feedback = a.Feedback.keep(union(offer.Feedback, o.Feedback))
		d.PayloadTypes = append(d.PayloadTypes, a)
		primary = primary || !a.Auxiliary()
	}
	if !primary {
		return Description{}, &NoCommonCodecError{Media: offer.Media, Theirs: answer.PayloadTypes, Ours: offer.PayloadTypes}
	}
	d.Feedback = answer.Feedback.keep(everyFeedback(offer))
	d.RTCPMux = offer.RTCPMux && answer.RTCPMux
	d.ExtmapAllowMixed = offer.ExtmapAllowMixed && answer.ExtmapAllowMixed
	d.HeaderExtensions = nil
	for _, a := range answer.HeaderExtensions {
		if h, ok := acceptedExtension(offer.HeaderExtensions, a); ok {
			d.HeaderExtensions = append(d.HeaderExtensions, h)
		}
	}
	var err error
	d.Encryption, err = completeEncryption(offer.Encryption, answer.Encryption, local)
	return d, err
}

// offered finds the payload type that an answered one stands for: by its id, or, as keeping the ids is only
// recommended (XEP-0167 section 5), by its encoding.
func offered(offer []PayloadType, answered PayloadType) (PayloadType, bool) {
	i := slices.IndexFunc(offer, func(o PayloadType) bool {
		return o.ID == answered.ID && o.codec().name == answered.codec().name && o.codec().channels == answered.codec().channels
	})
	if i < 0 {
		i = slices.IndexFunc(offer, func(o PayloadType) bool { return SameCodec(o, answered) })
	}
	if i < 0 {
		return PayloadType{}, false
	}
	return offer[i], true
}

func union(a, b Feedback) Feedback {
	f := Feedback{Messages: append(slices.Clone(a.Messages), b.Messages...), TRRInt: a.TRRInt}
	if f.TRRInt == nil {
		f.TRRInt = b.TRRInt
	}
	return f
}

// everyFeedback is all that an offer has, wherever it stands. An interval of 0 may be answered to any feedback
// (XEP-0293 section 4).
func everyFeedback(offer Description) Feedback {
	f := offer.Feedback
	for _, p := range offer.PayloadTypes {
		f = union(f, p.Feedback)
	}
	if len(f.Messages) > 0 && f.TRRInt == nil {
		f.TRRInt = new(uint32)
	}
	return f
}

func acceptedExtension(offer []HeaderExtension, a HeaderExtension) (HeaderExtension, bool) {
	for _, o := range offer {
		if o.URI != a.URI || a.ID == 0 || a.ID > maxTwoByteID || o.ID != a.ID && o.ID < minProvisional {
			continue
		}
		senders, ok := narrowed(o.Senders, a.Senders)
		a.Senders = senders
		return a, ok
	}
	return a, false
}

// completeEncryption follows XEP-0167 section 7 for the initiator.
func completeEncryption(offer, answer *Encryption, local Capabilities) (*Encryption, error) {
	if local.DTLS {
		return nil, nil
	}
	if answer == nil || len(answer.Cryptos)+len(answer.ZRTPHashes) == 0 {
		if local.Encryption == EncryptionRequired || offer != nil && offer.Required {
			return nil, &CryptoError{CryptoRequired, "The answer has neither SRTP keys nor a DTLS fingerprint, and encryption was required."}
		}
		return nil, nil
	}
	if offer == nil {
		return nil, &CryptoError{InvalidCrypto, "The answer has SRTP keys that were not asked for."}
	}
	if len(answer.Cryptos) > 0 {
		// RFC 4568 section 6.1: exactly one, of those that were offered.
		c := answer.Cryptos[0]
		if !slices.ContainsFunc(offer.Cryptos, func(o Crypto) bool { return o.Tag == c.Tag && o.Suite == c.Suite }) {
			return nil, &CryptoError{InvalidCrypto, "The answer accepts a crypto suite that was not offered under its tag."}
		}
		answer = &Encryption{Required: answer.Required, Cryptos: []Crypto{c}, ZRTPHashes: answer.ZRTPHashes}
	}
	return answer, nil
}
