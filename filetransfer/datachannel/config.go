package datachannel

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// Form is how the transport is written in Jingle.
type Form uint8

// The forms.
const (
	// Own is a transport of its own, as Conversations has it.
	Own Form = iota
	// SCTPMap is an ICE transport with an <sctpmap/>, as XEP-0343 has it.
	SCTPMap
)

// MaxMessageSize is the largest message that we take, and tell the peer, in bytes.
const MaxMessageSize = 256 << 10

const (
	// sctpPort is the SCTP port that everybody uses (RFC 8841 section 5.2).
	sctpPort = 5000
	// defaultMessage is the largest message for a peer that did not say what it takes: what every browser takes.
	defaultMessage = 16 << 10
	// maxWrite is the largest message that is written; larger ones are not faster.
	maxWrite = 64 << 10
	// The label and protocol of our channel are those of Conversations.
	label    = "test"
	protocol = "xmpp-jingle"
)

// Config says how the transports of a [Factory] work. Certificate must be set.
type Config struct {
	// Form is the one that is written and read.
	Form        Form
	Certificate *dtlssrtp.Certificate
	// CertificateFor gives one for a peer in place of Certificate; nil gives none.
	CertificateFor func(peer jid.JID) (*dtlssrtp.Certificate, error)
	// ICE is asked how to look for a path to a peer. nil stands for its zero value. The sockets get large buffers and, where
	// the system can, many packets to a system call.
	ICE func(peer jid.JID) agent.Config
	// ConnectTimeout is how long everything may take after the answer (default 30 s).
	ConnectTimeout time.Duration
	// MTU is the size of an SCTP packet in bytes (default 1191, which fits every path that WebRTC is used on).
	MTU uint32
	// Log may be nil.
	Log *slog.Logger
}

// Factory makes data channel transports. It implements [engine.TransportFactory].
type Factory struct{ cfg Config }

// NewFactory returns a factory.
func NewFactory(cfg Config) (*Factory, error) {
	if cfg.Certificate == nil {
		return nil, errors.New("datachannel: Config.Certificate must be set")
	}
	if cfg.ICE == nil {
		cfg.ICE = func(jid.JID) agent.Config { return agent.Config{} }
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = 30 * time.Second
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Factory{cfg}, nil
}

// Encrypted reports that connections are encrypted: by DTLS, with the keys that were signalled.
func (*Factory) Encrypted() bool { return true }

// NS implements [engine.TransportFactory].
func (f *Factory) NS() string {
	if f.cfg.Form == SCTPMap {
		return ice.NSUDP
	}
	return ice.NSDataChannel
}

// New implements [engine.TransportFactory].
func (f *Factory) New(c engine.TransportConfig) (engine.Transport, error) {
	return newTransport(f, c)
}
