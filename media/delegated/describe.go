package delegated

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/sdp"
	"github.com/jingled/jingled/media/call"
)

// read makes contents of a description of the party with this role.
func read(text string, role jingle.Role) (*sdp.Session, []jingle.Content, []jingle.Group, error) {
	parsed, err := sdp.Parse(text)
	if err != nil {
		return nil, nil, nil, &DescriptionError{err}
	}
	contents, groups, err := sdp.ToJingle(parsed, role, sdp.Options{})
	if err != nil {
		return nil, nil, nil, &DescriptionError{err}
	}
	for i := range contents {
		t, ok := transportOf(contents[i])
		if !ok {
			continue
		}
		t.Candidates = slices.DeleteFunc(t.Candidates, unknown)
		setTransport(&contents[i], t)
	}
	return parsed, contents, groups, nil
}

// CheckOffer reports what would keep [Dial] from using an offer: a [*DescriptionError].
func CheckOffer(text string) error {
	_, contents, _, err := read(text, jingle.Initiator)
	if err == nil && len(contents) == 0 {
		err = &DescriptionError{errors.New("the offer has no media")}
	}
	return err
}

// unknown reports whether a candidate is of no use elsewhere: the names of mDNS, which browsers have for pages that may
// not use the microphone.
func unknown(c ice.Candidate) bool {
	_, err := netip.ParseAddr(c.IP)
	return err != nil
}

func transportOf(c jingle.Content) (ice.Transport, bool) {
	switch t := c.Transport.(type) {
	case ice.Transport:
		return t, true
	case ice.DataChannel:
		if t.ICE != nil {
			return *t.ICE, true
		}
	}
	return ice.Transport{}, false
}

func setTransport(c *jingle.Content, t ice.Transport) {
	if dc, ok := c.Transport.(ice.DataChannel); ok {
		dc.ICE = &t
		c.Transport = dc
		return
	}
	c.Transport = t
}

func find(cs []jingle.Content, name string) int {
	return slices.IndexFunc(cs, func(c jingle.Content) bool { return c.Name == name })
}

// SetDescription takes a description of the host: an offer, or the answer to one. It returns when it is on its way. The
// error is [ErrState], a [*DescriptionError], a *[jingle.CommandError], or [ErrOver].
func (c *Call) SetDescription(d Description) error {
	return c.ask(func() error {
		want := stable
		if d.Kind == Answer {
			want = haveRemoteOffer
		}
		if c.state != want || d.Kind != Offer && d.Kind != Answer || d.Kind == Offer && !c.answered {
			return ErrState
		}
		parsed, contents, groups, err := read(d.SDP, c.s.Role())
		if err != nil {
			return err
		}
		if len(contents) == 0 {
			return &DescriptionError{errors.New("the description has no media; end the call instead")}
		}
		switch {
		case d.Kind == Offer:
			err = c.offer(contents, groups)
		case c.initial != nil:
			err = c.accept(contents, groups)
		default:
			c.answer(contents)
		}
		if err != nil {
			return err
		}
		c.before = snapshot{c.ours, c.lines}
		c.ours, c.lines = side{slices.Clone(contents), groups}, parsed
		c.flushEarly()
		if d.Kind == Offer {
			c.state = haveLocalOffer
			c.maybeAnswered()
			return nil
		}
		c.settled()
		return nil
	})
}

// accept answers the session-initiate.
func (c *Call) accept(contents []jingle.Content, groups []jingle.Group) error {
	if err := c.s.Do(&jingle.Message{
		Action: jingle.SessionAccept, Responder: c.s.Local(), Contents: contents, Groups: groups,
	}); err != nil {
		return err
	}
	c.initial, c.answered = nil, true
	c.theirs.contents = slices.DeleteFunc(slices.Clone(c.theirs.contents), func(t jingle.Content) bool { return find(contents, t.Name) < 0 })
	c.agreeSenders(contents)
	c.cfg.Notify(call.Accepted{})
	return nil
}

// agreeSenders follows what the host or the peer has narrowed.
func (c *Call) agreeSenders(contents []jingle.Content) {
	for _, content := range contents {
		for _, cs := range [][]jingle.Content{c.ours.contents, c.theirs.contents} {
			if i := find(cs, content.Name); i >= 0 && content.Senders != "" {
				cs[i].Senders = content.Senders
			}
		}
	}
}

// answer answers what the peer has changed in a running call.
func (c *Call) answer(contents []jingle.Content) {
	var accepted, rejected []jingle.Content
	for _, name := range c.asked {
		if i := find(contents, name); i >= 0 {
			accepted = append(accepted, contents[i])
		} else {
			rejected = append(rejected, jingle.Content{Creator: jingle.Initiator, Name: name})
			c.theirs.contents = slices.DeleteFunc(c.theirs.contents, func(t jingle.Content) bool { return t.Name == name })
		}
	}
	if accepted != nil {
		c.do(&jingle.Message{Action: jingle.ContentAccept, Contents: accepted, Groups: c.theirs.groups})
		c.agreeSenders(accepted)
	}
	if rejected != nil {
		c.do(&jingle.Message{Action: jingle.ContentReject, Contents: rejected, Reason: &jingle.Reason{Condition: jingle.Decline}})
	}
	if c.restarted {
		c.sendCredentials(contents)
	}
	c.asked, c.restarted = nil, false
}

