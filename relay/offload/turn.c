//go:build ignore

// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
//
// Relays established TURN channels (RFC 8656 section 12) below the sockets, at tc or XDP ingress.
//
// User space owns every decision. It puts a route here for each direction of a channel and takes it away again. What is not
// plainly the data of a route is left alone and goes to the sockets as if this program were not there: control messages, other
// transports, IP options, fragments, trains that the kernel has merged, next hops that are not resolved, packets beyond the
// path's MTU, expired channels, and sessions that have used up what they were granted.
//
// The payload moves, not the headers: the transport header stays where it is, and with it the offset at which the kernel or the
// card will fill in a checksum that is still to be computed (CHECKSUM_PARTIAL).

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define CHANNEL 4          // ChannelData's header
#define MAX_PAYLOAD 1536   // beyond it packets are left to user space
#define UNLIMITED 0xFFFFFFFFFFFFFFFFULL

enum { TO_PEER, TO_CLIENT };

// Addresses of IPv4 are in the first word; the others are zero.
struct key {
	__be32 remote[4];
	__be32 local[4];
	__be16 rport;
	__be16 lport;
	__be16 channel; // 0: from the peer
	__u16 family;
};

struct route {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
	__be16 channel; // to write in front; 0: to the peer
	__u16 pad;
	__u32 slot;
	__u32 pad2;
	__u64 expires; // CLOCK_MONOTONIC, nanoseconds
};

// By direction.
struct usage {
	__u64 packets[2];
	__u64 bytes[2];
};

struct grant {
	__u64 bytes[2];
};

// Sizes are set when the object is loaded.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct usage);
} used SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct grant);
} granted SEC(".maps");

// Interfaces that packets may leave by.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

// A payload on its way to another place. Copying by helpers needs no loop for the verifier to follow.
struct scratch {
	__u8 bytes[3072];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

// What a packet turned out to be.
struct packet {
	struct key key;
	struct route *route;
	__u32 l3;      // size of the IP header
	__u32 bytes;   // payload that is relayed
	__u32 extra;   // ChannelData's padding behind it
	__u32 oldlen;  // UDP length
	__u32 newlen;
	__u32 channel; // ChannelData's header as it stands in the packet, or is written
	__be16 check;
	__u16 ttl;
	struct bpf_fib_lookup fib;
};

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum;
}

// parse reads the headers. 0: this is UDP of a kind that we relay.
static __always_inline int parse(void *data, void *end, struct packet *p)
{
	struct ethhdr *eth = data;
	if (data + sizeof(*eth) > end)
		return -1;
	void *at = data + sizeof(*eth);
	struct udphdr *udp;
	__u32 payload;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;
		if (at + sizeof(*ip) + sizeof(*udp) + CHANNEL > end)
			return -1;
		// No options, no fragments. What may not be forwarded once more is not ours to decide about.
		if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || (ip->frag_off & bpf_htons(0x3FFF)) || ip->ttl <= 1)
			return -1;
		p->key.family = AF_INET;
		p->key.remote[0] = ip->saddr;
		p->key.local[0] = ip->daddr;
		p->ttl = ip->ttl;
		p->l3 = sizeof(*ip);
		payload = bpf_ntohs(ip->tot_len) - sizeof(*ip);
		udp = at + sizeof(*ip);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at;
		if (at + sizeof(*ip) + sizeof(*udp) + CHANNEL > end)
			return -1;
		if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP || ip->hop_limit <= 1)
			return -1;
		p->key.family = AF_INET6;
		__builtin_memcpy(p->key.remote, &ip->saddr, 16);
		__builtin_memcpy(p->key.local, &ip->daddr, 16);
		p->ttl = ip->hop_limit;
		p->l3 = sizeof(*ip);
		payload = bpf_ntohs(ip->payload_len);
		udp = at + sizeof(*ip);
	} else {
		return -1;
	}
	p->key.rport = udp->source;
	p->key.lport = udp->dest;
	p->check = udp->check;
	p->oldlen = bpf_ntohs(udp->len);
	// A UDP checksum of zero does not exist in IPv6 (RFC 8200 section 8.1).
	if (p->oldlen != payload || p->oldlen < sizeof(*udp) + CHANNEL || p->oldlen > MAX_PAYLOAD || (p->key.family == AF_INET6 && !p->check))
		return -1;
	__builtin_memcpy(&p->channel, udp + 1, CHANNEL);
	return 0;
}

