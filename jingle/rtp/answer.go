package rtp

import "slices"

// pick is an offered payload type that we take, with our own that matches it.
type pick struct{ offered, local PayloadType }

// Answer returns the description for a session-accept or a content-accept (XEP-0167 section 5): of the offered
// encodings those that we have, with the offered ids, in the order of our preference, and of everything else only what
// both sides want. The error is a [*NoCommonCodecError], a [*CryptoError] or a [*MediaError], and says the reason to
// give the peer.
func Answer(offer Description, local Capabilities) (Description, error) {
	if !sameMedia(offer.Media, local.Media) {
		return Description{}, &MediaError{Theirs: offer.Media, Ours: local.Media}
	}
	picks := choose(offer.PayloadTypes, local.PayloadTypes)
	if len(picks) == 0 {
		return Description{}, &NoCommonCodecError{Media: offer.Media, Theirs: offer.PayloadTypes, Ours: local.PayloadTypes}
	}
	d := local.own()
	d.Media = offer.Media
	for _, p := range picks {
		d.PayloadTypes = append(d.PayloadTypes, p.answer(local))
	}
	d.Feedback = commonFeedback(offer, picks, local)
	if local.AVPF && offer.avpf() && !d.avpf() {
		// XEP-0293 section 4: an interval as offered, or of 0, keeps the profile if every message is refused.
		d.Feedback.TRRInt = everyFeedback(offer).TRRInt
	}
	// RFC 5761 section 5.1.1: only if it was offered.
	d.RTCPMux = offer.RTCPMux && local.RTCPMux
	d.HeaderExtensions = commonExtensions(offer.HeaderExtensions, local.HeaderExtensions)
	d.ExtmapAllowMixed = offer.ExtmapAllowMixed && local.ExtmapAllowMixed
	var err error
	d.Encryption, err = answerEncryption(offer.Encryption, local)
	return d, err
}

// avpf reports whether there is any feedback, which stands for the profile RTP/AVPF (XEP-0293 section 3).
func (d Description) avpf() bool {
	return !d.Feedback.Empty() ||
		slices.ContainsFunc(d.PayloadTypes, func(p PayloadType) bool { return !p.Feedback.Empty() })
}

// choose matches the offered payload types with ours, in the order of ours; what only goes along with others comes
// last. It returns nothing unless there is one that can stand on its own.
func choose(offered, local []PayloadType) []pick {
	offered = usable(offered)
	taken := map[uint8]bool{}
	var picks []pick
	match := func(l PayloadType, all bool) {
		for _, o := range offered {
			if taken[o.ID] || !SameCodec(o, l) {
				continue
			}
			if ids, ok := o.carries(); !ok || slices.ContainsFunc(ids, func(id uint8) bool { return !taken[id] }) {
				continue
			}
			taken[o.ID] = true
			picks = append(picks, pick{o, l})
			if !all {
				return
			}
		}
	}
	for _, l := range local {
		if !l.Auxiliary() {
			match(l, false)
		}
	}
	if len(picks) == 0 {
		return nil
	}
	// Redundancy has its own retransmission, so rtx comes after red.
	for _, rtx := range []bool{false, true} {
		for _, l := range local {
			if l.Auxiliary() && (l.codec().name == nameRTX) == rtx {
				match(l, rtx || l.codec().name == nameRED)
			}
		}
	}
	return picks
}

// usable drops what cannot be used: ids that RTP does not have, nameless dynamic ones, and a second encoding under an
// id that is taken.
func usable(ps []PayloadType) []PayloadType {
	var out []PayloadType
	seen := map[uint8]bool{}
	for _, p := range ps {
		if q, ok := p.Normal(); ok && !seen[p.ID] {
			seen[p.ID] = true
			out = append(out, q)
		}
	}
	return out
}

