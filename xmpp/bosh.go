package xmpp

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"

	"github.com/jingled/jingled/xmltree"
)

const (
	nsBOSH  = "http://jabber.org/protocol/httpbind"
	nsXBOSH = "urn:xmpp:xbosh"
)

const (
	boshWait   = 60        // seconds that the server may hold a request (XEP-0124 section 7.1)
	boshHold   = 1         // requests that it may hold
	boshBatch  = 64 << 10  // bytes of stanzas in a request, unless one stanza has more
	boshQueue  = 256 << 10 // bytes that wait before Write does
	boshGrace  = 20 * time.Second
	boshRetry  = 500 * time.Millisecond
	boshRetryM = 5 * time.Second
	// boshGap is how much later than one request another one is made that is open at the same time. ejabberd answers
	// neither if they come to it in the wrong order, though XEP-0124 section 14.1 wants them put right.
	boshGap = 10 * time.Millisecond
)

// bosh makes a BOSH session look like a TCP stream (XEP-0124, XEP-0206). Write queues; one goroutine, run, owns the
// session: it makes requests, each in a goroutine that repeats it until it has its answer, and hands their answers to
// Read in the order of their rids.
type bosh struct {
	cfg    *Config
	url    string
	http   *webClient
	addr   net.Addr
	ctx    context.Context // of the connection's life
	cancel context.CancelFunc
	split  *splitter
	wait   deadline // of writes
	done   chan struct{}
	once   sync.Once

	in  *io.PipeReader // what the server says, as a stream
	out *io.PipeWriter

	mu     sync.Mutex
	queue  []boshItem
	queued int           // bytes
	wake   chan struct{} // holds one token: something was queued
	room   chan struct{} // holds one token: something was taken
}

type boshKind int

const (
	boshElement boshKind = iota
	boshOpen
	boshEnd
)

type boshItem struct {
	kind boshKind
	text []byte // an element, or the domain of a stream that opens
}

