package daemon

import (
	"time"

	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// decisionTime is how long a person may take to decide about an offer by stream initiation, whose answer is that of a
// single request.
const decisionTime = 11 * time.Minute

// newSI makes the transfers of clients that are older than Jingle.
func (f *files) newSI(a *account) (*si.Manager, error) {
	a.client.HandleIQ(si.NS, "si", a.receiveSI)
	a.client.HandleIQ(s5b.NSBytestreams, "query", a.receiveBytestreams)
	return si.NewManager(si.Config{
		Local: a.client.JID,
		Request: func(to jid.JID, payload *xmltree.Element, timeout time.Duration, done func(*xmltree.Element, error)) {
			a.client.Request(to, "set", payload, timeout, done)
		},
		Transfers: f.manager, Bytestreams: a.s5b, InBand: f.router, Log: a.log,
	})
}

func answer(iq *xmpp.IQ) func(*xmltree.Element, *jingle.StanzaError) {
	return func(e *xmltree.Element, se *jingle.StanzaError) {
		if se != nil {
			iq.Fail(se)
			return
		}
		iq.Reply(e)
	}
}

func (a *account) receiveSI(iq *xmpp.IQ) {
	if iq.Type != "set" || iq.From.IsBare() || !a.admits(iq.From, false) && !a.expects(iq.From) {
		iq.Fail(jingle.ErrServiceUnavailable())
		return
	}
	iq.Defer(decisionTime)
	a.files.si.Handle(iq.From, iq.Payload, answer(iq))
}

func (a *account) receiveBytestreams(iq *xmpp.IQ) {
	if iq.Type != "set" || iq.From.IsBare() {
		iq.Fail(jingle.ErrServiceUnavailable()) // we are no proxy
		return
	}
	iq.Defer(decisionTime)
	a.files.si.HandleBytestreams(iq.From, iq.Payload, answer(iq))
}
