/* SPDX-License-Identifier: Apache-2.0 */

/* Where a datagram was sent to comes with it as PKTINFO, and goes back the same way, so that the answer
 * leaves from the address and the interface that the question came in by.
 *
 * UDP_GRO, which the socket was opened with if the kernel has it, makes several datagrams one arrival;
 * UDP_SEGMENT makes one call of several answers. A kernel that does the first knows the second, so
 * until an arrival has shown that, every answer is sent on its own. */

#include "net/udp_batch.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "net/guard.h"
#include "net/udp.h"

#define SLOT     65536
#define OUT_SIZE ((size_t)UDP_BATCH * SLOT)

#define SEGMENTS 64 /* that the kernel takes at most in one call */

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

#define REPLY_CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))
#define ARRIVAL_CONTROL                                                                   \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)) + \
		CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int)))

_Static_assert(sizeof(struct in6_pktinfo) >= sizeof(struct in_pktinfo), "either fits");

union arrival_control {
	struct cmsghdr header; /* aligns */
	char bytes[ARRIVAL_CONTROL];
};

/* Answers to one peer that stand one behind the other; all but the last are of one size. */
struct udp_reply {
	const struct udp_arrival *to;
	_Alignas(struct cmsghdr) char control[REPLY_CONTROL];
	struct iovec span;
	size_t segment;
	unsigned segments;
};

/* The two big buffers are mapped, so that only pages in use cost memory. */
struct udp_batch {
	uint8_t *in, *out;
	size_t used; /* of `out` */
	unsigned n_received, n_replies;
	struct mmsghdr received[UDP_BATCH], sending[UDP_BATCH];
	struct iovec in_span[UDP_BATCH];
	union arrival_control control[UDP_BATCH];
	struct udp_arrival arrivals[UDP_BATCH];
	struct udp_reply replies[UDP_BATCH];
};

static void prepare_to_receive(struct udp_batch *b)
{
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->in_span[i] = (struct iovec){b->in + i * SLOT, SLOT};
		b->received[i].msg_hdr = (struct msghdr){
			.msg_name = &b->arrivals[i].peer.in6,
			.msg_iov = &b->in_span[i],
			.msg_iovlen = 1,
			.msg_control = &b->control[i],
		};
	}
	b->n_received = UDP_BATCH;
}

int udp_batch_new(struct udp_batch **ret_batch)
{
	struct udp_batch *batch;
	uint8_t *memory;

	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return -ENOMEM;
	memory = mmap(
		NULL, 2 * OUT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(batch);
		return -ENOMEM;
	}
	batch->in = memory;
	batch->out = memory + OUT_SIZE;
	prepare_to_receive(batch);
	*ret_batch = batch;
	return 0;
}

void udp_batch_free(struct udp_batch *batch)
{
	if (!batch)
		return;
	munmap(batch->in, 2 * OUT_SIZE);
	free(batch);
}

void udp_batch_give_back(struct udp_batch *batch)
{
	madvise(batch->in, 2 * OUT_SIZE, MADV_DONTNEED);
}

/* Only what the last call has changed is set again. */
int udp_batch_receive(struct udp_batch *b, int fd)
{
	int n;

	for (unsigned i = 0; i < b->n_received; i++) {
		b->received[i].msg_hdr.msg_namelen = sizeof(b->arrivals[i].peer.in6);
		b->received[i].msg_hdr.msg_controllen = ARRIVAL_CONTROL;
	}
	n = recvmmsg(fd, b->received, UDP_BATCH, MSG_DONTWAIT, NULL);
	b->n_received = n < 0 ? 0 : (unsigned)n;
	return n < 0 ? -errno : n;
}

static void read_control(struct udp_batch *b, const struct cmsghdr *c, struct udp_arrival *arrival)
{
	int size;

	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&arrival->info4, CMSG_DATA(c), sizeof(arrival->info4));
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&arrival->info6, CMSG_DATA(c), sizeof(arrival->info6));
	} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
		memcpy(&arrival->overflows, CMSG_DATA(c), sizeof(arrival->overflows));
	} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (size > 0)
			arrival->segment = (size_t)size;
	}
}

