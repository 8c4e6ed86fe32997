// Package pulse is the microphone and the loudspeaker of a desktop: a source and a sink of sound on PulseAudio, or on PipeWire,
// which speaks the same protocol. Of the server it asks for echo cancellation, as there is none in here.
package pulse

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jfreymuth/pulse/proto"

	"github.com/jingled/jingled/media/audio"
)

// Name is how users call it, alone or with a device: "pulse", "pulse:alsa_input.usb-0".
const Name = "pulse"

// Device reads what a user names, and reports false for what is not for this package.
func Device(spec string) (device string, ok bool) {
	if spec == Name {
		return "", true
	}
	return strings.CutPrefix(spec, Name+":")
}

// ErrNoServer says that there is nothing to play and record with.
var ErrNoServer = errors.New("there is no PulseAudio or PipeWire here that can be reached")

// Available reports whether a server seems to be there.
func Available() bool {
	for _, a := range addresses() {
		if a.network != "unix" {
			return true
		}
		if st, err := os.Stat(a.address); err == nil && st.Mode()&os.ModeSocket != 0 {
			return true
		}
	}
	return false
}

type address struct{ network, address string }

// addresses are where the server may be: PULSE_SERVER says so, or it is where a desktop has it.
func addresses() []address {
	var out []address
	if s := os.Getenv("PULSE_SERVER"); s != "" {
		for f := range strings.FieldsSeq(s) {
			if _, rest, ok := strings.Cut(f, "}"); ok && f[0] == '{' {
				f = rest // the name of a machine
			}
			network, rest, ok := strings.Cut(f, ":")
			switch {
			case strings.HasPrefix(f, "/"):
				out = append(out, address{"unix", f})
			case ok && network == "unix":
				out = append(out, address{network, rest})
			case ok && slices.Contains([]string{"tcp", "tcp4", "tcp6"}, network):
				if _, _, err := net.SplitHostPort(rest); err != nil {
					rest = net.JoinHostPort(rest, "4713")
				}
				out = append(out, address{network, rest})
			}
		}
		return out
	}
	if dir := os.Getenv("PULSE_RUNTIME_PATH"); dir != "" {
		out = append(out, address{"unix", filepath.Join(dir, "native")})
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		out = append(out, address{"unix", filepath.Join(dir, "pulse", "native")})
	}
	return out
}

// timeout is how long the server may take for an answer.
const timeout = 5 * time.Second

// stream is what source and sink have in common: a connection of their own, with the samples between it and the call.
type stream struct {
	conn   net.Conn
	client *proto.Client

	mu   sync.Mutex
	ring ring
	err  error
}

// dial connects and says who we are. What comes from the server goes to handle, on the connection's goroutine.
func (s *stream) dial(handle func(any)) error {
	var errs []error
	for _, a := range addresses() {
		d := net.Dialer{Timeout: timeout}
		conn, err := d.Dial(a.network, a.address)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.conn, s.client = conn, &proto.Client{Callback: func(m any) {
			if _, over := m.(*proto.ConnectionClosed); over {
				s.fail(errors.New("the sound server has gone"))
				return
			}
			handle(m)
		}}
		s.client.SetTimeout(timeout)
		s.client.Open(conn)
		if err = s.greet(); err == nil {
			return nil
		}
		errs = append(errs, errors.Join(err, conn.Close()))
	}
	if len(errs) == 0 {
		return ErrNoServer
	}
	return fmt.Errorf("%w: %w", ErrNoServer, errors.Join(errs...))
}

func (s *stream) greet() error {
	cookie, err := os.ReadFile(cookiePath())
	if err != nil || len(cookie) != 256 {
		cookie = make([]byte, 256) // PipeWire does not look at it
	}
	var auth proto.AuthReply
	if err := s.client.Request(&proto.Auth{Version: s.client.Version(), Cookie: cookie}, &auth); err != nil {
		return fmt.Errorf("the sound server does not let us in: %w", err)
	}
	s.client.SetVersion(auth.Version)
	return s.client.Request(&proto.SetClientName{Props: proto.PropList{
		"application.name": proto.PropListString("Jingled"), "application.icon_name": proto.PropListString("call-start"),
		"application.process.id": proto.PropListString(fmt.Sprint(os.Getpid())),
	}}, &proto.SetClientNameReply{})
}

func cookiePath() string {
	if p := os.Getenv("PULSE_COOKIE"); p != "" {
		return p
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "pulse", "cookie")
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// Close ends the stream and its connection.
func (s *stream) Close() error {
	s.fail(net.ErrClosed)
	return s.conn.Close()
}

// properties say that it is a call, for which the server may cancel the echo and turn down the music.
func properties(what string) proto.PropList {
	return proto.PropList{
		"media.name": proto.PropListString(what), "media.role": proto.PropListString("phone"),
		"filter.want": proto.PropListString("echo-cancel"),
	}
}

// The stream's format is the project's own; the server converts.
var (
	format   = proto.SampleSpec{Format: proto.FormatFloat32LE, Channels: 1, Rate: audio.SampleRate}
	channels = proto.ChannelMap{proto.ChannelMono}
	volumes  = proto.ChannelVolumes{0x10000} // normal; the server keeps what the user has set
)

const (
	sampleSize = 4
	frameBytes = audio.FrameSize * sampleSize
)

// unknown explains that a device is not there.
func unknown(kind, device string, err error, names []string) error {
	if device == "" || !errors.Is(err, proto.ErrNoSuchEntity) {
		return fmt.Errorf("the sound server gives us no %s: %w", kind, err)
	}
	return fmt.Errorf("the sound server has no %s %q; it has %s", kind, device, strings.Join(names, ", "))
}
