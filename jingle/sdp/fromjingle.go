package sdp

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// semanticsBundle is the group whose contents share one transport (RFC 9143).
const semanticsBundle = "BUNDLE"

const discardPort = 9 // RFC 9429 section 5.2.1

// FromJingle returns the SDP of the contents that a party with the role from offers or answers with. Contents must be
// all of the session in the order of its first description: an SDP stands for the whole. Those with an
// [rtp.Description] become audio and video, and those with a transport of data channels become these. A content without
// credentials of its own takes those of the bundle that it is in. The error is an [*Error].
func FromJingle(contents []jingle.Content, groups []jingle.Group, from jingle.Role) (*Session, error) {
	if len(contents) > maxMedia {
		return nil, &Error{contents[maxMedia].Name, "is one too many"}
	}
	s := &Session{}
	names := map[string]bool{}
	for _, c := range contents {
		if c.Name == "" || len(c.Name) > 256 || names[c.Name] {
			return nil, &Error{c.Name, "has no name of its own"}
		}
		names[c.Name] = true
	}
	tags := writeGroups(s, groups, names)
	for i := range contents {
		c := &contents[i]
		tag, inBundle := tags[c.Name]
		var tagged *jingle.Content
		if j := slices.IndexFunc(contents, func(o jingle.Content) bool { return o.Name == tag }); inBundle && j != i {
			tagged = &contents[j]
		}
		m, err := mediaOf(c, tagged, inBundle, from)
		if err != nil {
			return nil, err
		}
		s.Media = append(s.Media, m)
	}
	return s, nil
}

// writeGroups adds the groups with those of their members that are there (XEP-0338 section 2). It returns the name of
// the first of its bundle for each content that is in one.
func writeGroups(s *Session, groups []jingle.Group, names map[string]bool) (tags map[string]string) {
	tags = map[string]string{}
	for _, g := range groups {
		var members, mids []string
		for _, n := range g.Contents {
			if names[n] && !slices.Contains(members, n) {
				members = append(members, n)
				mids = append(mids, midOf(n))
			}
		}
		if !token(g.Semantics) || members == nil {
			continue
		}
		s.Attributes.add(attrGroup, g.Semantics+" "+strings.Join(mids, " "))
		for _, n := range members {
			if _, dup := tags[n]; g.Semantics == semanticsBundle && !dup {
				tags[n] = members[0]
			}
		}
	}
	return tags
}

// mediaOf returns the media description of a content; tagged is the first of its bundle, if that is another one.
func mediaOf(c, tagged *jingle.Content, inBundle bool, from jingle.Role) (Media, error) {
	t, dc, ok := iceOf(c.Transport)
	if !ok {
		return Media{}, &Error{c.Name, "has a transport that SDP has no word for: " + jingle.NSOf(c.Transport)}
	}
	if t.Ufrag == "" && tagged != nil {
		if shared, _, ok := iceOf(tagged.Transport); ok {
			shared.Candidates, shared.RemoteCandidates, shared.GatheringComplete = t.Candidates, t.RemoteCandidates, t.GatheringComplete
			shared.SCTPMap = t.SCTPMap
			t = shared
		}
	}
	if t.Ufrag != "" || t.Pwd != "" {
		if err := t.ValidateCredentials(); err != nil {
			return Media{}, &Error{c.Name, "has unusable credentials: " + err.Error()}
		}
	}
	m := Media{Port: discardPort}
	writeCredentials(&m, t)
	m.Attributes.add(attrMID, midOf(c.Name))
	if d, ok := c.Description.(rtp.Description); ok {
		if !token(d.Media) {
			return m, &Error{c.Name, "is of no media that SDP has a word for"}
		}
		writeStream(&m, d, c.Senders, inBundle, from)
		if len(m.Formats) == 0 {
			return m, &Error{c.Name, "has no usable payload type"}
		}
	} else if dc != nil || t.SCTPMap != nil {
		writeChannel(&m, t, dc)
	} else {
		return m, &Error{c.Name, "is neither an RTP stream nor a data channel"}
	}
	writeCandidates(&m, t)
	return m, nil
}

// writeStream adds what describes an RTP stream (XEP-0167 section 6).
func writeStream(m *Media, d rtp.Description, senders jingle.Senders, inBundle bool, from jingle.Role) {
	m.Type = strings.ToLower(d.Media)
	for _, b := range d.Bandwidths {
		if token(b.Type) {
			m.Bandwidths = append(m.Bandwidths, Bandwidth{b.Type, b.Value})
		}
	}
	writeCategories(m, d)
	writeExtensions(m, d, from)
	m.Attributes.add(directionOf(senders, from), "")
	writeMSID(m, d)
	// RFC 9143 section 9.3: a bundle implies it, and Conversations leaves it to that.
	if d.RTCPMux || inBundle {
		m.Attributes.add(attrRTCPMux, "")
	}
	writePayloadTypes(m, d)
	writeSources(m, d)
	writeEncryption(m, d.Encryption)
	m.Proto = profile(m)
}

// profile returns the protocol of an RTP stream by what was written of it (XEP-0167 section 4, XEP-0293 section 3). With
// DTLS, WebRTC knows but one (RFC 9429 section 5.1.2).
func profile(m *Media) string {
	if m.Attributes.Has(attrFingerprint) {
		return "UDP/TLS/RTP/SAVPF"
	}
	p := "RTP/AVP"
	if m.Attributes.Has(attrCrypto) {
		p = "RTP/SAVP"
	}
	if m.Attributes.Has(attrRTCPFeedback) {
		p += "F"
	}
	return p
}

// writeCategories adds the content attribute (XEP-0507 section 3, RFC 4796).
func writeCategories(m *Media, d rtp.Description) {
	var names []string
	for _, c := range d.Categories {
		if token(string(c)) {
			names = append(names, string(c))
		}
	}
	if names != nil {
		m.Attributes.add(attrContent, strings.Join(names, ","))
	}
}
