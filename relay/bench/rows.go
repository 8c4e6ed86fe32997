package main

import "github.com/jingled/jingled/relay/internal/loadgen"

// group is how a server is loaded: rows of one group share a running server.
type group int

const (
	overUDP group = iota
	overTCP
	allocations
	overVeth
)

// row is one thing that is measured.
type row struct {
	name  string
	title string
	group group
	flow  loadgen.Flow
	goals []goal
}

// goal is a bound that our relay must keep: at most limit, or at least with least; a ratio to the server of when it is named.
type goal struct {
	what  string
	value func(figures) float64
	of    string
	limit float64
	least bool
	unit  string
	by    string // which of our servers; "" is relay
}

func cpu(f figures) float64    { return f.cpu }
func p99(f figures) float64    { return f.p99 }
func loss(f figures) float64   { return f.loss * 100 }
func rate(f figures) float64   { return f.rate }
func memory(f figures) float64 { return f.memory }

func p50(f figures) float64   { return f.p50 }
func whole(f figures) float64 { return f.whole }

// offloaded are goals of both ways of relaying in the kernel.
func offloaded(goals ...goal) (out []goal) {
	for _, by := range []string{"relay-tc", "relay-xdp"} {
		for _, g := range goals {
			g.by, g.what = by, by+": "+g.what
			out = append(out, g)
		}
	}
	return out
}

const (
	udpClients   = 1000
	trainClients = 50
	tcpClients   = 100
	allocated    = 8000
)

// rows are the measurements, in order. The bounds are the project's own.
func rows() []row {
	single := func(toClient bool, rate int) loadgen.Flow {
		return loadgen.Flow{ToClient: toClient, Clients: udpClients, Size: 172, Rate: rate}
	}
	trains := func(toClient bool) loadgen.Flow {
		return loadgen.Flow{ToClient: toClient, Clients: trainClients, Size: 1200, Train: 8}
	}
	stream := func(toClient bool, size, train int) loadgen.Flow {
		return loadgen.Flow{ToClient: toClient, Clients: tcpClients, Size: size, Train: train}
	}
	atMost := func(x float64) []goal {
		return []goal{{what: "CPU", value: cpu, of: "coturn", limit: x}}
	}
	// A forwarder that holds a socket for each client, as relayed addresses demand it.
	forward := goal{what: "CPU", value: cpu, of: "forward-n", limit: 1.1}
	return []row{
		{name: "udp-c2p-172", title: "UDP client to peer, 172 B, 1000 clients, saturated", group: overUDP, flow: single(false, 0), goals: append(atMost(0.85), forward)},
		{name: "udp-p2c-172", title: "UDP peer to client, 172 B, 1000 clients, saturated", group: overUDP, flow: single(true, 0), goals: append(atMost(0.75), forward)},
		{name: "udp-c2p-train", title: "UDP client to peer, trains of 8 x 1200 B, 50 clients, saturated", group: overUDP, flow: trains(false), goals: atMost(0.30)},
		{name: "udp-p2c-train", title: "UDP peer to client, trains of 8 x 1200 B, 50 clients, saturated", group: overUDP, flow: trains(true), goals: atMost(0.30)},
		{name: "udp-20k", title: "UDP client to peer, 172 B, 20,000 packets/s", group: overUDP, flow: single(false, 20_000), goals: []goal{
			{what: "p99 without coalescing", value: p99, of: "coturn", limit: 1, by: "relay-nc"},
		}},
		{name: "udp-100k", title: "UDP client to peer, 172 B, 100,000 packets/s", group: overUDP, flow: single(false, 100_000), goals: append(atMost(0.65),
			goal{what: "p99", value: p99, limit: 1500, unit: "us"})},
		{name: "udp-250k", title: "UDP client to peer, 172 B, 250,000 packets/s offered", group: overUDP, flow: single(false, 250_000), goals: []goal{
			{what: "loss", value: loss, limit: 0, unit: "%"},
		}},
		{name: "tcp-c2p-172", title: "TCP client to peer, 172 B, 100 clients, saturated", group: overTCP, flow: stream(false, 172, 1), goals: atMost(1)},
		{name: "tcp-p2c-172", title: "TCP peer to client, 172 B, 100 clients, saturated", group: overTCP, flow: stream(true, 172, 1), goals: atMost(1)},
		{name: "tcp-c2p-train", title: "TCP client to peer, 8 x 1200 B per write, 100 clients, saturated", group: overTCP, flow: stream(false, 1200, 8), goals: atMost(1)},
		{name: "tcp-p2c-train", title: "TCP peer to client, trains of 8 x 1200 B, 100 clients, saturated", group: overTCP, flow: stream(true, 1200, 8), goals: atMost(1)},
		{name: "veth-20k", title: "veth, UDP client to peer, 172 B, 20,000 packets/s", group: overVeth, flow: single(false, 20_000), goals: offloaded(
			goal{what: "p50", value: p50, of: "coturn", limit: 0.3}, goal{what: "CPU of the whole machine", value: whole, of: "coturn", limit: 0.4})},
		{name: "veth-p2c-20k", title: "veth, UDP peer to client, 172 B, 20,000 packets/s", group: overVeth, flow: single(true, 20_000), goals: offloaded(
			goal{what: "p50", value: p50, of: "coturn", limit: 0.3}, goal{what: "CPU of the whole machine", value: whole, of: "coturn", limit: 0.4})},
		{name: "veth-c2p", title: "veth, UDP client to peer, 172 B, saturated", group: overVeth, flow: single(false, 0)},
		{name: "allocations", title: "8000 allocations, one permission and channel each, 64 in flight", group: allocations, goals: []goal{
			{what: "allocations/s", value: rate, of: "coturn", limit: 1.4, least: true},
			{what: "memory", value: memory, limit: 8, unit: "KiB/allocation"},
		}},
	}
}

// figures are what one run, or the medians of a row, come to. Unused ones are zero.
type figures struct {
	cpu     float64 // server CPU seconds per million packets; ms per allocation in that group
	rate    float64 // packets or allocations per second
	loss    float64 // 0 to 1
	p50     float64 // microseconds
	p99     float64
	busy    float64 // server, in parts of its CPU
	foreign float64
	offered float64 // asked rate that was really sent, 0 to 1; 1 for closed loops
	missed  float64 // part that the generator was too slow to take back
	memory  float64 // KiB of RSS per allocation
	slab    float64 // KiB of kernel memory per allocation
	// whole is the CPU time of server and generator in seconds per million packets. In a report, the generator's own, as it is
	// without any server, is taken off.
	whole float64
}
