package loadgen

import (
	"encoding/binary"
	"errors"
	"time"
)

const (
	// stall is how long without any packet means that those in flight are lost. A machine that others use stops a server for tens
	// of milliseconds.
	stall = 200 * time.Millisecond
)

// side sends and receives the packets of one direction.
type side interface {
	// send sends one train of client i, or says that i takes none now.
	send(i int, now uint64) (bool, error)
	// flush ends a batch of sends.
	flush() error
	// receive counts what came, and calls sample with each packet's time of sending when it is not nil.
	receive(sample func(sent uint64)) (int, error)
	// missed counts packets that came to a socket whose buffer was full, since it was opened.
	missed() uint64
}

// Saturate keeps a window of packets in flight.
func (g *Generator) Saturate(f Flow) (Result, error) {
	s, err := g.begin(&f)
	if err != nil {
		return Result{}, err
	}
	var r Result
	m := newMeter(&f, &r)
	lost, idle := uint64(0), monotonic()
	for next := 0; ; {
		now := monotonic()
		if m.done(now) {
			break
		}
		n, err := s.receive(nil)
		if err != nil {
			return r, err
		}
		r.Received += uint64(n)
		busy := n > 0
		if busy {
			idle = now
		}
		flying := int64(r.Sent) - int64(r.Received) - int64(lost)
		if flying > 0 && now-idle > uint64(stall) {
			lost, idle, flying = r.Sent-r.Received, now, 0
		}
		for k := 0; k < batch && flying+int64(f.Train) <= int64(f.Window); k++ {
			ok, err := s.send(next, now)
			if err != nil {
				return r, err
			}
			if next++; next == f.Clients {
				next = 0
			}
			if !ok {
				break
			}
			r.Sent += uint64(f.Train)
			flying += int64(f.Train)
			busy = true
		}
		if err := s.flush(); err != nil {
			return r, err
		}
		m.worked(now, busy)
	}
	return r, g.drain(s, &r)
}

// Pace sends at a fixed rate and measures latency and loss.
func (g *Generator) Pace(f Flow) (Result, error) {
	if f.Rate <= 0 {
		return Result{}, errors.New("loadgen: no rate")
	}
	s, err := g.begin(&f)
	if err != nil {
		return Result{}, err
	}
	var r Result
	m := newMeter(&f, &r)
	if want := int(float64(f.Rate)*f.Duration.Seconds()) + 1024; cap(g.samples) < want {
		g.samples = make([]uint32, 0, want)
	}
	samples := g.samples[:0]
	sample := func(sent uint64) {
		if m.running && len(samples) < cap(samples) {
			samples = append(samples, uint32(min(monotonic()-sent, 1<<32-1)))
		}
	}
	missed := s.missed()
	interval := float64(time.Second) * float64(f.Train) / float64(f.Rate)
	start, trains := monotonic(), 0
	for next := 0; ; {
		now := monotonic()
		if m.done(now) {
			break
		}
		// Receiving comes first: what overflows here would look like the server's loss.
		n := 0
		for {
			k, err := s.receive(sample)
			if err != nil {
				return r, err
			}
			if n += k; k < rxBatch {
				break
			}
		}
		r.Received += uint64(n)
		// A generator that falls behind catches up; what it could not send by the end is not in Offered.
		due, busy := int(float64(now-start)/interval), n > 0
		for k := 0; k < batch && trains < due; k++ {
			ok, err := s.send(next, monotonic())
			if err != nil {
				return r, err
			}
			if next++; next == f.Clients {
				next = 0
			}
			trains++
			busy = true
			if ok {
				r.Sent += uint64(f.Train)
			}
		}
		if err := s.flush(); err != nil {
			return r, err
		}
		m.worked(now, busy)
	}
	err = g.drain(s, &r)
	r.Missed = s.missed() - missed
	r.percentiles(samples)
	return r, err
}

// begin checks the flow and makes its side. Packets of earlier runs are not counted any more.
func (g *Generator) begin(f *Flow) (side, error) {
	n := len(g.clients)
	if g.streams != nil {
		n = len(g.streams)
	}
	if err := f.validate(n); err != nil {
		return nil, err
	}
	g.run++
	if g.streams != nil {
		return newStreamSide(g, f), nil
	}
	return newUDPSide(g, f), nil
}

