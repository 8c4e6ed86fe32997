package impair

import (
	"container/heap"
	"errors"
	"io"
	"sync"
	"time"
)

// maxPacket is the largest that is carried.
const maxPacket = 64 << 10

// maxUnderWay bounds what has been sent and has not arrived, in one direction. Beyond it packets are lost.
const maxUnderWay = 20000

// Device takes and gives one packet a call.
type Device interface {
	io.ReadWriteCloser
}

// Pump carries packets between two devices. It owns both.
type Pump struct {
	ends  [2]Device
	lines [2]*direction // from ends[0] to ends[1], and back
	wg    sync.WaitGroup
}

// Config is what a pump does.
type Config struct {
	// Up is what becomes of packets from the first device to the second one, Down of those back.
	Up, Down Link
	// Seed is where chance begins.
	Seed uint64
	// Spares says which packets are only delayed, by Link.Delay. If it is nil there are none.
	Spares func(packet []byte) bool
}

// NewPump starts to carry packets between two devices.
func NewPump(a, b Device, cfg Config) (*Pump, error) {
	p := &Pump{ends: [2]Device{a, b}}
	for i, link := range []Link{cfg.Up, cfg.Down} {
		line, err := New(link, 2*cfg.Seed+uint64(i))
		if err != nil {
			return nil, err
		}
		p.lines[i] = &direction{line: line, spares: cfg.Spares, wake: make(chan struct{}, 1), over: make(chan struct{})}
	}
	for i, d := range p.lines {
		from, to := p.ends[i], p.ends[1-i]
		p.wg.Go(func() {
			defer close(d.over)
			d.read(from)
		})
		p.wg.Go(func() { d.write(to) })
	}
	return p, nil
}

// Change makes the lines others for what is sent from now on.
func (p *Pump) Change(up, down Link) error {
	for i, link := range []Link{up, down} {
		d := p.lines[i]
		d.mu.Lock()
		err := d.line.Change(link)
		d.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Counts says what became of packets until now.
func (p *Pump) Counts() (up, down Counts) {
	var out [2]Counts
	for i, d := range p.lines {
		d.mu.Lock()
		out[i] = d.line.Counts()
		d.mu.Unlock()
	}
	return out[0], out[1]
}

// Close closes the devices. What is under way is lost.
func (p *Pump) Close() error {
	err := errors.Join(p.ends[0].Close(), p.ends[1].Close())
	p.wg.Wait()
	return err
}

// direction is a line and what is under way on it.
type direction struct {
	spares func(packet []byte) bool
	wake   chan struct{} // the next arrival has changed
	over   chan struct{} // nothing is read any more

	mu       sync.Mutex
	line     *Line
	underWay arrivals
	seq      uint64
}

func (d *direction) read(from io.Reader) {
	buf := make([]byte, maxPacket)
	var at []time.Time
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		d.mu.Lock()
		if now := time.Now(); d.spares != nil && d.spares(buf[:n]) {
			at = append(at[:0], now.Add(d.line.link.Delay))
		} else {
			at = d.line.Take(now, n, at[:0])
		}
		if len(at) > 0 && len(d.underWay) < maxUnderWay {
			packet := append([]byte(nil), buf[:n]...)
			for _, when := range at {
				d.seq++
				heap.Push(&d.underWay, arrival{when, d.seq, packet})
			}
		}
		d.mu.Unlock()
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (d *direction) write(to io.Writer) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		d.mu.Lock()
		for len(d.underWay) > 0 {
			if wait = time.Until(d.underWay[0].at); wait > 0 {
				break
			}
			wait = time.Hour
			a := heap.Pop(&d.underWay).(arrival)
			d.mu.Unlock()
			_, _ = to.Write(a.packet) // a device that is full or closed loses it, as devices do
			d.mu.Lock()
		}
		d.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-d.wake:
		case <-timer.C:
		case <-d.over:
			return
		}
	}
}

type arrival struct {
	at     time.Time
	seq    uint64 // what arrives at the same time arrives in order
	packet []byte
}

// arrivals implements heap.Interface, the first one first.
type arrivals []arrival

// Len implements sort.Interface.
func (a arrivals) Len() int { return len(a) }

// Less implements sort.Interface.
func (a arrivals) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].seq < a[j].seq
	}
	return a[i].at.Before(a[j].at)
}

// Swap implements sort.Interface.
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *arrivals) Push(x any) { *a = append(*a, x.(arrival)) }

// Pop implements heap.Interface.
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = arrival{}
	*a = (*a)[:last]
	return x
}
