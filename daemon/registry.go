package daemon

import (
	"slices"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/folder"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/telepathy"
	"github.com/jingled/jingled/internal/xeps"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/jingle/jet/pinned"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/jingle/rtp"
	jingletransfer "github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media"
)

// newRegistry knows every payload that can stand in a <jingle/>, also where the daemon only has to refuse it politely.
func newRegistry() *jingle.Registry {
	r := new(jingle.Registry)
	rtp.Register(r)
	dtmf.Register(r)
	ice.Register(r)
	telepathy.Register(r)
	jingletransfer.Register(r)
	muji.Register(r)
	jet.Register(r)
	filetransfer.Register(r)
	s5b.Register(r)
	ibb.Register(r)
	return r
}

// features is what service discovery tells of us. Video is among it: there are files for it, RTP, and WebRTC clients, and who
// has none answers without.
func (d *Daemon) features() []string {
	parts := []xeps.Part{xeps.Always, xeps.Calls, xeps.Video, xeps.Files, xeps.S5B, xeps.IBB, xeps.DataChannel, xeps.SI}
	if d.cfg.CallEncryption != media.DTLS && !d.cfg.RelayOnly {
		parts = append(parts, xeps.RawUDP)
	}
	return append(xeps.Features(parts...), resume.NS, folder.NS)
}

// features adds what hangs on the account.
func (a *account) features() []string {
	out := a.d.features()
	if a.trust.keys != nil {
		out = append(append(out, xeps.Features(xeps.JET)...), pinned.NS)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// kind is what a session is for.
type kind uint8

const (
	kindOther kind = iota
	kindCall
	kindFile
)

// kindOf looks at the first content that is understood.
func kindOf(m *jingle.Message) kind {
	for i := range m.Contents {
		switch m.Contents[i].Description.(type) {
		case rtp.Description:
			return kindCall
		case filetransfer.Description:
			return kindFile
		}
	}
	return kindOther
}
