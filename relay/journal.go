package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// line is one line of a journal.
type line struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"` // "start", "end" or "refused"
	Reason   string    `json:"reason,omitempty"`
	Code     int       `json:"code,omitempty"`     // STUN error code of a refusal
	Duration float64   `json:"duration,omitempty"` // seconds
	Session
}

// journal writes lines to a file that is begun anew every day. Lines come from packet loops, so posting never waits;
// what does not fit is counted.
type journal struct {
	cfg     Journal
	name    string
	keep    time.Duration
	log     *slog.Logger
	lines   chan line
	dropped atomic.Uint64
	now     func() time.Time

	file *os.File
	day  string
}

const journalQueue = 8192

// newJournal returns nil if there is no file to write.
func newJournal(name string, cfg Journal, keep time.Duration, log *slog.Logger) *journal {
	if cfg.File == "" {
		return nil
	}
	if cfg.Retention != 0 {
		keep = max(time.Duration(cfg.Retention), 0)
	}
	return &journal{cfg: cfg, name: name, keep: keep, log: log, lines: make(chan line, journalQueue), now: time.Now}
}

// post queues a line.
func (j *journal) post(l line) {
	if j == nil {
		return
	}
	select {
	case j.lines <- l:
	default:
		j.dropped.Add(1)
	}
}

// lost returns how many lines could not be queued or written.
func (j *journal) lost() uint64 {
	if j == nil {
		return 0
	}
	return j.dropped.Load()
}

// run writes until ctx ends, then what is queued.
func (j *journal) run(ctx context.Context) error {
	defer func() {
		if j.file != nil {
			j.file.Close()
		}
	}()
	for {
		select {
		case l := <-j.lines:
			j.write(l)
		case <-ctx.Done():
			for {
				select {
				case l := <-j.lines:
					j.write(l)
				default:
					return ctx.Err()
				}
			}
		}
	}
}

func (j *journal) write(l line) {
	if err := j.rotate(); err != nil {
		j.fail(err)
		return
	}
	b, err := json.Marshal(j.shorten(l))
	if err == nil {
		_, err = j.file.Write(append(b, '\n'))
	}
	if err != nil {
		j.fail(err)
	}
}

func (j *journal) fail(err error) {
	if j.dropped.Add(1)&0x3ff == 1 { // a full disk must not fill the other log
		j.log.Error("cannot write the journal", "journal", j.name, "error", err)
	}
}

// rotate opens the file, moves yesterday's away, and deletes what is older than is kept.
func (j *journal) rotate() error {
	day := j.now().UTC().Format("2006-01-02")
	if j.file != nil && day == j.day {
		return nil
	}
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
	if st, err := os.Stat(j.cfg.File); err == nil {
		if was := st.ModTime().UTC().Format("2006-01-02"); was != day {
			if err := os.Rename(j.cfg.File, j.cfg.File+"."+was); err != nil {
				return err
			}
		}
	}
	f, err := os.OpenFile(j.cfg.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	j.file, j.day = f, day
	j.clean()
	return nil
}

func (j *journal) clean() {
	if j.keep <= 0 {
		return
	}
	old, _ := filepath.Glob(globEscape(j.cfg.File) + ".*")
	for _, f := range old {
		day, err := time.Parse("2006-01-02", strings.TrimPrefix(f, j.cfg.File+"."))
		if err != nil {
			continue // not ours
		}
		if j.now().Sub(day.Add(24*time.Hour)) > j.keep {
			if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
				j.log.Error("cannot delete an old journal", "file", f, "error", err)
			}
		}
	}
}

func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// shorten truncates addresses and leaves out the user, as configured.
func (j *journal) shorten(l line) line {
	l.Client, l.Peer = j.truncate(l.Client), j.truncate(l.Peer)
	if j.cfg.NoUser {
		l.User = ""
	}
	return l
}

func (j *journal) truncate(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return a
	}
	bits := j.cfg.TruncateIPv4
	if a.Addr().Is6() {
		bits = j.cfg.TruncateIPv6
	}
	if bits <= 0 || bits >= a.Addr().BitLen() {
		return a
	}
	p, err := a.Addr().Prefix(bits)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr(), 0) // a port can single somebody out behind a NAT
}

// observer hands session events to the journals.
type observer struct {
	records, access *journal
}

func (o *observer) started(s Session) {
	o.access.post(line{Time: s.Started, Event: "start", Session: s})
}

func (o *observer) ended(s Session, reason string) {
	now := time.Now()
	l := line{Time: now, Event: "end", Reason: reason, Duration: float64(now.Sub(s.Started).Milliseconds()) / 1000, Session: s}
	l.Expires = time.Time{}
	o.records.post(l)
	o.access.post(l)
}

// String is for the log.
func (s Session) String() string { return fmt.Sprintf("%s %s %s", s.Kind, s.ID, s.Client) }