// offer tells the peer what the host has changed in a running call.
func (c *Call) offer(contents []jingle.Content, groups []jingle.Group) error {
	var added, removed, modified []jingle.Content
	restarts := false
	for _, n := range contents {
		i := find(c.ours.contents, n.Name)
		if i < 0 {
			added = append(added, n)
			continue
		}
		old := c.ours.contents[i]
		if n.Senders != old.Senders {
			modified = append(modified, jingle.Content{Creator: old.Creator, Name: old.Name, Senders: n.Senders})
		}
		before, ok1 := transportOf(old)
		now, ok2 := transportOf(n)
		restarts = restarts || ok1 && ok2 && now.Restarts(before)
	}
	for _, old := range c.ours.contents {
		if find(contents, old.Name) < 0 {
			removed = append(removed, jingle.Content{Creator: old.Creator, Name: old.Name})
		}
	}
	for _, m := range []*jingle.Message{
		{Action: jingle.ContentModify, Contents: modified}, {Action: jingle.ContentRemove, Contents: removed},
	} {
		if len(m.Contents) == 0 {
			continue
		}
		if err := c.s.Do(m); err != nil {
			return err
		}
	}
	for _, r := range removed {
		c.theirs.contents = slices.DeleteFunc(c.theirs.contents, func(t jingle.Content) bool { return t.Name == r.Name })
	}
	for _, m := range modified {
		if i := find(c.theirs.contents, m.Name); i >= 0 {
			c.theirs.contents[i].Senders = m.Senders
		}
	}
	if restarts {
		c.restarting = true
		c.sendCredentials(slices.DeleteFunc(slices.Clone(contents), func(n jingle.Content) bool { return find(added, n.Name) >= 0 }))
	}
	if added == nil {
		return nil
	}
	if err := c.s.Do(&jingle.Message{Action: jingle.ContentAdd, Contents: added, Groups: groups}); err != nil {
		return err
	}
	for _, a := range added {
		c.adds[a.Name] = true
	}
	return nil
}

// sendCredentials restarts ICE or answers a restart, all contents in one transport-info, as Conversations wants it. The
// candidates follow one by one.
func (c *Call) sendCredentials(contents []jingle.Content) {
	var bare []jingle.Content
	for _, content := range contents {
		if t, ok := transportOf(content); ok {
			t.Candidates, t.Fingerprints, t.GatheringComplete = nil, nil, false
			bare = append(bare, jingle.Content{Creator: content.Creator, Name: content.Name, Transport: t})
		}
	}
	c.do(&jingle.Message{Action: jingle.TransportInfo, Contents: bare})
	for _, content := range contents {
		if t, ok := transportOf(content); ok {
			c.sendCandidates(content, t.Candidates)
		}
	}
}

// tell tells the host what the peer has described.
func (c *Call) tell(kind Kind) error {
	contents := slices.Clone(c.theirs.contents)
	if kind == Answer {
		// RFC 5763 section 5: an answer says who begins. Where the peer has offered actpass, that is settled by what the
		// host answered.
		for i := range contents {
			t, ok := transportOf(contents[i])
			j := find(c.ours.contents, contents[i].Name)
			if !ok || j < 0 {
				continue
			}
			mine, _ := transportOf(c.ours.contents[j])
			t.Fingerprints = slices.Clone(t.Fingerprints)
			for k := range t.Fingerprints {
				if t.Fingerprints[k].Setup == ice.SetupActpass {
					t.Fingerprints[k].Setup = opposite(mine)
				}
			}
			setTransport(&contents[i], t)
		}
	}
	s, err := sdp.FromJingle(contents, c.theirs.groups, c.s.Role().Peer())
	if err != nil {
		return err
	}
	c.version++
	s.ID, s.Version = c.id, c.version
	if c.lines != nil {
		s = s.Align(c.lines)
	}
	if kind == Offer {
		c.lines = s
	}
	c.told = true
	c.cfg.Describe(Description{kind, s.String()})
	return nil
}

func opposite(t ice.Transport) ice.Setup {
	for _, f := range t.Fingerprints {
		if f.Setup == ice.SetupPassive {
			return ice.SetupActive
		}
	}
	return ice.SetupPassive
}

// maybeAnswered tells the host the answer to its offer, once the peer has answered all of it.
func (c *Call) maybeAnswered() {
	if c.state != haveLocalOffer || len(c.adds) > 0 || c.restarting || !c.answered {
		return
	}
	if err := c.tell(Answer); err != nil {
		c.log.Info("the peer's answer cannot be told", "err", err)
		c.s.Terminate(&jingle.Reason{Condition: jingle.IncompatibleParameters, Text: err.Error()})
		return
	}
	c.settled()
}

// settled goes on with what the peer wants.
func (c *Call) settled() {
	c.state = stable
	for c.state == stable && len(c.queue) > 0 {
		next := c.queue[0]
		c.queue = c.queue[1:]
		if err := next(); err != nil {
			c.log.Info("a change of the peer's cannot be told", "err", err)
		}
	}
}

// changed has the host asked about a change of the peer's, at once or when there is no offer any more.
func (c *Call) changed(f func()) error {
	run := func() error {
		f()
		if err := c.tell(Offer); err != nil {
			return err
		}
		c.state = haveRemoteOffer
		return nil
	}
	if c.state == stable {
		return run()
	}
	if len(c.queue) >= maxQueue {
		return jingle.ErrResourceConstraint("Too many changes wait for an answer.")
	}
	c.queue = append(c.queue, run)
	return nil
}
