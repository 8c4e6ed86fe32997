package personas

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/xmltree"
)

// wire looks at everything that the daemon sends, and knows what every one of the clients needs of it.
type wire struct {
	reg      jingle.Registry
	mu       sync.Mutex
	problems []string
	log      []string
	// The credentials that each content was described with, by sid and name.
	credentials map[string][2]string
	terminated  map[string]int
	restarted   map[string]bool // by the peer: our answer has other credentials
	old         bool            // the peer has no DTLS
}

func newWire() *wire {
	w := &wire{credentials: make(map[string][2]string), terminated: make(map[string]int), restarted: make(map[string]bool)}
	rtp.Register(&w.reg)
	ice.Register(&w.reg)
	return w
}

// The daemon's account and resource.
const (
	ourUser   = "juliet"
	ourDevice = "daemon"
)

// tap is for xmppserver.Config.
func (w *wire) tap(from jid.JID, st *xmltree.Element) *xmltree.Element {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch st.Name.Local {
	case "message", "iq":
		w.log = append(w.log, fmt.Sprintf("%s: %s", from, st))
	}
	if from.Local() != ourUser || from.Resource() != ourDevice {
		if j := st.Child(jingle.NS, "jingle"); j != nil && j.Attr("action") == string(jingle.TransportInfo) {
			if m, err := jingle.ParseMessage(j, &w.reg); err == nil && isRestart(m) {
				w.restarted[m.SID] = true
			}
		}
		return st
	}
	switch st.Name.Local {
	case "message":
		w.message(from, st)
	case "iq":
		if j := st.Child(jingle.NS, "jingle"); j != nil && st.Attr("type") == "set" {
			w.jingle(j)
		}
	}
	return st
}

