package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/rtpstat"
	"github.com/jingled/jingled/media/video"
)

// Config is what a [Line] needs. The zero value is usable.
type Config struct {
	// Keys is told of a key that a client has pressed, when it is up; nil is told nothing. It must not block.
	Keys func(dtmf.Key)
	// Changed is told when a client has connected or has gone; nil is told nothing. It must not block.
	Changed func()
	// Log may be nil.
	Log *slog.Logger
}

// Bounds of a line.
const (
	maxViewers = 8
	// maxOffer is the size of an offer in bytes; a browser's has some 10 KiB.
	maxOffer = 256 << 10
	// connectTime is how long a client may take to connect.
	connectTime = 30 * time.Second
)

// The errors of [Line.Attach] that say who is at fault, beside those about the offer.
var (
	// ErrClosed says that the call has ended.
	ErrClosed = errors.New("the call has ended")
	// ErrTooMany says that no further viewer is taken.
	ErrTooMany = errors.New("too many players of this call")
)

// Line is a call's end towards WebRTC clients. Its methods may be called from any goroutine.
type Line struct {
	cfg    Config
	log    *slog.Logger
	codecs []*audio.Codec
	origin time.Time
	wg     sync.WaitGroup // what clients run

	mu      sync.Mutex // guards the rest, and is held while nothing else is called that has a lock of the call
	closed  bool
	clients []*Client // the oldest first
	count   uint64    // of clients and tracks, ever

	speaker *Client // who is heard
	take    func(*audio.Codec, audio.Packet) bool
	pcm     transcoder
	heard   *audio.Codec // what the peer sends

	camera   *Client // who is seen
	pictures *pictures
	seen     *rtpstat.Splice
	seenSeq  uint16
	takes    []*video.Codec // what the peer takes, nil if that is not known
	wantKey  bool           // and nobody was there to be asked
	bitrate  int
	keyFrame func() // asks the peer
	limit    func(bps int)
}

// NewLine returns a line without clients. It has to be closed.
func NewLine(cfg Config) *Line {
	l := &Line{cfg: cfg, log: cfg.Log, codecs: audio.Codecs(), origin: time.Now(), seen: rtpstat.NewSplice(1, 0)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// now is the time in the line's own count.
func (l *Line) now() time.Duration { return time.Since(l.origin) }

// Close ends all clients and returns when what they ran has ended.
func (l *Line) Close() error {
	l.mu.Lock()
	l.closed = true
	clients := slices.Clone(l.clients)
	l.mu.Unlock()
	for _, c := range clients {
		c.Close()
	}
	l.wg.Wait()
	return nil
}

// Role is what a client is to a call.
type Role uint8

// The roles of clients. A new phone takes the place of the one before, and so does a source; players add up.
const (
	// Phone both sends and plays.
	Phone Role = iota
	// Source sends only (WHIP, RFC 9725).
	Source
	// Player plays only (WHEP).
	Player
)

// Attach takes the offer of a client, with all its candidates, and returns the answer with all of ours. The client in
// whose place it comes ends once the new one is connected. The error is an [*OfferError], or [ErrClosed] or [ErrTooMany], or
// that of ctx.
func (l *Line) Attach(ctx context.Context, role Role, offer string) (c *Client, answer string, err error) {
	c = &Client{line: l, role: role, id: rand.Text()[:16], done: make(chan struct{}), ended: make(chan struct{})}
	if err := l.enter(c); err != nil {
		return nil, "", err
	}
	answer, err = c.connect(ctx, offer)
	go c.run()
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, answer, nil
}

func (l *Line) enter(c *Client) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	n := 0
	for _, other := range l.clients {
		if other.role == c.role {
			n++
		}
	}
	if n >= maxViewers {
		return ErrTooMany
	}
	l.count++
	c.order = l.count
	l.clients = append(l.clients, c)
	l.wg.Add(1)
	return nil
}

// leave takes a client away.
func (l *Line) leave(c *Client) {
	l.mu.Lock()
	l.clients = slices.DeleteFunc(l.clients, func(o *Client) bool { return o == c })
	if l.speaker == c {
		l.speaker = nil
	}
	if l.camera == c {
		l.camera = nil
	}
	l.mu.Unlock()
	l.wg.Done()
}

// connected ends those in whose place c comes.
func (l *Line) connected(c *Client) {
	l.mu.Lock()
	var old []*Client
	for _, o := range l.clients {
		if o.role == c.role && c.role != Player && o.order < c.order {
			old = append(old, o)
		}
	}
	keyFrame := l.keyFrame
	l.mu.Unlock()
	for _, o := range old {
		o.Close()
	}
	if keyFrame != nil && c.video != nil {
		keyFrame()
	}
	l.changed()
}

func (l *Line) changed() {
	if l.cfg.Changed != nil {
		l.cfg.Changed()
	}
}

// Client returns the client of this name, or nil.
func (l *Line) Client(id string) *Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.clients {
		if c.id == id {
			return c
		}
	}
	return nil
}

// Connected returns how many clients are connected, and whether one of them sends or wants pictures.
func (l *Line) Connected() (clients int, pictures bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.clients {
		if c.up.Load() {
			clients++
			pictures = pictures || c.HasVideo()
		}
	}
	return clients, pictures
}

// codec returns the codec of sound of this name, or nil.
func (l *Line) codec(name string) *audio.Codec {
	for _, c := range l.codecs {
		if strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}

// newSource returns a number for a stream of packets; 0 is none.
func (l *Line) newSource() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return uint32(l.count)
}

// latest reports whether c is, or becomes with this packet, the one in *who; l.mu is held.
func latest(who **Client, c *Client) (is, becomes bool) {
	if *who == nil || (*who).order < c.order {
		*who = c
		return true, true
	}
	return *who == c, false
}