// answer returns the payload type to write into the answer.
func (p pick) answer(local Capabilities) PayloadType {
	a := PayloadType{
		ID: p.offered.ID, Name: p.offered.Name, Clockrate: p.offered.Clockrate, Channels: p.offered.Channels,
		PTime: p.local.PTime, MaxPTime: p.local.MaxPTime,
		Parameters: answerParameters(p.offered, p.local),
		Feedback:   p.offered.Feedback.keep(local.supported(p.local)),
	}
	if a.Clockrate == 0 {
		a.Clockrate = p.local.Clockrate
	}
	if ids, ok := p.offered.carries(); ok && len(ids) > 0 {
		// apt and the list of red speak in the offerer's ids.
		a.Parameters = slices.Clone(p.offered.Parameters)
	}
	return a
}

// commonFeedback keeps what was offered for every payload type if we support it for all, or for each that can stand on
// its own.
func commonFeedback(offer Description, picks []pick, local Capabilities) Feedback {
	f := offer.Feedback
	for _, p := range picks {
		if !p.local.Auxiliary() {
			f = f.keep(local.supported(p.local))
		}
	}
	return f
}

// The ids of header extensions (RFC 8285 section 5 and 7).
const (
	maxOneByteID   = 14
	maxTwoByteID   = 255
	minProvisional = 256
)

// commonExtensions keeps what is offered and supported, as it was offered; who may send may only be narrowed
// (XEP-0294 section 4).
func commonExtensions(offered, local []HeaderExtension) []HeaderExtension {
	used := map[uint16]bool{0: true}
	for _, o := range offered {
		used[o.ID] = true
	}
	var out []HeaderExtension
	taken := map[uint16]bool{}
	for _, o := range offered {
		i := slices.IndexFunc(local, func(l HeaderExtension) bool { return l.URI == o.URI })
		if i < 0 || taken[o.ID] || o.ID == 0 {
			continue
		}
		senders, ok := narrowed(o.Senders, local[i].Senders)
		if !ok {
			continue
		}
		taken[o.ID] = true
		o.Senders = senders
		if o.ID >= minProvisional {
			// RFC 8285 section 7: the id is provisional, the answer chooses a real one, and of those that share it
			// only one can be had.
			if o.ID, ok = freeID(used); !ok {
				continue
			}
			used[o.ID] = true
		}
		out = append(out, o)
	}
	return out
}

func freeID(used map[uint16]bool) (uint16, bool) {
	for id := uint16(1); id <= maxTwoByteID; id++ {
		// RFC 8285 section 4.2 reserves 15.
		if !used[id] && id != maxOneByteID+1 {
			return id, true
		}
	}
	return 0, false
}

// answerEncryption follows XEP-0167 section 7.
func answerEncryption(offer *Encryption, local Capabilities) (*Encryption, error) {
	if local.DTLS {
		return nil, nil
	}
	if offer == nil || local.Encryption == EncryptionOff {
		switch {
		case local.Encryption == EncryptionRequired:
			return nil, &CryptoError{CryptoRequired, "The offer has neither SRTP keys nor a DTLS fingerprint, and encryption is required here."}
		case offer != nil && offer.Required:
			return nil, &CryptoError{InvalidCrypto, "The offer requires SRTP keys in the signalling, which are turned off here; offer DTLS-SRTP."}
		}
		return nil, nil
	}
	answer := &Encryption{}
	for _, l := range local.Cryptos {
		i := slices.IndexFunc(offer.Cryptos, func(o Crypto) bool { return o.Suite == l.Suite })
		if i >= 0 {
			// RFC 4568 section 6.1: one crypto is accepted, with the tag that it was offered under.
			l.Tag = offer.Cryptos[i].Tag
			answer.Cryptos = []Crypto{l}
			break
		}
	}
	if len(offer.ZRTPHashes) > 0 {
		answer.ZRTPHashes = slices.Clone(local.ZRTPHashes)
	}
	if len(answer.Cryptos)+len(answer.ZRTPHashes) > 0 {
		return answer, nil
	}
	if offer.Required || local.Encryption == EncryptionRequired {
		return nil, &CryptoError{InvalidCrypto, "None of the offered crypto suites is supported here."}
	}
	return nil, nil
}
