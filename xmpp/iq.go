package xmpp

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// IQ is a request of somebody else. It must be answered exactly once, by [IQ.Reply] or [IQ.Fail], from any goroutine.
// One that is not answered within [Timeouts].Answer is answered with an error.
type IQ struct {
	ID      string
	Type    string  // "get" or "set"
	From    jid.JID // the own bare address if the stanza names no sender
	To      jid.JID // the own bare address if the stanza names no receiver
	Payload *xmltree.Element

	client   *Client
	from     jid.JID // as the stanza has it, may be ""
	answered atomic.Bool
	timer    *time.Timer
}

// Reply answers with a result. payload may be nil.
func (q *IQ) Reply(payload *xmltree.Element) {
	q.answer("result", payload)
}

// Fail answers with an error. nil stands for service-unavailable.
func (q *IQ) Fail(e *jingle.StanzaError) {
	if e == nil {
		e = jingle.ErrServiceUnavailable()
	}
	q.answer("error", e.Element(nsClient))
}

// Defer gives the answer time d from now on in place of [Timeouts].Answer: for what a person has to decide. It is called
// once, before there can be an answer.
func (q *IQ) Defer(d time.Duration) { q.timer.Reset(d) }

// Answered reports whether the request has its answer.
func (q *IQ) Answered() bool { return q.answered.Load() }

func (q *IQ) answer(typ string, payload *xmltree.Element) {
	if q.answered.Swap(true) {
		q.client.log.Warn("request answered twice", "id", q.ID, "from", q.From)
		return
	}
	q.timer.Stop()
	q.send(typ, payload)
}

// expire answers in place of a handler that does not.
func (q *IQ) expire() {
	if q.answered.Swap(true) {
		return
	}
	q.client.stats.unanswered.Add(1)
	q.client.log.Error("request not answered by its handler", "payload", q.Payload.Name.Local, "ns", q.Payload.Name.Space)
	q.send("error", stanzaError("wait", "internal-server-error", "There was no answer in time.").Element(nsClient))
}

func (q *IQ) send(typ string, payload *xmltree.Element) {
	q.client.unanswered.remove(q.From)
	if err := q.client.reply(q.from, q.ID, typ, payload); err != nil {
		q.client.log.Debug("answer not sent", "to", q.From, "err", err)
	}
}

func (c *Client) reply(to jid.JID, id, typ string, payload *xmltree.Element) error {
	err := c.Send(xmltree.New(nsClient, "iq").Set("type", typ).SetOpt("to", to.String()).Set("id", id).Add(payload))
	if errors.Is(err, ErrTooLarge) {
		// The asker must not be left without an answer.
		payload = stanzaError("cancel", "internal-server-error", "The answer is too large.").Element(nsClient)
		err = c.reply(to, id, "error", payload)
	}
	return err
}

func stanzaError(typ, condition, text string) *jingle.StanzaError {
	return &jingle.StanzaError{Type: typ, Condition: condition, Text: text}
}

// tally counts the requests of others that wait for our answer.
type tally struct {
	mu sync.Mutex
	q  quota
}

func newTally(limit int, own jid.JID) *tally { return &tally{q: newQuota(limit, own)} }

func (t *tally) add(from jid.JID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.q.take(from)
}

func (t *tally) remove(from jid.JID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.q.give(from)
}
