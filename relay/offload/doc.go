// Package offload relays established TURN channels in the Linux kernel: an eBPF program at tc or XDP ingress rewrites a packet and
// sends it on before a socket sees it. It implements turn.Offloader.
//
// The sockets stay the truth. User space puts routes into a map and takes them away; what the program is not sure about goes to the
// sockets. Each route ends by its own time, each allocation by the bytes that it was granted, also if user space hangs. The
// program goes when the process does.
//
// It needs root or CAP_BPF with CAP_NET_ADMIN; for tc Linux 6.6, for XDP 5.18; and forwarding enabled on the interfaces
// (net.ipv4.conf.<name>.forwarding, net.ipv6.conf.<name>.forwarding), without which the kernel tells no next hops. Switch forwarding on
// together with a firewall that forwards nothing else. Netfilter does not see what is relayed here.
//
// turn.c is the source, turn.o what build.sh makes of it; a test compares them.
package offload
