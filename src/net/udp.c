/* SPDX-License-Identifier: Apache-2.0 */

/* A batch is received with one call, answered message by message into one buffer, and sent with one
 * call. Where a datagram was sent to comes with it as PKTINFO, and goes back the same way, so that the
 * answer leaves from the address and the interface that the question came in by. */

#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/log.h"

#define BATCH          32
#define SLOT           65536
#define SWEEPS         64
#define REPORT_MS      60000
#define CONTROL_LENGTH CMSG_SPACE(sizeof(struct in6_pktinfo))

_Static_assert(sizeof(struct in6_pktinfo) >= sizeof(struct in_pktinfo), "either fits");

union control {
	struct cmsghdr header; /* aligns */
	char bytes[CONTROL_LENGTH];
};

/* The two big buffers are mapped, so that only pages in use cost memory. */
struct udp_batch {
	uint8_t *in, *out;
	struct mmsghdr received[BATCH], replies[BATCH];
	struct iovec in_span[BATCH], out_span[BATCH];
	struct sockaddr_in6 peer[BATCH];
	union control control[BATCH];
};

int udp_batch_new(struct udp_batch **ret_batch)
{
	struct udp_batch *batch;
	uint8_t *memory;

	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return -ENOMEM;
	memory = mmap(
		NULL, 2 * BATCH * SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		free(batch);
		return -ENOMEM;
	}
	batch->in = memory;
	batch->out = memory + BATCH * SLOT;
	*ret_batch = batch;
	return 0;
}

void udp_batch_free(struct udp_batch *batch)
{
	if (!batch)
		return;
	munmap(batch->in, 2 * BATCH * SLOT);
	free(batch);
}

static int udp_receive(struct udp *udp)
{
	struct udp_batch *b = udp->batch;
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		b->in_span[i] = (struct iovec){b->in + i * SLOT, SLOT};
		b->received[i].msg_hdr = (struct msghdr){
			.msg_name = &b->peer[i],
			.msg_namelen = sizeof(b->peer[i]),
			.msg_iov = &b->in_span[i],
			.msg_iovlen = 1,
			.msg_control = &b->control[i],
			.msg_controllen = CONTROL_LENGTH,
		};
	}
	n = recvmmsg(udp->fd, b->received, BATCH, MSG_DONTWAIT, NULL);
	return n < 0 ? -errno : n;
}

static void udp_drop(struct udp *udp, const struct mmsghdr *request, enum reason reason)
{
	struct addr peer = {.len = request->msg_hdr.msg_namelen};

	memcpy(&peer.in6, request->msg_hdr.msg_name, sizeof(peer.in6));
	udp->counters->reasons[reason]++;
	log_event(EVENT_PEER_REFUSED,
		ABOUT(.listener = udp->name, .peer = &peer, .reason = reason_name(reason)),
		"%u bytes not answered: %s", request->msg_len, reason_sentence(reason));
}

static void udp_record_message(const struct udp *udp, const struct mmsghdr *request)
{
	struct addr peer = {.len = request->msg_hdr.msg_namelen};

	if (udp->talk.service != &service_acknowledge)
		return;
	memcpy(&peer.in6, request->msg_hdr.msg_name, sizeof(peer.in6));
	log_event(EVENT_MESSAGE, ABOUT(.listener = udp->name, .peer = &peer), "%u bytes",
		request->msg_len);
}

/* Writes the answer to `room`; its length, or 0 when there is to be none. */
static size_t udp_answer(struct udp *udp, const struct mmsghdr *request, uint8_t *room)
{
	const uint8_t *data = request->msg_hdr.msg_iov->iov_base;
	size_t longest = (size_t)(udp->amplification * request->msg_len);
	bool amplifies = longest < UDP_LONGEST;
	struct upper_in in = {data, data + request->msg_len};
	struct upper_out out = {room, room + (amplifies ? longest : UDP_LONGEST)};

	switch (talk_answer(
		&udp->talk, true, 0, &in, &out, &udp->counters->counted[COUNT_replies])) {
	case TALK_E_ROOM:
		udp_drop(udp, request, amplifies ? REASON_amplification : REASON_size);
		return 0;
	case TALK_E_INVALID:
		udp_drop(udp, request, REASON_invalid);
		return 0;
	default:
		return (size_t)(out.at - room);
	}
}