// find looks the route up, by channel number first.
static __always_inline int find(struct packet *p)
{
	__u8 first = p->channel & 0xFF;
	p->route = NULL;
	if (first >= 0x40 && first < 0x80) {
		p->key.channel = p->channel & 0xFFFF;
		p->route = bpf_map_lookup_elem(&routes, &p->key);
	}
	if (p->route) {
		__u32 n = bpf_ntohs(p->channel >> 16);
		__u32 room = p->oldlen - sizeof(struct udphdr) - CHANNEL;
		// Padding to four bytes is allowed (RFC 8656 section 12.5).
		if (n == 0 || n > room || room - n > 3)
			return -1;
		p->bytes = n;
		p->extra = room - n;
		p->newlen = n + sizeof(struct udphdr);
	} else {
		p->key.channel = 0;
		p->route = bpf_map_lookup_elem(&routes, &p->key);
		if (!p->route)
			return -1;
		p->bytes = p->oldlen - sizeof(struct udphdr);
		p->extra = 0;
		p->newlen = p->oldlen + CHANNEL;
		p->channel = p->route->channel | (__u32)bpf_htons(p->bytes) << 16;
	}
	return bpf_ktime_get_ns() < p->route->expires ? 0 : -1;
}

// spend accounts for the packet, unless the session has been granted no more.
static __always_inline int spend(struct packet *p)
{
	__u32 slot = p->route->slot, dir = p->key.channel ? TO_PEER : TO_CLIENT;
	struct usage *u = bpf_map_lookup_elem(&used, &slot);
	struct grant *g = bpf_map_lookup_elem(&granted, &slot);
	if (!u || !g)
		return -1;
	if (g->bytes[dir] != UNLIMITED && u->bytes[dir] + p->bytes > g->bytes[dir])
		return -1;
	__sync_fetch_and_add(&u->packets[dir], 1);
	__sync_fetch_and_add(&u->bytes[dir], p->bytes);
	return 0;
}

// hop finds the next hop. It must be resolved, and behind an interface of ours.
static __always_inline int hop(void *ctx, __u32 ifindex, struct packet *p)
{
	struct bpf_fib_lookup *f = &p->fib;
	__builtin_memset(f, 0, sizeof(*f));
	f->family = p->key.family;
	f->l4_protocol = IPPROTO_UDP;
	f->sport = p->route->sport;
	f->dport = p->route->dport;
	f->tot_len = p->newlen + p->l3;
	f->ifindex = ifindex;
	__builtin_memcpy(f->ipv6_src, p->route->src, 16);
	__builtin_memcpy(f->ipv6_dst, p->route->dst, 16);
	if (bpf_fib_lookup(ctx, f, sizeof(*f), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return -1;
	__u32 out = f->ifindex;
	return bpf_map_lookup_elem(&ports, &out) ? 0 : -1;
}

// Words that change, before and after, for checksums: addresses and length as the pseudo header has them, then ports, length
// and ChannelData's header.
struct words {
	__be32 pseudo[9];
	__be32 body[3];
};

static __always_inline void before(struct packet *p, struct words *w)
{
	__builtin_memcpy(w->pseudo, p->key.remote, 16);
	__builtin_memcpy(w->pseudo + 4, p->key.local, 16);
	w->pseudo[8] = bpf_htonl(p->oldlen);
	w->body[0] = p->key.rport | (__u32)p->key.lport << 16;
	w->body[1] = bpf_htonl(p->oldlen);
	w->body[2] = p->key.channel ? p->channel : 0;
}

static __always_inline void after(struct packet *p, struct words *w)
{
	__builtin_memcpy(w->pseudo, p->route->src, 16);
	__builtin_memcpy(w->pseudo + 4, p->route->dst, 16);
	w->pseudo[8] = bpf_htonl(p->newlen);
	w->body[0] = p->route->sport | (__u32)p->route->dport << 16;
	w->body[1] = bpf_htonl(p->newlen);
	w->body[2] = p->key.channel ? 0 : p->channel;
}

// headers writes everything in front of the payload but the UDP checksum.
static __always_inline int headers(void *data, void *end, struct packet *p)
{
	struct ethhdr *eth = data;
	struct udphdr *udp;
	if (data + sizeof(*eth) > end)
		return -1;
	if (p->key.family == AF_INET) {
		struct iphdr *ip = data + sizeof(*eth);
		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end)
			return -1;
		ip->saddr = p->route->src[0];
		ip->daddr = p->route->dst[0];
		ip->tot_len = bpf_htons(p->newlen + sizeof(*ip));
		ip->ttl = p->ttl - 1;
		ip->check = 0;
		ip->check = ~fold(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
	} else {
		struct ipv6hdr *ip = data + sizeof(*eth);
		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end)
			return -1;
		__builtin_memcpy(&ip->saddr, p->route->src, 16);
		__builtin_memcpy(&ip->daddr, p->route->dst, 16);
		ip->payload_len = bpf_htons(p->newlen);
		ip->hop_limit = p->ttl - 1;
	}
	udp->source = p->route->sport;
	udp->dest = p->route->dport;
	udp->len = bpf_htons(p->newlen);
	__builtin_memcpy(eth->h_dest, p->fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, p->fib.smac, ETH_ALEN);
	return 0;
}

static __always_inline struct scratch *buffer(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratch, &zero);
}

