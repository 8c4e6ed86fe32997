package sdp

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
)

// iceOf returns the ICE transport of a content's transport, and the data channel around it or nil. ok is false for
// transports of another kind.
func iceOf(p jingle.Payload) (t ice.Transport, dc *ice.DataChannel, ok bool) {
	switch p := p.(type) {
	case nil:
		return t, nil, true // XEP-0338: it goes along with a bundle
	case ice.Transport:
		return p, nil, true
	case ice.DataChannel:
		if p.ICE != nil {
			t = *p.ICE
		}
		return t, &p, true
	}
	return t, nil, false
}

const (
	optionTrickle      = "trickle"
	optionRenomination = "renomination"
	optionICE2         = "ice2"
)

// writeCredentials adds what ICE and DTLS need (XEP-0176 section 5.3, XEP-0320 section 1).
func writeCredentials(m *Media, t ice.Transport) {
	if t.Ufrag != "" {
		m.Attributes.add(attrICEUfrag, t.Ufrag)
		m.Attributes.add(attrICEPwd, t.Pwd)
	}
	// Jingle always trickles, whether or not it is said (XEP-0176 section 5.5).
	options := []string{optionTrickle}
	if t.Renomination {
		options = append(options, optionRenomination)
	}
	if t.ICE2 {
		options = append(options, optionICE2)
	}
	m.Attributes.add(attrICEOptions, strings.Join(options, " "))
	setup := ice.Setup("")
	for _, f := range t.Fingerprints {
		// RFC 8122 section 5 wants capital letters.
		if v := strings.ToUpper(strings.Join(strings.Fields(f.Value), "")); token(f.Hash) && hexPairs(v) {
			m.Attributes.add(attrFingerprint, strings.ToLower(f.Hash)+" "+v)
			if setup == "" {
				setup = f.Setup
			}
		}
	}
	// XEP-0320 section 1 maps all values but holdconn.
	if setup != "" && setup != ice.SetupHoldconn {
		m.Attributes.add(attrSetup, string(setup))
	}
}

// hexPairs reports whether s is of the form "0A:1B".
func hexPairs(s string) bool {
	for p := range strings.SplitSeq(s, ":") {
		if len(p) != 2 || strings.Trim(p, "0123456789ABCDEF") != "" {
			return false
		}
	}
	return true
}

// writeCandidates adds the candidates that make sense.
func writeCandidates(m *Media, t ice.Transport) {
	good, _ := t.ValidCandidates()
	for _, c := range good {
		if allowed(c, m, t.NS) {
			m.Attributes.add(attrCandidate, candidateValue(c))
		}
	}
	var remote []string
	for _, r := range t.RemoteCandidates {
		if word(r.IP) {
			remote = append(remote, decimal(r.Component), host(r.IP), decimal(r.Port))
		}
	}
	if remote != nil {
		m.Attributes.add(attrRemote, strings.Join(remote, " "))
	}
	if t.GatheringComplete {
		m.Attributes.add(attrEndOfCandidates, "")
	}
}

// allowed passes over TCP, which browsers know but XEP-0176 (section 5.3) does not, and with rtcp-mux over candidates of
// RTCP. Those would not be used (RFC 5761 section 5.1.3); pion writes them all the same, and would send media to them.
func allowed(c ice.Candidate, m *Media, ns string) bool {
	mux := m.Attributes.Has(attrRTCPMux) || m.Type == mediaApplication
	return (!mux || c.Component == 1) && (ns == ice.NSICE || strings.EqualFold(c.Protocol, "udp"))
}

// readTransport reads what writeCredentials and writeCandidates write. What is said of the session is said of each
// media description.
func readTransport(m *Media, s *Session, ns string) ice.Transport {
	get := func(key string) string {
		v, ok := m.Attributes.Get(key)
		if !ok {
			v, _ = s.Attributes.Get(key)
		}
		return v
	}
	t := ice.Transport{NS: ns, Ufrag: get(attrICEUfrag), Pwd: get(attrICEPwd)}
	options := strings.Fields(get(attrICEOptions))
	t.Trickle = slices.Contains(options, optionTrickle)
	t.Renomination = slices.Contains(options, optionRenomination)
	t.ICE2 = ns == ice.NSICE && slices.Contains(options, optionICE2)
	prints := m.Attributes.All(attrFingerprint)
	if prints == nil {
		prints = s.Attributes.All(attrFingerprint)
	}
	for _, v := range prints {
		if f := strings.Fields(v); len(f) == 2 {
			t.Fingerprints = append(t.Fingerprints, ice.Fingerprint{
				Hash: strings.ToLower(f[0]), Setup: readSetup(get(attrSetup)), Value: strings.ToUpper(f[1]),
			})
		}
	}
	for _, v := range m.Attributes.All(attrCandidate) {
		c, err := ParseCandidate(v)
		if err != nil || !allowed(c, m, ns) || len(t.Candidates) == ice.MaxCandidates {
			continue
		}
		t.Candidates = append(t.Candidates, c)
	}
	remote, _ := m.Attributes.Get(attrRemote)
	for f := range slices.Chunk(strings.Fields(remote), 3) {
		if len(f) < 3 {
			break
		}
		component, ok1 := number(f[0], 16)
		port, ok2 := number(f[2], 16)
		if ok1 && ok2 && len(t.RemoteCandidates) < ice.MaxCandidates {
			t.RemoteCandidates = append(t.RemoteCandidates, ice.RemoteCandidate{Component: uint16(component), IP: f[1], Port: uint16(port)})
		}
	}
	// XEP-0371 section 7; XEP-0176 has no such thing.
	t.GatheringComplete = ns == ice.NSICE && m.Attributes.Has(attrEndOfCandidates)
	return t
}

// readSetup returns one of the values that XEP-0320 maps, or "".
func readSetup(v string) ice.Setup {
	switch s := ice.Setup(v); s {
	case ice.SetupActive, ice.SetupPassive, ice.SetupActpass:
		return s
	}
	return ""
}