/* The kernel fills in more than it accepts: only the address and the interface go back. */
static size_t udp_turn_control(union control *control, size_t length)
{
	struct msghdr message = {.msg_control = control, .msg_controllen = length};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	if (!c)
		return 0;
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo *info = (struct in_pktinfo *)(void *)CMSG_DATA(c);

		info->ipi_addr.s_addr = 0;
		return CMSG_SPACE(sizeof(*info));
	}
	if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
		return CMSG_SPACE(sizeof(struct in6_pktinfo));
	return 0;
}

static void udp_reply(struct udp_batch *b, unsigned from, unsigned to, size_t length)
{
	const struct msghdr *request = &b->received[from].msg_hdr;
	size_t control = udp_turn_control(&b->control[from], request->msg_controllen);

	b->out_span[to].iov_len = length;
	b->replies[to].msg_hdr = (struct msghdr){
		.msg_name = request->msg_name,
		.msg_namelen = request->msg_namelen,
		.msg_iov = &b->out_span[to],
		.msg_iovlen = 1,
		.msg_control = control > 0 ? &b->control[from] : NULL,
		.msg_controllen = control,
	};
}

/* A reply that the system does not take is given up: a datagram may be lost, and the rest go on. */
static void udp_send(struct udp *udp, unsigned n)
{
	struct udp_batch *b = udp->batch;

	for (unsigned done = 0; done < n;) {
		int sent = sendmmsg(udp->fd, b->replies + done, n - done, MSG_DONTWAIT);

		if (sent < 0) {
			udp->counters->reasons[REASON_send]++;
			sent = 1;
		} else {
			for (int i = 0; i < sent; i++)
				udp->counters->counted[COUNT_bytes_out] +=
					b->replies[done + (unsigned)i].msg_len;
		}
		done += (unsigned)sent;
	}
}

/* One batch; how many datagrams it had, or a negative errno. */
static int udp_turn(struct udp *udp)
{
	struct udp_batch *b = udp->batch;
	uint8_t *room = b->out;
	unsigned replies = 0;
	int n;

	n = udp_receive(udp);
	for (int i = 0; i < n; i++) {
		const struct mmsghdr *request = &b->received[i];
		size_t length;

		udp->counters->counted[COUNT_messages]++;
		udp->counters->counted[COUNT_bytes_in] += request->msg_len;
		if (request->msg_len == 0) {
			udp_drop(udp, request, REASON_empty);
			continue;
		}
		length = udp_answer(udp, request, room);
		if (length == 0)
			continue;

		udp_record_message(udp, request);
		b->out_span[replies].iov_base = room;
		udp_reply(b, (unsigned)i, replies++, length);
		room += length;
	}
	udp_send(udp, replies);
	return n;
}

static void udp_on_event(struct source *source, uint32_t events)
{
	udp_turn(container_of(source, struct udp, source));
}

static void udp_on_report(struct timer *timer, uint64_t now_ms)
{
	struct udp *udp = container_of(timer, struct udp, report);
	const uint64_t *now = udp->counters->counted, *then = udp->reported.counted;

	if (now[COUNT_messages] != then[COUNT_messages])
		log_each(EVENT_ACCESS, ABOUT(.listener = udp->name),
			"in the last minute: %llu datagrams, %llu answered, %llu bytes in, %llu "
			"bytes out",
			(unsigned long long)(now[COUNT_messages] - then[COUNT_messages]),
			(unsigned long long)(now[COUNT_replies] - then[COUNT_replies]),
			(unsigned long long)(now[COUNT_bytes_in] - then[COUNT_bytes_in]),
			(unsigned long long)(now[COUNT_bytes_out] - then[COUNT_bytes_out]));
	udp->reported = *udp->counters;
	loop_set_timer(udp->loop, timer, now_ms + REPORT_MS);
}

int udp_open(struct udp *udp)
{
	udp->source.on_event = udp_on_event;
	udp->report.on_time = udp_on_report;
	udp->reported = *udp->counters;
	if (udp->access)
		loop_set_timer(udp->loop, &udp->report, udp->loop->now_ms + REPORT_MS);
	return loop_watch(udp->loop, &udp->source, udp->fd, EPOLLIN);
}

void udp_stop(struct udp *udp)
{
	for (int i = 0; i < SWEEPS; i++)
		if (udp_turn(udp) < BATCH)
			break;
	if (udp->access)
		udp_on_report(&udp->report, udp->loop->now_ms);
	loop_clear_timer(&udp->report);
	loop_unwatch(udp->loop, &udp->source);
	close(take_fd(&udp->fd));
}

void udp_done(struct udp *udp)
{
	loop_clear_timer(&udp->report);
	if (udp->fd >= 0)
		close(udp->fd);
	udp->fd = -1;
}
