package daemon

import (
	"slices"
	"testing"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/media"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/xmpp/disco"
)

// What is offered is what the client of the device can take, and not less than it could do.
func TestSuit(t *testing.T) {
	for _, c := range []struct {
		name      string
		least     media.Encryption
		features  []string
		transport string
		want      media.Encryption
		gather    bool
		err       error
	}{
		{"nothing known", media.Plain, nil, "", media.Plain, false, nil},
		{"a client of today", media.Plain, []string{ice.NSUDP, ice.NSRawUDP, ice.NSFingerprint}, "", media.DTLS, false, nil},
		{"Pidgin", media.Plain, []string{ice.NSUDP, ice.NSRawUDP}, "", media.Plain, true, nil},
		{"Pidgin, by default", media.DTLS, []string{ice.NSUDP, ice.NSRawUDP}, "", media.DTLS, false, nil},
		{"XEP-0371 alone", media.DTLS, []string{ice.NSICE, ice.NSFingerprint}, ice.NSICE, media.DTLS, false, nil},
		{"both forms of ICE", media.DTLS, []string{ice.NSICE, ice.NSUDP, ice.NSFingerprint}, "", media.DTLS, false, nil},
		{"raw UDP alone", media.SDES, []string{ice.NSRawUDP}, ice.NSRawUDP, media.SDES, true, nil},
		{"raw UDP alone, by default", media.DTLS, []string{ice.NSRawUDP}, "", media.DTLS, false, media.ErrRawUDP},
	} {
		cfg := mediacall.Config{Encryption: c.least}
		err := suit(&cfg, disco.Info{Features: c.features})
		if err != c.err || cfg.Transport != c.transport || cfg.Encryption != c.want || cfg.GatherFirst != c.gather {
			t.Errorf("%s: %v, %q, %s, gather first %v", c.name, err, cfg.Transport, cfg.Encryption, cfg.GatherFirst)
		}
	}
}

// Raw UDP is told where it would be taken.
func TestFeaturesFollowTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want bool
	}{
		{Config{}, false}, {Config{CallEncryption: media.SDES}, true}, {Config{CallEncryption: media.Plain}, true},
		{Config{CallEncryption: media.Plain, RelayOnly: true}, false},
	} {
		fs := (&Daemon{cfg: c.cfg}).features()
		if slices.Contains(fs, ice.NSRawUDP) != c.want || !slices.Contains(fs, ice.NSICE) || !slices.Contains(fs, ice.NSUDP) {
			t.Errorf("%+v: %v", c.cfg, fs)
		}
	}
}
