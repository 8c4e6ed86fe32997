package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/terminal"
	"github.com/jingled/jingled/jid"
)

// printer shows events: as JSON lines, as lines of text, and on a terminal with progress bars and a call meter.
type printer struct {
	out  io.Writer
	lost error // what has kept output from being written
	json bool
	tty  bool
	file *os.File // the terminal

	bars  *mpb.Progress
	bar   map[string]*mpb.Bar
	names map[string]string // of files, by sid
	said  map[string]string // of people in rooms
	meter int               // width of the meter that stands on the current line, 0 if none
}

func (g *global) printer(out io.Writer) *printer {
	p := &printer{json: g.json, bar: make(map[string]*mpb.Bar), names: make(map[string]string), said: make(map[string]string)}
	if f, ok := out.(*os.File); ok && !g.json && term.IsTerminal(int(f.Fd())) {
		p.out, p.tty, p.file = out, true, f
		return p
	}
	p.out = watched{out, &p.lost}
	if g.json {
		p.out = terminal.JSON{Writer: p.out}
	}
	return p
}

// watched remembers the first error of a writer: what a script misses must not look like success.
type watched struct {
	io.Writer
	lost *error
}

func (w watched) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil && *w.lost == nil {
		*w.lost = err
	}
	return n, err
}

// width is that of the terminal in columns, or 0 if it is not known.
func (p *printer) width() int {
	if p.file == nil {
		return 0
	}
	w, _, err := term.GetSize(int(p.file.Fd()))
	if err != nil {
		return 0
	}
	return w
}

// close finishes what is drawn.
func (p *printer) close() {
	p.clearMeter()
	if p.bars != nil {
		for _, b := range p.bar {
			b.Abort(false)
		}
		p.bars.Wait()
	}
}

func (p *printer) show(e *jingledv1.Event) {
	if p.json {
		if r := record(e); r != nil {
			p.object(r)
		}
		return
	}
	p.showText(e)
}

