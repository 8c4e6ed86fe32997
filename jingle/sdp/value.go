package sdp

import (
	"fmt"
	"strconv"
	"strings"
)

// The names of attributes.
const (
	attrBundleOnly      = "bundle-only"
	attrCandidate       = "candidate"
	attrContent         = "content"
	attrCrypto          = "crypto"
	attrEndOfCandidates = "end-of-candidates"
	attrExtmap          = "extmap"
	attrExtmapMixed     = "extmap-allow-mixed"
	attrFingerprint     = "fingerprint"
	attrFmtp            = "fmtp"
	attrGroup           = "group"
	attrICEOptions      = "ice-options"
	attrICEPwd          = "ice-pwd"
	attrICEUfrag        = "ice-ufrag"
	attrMaxMessageSize  = "max-message-size"
	attrMaxPTime        = "maxptime"
	attrMID             = "mid"
	attrMSID            = "msid"
	attrPTime           = "ptime"
	attrRemote          = "remote-candidates"
	attrRTCPFeedback    = "rtcp-fb"
	attrRTCPMux         = "rtcp-mux"
	attrRTPMap          = "rtpmap"
	attrSCTPMap         = "sctpmap"
	attrSCTPPort        = "sctp-port"
	attrSetup           = "setup"
	attrSSRC            = "ssrc"
	attrSSRCGroup       = "ssrc-group"
	attrZRTPHash        = "zrtp-hash"
)

// Error says what of a content or a media description cannot be translated.
type Error struct {
	// Content is the name of the content, or the position of the media description.
	Content string
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("content %q %s", e.Content, e.Problem) }

// token reports whether s is a token of RFC 8866 section 9.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e || !tokenByte(byte(r)) })
}

func tokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune("\"(),/:;<=>?@[\\]", rune(c))
}

// word reports whether s can stand between spaces.
func word(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// phrase reports whether s can stand at the end of a line.
func phrase(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return oneLine(r) != r })
}

// number reads a decimal number of so many bits.
func number(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

func decimal[T ~uint8 | ~uint16 | ~uint32 | ~uint64](n T) string {
	return strconv.FormatUint(uint64(n), 10)
}