// drain waits for late packets.
func (g *Generator) drain(s side, r *Result) error {
	for last := monotonic(); r.Received < r.Sent && monotonic()-last < uint64(stall); {
		n, err := s.receive(nil)
		if err != nil {
			return err
		}
		if n > 0 {
			last = monotonic()
		}
		r.Received += uint64(n)
	}
	return nil
}

// meter knows the measured part of a run.
type meter struct {
	f              *Flow
	r              *Result
	begin, end     uint64
	running        bool
	sent, received uint64
}

func newMeter(f *Flow, r *Result) *meter {
	now := monotonic()
	return &meter{f: f, r: r, begin: now + uint64(min(f.Duration/4, 250*time.Millisecond))}
}

// done starts and ends the measured part.
func (m *meter) done(now uint64) bool {
	if !m.running {
		if now < m.begin {
			return false
		}
		m.running = true
		m.f.Mark()
		m.begin = monotonic()
		m.end = m.begin + uint64(m.f.Duration)
		m.sent, m.received = m.r.Sent, m.r.Received
		return false
	}
	if now < m.end {
		return false
	}
	now = monotonic()
	m.f.Mark()
	m.r.Wall = time.Duration(now - m.begin)
	m.r.Measured = m.r.Received - m.received
	m.r.Offered = float64(m.r.Sent-m.sent) / m.r.Wall.Seconds()
	return true
}

// worked adds the time since begun to the work, if there was any.
func (m *meter) worked(begun uint64, busy bool) {
	if busy && m.running {
		m.r.Work += time.Duration(monotonic() - begun)
	}
}

// udpSide is one direction over UDP.
type udpSide struct {
	g      *Generator
	f      *Flow
	tx, rx *udp
	header bool // sent packets have ChannelData's header
	strip  int  // header of received packets
}

func newUDPSide(g *Generator, f *Flow) *udpSide {
	s := &udpSide{g: g, f: f, tx: g.toSrv, rx: g.toRelay, header: !g.cfg.Raw}
	if f.ToClient {
		s.tx, s.rx, s.header = g.toRelay, g.toSrv, false
		if !g.cfg.Raw {
			s.strip = 4
		}
	}
	// What is left of an earlier run.
	for s.rx.receive() > 0 {
		for i := range s.rx.rmsgs {
			s.rx.rearm(i)
		}
	}
	return s
}

func (s *udpSide) send(i int, now uint64) (bool, error) {
	b := s.tx.slot()
	if b == nil {
		if err := s.tx.flush(); err != nil {
			return false, err
		}
		b = s.tx.slot()
	}
	n, segment := frames(b[:], s.f, s.header, now, s.g.run)
	switch {
	case s.f.ToClient:
		r := s.g.clients[i].relay
		s.tx.queue(hosts(s.g.cfg.Peers, i), r.Addr().As4(), r.Port(), n, segment)
	case s.g.direct:
		s.tx.queue(hosts(s.g.cfg.Clients, i), hosts(s.g.cfg.Peers, i), s.g.toRelay.port, n, segment)
	default:
		s.tx.queue(hosts(s.g.cfg.Clients, i), s.g.cfg.Server.Addr().As4(), s.g.cfg.Server.Port(), n, segment)
	}
	return true, nil
}

func (s *udpSide) flush() error { return s.tx.flush() }

func (s *udpSide) receive(sample func(uint64)) (int, error) {
	count := 0
	for i := range s.rx.receive() {
		b, segment := s.rx.packet(i)
		for len(b) > 0 {
			p := b[:min(segment, len(b))]
			b = b[len(p):]
			if ours(p[min(s.strip, len(p)):], s.g.run, sample) {
				count++
			}
		}
	}
	return count, nil
}

func (s *udpSide) missed() uint64 { return s.rx.drops() }

// frames writes a train and returns its length and that of each packet.
func frames(b []byte, f *Flow, header bool, now uint64, run uint32) (n, segment int) {
	for range f.Train {
		if header {
			binary.BigEndian.PutUint16(b[n:], channel)
			binary.BigEndian.PutUint16(b[n+2:], uint16(f.Size))
			n += 4
		}
		binary.BigEndian.PutUint64(b[n:], now)
		binary.BigEndian.PutUint32(b[n+8:], run)
		n += f.Size
	}
	return n, n / f.Train
}

// ours says whether a payload belongs to the run.
func ours(p []byte, run uint32, sample func(uint64)) bool {
	if len(p) < MinSize || binary.BigEndian.Uint32(p[8:]) != run {
		return false
	}
	if sample != nil {
		sample(binary.BigEndian.Uint64(p))
	}
	return true
}
