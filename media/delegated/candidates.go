package delegated

import (
	"slices"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/sdp"
)

// readCandidates reads those that Jingle can say, and that others can use.
func readCandidates(lines []string) []ice.Candidate {
	var out []ice.Candidate
	for _, l := range lines {
		// XEP-0176 section 5.3 knows UDP only, and with rtcp-mux there is one component.
		if cand, err := sdp.ParseCandidate(l); err == nil && !unknown(cand) && cand.Protocol == "udp" && cand.Component == 1 {
			out = append(out, cand)
		}
	}
	return out
}

func addCandidates(c *jingle.Content, cs []ice.Candidate) {
	if t, ok := transportOf(*c); ok && len(t.Candidates)+len(cs) <= ice.MaxCandidates {
		t.Candidates = append(slices.Clip(t.Candidates), cs...)
		setTransport(c, t)
	}
}

// AddCandidates sends candidates of the host. Those that the peer cannot use, by TCP or named by mDNS, are passed over. The
// error is [ErrOver].
func (c *Call) AddCandidates(cs Candidates) error {
	return c.ask(func() error {
		name := sdp.ContentName(cs.MID)
		i := find(c.ours.contents, name)
		if i < 0 {
			if len(c.early[name])+len(cs.Lines) <= maxEarly && len(c.early) < maxQueue {
				c.early[name] = append(c.early[name], cs.Lines...)
			}
			return nil
		}
		c.sendCandidates(c.ours.contents[i], readCandidates(cs.Lines))
		return nil
	})
}

// flushEarly sends what the host has told of what it describes only now.
func (c *Call) flushEarly() {
	for name, lines := range c.early {
		if i := find(c.ours.contents, name); i >= 0 {
			delete(c.early, name)
			c.sendCandidates(c.ours.contents[i], readCandidates(lines))
		}
	}
}

// sendCandidates sends one content and one candidate at a time, with the credentials, which is the one form that all
// clients accept.
func (c *Call) sendCandidates(content jingle.Content, cs []ice.Candidate) {
	t, ok := transportOf(content)
	if !ok {
		return
	}
	for _, cand := range cs {
		info := ice.Transport{NS: t.NS, Ufrag: t.Ufrag, Pwd: t.Pwd, Candidates: []ice.Candidate{cand}}
		out := jingle.Content{Creator: content.Creator, Name: content.Name, Transport: content.Transport}
		setTransport(&out, info)
		c.do(&jingle.Message{Action: jingle.TransportInfo, Contents: []jingle.Content{out}})
	}
}

// transportInfo takes candidates and new credentials of the peer.
func (c *Call) transportInfo(m *jingle.Message) error {
	fresh := map[string]ice.Transport{}
	for _, content := range m.Contents {
		i := find(c.theirs.contents, content.Name)
		t, ok := transportOf(content)
		if i < 0 || !ok {
			continue
		}
		old, _ := transportOf(c.theirs.contents[i])
		if old.Ufrag != "" && t.Restarts(old) {
			if !c.answered {
				return jingle.ErrOutOfOrder("There is no connection yet that ICE could be restarted for.")
			}
			if err := t.ValidateCredentials(); err != nil {
				return jingle.ErrBadRequest("The new credentials are of no use.")
			}
			fresh[old.Ufrag] = t
			continue
		}
		good, _ := t.ValidCandidates()
		addCandidates(&c.theirs.contents[i], good)
		var lines []string
		for _, cand := range good {
			lines = append(lines, sdp.CandidateLine(cand))
		}
		if c.told && lines != nil {
			c.cfg.Candidates(Candidates{sdp.MID(content.Name), lines})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	apply := func() {
		for i := range c.theirs.contents {
			// What shared the old credentials, in a bundle, shares the new ones.
			old, _ := transportOf(c.theirs.contents[i])
			if t, ok := fresh[old.Ufrag]; ok {
				old.Ufrag, old.Pwd, old.Candidates = t.Ufrag, t.Pwd, nil
				if find(m.Contents, c.theirs.contents[i].Name) >= 0 {
					old.Candidates = t.Candidates
				}
				setTransport(&c.theirs.contents[i], old)
			}
		}
	}
	if c.restarting {
		c.restarting = false
		apply()
		c.maybeAnswered()
		return nil
	}
	return c.changed(func() {
		apply()
		c.restarted = true
	})
}