const struct udp_arrival *udp_batch_arrival(struct udp_batch *b, unsigned number)
{
	struct msghdr *message = &b->received[number].msg_hdr;
	struct udp_arrival *arrival = &b->arrivals[number];

	arrival->data = message->msg_iov->iov_base;
	arrival->len = b->received[number].msg_len;
	arrival->segment = SLOT;
	arrival->peer.len = message->msg_namelen;
	arrival->info4.ipi_ifindex = 0;
	arrival->info6.ipi6_ifindex = 0;
	arrival->overflows = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		read_control(b, c, arrival);
	return arrival;
}

/* An IPv4 datagram has been sent to more than us when the address it was sent to is not the one that
 * an answer would leave from. */
static bool is_broadcast(const struct udp_arrival *arrival)
{
	return arrival->info4.ipi_ifindex > 0 &&
		arrival->info4.ipi_addr.s_addr != arrival->info4.ipi_spec_dst.s_addr;
}

static struct in6_addr destination_of(const struct udp_arrival *arrival)
{
	struct addr peer = {.len = sizeof(peer.in), .in = {.sin_family = AF_INET}};

	if (arrival->info6.ipi6_ifindex > 0)
		return arrival->info6.ipi6_addr;
	peer.in.sin_addr = arrival->info4.ipi_addr;
	return addr_host6(&peer);
}

struct datagram_ends udp_arrival_ends(const struct udp_arrival *arrival)
{
	struct in6_addr destination = destination_of(arrival);
	bool is_told = arrival->info6.ipi6_ifindex > 0 || arrival->info4.ipi_ifindex > 0;

	return guard_ends(&arrival->peer, is_told ? &destination : NULL, is_broadcast(arrival));
}

uint8_t *udp_batch_make_room(struct udp_batch *b, int fd, struct udp_sent *sent)
{
	if (b->n_replies == UDP_BATCH || OUT_SIZE - b->used < SLOT)
		udp_batch_send(b, fd, sent);
	return b->out + b->used;
}

static struct cmsghdr *put_control(
	struct cmsghdr *c, int level, int type, const void *data, size_t size)
{
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	return (struct cmsghdr *)(void *)((char *)c + CMSG_SPACE(size));
}