// want notes a problem unless ok.
func (w *wire) want(ok bool, format string, args ...any) {
	if !ok {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// message checks what XEP-0353 asks for, and Conversations and Dino insist on.
func (w *wire) message(from jid.JID, st *xmltree.Element) {
	in, ok, err := jmi.ParseStanza(st, &w.reg)
	if err != nil || !ok {
		w.want(err == nil, "a message that does not parse: %v", err)
		return
	}
	to := jid.JID(st.Attr("to"))
	w.want(st.Attr("type") == "chat", "not of type chat: %s", st)
	w.want(st.Child(jmi.NSHints, "store") != nil, "no hint to store it: %s", st)
	m := in.Message
	if m == nil {
		w.want(!to.IsBare(), "a receipt to a bare address: %s", st)
		return
	}
	reason := func() jingle.Condition {
		if m.Reason == nil {
			return ""
		}
		return m.Reason.Condition
	}
	switch m.Kind {
	case jmi.Propose:
		w.want(to.IsBare() && in.WantsReceipt && uuid4.MatchString(m.ID), "propose: %s", st)
		first, _ := m.Descriptions[0].(rtp.Description)
		w.want(first.Media == "audio", "propose: audio is not first: %s", st)
	case jmi.Ringing, jmi.Proceed:
		w.want(!to.IsBare(), "%s to a bare address: %s", m.Kind, st)
	case jmi.Reject, jmi.Finish:
		w.want(!to.IsBare() || to == from.Bare(), "%s to a bare address: %s", m.Kind, st)
		w.want(reason().Known(), "%s without a reason of XEP-0166: %s", m.Kind, st)
	case jmi.Retract:
		w.want(to.IsBare() && (reason() == jingle.Cancel || m.TieBreak), "retract: %s", st)
	case jmi.Accept:
		w.want(to == from.Bare(), "accept to another account: %s", st)
	}
}

func (w *wire) jingle(j *xmltree.Element) {
	m, err := jingle.ParseMessage(j, &w.reg)
	if err != nil {
		w.want(false, "what does not parse: %v: %s", err, j)
		return
	}
	for _, c := range m.Contents {
		w.want(c.Creator == jingle.Initiator, "another creator than the initiator: %s", j)
		w.want(len(c.Name) <= 16 && !strings.ContainsAny(c.Name, " \t\n"), "a name for a content that Conversations cannot take: %s", j)
	}
	switch m.Action {
	case jingle.SessionInitiate, jingle.SessionAccept:
		setup := ice.SetupActpass
		if m.Action == jingle.SessionAccept {
			setup = ice.SetupActive
		}
		for _, c := range m.Contents {
			d, _ := c.Description.(rtp.Description)
			t, _ := ice.TransportOf(c.Transport)
			w.want(c.Senders != "", "senders is not written: %s", j)
			if w.old {
				w.want(len(d.PayloadTypes) > 0, "no codec: %s", j)
				w.candidates(t, j)
				w.credentials[m.SID+" "+c.Name] = [2]string{t.Ufrag, t.Pwd}
				continue
			}
			w.want(d.Encryption == nil, "keys for a client that has DTLS: %s", j)
			w.want(d.RTCPMux && len(d.PayloadTypes) > 0, "no rtcp-mux or no codec: %s", j)
			w.want(len(t.Fingerprints) == 1 && t.Fingerprints[0].Hash == "sha-256" && t.Fingerprints[0].Setup == setup, "fingerprint: %s", j)
			w.want(t.Ufrag != "" && t.Pwd != "", "no credentials: %s", j)
			w.credentials[m.SID+" "+c.Name] = [2]string{t.Ufrag, t.Pwd}
			w.candidates(t, j)
		}
	case jingle.ContentAdd, jingle.ContentAccept:
		for _, c := range m.Contents {
			t, _ := c.Transport.(ice.Transport)
			w.want(c.Senders != "" && t.Ufrag != "" && t.Pwd != "" && len(t.Fingerprints) == 1, "a content without senders, credentials or fingerprint: %s", j)
			w.credentials[m.SID+" "+c.Name] = [2]string{t.Ufrag, t.Pwd}
		}
	case jingle.TransportInfo:
		w.want(len(m.Contents) == 1 || isRestart(m), "more than one content in a transport-info: %s", j)
		for _, c := range m.Contents {
			t, _ := ice.TransportOf(c.Transport)
			w.want(len(t.Candidates) == 1 || len(t.Candidates) == 0 && isRestart(m), "not one candidate in a transport-info: %s", j)
			key := m.SID + " " + c.Name
			if isRestart(m) || w.restarted[m.SID] {
				w.restarted[m.SID] = false
				w.credentials[key] = [2]string{t.Ufrag, t.Pwd}
			}
			w.want(w.credentials[key] == [2]string{t.Ufrag, t.Pwd}, "other credentials than in the description: %s", j)
			w.candidates(t, j)
		}
	case jingle.SessionTerminate:
		n := 0
		for c := range j.Elements() {
			if c.Name.Local == "reason" {
				n++
			}
		}
		w.want(n == 1 && m.Reason != nil && m.Reason.Condition.Known(), "not one reason of XEP-0166: %s", j)
		w.terminated[m.SID]++
		w.want(w.terminated[m.SID] == 1, "terminated twice: %s", j)
	}
}

// isRestart reports whether a transport-info has no candidates, as in Conversations' form of a restart of ICE.
func isRestart(m *jingle.Message) bool {
	for _, c := range m.Contents {
		if t, ok := c.Transport.(ice.Transport); !ok || len(t.Candidates) > 0 || t.GatheringComplete {
			return false
		}
	}
	return true
}

func (w *wire) candidates(t ice.Transport, j *xmltree.Element) {
	for _, c := range t.Candidates {
		if t.NS == ice.NSRawUDP { // XEP-0177 section 4.2: all are required
			w.want(c.Component >= 1 && c.Component <= 2 && c.ID != "" && c.IP != "" && c.Port != 0, "candidate: %s", j)
			continue
		}
		if w.old && c.Component == 2 {
			c.Component = 1 // RTCP on its own
		}
		w.want(c.Validate() == nil && c.Component == 1 && strings.EqualFold(c.Protocol, "udp") && c.Generation >= 0 && c.Network >= 0 &&
			c.ID != "" && c.Foundation != "" && (c.Type == ice.Host || c.RelAddr != ""), "candidate: %s", j)
	}
}
