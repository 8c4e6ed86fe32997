package jmi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var update = flag.Bool("update", false, "rewrite the traces of testdata/*.txt")

// TestScripts runs testdata/*.txt. A script is lines of commands, each followed by the trace it must give, indented
// by a tab. Devices stand in one world with a server that forks, makes carbons, and knows no delay.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("trace differs; got:\n%s", got)
		})
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type world struct {
	t       *testing.T
	now     time.Time
	devices []*device
	queue   []packet
	held    bool // messages stay in the queue
	out     strings.Builder
}

type device struct {
	jid       jid.JID
	set       *Set
	off       bool
	nocarbons bool
}

type packet struct {
	from, to jid.JID
	msg      *xmltree.Element
	sent     time.Time
	archived bool
}

func runScript(t *testing.T, script string) string {
	w := &world{t: t, now: epoch}
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		w.out.WriteString(line)
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		w.command(f)
		if !w.held {
			w.deliver()
		}
	}
	return w.out.String()
}

func (w *world) device(name string) *device {
	for _, d := range w.devices {
		if d.jid == jid.JID(name) {
			return d
		}
	}
	w.t.Fatalf("no device %q", name)
	return nil
}

// command runs one line. The commands of a device begin with its JID.
func (w *world) command(f []string) {
	switch f[0] {
	case "device": // JID [nocarbons]
		self, nocarbons := jid.MustParse(f[1]), slices.Contains(f, "nocarbons")
		w.devices = append(w.devices, &device{
			jid: self, nocarbons: nocarbons, set: NewSet(Config{Self: self, NoCarbons: nocarbons}),
		})
	case "at": // duration since the start
		d, err := time.ParseDuration(f[1])
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = epoch.Add(d)
		for _, d := range w.devices {
			if dl := d.set.Deadline(); !dl.IsZero() && !dl.After(w.now) {
				w.effects(d, d.set.Advance(w.now))
			}
		}
	case "hold": // messages from now on
		w.held = true
	case "deliver":
		w.held = false
	case "inject": // from=JID to=JID [archived] [age=D] XML
		p := packet{sent: w.now}
		for i, a := range f[1:] {
			k, v, _ := strings.Cut(a, "=")
			switch k {
			case "from":
				p.from = jid.MustParse(v)
			case "to":
				p.to = jid.MustParse(v)
			case "archived":
				p.archived = true
			case "age":
				age, _ := time.ParseDuration(v)
				p.sent = w.now.Add(-age)
			default:
				e, err := xmltree.Parse([]byte(strings.Join(f[1+i:], " ")), xmltree.Limits{})
				if err != nil {
					w.t.Fatal(err)
				}
				p.msg = e
				w.queue = append(w.queue, p)
				return
			}
		}
	default:
		w.deviceCommand(w.device(f[0]), f[1:])
	}
}

func (w *world) deviceCommand(d *device, f []string) {
	var out []Effect
	var err error
	key := func() Key { return Key{jid.JID(f[1]), f[2]} }
	switch f[0] {
	case "offline":
		d.off = true
	case "online":
		d.off = false
	case "catchup":
		out = d.set.CatchUp(w.now, f[1] == "begins")
	case "propose": // peer id media...
		var ds []jingle.Payload
		for _, m := range f[3:] {
			ns, medium, ok := strings.Cut(m, "|")
			if !ok {
				ns, medium = "urn:xmpp:jingle:apps:rtp:1", m
			}
			ds = append(ds, jingle.Opaque{XML: xmltree.New(ns, "description").SetOpt("media", medium)})
		}
		out, err = d.set.Propose(w.now, jid.JID(f[1]), f[2], ds...)
	case "ring":
		out, err = d.set.Ring(w.now, key())
	case "accept":
		var extra []*xmltree.Element
		if len(f) > 3 {
			extra = append(extra, xmltree.New(NSDevice, "device").Set("id", f[3]))
		}
		out, err = d.set.Accept(w.now, key(), extra...)
	case "started":
		err = d.set.Started(key())
	case "end":
		var r *jingle.Reason
		if len(f) > 3 {
			r = &jingle.Reason{Condition: jingle.Condition(f[3])}
		}
		out, err = d.set.End(w.now, key(), r)
	default:
		w.t.Fatalf("unknown command %v", f)
	}
	if err != nil {
		fmt.Fprintf(&w.out, "\t%s: error: %v\n", d.jid, err)
	}
	w.effects(d, out)
}