// bounded tells the verifier what parse has made sure of.
static __always_inline __u32 bounded(__u32 n)
{
	asm volatile("" : "+r"(n));
	return n & 0x7FF;
}

SEC("tc")
int turn_tc(struct __sk_buff *skb)
{
	struct packet p = {};
	if (parse((void *)(long)skb->data, (void *)(long)skb->data_end, &p) || find(&p))
		return TC_ACT_UNSPEC;
	// Trains are cheap in user space, and cannot be cut here.
	if (skb->gso_segs > 1 || skb->gso_size)
		return TC_ACT_UNSPEC;
	struct scratch *s = buffer();
	__u32 l4 = sizeof(struct ethhdr) + p.l3, check = l4 + offsetof(struct udphdr, check), payload = l4 + sizeof(struct udphdr);
	__u32 n = bounded(p.bytes), from = p.key.channel ? payload + CHANNEL : payload;
	if (!s || !n || skb->len < l4 + p.oldlen || bpf_skb_load_bytes(skb, from, s->bytes + CHANNEL, n))
		return TC_ACT_UNSPEC;
	__u32 extra = p.extra & 3, padding = 0;
	// Padding should be zeros: then it weighs nothing in a checksum.
	if (extra && (bpf_skb_load_bytes(skb, from + n, &padding, extra) || padding))
		return TC_ACT_UNSPEC;
	if (hop(skb, skb->ifindex, &p) || spend(&p))
		return TC_ACT_UNSPEC;

	// From here on the packet is ours.
	struct words old = {}, new = {};
	before(&p, &old);
	after(&p, &new);
	if (p.key.channel) {
		if (bpf_skb_store_bytes(skb, payload, s->bytes + CHANNEL, n, BPF_F_RECOMPUTE_CSUM) || bpf_skb_change_tail(skb, l4 + p.newlen, 0))
			return TC_ACT_SHOT;
	} else {
		__builtin_memcpy(s->bytes, &p.channel, CHANNEL);
		if (bpf_skb_change_tail(skb, l4 + p.newlen, 0) || bpf_skb_store_bytes(skb, payload, s->bytes, n + CHANNEL, BPF_F_RECOMPUTE_CSUM))
			return TC_ACT_SHOT;
	}
	if (headers((void *)(long)skb->data, (void *)(long)skb->data_end, &p))
		return TC_ACT_SHOT;
	// These know whether the checksum is whole, or only begun and left to the card.
	__s64 d = bpf_csum_diff(old.pseudo, sizeof(old.pseudo), new.pseudo, sizeof(new.pseudo), 0);
	if (bpf_l4_csum_replace(skb, check, 0, d, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0))
		return TC_ACT_SHOT;
	d = bpf_csum_diff(old.body, sizeof(old.body), new.body, sizeof(new.body), 0);
	if (bpf_l4_csum_replace(skb, check, 0, d, BPF_F_MARK_MANGLED_0))
		return TC_ACT_SHOT;
	return bpf_redirect(p.fib.ifindex, 0);
}

