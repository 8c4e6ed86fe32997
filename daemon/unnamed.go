package daemon

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// localTo is our address towards somebody in a room that we are in, or are coming back to, which is not our real one; "" for
// everybody else.
func (a *account) localTo(peer jid.JID) jid.JID {
	if self, ok := a.rooms.Self(peer.Bare()); ok {
		return self
	}
	self, _ := a.names.Load(peer.Bare()) // no lock: this is asked where others are held
	j, _ := self.(jid.JID)
	return j
}

// unnamedTo reports whether somebody knows us by a name in a room only. Nothing that we show them tells whose account it is: no
// address, no certificate and no key of the account.
func (a *account) unnamedTo(peer jid.JID) bool { return a.localTo(peer) != "" }

// certificateFor is what a peer is shown: the account's certificate, or one that is made for them.
func (a *account) certificateFor(peer jid.JID) (*dtlssrtp.Certificate, error) {
	if a.unnamedTo(peer) {
		return dtlssrtp.NewCertificate()
	}
	return a.certificate, nil
}
