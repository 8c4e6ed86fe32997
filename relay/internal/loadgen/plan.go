package loadgen

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ErrUnsupported is what New says on systems other than Linux.
var ErrUnsupported = errors.New("loadgen: the load generator needs Linux")

// Config says whom to load, and from where.
type Config struct {
	// Server is the TURN server's address, or with Raw the forwarder's.
	Server netip.AddrPort
	// Clients and Peers are IPv4 prefixes of 16 bits whose addresses belong to this machine, e.g. 127.1.0.0/16 and 127.2.0.0/16.
	Clients, Peers netip.Prefix
	// Device to bind to, so that nothing else is received. "" is any.
	Device string
	// Username and Password of the long-term credential.
	Username, Password string
	// Raw drives a bare forwarder instead: no TURN, the same bytes on both sides. Peers send to RawPeers; with RawPorts above 1,
	// client i's peer sends to that port plus i modulo RawPorts.
	Raw      bool
	RawPeers netip.AddrPort
	RawPorts int
}

// Flow is what to send.
type Flow struct {
	// ToClient: peers send, clients receive. Otherwise clients send.
	ToClient bool
	// Clients of those that were opened take part, in turn.
	Clients int
	// Size of a payload in bytes, without ChannelData's header; at least MinSize.
	Size int
	// Train is how many packets of one client leave at once; 0 is 1. Over UDP a train leaves as one UDP_SEGMENT
	// send, over TCP as one write.
	Train int
	// Duration of the measured part. A quarter of it, at most 250 ms, runs before.
	Duration time.Duration
	// Window is how many packets are in flight in Saturate. Default 256.
	Window int
	// Rate is packets per second in Pace.
	Rate int
	// Mark is called when the measured part begins and when it ends.
	Mark func()
}

// MinSize is the smallest payload: it carries a time and the number of its run.
const MinSize = 16

// maxTrain is the most packets of a train, maxSize the largest payload.
const (
	maxTrain = 16
	maxSize  = 1400
)

// Result is what a run measured.
type Result struct {
	// Sent and Received count the whole run, the warm-up and what came after the end included.
	Sent, Received uint64
	// Missed counts packets that came back and that the generator was too slow to take (Pace only).
	Missed uint64
	// Measured counts the packets that were received within Wall.
	Measured uint64
	Wall     time.Duration
	// Work is the part of Wall in which the generator was not merely waiting. It includes what the kernel did in its calls,
	// also on behalf of others: softirq work of the receivers of what it sent.
	Work time.Duration
	// Offered is what was sent per second within Wall: below the asked Rate the generator could not keep up.
	Offered float64
	// P50, P99 and Max of the one-way latency (Pace only).
	P50, P99, Max time.Duration
}

// Loss is the part of what was sent that did not come back, 0 to 1.
func (r Result) Loss() float64 {
	back := r.Received + r.Missed
	if r.Sent == 0 || back >= r.Sent {
		return 0
	}
	return float64(r.Sent-back) / float64(r.Sent)
}

// Opened is what Open measured.
type Opened struct {
	// Allocations that were made, each with a channel; Wall is the time for the Allocate transactions alone:
	// two round trips each, the first without credentials.
	Allocations int
	Wall        time.Duration
}

func (f *Flow) validate(opened int) error {
	if f.Train == 0 {
		f.Train = 1
	}
	if f.Window == 0 {
		f.Window = 256
	}
	if f.Mark == nil {
		f.Mark = func() {}
	}
	if f.Size < MinSize || f.Size > maxSize || f.Train < 1 || f.Train > maxTrain || f.Window < f.Train {
		return fmt.Errorf("loadgen: size %d, train %d, window %d", f.Size, f.Train, f.Window)
	}
	if f.Clients < 1 || f.Clients > opened {
		return fmt.Errorf("loadgen: %d clients, %d are open", f.Clients, opened)
	}
	return nil
}

// hosts are an address per client.
func hosts(p netip.Prefix, i int) [4]byte {
	a := p.Masked().Addr().As4()
	a[2], a[3] = byte(1+i/250), byte(1+i%250)
	return a
}

// maxClients is how many addresses hosts has.
const maxClients = 250 * 250

// percentiles sorts the samples, nanoseconds, and reads them.
func (r *Result) percentiles(samples []uint32) {
	if len(samples) == 0 {
		return
	}
	slices.Sort(samples)
	at := func(q float64) time.Duration { return time.Duration(samples[int(q*float64(len(samples)-1))]) }
	r.P50, r.P99, r.Max = at(0.5), at(0.99), at(1)
}
