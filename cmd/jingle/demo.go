package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/xmpp"
)

const (
	demoTime  = 50 * time.Second // for all of it
	demoTone  = 440              // Hz
	demoDial  = "159#"
	demoBytes = 8 << 20
)

func newDemo(g *global) *cobra.Command {
	var keep string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a call with DTMF and a file transfer, on this machine alone",
		Long: `Starts an XMPP server inside this process, two daemons with an account each, and lets them do what Jingled is for:
a call with a tone and DTMF, which is recorded and checked, and a file over each road, whose hash is checked. Nothing
leaves the loopback interface. The exit status is 0 if every check held.`,
		Example: `  jingle demo
  jingle demo --keep /tmp/demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), demoTime)
			defer cancel()
			dir, err := absolute(keep)
			if err != nil {
				return err
			}
			if dir == "" {
				if dir, err = os.MkdirTemp("", "jingle-demo-"); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			} else if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			return (&demo{g: g, out: cmd.OutOrStdout(), dir: dir}).run(ctx)
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "keep the recording and the file in this `FOLDER`")
	return c
}

// demo is one run of the demonstration.
type demo struct {
	g      *global
	out    io.Writer
	dir    string
	failed int
	// relayOnly is for the accounts that hide their addresses.
	relayOnly bool
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// check prints whether something held.
func (d *demo) check(ok bool, format string, args ...any) {
	mark := "ok  "
	if !ok {
		mark = "FAIL"
		d.failed++
	}
	d.say("  %s  "+format, append([]any{mark}, args...)...)
}

func (d *demo) run(ctx context.Context) error {
	passwords := map[string]string{"alice": rand.Text(), "bob": rand.Text(), "carol": rand.Text(), "dave": rand.Text()}
	secret := rand.Text()
	server, err := xmppserver.New(xmppserver.Config{Domain: "demo.test", Accounts: passwords, ComponentSecret: secret})
	if err != nil {
		return err
	}
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(serverCtx) }()
	defer func() {
		stopServer()
		if err := <-stopped; err != nil {
			d.check(false, "the server ended with %v", err)
		}
	}()
	if err := errors.Join(server.Befriend("alice", "bob"), server.Befriend("carol", "dave")); err != nil {
		return err
	}
	d.say("An XMPP server for the demonstration runs on %s (TLS, loopback only).", server.Addr())
	alice, err := d.login(ctx, server, "alice", passwords["alice"])
	if err != nil {
		return err
	}
	defer alice.close()
	bob, err := d.login(ctx, server, "bob", passwords["bob"])
	if err != nil {
		return err
	}
	defer bob.close()

	d.say("\nAlice calls Bob, who answers; she plays a tone of %d Hz and dials %s.", demoTone, demoDial)
	if err := d.call(ctx, alice, bob); err != nil {
		return err
	}
	for _, via := range []string{"s5b", "ibb"} {
		size := int64(demoBytes)
		if via == "ibb" {
			size /= 32
		}
		d.say("\nBob sends Alice a file of %.2f MiB by %s.", float64(size)/(1<<20), strings.ToUpper(via))
		if err := d.send(ctx, party{bob, "bob@demo.test"}, party{alice, "alice@demo.test"}, via, "file-by-"+via+".bin", size); err != nil {
			return err
		}
	}
	if err := d.relayed(ctx, server, secret, passwords); err != nil {
		return err
	}
	if d.failed > 0 {
		return fmt.Errorf("%d checks of the demonstration failed", d.failed)
	}
	d.say("\nAll checks held.")
	return nil
}

func (d *demo) login(ctx context.Context, server *xmppserver.Server, user, password string) (*session, error) {
	roots, err := xmpp.ParseCA(server.CA())
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, daemon.Config{
		Loopback: true, RelayOnly: d.relayOnly, Version: version, Log: d.g.logger().With("demo", user),
		Accounts: []daemon.Account{{
			JID: jid.JID(user + "@" + server.Domain()), Password: func() (string, error) { return password, nil },
			Connect: server.Addr(), TLS: xmpp.TLSStart, RootCAs: roots, FailFast: true,
		}},
	})
	if err != nil {
		return nil, err
	}
	w, err := s.watch(ctx)
	if err == nil {
		_, err = s.online(ctx, w, "")
		w.close()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s cannot log in: %w", user, err)
	}
	d.say("%s has logged in.", strings.ToUpper(user[:1])+user[1:])
	return s, nil
}

// lines collects the JSON events of one command.
type lines struct{ bytes.Buffer }

// all returns the events of one name as objects.
func (l *lines) all(name string) []map[string]any {
	var out []map[string]any
	for line := range bytes.Lines(l.Bytes()) {
		var o map[string]any
		if json.Unmarshal(line, &o) == nil && o["event"] == name {
			out = append(out, o)
		}
	}
	return out
}

func (l *lines) one(name string) map[string]any {
	if all := l.all(name); len(all) > 0 {
		return all[0]
	}
	return nil
}

func (d *demo) printer(to io.Writer) *printer {
	return (&global{json: true}).printer(to)
}

// both runs the command that waits and, once it is ready, the one that begins.
func both(ctx context.Context, wait, begin func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- wait(ctx) }()
	err := begin(ctx)
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-waited)
}

func (d *demo) call(ctx context.Context, alice, bob *session) error {
	recording := filepath.Join(d.dir, "call.wav")
	if err := os.Remove(recording); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var heard, said lines
	err := both(ctx,
		func(ctx context.Context) error {
			media := &jingledv1.Media{AudioIn: "silence", Record: recording}
			return runAnswer(ctx, bob, d.printer(&heard), "", []string{"alice@demo.test"}, true, media, &mediaFlags{})
		},
		func(ctx context.Context) error {
			media := &jingledv1.Media{AudioIn: fmt.Sprintf("tone:%d", demoTone)}
			flags := &mediaFlags{dtmf: demoDial, duration: 4 * time.Second}
			return runCall(ctx, alice, d.printer(&said), "", "bob@demo.test", media, flags)
		})
	if err != nil {
		return fmt.Errorf("the call: %w", err)
	}
	d.check(said.one("call.ringing") != nil, "Bob's side rang")
	connected := heard.one("call.connected")
	d.check(connected != nil, "connected in %.0f ms, codec %v", number(connected, "setup_ms"), connected["codec"])
	var digits string
	for _, e := range heard.all("call.dtmf") {
		digits += fmt.Sprint(e["digit"])
	}
	d.check(digits == demoDial, "Bob got the digits %q", digits)
	ended := heard.one("call.ended")
	d.check(ended["reason"] == "success", "ended with %v: %.0f packets received, %.0f lost", ended["reason"],
		number(ended, "packets_received"), number(ended, "packets_lost"))
	share, err := toneShare(recording)
	if err != nil {
		return fmt.Errorf("the recording: %w", err)
	}
	d.check(share > 0.7, "the tone is in Bob's recording: %.0f %% of the energy is at %d Hz", 100*share, demoTone)
	return nil
}

func number(o map[string]any, key string) float64 {
	v, _ := o[key].(float64)
	return v
}

// toneShare measures how much of a recording is the tone that was sent, in the half second where it is clearest: a busy
// machine may hand in packets too late to be played.
func toneShare(path string) (float64, error) {
	src, err := audio.Open(path)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	var pcm []float32
	buf := make([]float32, 960)
	for {
		n, err := src.Read(buf)
		pcm = append(pcm, buf[:n]...)
		if err != nil {
			break
		}
	}
	const rate = 48000
	if len(pcm) < rate/2 {
		return 0, fmt.Errorf("it lasts only %.1f s", float64(len(pcm))/rate)
	}
	best := 0.0
	for ; len(pcm) >= rate/2; pcm = pcm[rate/10:] {
		best = max(best, audio.Share(pcm[:rate/2], rate, demoTone))
	}
	return best, nil
}

func (d *demo) send(ctx context.Context, from, to party, via, name string, size int64) error {
	source := filepath.Join(d.dir, name)
	sum, err := randomFile(source, size)
	if err != nil {
		return err
	}
	inboxDir := filepath.Join(d.dir, "received")
	if err := os.MkdirAll(inboxDir, 0o700); err != nil {
		return err
	}
	var got, sent lines
	err = both(ctx,
		func(ctx context.Context) error {
			return runReceive(ctx, to.session, d.printer(&got), "", &inbox{dir: inboxDir, from: []string{from.jid}, once: true})
		},
		func(ctx context.Context) error {
			return runSend(ctx, from.session, d.printer(&sent), "", []string{source},
				&jingledv1.SendFileRequest{Peer: to.jid, Via: roads[via]}, 1)
		})
	if err != nil {
		return fmt.Errorf("the file: %w", err)
	}
	done := got.one("transfer.done")
	d.check(number(done, "bytes") == float64(size), "%.0f bytes in %.2f s by %v", number(done, "bytes"),
		number(done, "seconds"), done["transport"])
	path, _ := done["path"].(string)
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	there := sha256.Sum256(file)
	d.check(hex.EncodeToString(there[:]) == sum, "the file that arrived has the hash %s...", sum[:16])
	hash, _ := done["hash"].(map[string]any)
	d.check(hash["sha-256"] == sum && done["verified"] == true, "and both sides verified it (sha-256)")
	leftover, err := filepath.Glob(filepath.Join(inboxDir, "*.part"))
	d.check(err == nil && len(leftover) == 0, "nothing half-written is left")
	return nil
}

// party is one side of a transfer.
type party struct {
	session *session
	jid     string
}

func randomFile(path string, size int64) (sum string, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.Reader, size)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
