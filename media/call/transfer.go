package call

import (
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/transfer"
)

// TransferAsked says that the peer asks us to go on with somebody else (XEP-0251), attended if it has spoken with them. What
// becomes of it is not for this call to decide.
type TransferAsked struct{ Transfer transfer.Transfer }

// TransferRefused says that the peer cannot do what [Call.Transfer] has asked for.
type TransferRefused struct{ Err error }

func (TransferAsked) callEvent()   {}
func (TransferRefused) callEvent() {}

// Transfer asks the peer to go on with somebody else. A peer that does so ends the session with [transfer.IsTransferred];
// one that cannot is told by [TransferRefused].
func (c *Call) Transfer(t transfer.Transfer) { c.s.Post(func() { c.info(t) }) }

// checkTransfer judges a request of the peer.
func (c *Call) checkTransfer(t transfer.Transfer) error {
	switch {
	case !c.cfg.Transfers:
		return &jingle.StanzaError{Type: "cancel", Condition: "feature-not-implemented", Text: "Calls are not transferred here."} // section 2
	case !c.answered:
		return jingle.ErrOutOfOrder("Only a call that was answered can be transferred.")
	case t.To == "":
		return jingle.ErrBadRequest("A transfer needs somebody to go to.")
	case t.Attended() && t.From.Bare() != c.s.Peer().Bare():
		return jingle.ErrBadRequest("A transfer can be asked for by the other side of the call only.")
	}
	return nil
}

// transferRefused follows an error to what was sent, and reports whether that was a transfer.
func (c *Call) transferRefused(ev jingle.RequestFailed) bool {
	for _, p := range ev.Message.Info {
		if _, ok := p.(transfer.Transfer); ok && ev.Message.Action == jingle.SessionInfo {
			c.cfg.Notify(TransferRefused{ev.Err})
			return true
		}
	}
	return false
}