func (p *printer) showText(e *jingledv1.Event) {
	peer := e.GetPeer()
	switch b := e.GetBody().(type) {
	case *jingledv1.Event_CallIncoming:
		what := "call"
		if b.CallIncoming.GetVideo() {
			what = "video call"
		}
		if by := b.CallIncoming.GetTransferredBy(); by != "" {
			what += ", sent by " + clean(by)
		}
		p.line("%s: incoming %s", peer, what)
	case *jingledv1.Event_CallRinging:
		p.line("%s: ringing", peer)
	case *jingledv1.Event_CallAccepted:
		p.line("%s: accepted", peer)
	case *jingledv1.Event_CallConnected:
		c := b.CallConnected
		path := "direct"
		if pair := c.GetCandidatePair(); pair.GetLocalType() == "relay" || pair.GetRemoteType() == "relay" {
			path = "relayed"
		}
		p.line("%s: connected in %.0f ms, %s, %s", peer, c.GetSetupMs(), c.GetCodec(), path)
		switch c.GetEncryption() {
		case "sdes":
			p.line("%s: the call is encrypted with keys that the XMPP servers could read", peer)
		case "none":
			p.line("%s: the call is NOT ENCRYPTED: whoever is on the path can listen", peer)
		}
		if z := c.GetZrtpHash(); z != "" {
			p.line("%s: ZRTP hash %s", peer, z)
		}
	case *jingledv1.Event_CallDtmf:
		p.line("%s: pressed %s", peer, b.CallDtmf.GetDigit())
	case *jingledv1.Event_CallDtmfRefused:
		p.line("%s does not take the key %s: %s", peer, b.CallDtmfRefused.GetDigit(), clean(b.CallDtmfRefused.GetText()))
	case *jingledv1.Event_CallPeerState:
		switch s := b.CallPeerState; {
		case s.GetHeld():
			p.line("%s has put us on hold", peer)
		case s.GetMuted():
			p.line("%s is muted", peer)
		default:
			p.line("%s speaks again", peer)
		}
	case *jingledv1.Event_CallTransferAsked:
		p.line("%s asks us to go on with %s", peer, clean(b.CallTransferAsked.GetTo()))
	case *jingledv1.Event_CallTransferFailed:
		p.line("%s: the call was not transferred: %s", peer, clean(b.CallTransferFailed.GetText()))
	case *jingledv1.Event_CallVideo:
		p.showVideo(peer, b.CallVideo)
	case *jingledv1.Event_RoomEntered, *jingledv1.Event_RoomOccupant, *jingledv1.Event_RoomCall, *jingledv1.Event_RoomLeft, *jingledv1.Event_RoomInvited:
		p.showRoom(e)
	case *jingledv1.Event_CallMeter:
		p.showMeter(b.CallMeter)
	case *jingledv1.Event_CallEnded:
		c := b.CallEnded
		text := c.GetReason()
		if c.GetText() != "" {
			text += ": " + clean(c.GetText())
		}
		p.line("%s: call ended after %s (%s)", peer, clock(c.GetDuration().AsDuration()), text)
		if c.GetReason() == "connectivity-error" {
			p.line("  jingle doctor %s tells what is in the way", jid.JID(peer).Bare())
		}
		if c.GetTransferredTo() != "" {
			p.line("  it goes on with %s", clean(c.GetTransferredTo()))
		}
		if c.GetAudioError() != "" {
			p.line("  sound: %s", clean(strings.ReplaceAll(c.GetAudioError(), "\n", "; ")))
		}
		if s := c.GetStats(); c.GetWasConnected() {
			p.line("  %d packets sent, %d received, %d lost (%.1f %%), jitter %.1f ms%s, MOS %.1f", s.GetPacketsSent(),
				s.GetPacketsReceived(), s.GetPacketsLost(), loss(s), s.GetJitterMs(), roundTrip(s, ", "), s.GetMos())
			for _, v := range s.GetVideos() {
				p.line("  %s %s: %d packets sent, %d received, %d lost", videoName(v.GetCategory()), clean(v.GetCodec()), v.GetPacketsSent(),
					v.GetPacketsReceived(), v.GetPacketsLost())
			}
		}
	case *jingledv1.Event_TransferOffered:
		p.names[e.GetSid()] = b.TransferOffered.GetName()
		with := ""
		if b.TransferOffered.GetEncrypted() {
			with = encryption("end-to-end")
		}
		what := ""
		if n := b.TransferOffered.GetFolderFiles(); n > 0 {
			what = fmt.Sprintf("folder of %d files, ", n)
		}
		name := b.TransferOffered.GetName()
		if path := b.TransferOffered.GetFolderPath(); path != "" {
			name = path
		}
		p.line("%s: offers %s (%s%s%s)", peer, clean(name), what, size(b.TransferOffered.GetSize()), with)
	case *jingledv1.Event_IdentityRefused:
		p.line("%s shows an identity that is not trusted: a new device, or somebody in between. If the fingerprint is theirs, say\n"+
			"  jingle trust %s %s", peer, peer, b.IdentityRefused.GetFingerprint())
	case *jingledv1.Event_TransferProgress:
		p.showProgress(e.GetSid(), b.TransferProgress)
	case *jingledv1.Event_TransferDone:
		p.finishBar(e.GetSid(), true)
		t := b.TransferDone
		p.line("%s: %s, %s in %.1f s (%s/s) by %s%s%s", peer, clean(t.GetPath()), size(t.GetBytes()), t.GetSeconds(),
			size(uint64(float64(t.GetBytes())/max(t.GetSeconds(), 0.001))), t.GetTransport(), encryption(t.GetEncryption()), verified(t))
	case *jingledv1.Event_TransferStarted:
		if n := b.TransferStarted.GetOffset(); n > 0 {
			p.line("%s: goes on at %s", peer, size(n))
		}
	case *jingledv1.Event_TransferInterrupted:
		p.finishBar(e.GetSid(), false)
		t := b.TransferInterrupted
		what := "waits for the peer, and goes on by itself"
		if t.GetState() != jingledv1.TransferState_TRANSFER_STATE_WAITING {
			what = strings.ReplaceAll(transferState(t.GetState()), "-", " ")
		}
		p.line("%s: interrupted after %s of %s (%s): %s", peer, size(t.GetBytes()), size(t.GetSize()), t.GetReason(), what)
	case *jingledv1.Event_TransferFailed:
		p.finishBar(e.GetSid(), false)
		t := b.TransferFailed
		text := t.GetReason()
		if t.GetText() != "" {
			text += ": " + clean(t.GetText())
		}
		p.line("%s: transfer failed (%s)", peer, text)
	}
}

func (p *printer) showVideo(peer string, v *jingledv1.CallVideo) {
	name := videoName(v.GetCategory())
	switch {
	case v.GetOn():
		p.line("%s: %s is seen, %s", peer, name, clean(v.GetCodec()))
	case v.GetText() != "":
		p.line("%s: no %s any more: %s", peer, name, clean(v.GetText()))
	default:
		p.line("%s: no %s any more", peer, name)
	}
}

// videoName is what a video is called.
func videoName(category string) string {
	switch category {
	case "", "speaker", "main":
		return "video"
	}
	return "video (" + clean(category) + ")"
}

// encryption is how a file is protected, in words behind a comma.
func encryption(e string) string {
	switch e {
	case "end-to-end":
		return ", end-to-end encrypted"
	case "dtls":
		return ", encrypted (DTLS)"
	case "none":
		return ", not encrypted"
	}
	return ""
}

func verified(t *jingledv1.TransferDone) string {
	for algo := range t.GetHash() {
		if t.GetVerified() {
			return ", " + algo + " verified"
		}
	}
	return ""
}