func (w *world) effects(d *device, out []Effect) {
	for _, e := range out {
		switch e := e.(type) {
		case Send:
			w.queue = append(w.queue, packet{from: d.jid, to: e.To, msg: e.Stanza("jabber:client"), sent: w.now})
		case SendReceipt:
			w.queue = append(w.queue, packet{from: d.jid, to: e.To, msg: e.Stanza("jabber:client"), sent: w.now})
		}
		fmt.Fprintf(&w.out, "\t%s: %s\n", d.jid, show(e))
	}
}

// deliver does what servers do: RFC 6121 section 8.5 for bare JIDs, and carbons for the rest.
func (w *world) deliver() {
	for len(w.queue) > 0 {
		p := w.queue[0]
		w.queue = w.queue[1:]
		for _, d := range w.devices {
			mine := d.jid == p.to || p.to.IsBare() && d.jid.Bare() == p.to
			if !d.nocarbons && d.jid != p.from {
				mine = mine || d.jid.Bare() == p.to.Bare() || d.jid.Bare() == p.from.Bare()
			}
			if d.off || !mine {
				continue
			}
			in, ok, err := ParseStanza(p.msg, &jingle.Registry{})
			if err != nil || !ok {
				fmt.Fprintf(&w.out, "\t%s: not taken: %v\n", d.jid, err)
				continue
			}
			in.From, in.To, in.Archived = p.from, p.to, p.archived
			if p.sent.Before(w.now) {
				in.Sent = p.sent
			}
			w.effects(d, d.set.Receive(w.now, in))
		}
	}
}

func show(e Effect) string {
	switch e := e.(type) {
	case Send:
		s := fmt.Sprintf("send %s %s to %s", e.Message.Kind, e.Message.ID, e.To)
		for _, d := range e.Message.Descriptions {
			s += " " + d.Element().Attr("media")
		}
		if e.Message.Reason != nil {
			s += " because " + e.Message.Reason.String()
		}
		if e.Message.TieBreak {
			s += " tie-break"
		}
		if e.Message.Migrated != "" {
			s += " migrated to " + e.Message.Migrated
		}
		return s
	case SendReceipt:
		return fmt.Sprintf("send receipt %s to %s", e.StanzaID, e.To)
	case SendPresence:
		return fmt.Sprintf("send presence to %s", e.To)
	case Offered:
		s := fmt.Sprintf("OFFERED %s by %s", e.Key.ID, e.From)
		if e.Crossed != "" {
			s += " crossing " + e.Crossed
		}
		if e.Replaces != "" {
			s += " replacing " + e.Replaces
		}
		return s
	case Stale:
		return fmt.Sprintf("STALE %s", e.Key)
	case DeviceFound:
		return fmt.Sprintf("FOUND %s %s", e.Key.ID, e.Device)
	case PeerRinging:
		return fmt.Sprintf("RINGING %s %s", e.Key.ID, e.Device)
	case Unreached:
		return fmt.Sprintf("UNREACHED %s", e.Key)
	case Proceeding:
		s := fmt.Sprintf("PROCEEDING %s %s", e.Key.ID, e.Device)
		for _, x := range e.Message.Extra {
			s += " " + x.Name.Local + "=" + x.Attr("id")
		}
		return s
	case Migrated:
		return fmt.Sprintf("MIGRATED %s to %s on %s", e.Old.ID, e.New.ID, e.From)
	case Ended:
		s := fmt.Sprintf("ENDED %s by %s in %s", e.Key.ID, e.Cause, e.State)
		if e.Reason != nil {
			s += " because " + e.Reason.String()
		}
		if e.Taken {
			s += " taken"
		}
		if e.Successor != "" {
			s += " successor " + e.Successor
		}
		return s
	}
	return fmt.Sprintf("%#v", e)
}