/* The kernel tells more than it accepts: only the address and the interface go back. */
static size_t reply_control(struct udp_reply *reply)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)reply->control;
	struct in_pktinfo info4 = reply->to->info4;
	uint16_t segment = (uint16_t)reply->segment;

	info4.ipi_addr.s_addr = 0;
	if (reply->to->info6.ipi6_ifindex > 0)
		c = put_control(
			c, IPPROTO_IPV6, IPV6_PKTINFO, &reply->to->info6, sizeof(reply->to->info6));
	else if (info4.ipi_ifindex > 0)
		c = put_control(c, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	if (reply->segments > 1)
		c = put_control(c, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	return (size_t)((char *)c - reply->control);
}

static bool is_same_six(const struct in6_pktinfo *a, const struct in6_pktinfo *b)
{
	return a->ipi6_ifindex == b->ipi6_ifindex &&
		(a->ipi6_ifindex == 0 || IN6_ARE_ADDR_EQUAL(&a->ipi6_addr, &b->ipi6_addr));
}

static bool is_same_four(const struct in_pktinfo *a, const struct in_pktinfo *b)
{
	return a->ipi_ifindex == b->ipi_ifindex &&
		(a->ipi_ifindex == 0 || a->ipi_spec_dst.s_addr == b->ipi_spec_dst.s_addr);
}

/* Whether answers to both go to the same peer, from the same address of ours. */
static bool is_same_way(const struct udp_arrival *a, const struct udp_arrival *b)
{
	return a == b ||
		(a->peer.len == b->peer.len &&
			memcmp(&a->peer.in6, &b->peer.in6, a->peer.len) == 0 &&
			is_same_six(&a->info6, &b->info6) && is_same_four(&a->info4, &b->info4));
}

/* Whether those of `b`, which are later, may go out with those of `a`: none comes behind a shorter one. */
static bool goes_with(const struct udp_reply *a, const struct udp_reply *b)
{
	return (const uint8_t *)a->span.iov_base + a->span.iov_len == b->span.iov_base &&
		a->span.iov_len == a->segment * a->segments &&
		(b->segments == 1 ? b->segment <= a->segment : b->segment == a->segment) &&
		a->segments + b->segments <= SEGMENTS && a->segment <= UDP_LONGEST_SEGMENT &&
		a->span.iov_len + b->span.iov_len <= UDP_LONGEST && is_same_way(a->to, b->to);
}

void udp_batch_reply(struct udp_batch *b, const struct udp_arrival *to, uint8_t *answer,
	size_t length, size_t segment)
{
	struct udp_reply *next = &b->replies[b->n_replies];

	next->to = to;
	next->span = (struct iovec){answer, length};
	next->segment = length < segment ? length : segment;
	next->segments = (unsigned)((length + segment - 1) / segment);
	b->used = (size_t)(answer - b->out) + length;
	if (b->n_replies > 0 && goes_with(next - 1, next)) {
		next[-1].span.iov_len += length;
		next[-1].segments += next->segments;
	} else {
		b->n_replies++;
	}
}

static struct msghdr message_of(struct udp_reply *reply)
{
	size_t control = reply_control(reply);

	return (struct msghdr){
		.msg_name = (void *)(uintptr_t)&reply->to->peer.in6,
		.msg_namelen = reply->to->peer.len,
		.msg_iov = &reply->span,
		.msg_iovlen = 1,
		.msg_control = control > 0 ? reply->control : NULL,
		.msg_controllen = control,
	};
}

/* One message by the call for many: the sandbox has no other for messages with control data. */
static ssize_t send_one(struct udp_reply *reply, int fd)
{
	struct mmsghdr one = {.msg_hdr = message_of(reply)};

	return sendmmsg(fd, &one, 1, MSG_DONTWAIT) < 0 ? -1 : (ssize_t)one.msg_len;
}

/* A run that could not be sent as one: a packet of that size may be too long for the way to this peer. */
static void send_each(struct udp_reply *reply, int fd, struct udp_sent *sent)
{
	struct iovec all = reply->span;

	reply->segments = 1;
	for (size_t at = 0; at < all.iov_len; at += reply->segment) {
		size_t left = all.iov_len - at;
		ssize_t n;

		reply->span = (struct iovec){(uint8_t *)all.iov_base + at,
			left < reply->segment ? left : reply->segment};
		n = send_one(reply, fd);
		sent->bytes += n > 0 ? (uint64_t)n : 0;
		sent->failed += n < 0;
	}
}

void udp_batch_send(struct udp_batch *b, int fd, struct udp_sent *sent)
{
	for (unsigned i = 0; i < b->n_replies; i++)
		b->sending[i].msg_hdr = message_of(&b->replies[i]);

	for (unsigned done = 0; done < b->n_replies;) {
		struct udp_reply *first = &b->replies[done];
		int n = sendmmsg(fd, b->sending + done, b->n_replies - done, MSG_DONTWAIT);

		for (int i = 0; i < n; i++)
			sent->bytes += b->sending[done + (unsigned)i].msg_len;
		if (n < 0 && first->segments > 1)
			send_each(first, fd, sent);
		else if (n < 0)
			sent->failed++;
		done += n > 0 ? (unsigned)n : 1;
	}

	b->n_replies = 0;
	b->used = 0;
}

int udp_send_back(int fd, const struct udp_arrival *to, const void *data, size_t len)
{
	struct udp_reply reply = {
		.to = to,
		.span = {(void *)(uintptr_t)data, len},
		.segment = len,
		.segments = 1,
	};

	return send_one(&reply, fd) < 0 ? -errno : 0;
}
