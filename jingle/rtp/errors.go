package rtp

import (
	"fmt"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NoCommonCodecError says that an offer or an answer has no encoding that both sides know. It is nobody's fault.
type NoCommonCodecError struct {
	Media string
	// Theirs and Ours are the encodings of each side.
	Theirs, Ours []PayloadType
}

func (e *NoCommonCodecError) Error() string {
	return fmt.Sprintf("no common codec for %s: the peer has %s; we have %s", printable(e.Media), names(e.Theirs), names(e.Ours))
}

// Reason returns the reason to end the session, or to reject the content, with (XEP-0167 sections 5 and 11.4). Peers
// may say incompatible-parameters instead (XEP-0166 section 6.7).
func (e *NoCommonCodecError) Reason() *jingle.Reason {
	return &jingle.Reason{Condition: jingle.FailedApplication, Text: e.Error()}
}

// Supported returns the description for the content-reject of a content-add, which lists what we have (XEP-0167
// section 11.4).
func (e *NoCommonCodecError) Supported() Description {
	return Description{Media: e.Media, PayloadTypes: e.Ours}
}

// Names of the conditions in [NSErrors] (XEP-0167 section 7).
const (
	CryptoRequired = "crypto-required"
	InvalidCrypto  = "invalid-crypto"
)

// CryptoError says that the keys for SRTP cannot be agreed on.
type CryptoError struct {
	// Condition is [CryptoRequired] or [InvalidCrypto].
	Condition string
	// Problem is a sentence for people.
	Problem string
}

func (e *CryptoError) Error() string { return e.Condition + ": " + e.Problem }

// Reason returns the reason to end the session with (XEP-0167 section 7).
func (e *CryptoError) Reason() *jingle.Reason {
	return &jingle.Reason{
		Condition: jingle.SecurityError, Text: e.Problem, App: xmltree.New(NSErrors, e.Condition),
	}
}

// MediaError says that the two descriptions are not of the same media, the peer's fault.
type MediaError struct{ Theirs, Ours string }

func (e *MediaError) Error() string {
	return fmt.Sprintf("the peer describes media %q where %q was expected", printable(e.Theirs), printable(e.Ours))
}

// Reason returns the reason to end the session with.
func (e *MediaError) Reason() *jingle.Reason {
	return &jingle.Reason{Condition: jingle.IncompatibleParameters, Text: e.Error()}
}
