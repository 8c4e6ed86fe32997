package sdes

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/srtp/v3"

	"github.com/jingled/jingled/jingle/rtp"
)

// Keys are what one side sends with: a suite of RFC 4568 section 6.2 with its master key and salt. They are secret.
type Keys struct {
	profile   srtp.ProtectionProfile
	key, salt []byte
}

// String hides the keys, so that they cannot get into a log.
func (k *Keys) String() string { return "SRTP keys" }

// GoString is [Keys.String].
func (k *Keys) GoString() string { return k.String() }

type suite struct {
	name    string
	profile srtp.ProtectionProfile
}

// suites are those that we have, the best first. The shorter tag is for packets that must be small.
var suites = []suite{
	{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80},
	{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32},
}

const (
	keyLength  = 16
	saltLength = 14
	inline     = "inline:"
	// maxKeyParams is far more than a key, a lifetime and an MKI need.
	maxKeyParams = 256
)

// Offer makes new keys for every suite, to be offered or to answer with (XEP-0167 section 7).
func Offer() []rtp.Crypto {
	out := make([]rtp.Crypto, 0, len(suites))
	for i, s := range suites {
		var b [keyLength + saltLength]byte
		_, _ = rand.Read(b[:]) // never fails
		out = append(out, rtp.Crypto{Tag: strconv.Itoa(i + 1), Suite: s.name, KeyParams: inline + base64.StdEncoding.EncodeToString(b[:])})
	}
	return out
}

// Usable returns those of a peer's cryptos that can be used here: a suite that is known, one key, and no parameters that
// change what is on the wire.
func Usable(cryptos []rtp.Crypto) []rtp.Crypto {
	return slices.DeleteFunc(slices.Clone(cryptos), func(c rtp.Crypto) bool {
		_, err := Parse(c)
		return err != nil
	})
}

// ErrCrypto says that keys in the signalling cannot be used.
var ErrCrypto = errors.New("SRTP keys that cannot be used here")

// Parse reads the keys in a crypto. Its errors wrap [ErrCrypto] and do not show the keys.
func Parse(c rtp.Crypto) (*Keys, error) {
	bad := func(problem string) (*Keys, error) { return nil, fmt.Errorf("%w: %s", ErrCrypto, problem) }
	i := slices.IndexFunc(suites, func(s suite) bool { return s.name == c.Suite })
	switch {
	case i < 0:
		return bad(fmt.Sprintf("the suite %q", c.Suite))
	case len(c.KeyParams) > maxKeyParams:
		return bad("key-params that are too long")
	case strings.Contains(c.KeyParams, ";"):
		return bad("more than one master key") // RFC 4568 section 6.1: told apart by an MKI
	case !ignorable(c.SessionParams):
		return bad("session-params that change the packets")
	}
	params, ok := cutPrefixFold(c.KeyParams, inline)
	if !ok {
		return bad("key-params that are not inline")
	}
	// RFC 4568 section 6.1: key and salt, perhaps a lifetime, which no call outlasts, perhaps an MKI, which adds to packets.
	fields := strings.Split(params, "|")
	if slices.ContainsFunc(fields[1:], func(f string) bool { return strings.Contains(f, ":") }) {
		return bad("a master key identifier")
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(fields[0], "="))
	if err != nil || len(b) != keyLength+saltLength {
		return bad("a key that is not 30 bytes in base64")
	}
	return &Keys{profile: suites[i].profile, key: b[:keyLength], salt: b[keyLength:]}, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// ignorable reports whether session parameters can be passed over: those that begin with "-" (RFC 4568 section 6.3.7), and
// the hint at the size of a window (section 6.3.6).
func ignorable(params string) bool {
	for p := range strings.FieldsSeq(params) {
		if !strings.HasPrefix(p, "-") && !strings.HasPrefix(p, "WSH=") {
			return false
		}
	}
	return true
}

// context makes what encrypts or decrypts with the keys.
func (k *Keys) context(opts ...srtp.ContextOption) (*srtp.Context, error) {
	c, err := srtp.CreateContext(k.key, k.salt, k.profile, opts...)
	if err != nil {
		return nil, fmt.Errorf("srtp: %w", err)
	}
	return c, nil
}