// line prints a line of text above bars and meter.
func (p *printer) line(format string, args ...any) {
	p.clearMeter()
	text := cleanLines(fmt.Sprintf(format, args...)) + "\n"
	if p.bars != nil {
		if _, err := p.bars.Write([]byte(text)); err == nil {
			return
		}
	}
	fmt.Fprint(p.out, text)
}

func (p *printer) showMeter(m *jingledv1.CallMeter) {
	if !p.tty {
		return
	}
	path := "direct"
	if m.GetRelayed() {
		path = "relayed"
	}
	text := fmt.Sprintf("  %s  %s  loss %.1f %%%s  jitter %.1f ms  MOS %.1f  %s", clock(m.GetDuration().AsDuration()),
		m.GetCodec(), loss(m.GetStats()), roundTrip(m.GetStats(), "  "), m.GetStats().GetJitterMs(), m.GetStats().GetMos(), path)
	p.status(text)
}

// status shows a line that the next one takes the place of, on a terminal.
func (p *printer) status(text string) {
	if !p.tty {
		return
	}
	// A line that is longer than the terminal is wide would be left behind each time.
	if r := []rune(text); p.width() > 1 && len(r) >= p.width() {
		text = string(r[:p.width()-1])
	}
	n := utf8.RuneCountInString(text)
	fmt.Fprintf(p.out, "\r%s%*s", text, max(p.meter-n, 0), "")
	p.meter = n
}

// object prints a line of --json.
func (p *printer) object(v any) {
	enc := json.NewEncoder(p.out)
	if err := enc.Encode(v); err != nil { // a figure is no number, or the output is gone
		_ = enc.Encode(struct {
			Event string `json:"event"`
			Text  string `json:"text"`
		}{"error", err.Error()})
	}
}

// head begins an object that is no event.
func (p *printer) head(name, account, peer string) head {
	return head{Event: name, Time: now(), Account: account, Peer: peer}
}

// answer prints an answer: as JSON or as a line of text.
func (p *printer) answer(o any, format string, args ...any) {
	if p.json {
		p.object(o)
		return
	}
	p.line(format, args...)
}

func (p *printer) clearMeter() {
	if p.meter > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.meter, "")
		p.meter = 0
	}
}

func (p *printer) showProgress(sid string, t *jingledv1.TransferProgress) {
	if !p.tty {
		return
	}
	b := p.bar[sid]
	if b == nil {
		if p.bars == nil {
			p.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(64), mpb.WithRefreshRate(150*time.Millisecond))
		}
		name, left := clean(filepath.Base(p.names[sid])), decor.EwmaETA(decor.ET_STYLE_MMSS, 30)
		if w := p.width(); w > 0 && w < narrow {
			b = p.bars.AddBar(int64(t.GetSize()), mpb.PrependDecorators(decor.Name(shorten(name, w/2)+" ")),
				mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), left))
		} else {
			b = p.bars.AddBar(int64(t.GetSize()), mpb.PrependDecorators(decor.Name(shorten(name, 32)+" ")),
				mpb.AppendDecorators(
					decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "),
					decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", 30), decor.Name("  "), left,
				))
		}
		p.bar[sid] = b
	}
	b.EwmaSetCurrent(int64(t.GetBytes()), 250*time.Millisecond)
}

// narrow is how wide a terminal must be for a bar with all its figures.
const narrow = 72

// shorten cuts a name to n characters, its end being what tells the kind of file.
func shorten(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	tail := n / 3
	return string(r[:n-tail-1]) + "…" + string(r[len(r)-tail:])
}

func (p *printer) finishBar(sid string, done bool) {
	b := p.bar[sid]
	if b == nil {
		return
	}
	if done {
		b.SetTotal(-1, true)
	} else {
		b.Abort(true)
	}
	delete(p.bar, sid)
	if len(p.bar) == 0 {
		p.bars.Wait()
		p.bars = nil
	}
}

// roundTrip is the round-trip time behind a separator, once it is known.
func roundTrip(s *jingledv1.CallStats, separator string) string {
	if s.GetRoundTripMs() == 0 {
		return ""
	}
	return fmt.Sprintf("%sround trip %.1f ms", separator, s.GetRoundTripMs())
}

func loss(s *jingledv1.CallStats) float64 {
	all := s.GetPacketsReceived() + s.GetPacketsLost()
	if all == 0 {
		return 0
	}
	return 100 * float64(s.GetPacketsLost()) / float64(all)
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// none says on a terminal that a list is empty. What is not a terminal gets nothing, for scripts.
func (p *printer) none(text string) {
	if p.tty {
		p.line("%s", text)
	}
}

// cleanLines is [clean] for what may have several lines. Peers' words in it went through clean already.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}

// clean takes out of a peer's words what could steer a terminal.
func clean(s string) string { return terminal.Clean(s) }