#define CHUNK 512 // the most that bpf_csum_diff takes

// whole adds n bytes of b to a checksum. What follows them is overwritten with zeros.
static __always_inline __u32 whole(struct scratch *s, __u32 n, __u32 sum)
{
	__u32 at = 0;
	if (n <= MAX_PAYLOAD)
		__builtin_memset(s->bytes + CHANNEL + n, 0, 4);
	for (int i = 0; i < MAX_PAYLOAD / CHUNK; i++) {
		if (n < at + CHUNK)
			break;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(s->bytes + CHANNEL + at), CHUNK, sum);
		at += CHUNK;
	}
	__u32 rest = bounded(n - at + 3) & 0x3FC;
	if (rest && rest <= CHUNK && at <= MAX_PAYLOAD)
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(s->bytes + CHANNEL + at), rest, sum);
	return sum;
}

SEC("xdp")
int turn_xdp(struct xdp_md *ctx)
{
	struct packet p = {};
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (parse(data, end, &p) || find(&p))
		return XDP_PASS;
	struct scratch *s = buffer();
	__u32 l4 = sizeof(struct ethhdr) + p.l3, payload = l4 + sizeof(struct udphdr);
	__u32 n = bounded(p.bytes), from = p.key.channel ? payload + CHANNEL : payload;
	// Short frames are filled up on the wire: the packet may end before the frame.
	int size = end - data, left = size - (int)(l4 + p.oldlen);
	if (!s || !n || left < 0 || bpf_xdp_load_bytes(ctx, from, s->bytes + CHANNEL, n))
		return XDP_PASS;
	__u32 extra = p.extra & 3, padding = 0;
	// Padding should be zeros: then it weighs nothing in a checksum.
	if (extra && (bpf_xdp_load_bytes(ctx, from + n, &padding, extra) || padding))
		return XDP_PASS;
	if (hop(ctx, ctx->ingress_ifindex, &p))
		return XDP_PASS;

	struct words old = {}, new = {};
	before(&p, &old);
	after(&p, &new);
	__u32 check = p.check;
	if (check) {
		__be32 proto = bpf_htonl(IPPROTO_UDP);
		__u32 begun = fold(bpf_csum_diff(old.pseudo, 0, old.pseudo, sizeof(old.pseudo), proto >> 16));
		if (check == begun) {
			// Most likely only the pseudo header has been summed up, and the card is to do the rest. A whole checksum that looks
			// like this is one in 65,536; user space can tell.
			__u32 sum = fold(bpf_csum_diff(old.body, 0, old.body, sizeof(old.body), begun + check));
			if (fold(whole(s, n, sum)) == 0xFFFF)
				return XDP_PASS;
			check = fold(bpf_csum_diff(new.pseudo, 0, new.pseudo, sizeof(new.pseudo), proto >> 16));
		} else {
			check = (__u16)~fold(bpf_csum_diff((__be32 *)&old, sizeof(old), (__be32 *)&new, sizeof(new), (__u16)~check));
			if (!check)
				check = 0xFFFF;
		}
	}
	if (spend(&p))
		return XDP_PASS;

	// From here on the packet is ours.
	if (p.key.channel) {
		if (bpf_xdp_store_bytes(ctx, payload, s->bytes + CHANNEL, n) || bpf_xdp_adjust_tail(ctx, (int)(l4 + p.newlen) - size))
			return XDP_DROP;
	} else {
		__builtin_memcpy(s->bytes, &p.channel, CHANNEL);
		if (bpf_xdp_adjust_tail(ctx, (int)(l4 + p.newlen) - size) || bpf_xdp_store_bytes(ctx, payload, s->bytes, n + CHANNEL))
			return XDP_DROP;
	}
	data = (void *)(long)ctx->data, end = (void *)(long)ctx->data_end;
	if (headers(data, end, &p))
		return XDP_DROP;
	struct udphdr *udp = data + sizeof(struct ethhdr) + (p.key.family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	udp->check = check;
	if (p.fib.ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(p.fib.ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