func (c *Config) dialBOSH(t target) net.Conn {
	b := &bosh{cfg: c, url: t.url.String(), http: c.webClient(t), addr: webAddr(t.addr), done: make(chan struct{}),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.in, b.out = io.Pipe()
	b.split = newSplitter(b, c.Limits.Send+1024)
	go b.run()
	return b
}

// Write implements net.Conn. It waits while too much is queued.
func (b *bosh) Write(p []byte) (int, error) { return b.split.write(p) }

func (b *bosh) openStream(domain string) error { return b.put(boshItem{boshOpen, []byte(domain)}) }

func (b *bosh) sendElement(text []byte) error {
	return b.put(boshItem{boshElement, bytes.Clone(text)})
}

func (b *bosh) endStream() error { return b.put(boshItem{kind: boshEnd}) }

func (b *bosh) put(i boshItem) error {
	t := time.NewTimer(time.Until(b.wait.get()))
	defer t.Stop()
	for {
		b.mu.Lock()
		if b.queued < boshQueue {
			b.queue = append(b.queue, i)
			b.queued += len(i.text)
			b.mu.Unlock()
			token(b.wake)
			return nil
		}
		b.mu.Unlock()
		select {
		case <-b.room:
		case <-t.C:
			return errWriteTimeout
		case <-b.done:
			return net.ErrClosed
		}
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Read implements net.Conn.
func (b *bosh) Read(p []byte) (int, error) { return b.in.Read(p) }

// Close implements net.Conn: at once, without an end of the session, which the server ends when it has been silent.
func (b *bosh) Close() error {
	b.once.Do(func() {
		b.cancel()
		_ = b.in.CloseWithError(net.ErrClosed)
		<-b.done
		b.http.transport.CloseIdleConnections()
	})
	return nil
}

// LocalAddr implements net.Conn.
func (b *bosh) LocalAddr() net.Addr { return webAddr("") }

// RemoteAddr implements net.Conn.
func (b *bosh) RemoteAddr() net.Addr { return b.addr }

// SetDeadline implements net.Conn, for writes.
func (b *bosh) SetDeadline(t time.Time) error { return b.SetWriteDeadline(t) }

// SetReadDeadline implements net.Conn: nothing here reads with one.
func (b *bosh) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (b *bosh) SetWriteDeadline(t time.Time) error {
	b.wait.set(t)
	return nil
}

// boshSession is the state of run.
type boshSession struct {
	b       *bosh
	rid     int64 // of the next request
	next    int64 // of the answer to be handed on next
	sid     string
	from    string // for the header of a stream that opens again
	id      string
	domain  string
	hold    int // requests that should be open
	window  int // requests that may be open
	polling time.Duration
	held    time.Duration // for how long the server may hold a request
	// repeat is for how long a request is repeated. It is 0 before there is a session: nothing is lost with that request, and
	// there may be other ways to the server.
	repeat time.Duration

	open    map[int64]bool // requests without an answer
	ready   map[int64]boshAnswer
	answers chan boshAnswer
	wrote   chan int64 // rids of requests that have left
	writing int64      // the rid that has not left yet, or 0
	left    time.Time  // when the last one left
	pause   time.Time  // before which no empty request is made
	ended   bool       // terminate was sent
	anew    bool       // the server waits for the stream to be opened again, after a login
}

type boshAnswer struct {
	rid   int64
	empty bool // of the request
	again bool // it was made more than once
	took  time.Duration
	body  []byte
	err   error
}

func (b *bosh) run() {
	s := &boshSession{b: b, rid: 1 + rand.Int64N(1<<31), hold: boshHold, window: 1, held: boshWait * time.Second,
		open: make(map[int64]bool), ready: make(map[int64]boshAnswer), answers: make(chan boshAnswer, 16), wrote: make(chan int64, 16)}
	s.next = s.rid
	var wg sync.WaitGroup
	err := s.loop(&wg)
	b.cancel()
	_ = b.out.CloseWithError(err) // which is what Read says from now on
	wg.Wait()
	close(b.done)
}

// loop ends with what Read is to say.
func (s *boshSession) loop(wg *sync.WaitGroup) error {
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	for {
		for {
			body, empty, err := s.request()
			if err != nil {
				return err
			}
			if body == nil {
				break
			}
			rid, repeat, held := s.rid, s.repeat, s.held
			s.rid++
			s.open[rid], s.writing = true, rid
			ctx := httptrace.WithClientTrace(s.b.ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
				select {
				case s.wrote <- rid:
				default:
				}
			}})
			wg.Go(func() { s.answers <- s.b.ask(ctx, rid, body, empty, repeat, held) })
		}
		var due <-chan time.Time
		if next := s.due(); !next.IsZero() {
			tick.Reset(max(time.Until(next), time.Millisecond))
			due = tick.C
		}
		select {
		case <-s.b.ctx.Done():
			return net.ErrClosed
		case <-s.b.wake:
		case <-due:
		case rid := <-s.wrote:
			if rid == s.writing {
				s.writing, s.left = 0, time.Now()
			}
		case a := <-s.answers:
			if a.rid == s.writing {
				s.writing = 0
			}
			s.ready[a.rid] = a
			for {
				a, ok := s.ready[s.next]
				if !ok {
					break
				}
				delete(s.ready, s.next)
				delete(s.open, s.next)
				s.next++
				if err := s.take(a); err != nil {
					return err
				}
			}
		}
	}
}

// due returns when a request may be made that may not be made now, the zero time if there is none.
func (s *boshSession) due() time.Time {
	now := time.Now()
	if gap := s.left.Add(boshGap); len(s.open) > 0 && now.Before(gap) {
		return gap
	}
	if now.Before(s.pause) {
		return s.pause
	}
	return time.Time{}
}

// request returns the body of the request to be made now, nil if there is none.
func (s *boshSession) request() (body []byte, empty bool, err error) {
	if s.ended || len(s.open) >= s.window || len(s.open) > 0 && (s.writing != 0 || time.Since(s.left) < boshGap) {
		return nil, false, nil
	}
	items := s.b.take(s.sid == "")
	if s.sid == "" {
		if len(items) == 0 || items[0].kind != boshOpen {
			return nil, false, nil
		}
		s.domain = string(items[0].text)
		return s.body("", ` to="`+escape(s.domain)+`" xml:lang="en" ver="1.6" wait="`+strconv.Itoa(boshWait)+`" hold="`+
			strconv.Itoa(boshHold)+`" content="text/xml; charset=utf-8" xmpp:version="1.0"`, nil), false, nil
	}
	if len(items) == 0 {
		// Prosody answers whatever comes after a login with the features of the new stream, which is not open yet.
		if s.anew || len(s.open) >= max(s.hold, 1) || time.Now().Before(s.pause) {
			return nil, false, nil
		}
		return s.body(s.sid, "", nil), true, nil
	}
	if items[0].kind == boshOpen {
		s.anew = false
		// XEP-0206 section 5: the server says features, but no header.
		if _, err := s.b.out.Write(header(s.from, s.id)); err != nil {
			return nil, false, err
		}
		return s.body(s.sid, ` to="`+escape(s.domain)+`" xml:lang="en" xmpp:restart="true"`, nil), false, nil
	}
	var stanzas []byte
	attrs := ""
	for _, i := range items {
		if i.kind == boshEnd {
			attrs, s.ended = ` type="terminate"`, true
		}
		stanzas = append(stanzas, i.text...)
	}
	return s.body(s.sid, attrs, stanzas), false, nil
}

func (s *boshSession) body(sid, attrs string, stanzas []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<body xmlns="%s" xmlns:xmpp="%s" rid="%d"`, nsBOSH, nsXBOSH, s.rid)
	if sid != "" {
		b.WriteString(` sid="` + escape(sid) + `"`)
	}
	b.WriteString(attrs)
	if len(stanzas) == 0 {
		b.WriteString("/>")
		return b.Bytes()
	}
	b.WriteString(">")
	b.Write(stanzas)
	b.WriteString("</body>")
	return b.Bytes()
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}

// take removes what goes into one request: an opening of the stream, or elements with the end of the stream.
func (b *bosh) take(opening bool) []boshItem {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) {
		i := b.queue[n]
		if opening && i.kind != boshOpen || n > 0 && (i.kind == boshOpen || size+len(i.text) > boshBatch) {
			break
		}
		n, size = n+1, size+len(i.text)
		if i.kind != boshElement {
			break
		}
	}
	items := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.queued -= size
	if n > 0 {
		token(b.room)
	}
	return items
}

// ask makes one request, again and again with the same rid, until it has an answer (XEP-0124 sections 14.3 and 17.2).
func (b *bosh) ask(ctx context.Context, rid int64, body []byte, empty bool, repeat, held time.Duration) boshAnswer {
	began := time.Now()
	pause := boshRetry
	for first := true; ; first = false {
		answer, again, err := b.post(ctx, body, held+boshGrace)
		if err == nil || !again || time.Since(began) >= repeat || b.ctx.Err() != nil {
			return boshAnswer{rid: rid, empty: empty, again: !first, took: time.Since(began), body: answer, err: err}
		}
		b.cfg.Logger.Debug("a BOSH request is repeated", "err", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-b.ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, boshRetryM)
	}
}

// errRecoverable is a body of type "error" (XEP-0124 section 17.3).
var errRecoverable = errors.New("the connection manager has asked for the requests again")

// post makes an HTTP request. again says whether it may be repeated after an error.
func (b *bosh) post(ctx context.Context, body []byte, limit time.Duration) (answer []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	resp, err := b.http.Do(req)
	if err != nil {
		err = b.http.cause(err)
		return nil, !errors.Is(err, ErrCertificate), err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case code >= 500 || code == http.StatusTooManyRequests:
		return nil, true, &Error{Kind: ErrUnreachable, Addr: b.addr.String(), Message: fmt.Sprintf("the server does not work there: HTTP status %d", code)}
	case code == http.StatusNotFound:
		return nil, false, &StreamError{Condition: "item-not-found", Text: "HTTP status 404"} // XEP-0124 section 17.1
	default:
		return nil, false, &Error{Kind: ErrNotXMPP, Addr: b.addr.String(), Message: fmt.Sprintf("HTTP status %d", code), Advice: "Check the URL"}
	}
	// An answer is taken as a whole, so that one that breaks off can be asked for again.
	bound := int64(b.cfg.Limits.Roster + b.cfg.Limits.InboxBytes)
	answer, err = io.ReadAll(io.LimitReader(resp.Body, bound+1))
	switch {
	case err != nil:
		return nil, true, err
	case int64(len(answer)) > bound:
		return nil, false, errors.New("an answer is too large")
	}
	start, err := firstTag(answer)
	if err != nil || start.Name.Space != nsBOSH || start.Name.Local != "body" {
		return nil, false, &Error{Kind: ErrNotXMPP, Addr: b.addr.String(), Message: "what answers there does not speak BOSH", Advice: "Check the URL"}
	}
	if attr(start, "type") == "error" {
		return nil, true, errRecoverable
	}
	return answer, false, nil
}

// take hands the answer to the reader.
func (s *boshSession) take(a boshAnswer) error {
	if a.err != nil {
		return a.err
	}
	start, err := firstTag(a.body)
	if err != nil {
		return err
	}
	ending := attr(start, "type") == "terminate"
	if ending && a.again && a.rid < s.rid-1 && attr(start, "condition") == "item-not-found" {
		// Prosody says so of a request that it held when its connection broke, if a later one has come since. If the
		// session is gone, the answer to the later one says it too.
		return nil
	}
	if s.sid == "" && !ending {
		if err := s.created(start); err != nil {
			return err
		}
	}
	if ending && attr(start, "condition") == seeOtherURI {
		e, err := xmltree.Parse(a.body, xmltree.Limits{})
		if err != nil {
			return err
		}
		return &StreamError{Condition: seeOtherURI, Host: e.ChildText(nsBOSH, "uri")}
	}
	n, err := s.hand(a.body)
	if err != nil {
		return err
	}
	switch {
	case ending && attr(start, "condition") != "" && n == 0 && !s.ended:
		// XEP-0124 section 17.2: terminal conditions are the session's end.
		return &StreamError{Condition: attr(start, "condition")}
	case ending:
		if s.sid == "" {
			return io.EOF
		}
		_, err := io.WriteString(s.b.out, streamEndTag)
		if err == nil {
			err = io.EOF
		}
		return err
	}
	if s.hold == 0 {
		s.pause = time.Now().Add(s.polling)
	} else if a.empty && n == 0 && a.took < 100*time.Millisecond && len(s.open) == 0 {
		s.pause = time.Now().Add(time.Second) // it should have held it
	}
	return nil
}

// created takes the attributes of a new session (XEP-0124 section 7.2).
func (s *boshSession) created(start xml.StartElement) error {
	if s.sid = attr(start, "sid"); s.sid == "" {
		return fmt.Errorf("%w: a session without an id", errNotXML)
	}
	number := func(name string, def, most int) int {
		if n, err := strconv.Atoi(attr(start, name)); err == nil && n >= 0 {
			return min(n, most)
		}
		return def
	}
	s.hold = number("hold", boshHold, boshHold)
	s.window = max(number("requests", s.hold+1, 4), 1)
	s.polling = time.Duration(max(number("polling", 5, 60), 1)) * time.Second
	s.held = time.Duration(number("wait", boshWait, boshWait)) * time.Second
	s.repeat = s.held + time.Duration(number("inactivity", 30, 120))*time.Second
	s.from, s.id = attr(start, "from"), attr(start, "authid")
	if s.from == "" {
		s.from = s.domain
	}
	_, err := s.b.out.Write(header(s.from, s.id))
	return err
}

// hand gives the children of a body to the reader and says how many there were.
func (s *boshSession) hand(body []byte) (n int, err error) {
	f := newFramer(bytes.NewReader(body), len(body)+1)
	if _, _, err := f.next(); err != nil {
		return 0, err
	}
	for {
		frame, kind, err := f.next()
		switch {
		case errors.Is(err, io.EOF) && n == 0 && f.depth == 0, err == nil && kind == frameClose:
			return n, nil
		case err != nil:
			return n, err
		}
		n++
		s.anew = s.anew || bytes.HasPrefix(frame, []byte("<success")) && bytes.Contains(frame, []byte(nsSASL))
		if _, err := s.b.out.Write(frame); err != nil {
			return n, err
		}
	}
}
