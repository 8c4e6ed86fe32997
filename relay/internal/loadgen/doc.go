// Package loadgen drives a TURN server over UDP and TCP with one thread and measures what comes back.
//
// One wildcard socket stands for all clients and another for all peers: every client and peer has an address of its
// own, set per packet with IP_PKTINFO. So a thousand clients cost the generator no more than one, and the server sees a
// thousand. The generator spins, it never sleeps: give it a core of its own.
//
// A closed loop (Saturate) keeps a window of packets in flight and loses none: it finds what the server can do. An open loop
// (Pace) sends at a fixed rate, and finds latency and loss. Both say how busy the server was meanwhile, because a rate that the
// generator could not drive is no property of the server.
//
// Linux only; on other systems New fails.
package loadgen
