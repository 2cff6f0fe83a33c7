/* SPDX-License-Identifier: Apache-2.0 */

/* Datagrams: every flow sends `depth` at once, then all answers are collected. As one segmented
 * datagram, or with sendmmsg(). What is not there after a moment counts as lost. */

#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define DEPTH 256

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

struct flows {
	struct mmsghdr messages[DEPTH];
	struct iovec spans[DEPTH];
	uint8_t room[DEPTH * 2048 > 65536 ? DEPTH * 2048 : 65536];
	int fds[];
};

static void *udp_begin(const struct order *order)
{
	struct flows *flows = calloc(1, sizeof(*flows) + order->flows * sizeof(int));
	int one = 1;

	must(flows && order->depth <= DEPTH && order->size <= 2048, "depth, size");
	for (unsigned i = 0; i < order->flows; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		must(connect(fd, (const struct sockaddr *)&order->server, sizeof(order->server)) ==
				0,
			"connect");
		if (order->segmented)
			must(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) == 0,
				"UDP_GRO");
		flows->fds[i] = fd;
	}
	return flows;
}

static void send_segmented(int fd, const struct order *order)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {0};
	struct iovec span = {(void *)(uintptr_t)asked(0), order->depth * order->size};
	struct msghdr message = {.msg_iov = &span,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	uint16_t size = (uint16_t)order->size;

	control.header.cmsg_level = IPPROTO_UDP;
	control.header.cmsg_type = UDP_SEGMENT;
	control.header.cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
	must(sendmsg(fd, &message, 0) >= 0, "sendmsg");
}

static void send_each(struct flows *flows, int fd, const struct order *order)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < order->depth; i++) {
		flows->spans[i] =
			(struct iovec){(void *)(uintptr_t)asked(i * order->size), order->size};
		flows->messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &flows->spans[i], .msg_iovlen = 1};
	}
	while (sent < order->depth) {
		int n = sendmmsg(fd, flows->messages + sent, order->depth - sent, 0);

		must(n > 0, "sendmmsg");
		sent += (unsigned)n;
	}
}

/* Which of the questions it answers is not asked: they repeat every few bytes, and so may answers. */
static void judge(const struct order *order, const uint8_t *data, size_t len, struct tally *tally)
{
	for (; len > 0; len -= len < order->size ? len : order->size, data += order->size) {
		bool right = false;

		for (unsigned i = 0; i < order->depth && !right; i++)
			right = len >= order->size &&
				memcmp(data, wanted(i * order->size), order->size) == 0;
		tally->messages += right;
		tally->bytes += right ? order->size : 0;
		tally->wrong += !right;
	}
}

static void collect_segmented(
	struct flows *flows, int fd, const struct order *order, struct tally *tally)
{
	ssize_t n = recv(fd, flows->room, sizeof(flows->room), MSG_DONTWAIT);

	if (n > 0)
		judge(order, flows->room, (size_t)n, tally);
}

static void collect_each(
	struct flows *flows, int fd, const struct order *order, struct tally *tally)
{
	int n;

	for (unsigned i = 0; i < order->depth; i++) {
		flows->spans[i] = (struct iovec){flows->room + (size_t)i * 2048, 2048};
		flows->messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &flows->spans[i], .msg_iovlen = 1};
	}
	n = recvmmsg(fd, flows->messages, order->depth, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		judge(order, flows->spans[i].iov_base, flows->messages[i].msg_len, tally);
}

static void udp_round(void *state, const struct order *order, struct tally *tally)
{
	struct flows *flows = state;

	for (unsigned i = 0; i < order->flows; i++) {
		if (order->segmented)
			send_segmented(flows->fds[i], order);
		else
			send_each(flows, flows->fds[i], order);
	}

	for (unsigned i = 0; i < order->flows; i++) {
		struct pollfd ready = {.fd = flows->fds[i], .events = POLLIN};
		uint64_t due = tally->messages + tally->wrong + order->depth;

		while (tally->messages + tally->wrong < due && poll(&ready, 1, 200) > 0) {
			if (order->segmented)
				collect_segmented(flows, flows->fds[i], order, tally);
			else
				collect_each(flows, flows->fds[i], order, tally);
		}
		tally->lost += due - tally->messages - tally->wrong;
	}
}

static void udp_end(void *state, const struct order *order)
{
	struct flows *flows = state;

	for (unsigned i = 0; i < order->flows; i++)
		close(flows->fds[i]);
	free(flows);
}

const struct way way_udp = {"udp", udp_begin, udp_round, udp_end};
