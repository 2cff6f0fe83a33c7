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
#include "core/proxy.h"

#define BATCH         32
#define SLOT          65536
#define SWEEPS        64
#define REPORT_MS     60000
#define REPLY_CONTROL CMSG_SPACE(sizeof(struct in6_pktinfo))
#define CONTROL_LENGTH \
	(REPLY_CONTROL + CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)))

_Static_assert(sizeof(struct in6_pktinfo) >= sizeof(struct in_pktinfo), "either fits");

union control {
	struct cmsghdr header; /* aligns */
	char bytes[CONTROL_LENGTH];
};

/* What came with a datagram. */
struct arrival {
	struct addr peer;
	struct datagram_ends ends;
	struct in_pktinfo four; /* its ipi_ifindex is 0 when there is none */
	struct in6_pktinfo six; /* the same */
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

/* An IPv4 datagram has been sent to more than us when the address it was sent to is not the one that
 * an answer would leave from. */
static bool is_broadcast(const struct arrival *arrival)
{
	return arrival->four.ipi_ifindex > 0 &&
		arrival->four.ipi_addr.s_addr != arrival->four.ipi_spec_dst.s_addr;
}

static struct in6_addr destination_of(const struct arrival *arrival)
{
	struct addr four = {.len = sizeof(four.in), .in = {.sin_family = AF_INET}};

	if (arrival->six.ipi6_ifindex > 0)
		return arrival->six.ipi6_addr;
	four.in.sin_addr = arrival->four.ipi_addr;
	return addr_host6(&four);
}

static void udp_overflowed(struct udp *udp, uint32_t overflows)
{
	if (overflows != udp->overflows)
		refuse_many(&udp->refusals, REASON_overflow, overflows - udp->overflows);
	udp->overflows = overflows;
}

/* What the kernel says about a datagram. */
static void udp_read_control(struct udp *udp, const struct msghdr *message, struct arrival *arrival)
{
	uint32_t overflows;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
		c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&arrival->four, CMSG_DATA(c), sizeof(arrival->four));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&arrival->six, CMSG_DATA(c), sizeof(arrival->six));
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&overflows, CMSG_DATA(c), sizeof(overflows));
			udp_overflowed(udp, overflows);
		}
	}
}

static void udp_read_arrival(
	struct udp *udp, const struct msghdr *message, struct arrival *ret_arrival)
{
	struct arrival arrival = {.peer.len = message->msg_namelen};
	struct in6_addr destination;

	memcpy(&arrival.peer.in6, message->msg_name, sizeof(arrival.peer.in6));
	udp_read_control(udp, message, &arrival);
	destination = destination_of(&arrival);
	arrival.ends = guard_ends(&arrival.peer,
		arrival.six.ipi6_ifindex > 0 || arrival.four.ipi_ifindex > 0 ? &destination : NULL,
		is_broadcast(&arrival));
	*ret_arrival = arrival;
}

static void udp_record_message(
	const struct udp *udp, const struct mmsghdr *request, const struct arrival *arrival)
{
	if (udp->talk.service != &service_acknowledge)
		return;
	log_event(EVENT_MESSAGE, ABOUT(.listener = udp->name, .peer = &arrival->peer), "%u bytes",
		request->msg_len);
}

/* An acknowledgement comes back from an upper-casing server in upper case, and is one still. */
static bool is_unchanged(
	const struct udp *udp, const struct mmsghdr *request, const uint8_t *reply, size_t length)
{
	const void *data = request->msg_hdr.msg_iov->iov_base;

	if (length != request->msg_len)
		return false;
	if (udp->talk.service == &service_acknowledge)
		return strncasecmp(data, (const char *)reply, length) == 0;
	return memcmp(data, reply, length) == 0;
}

/* Writes the answer to `room`: GUARD_ANSWER and its length, or the reason why there is to be none. */
static int udp_make_answer(
	struct udp *udp, const struct mmsghdr *request, uint8_t *room, size_t *ret_length)
{
	const uint8_t *data = request->msg_hdr.msg_iov->iov_base;
	size_t longest = (size_t)(udp->amplification * request->msg_len);
	bool amplifies = longest < UDP_LONGEST;
	struct upper_in in = {data, data + request->msg_len};
	struct upper_out out = {room, room + (amplifies ? longest : UDP_LONGEST)};

	uint64_t messages = 0;

	switch (talk_answer(&udp->talk, true, 0, &in, &out, &messages)) {
	case TALK_E_ROOM:
		return amplifies ? REASON_amplification : REASON_size;
	case TALK_E_INVALID:
		return REASON_invalid;
	default:
		*ret_length = (size_t)(out.at - room);
		return GUARD_ANSWER;
	}
}

/* Counts what stands in the way of an answer; whether anything does. */
static bool udp_refuses(struct udp *udp, int reason, const struct arrival *arrival)
{
	if (reason == GUARD_ANSWER)
		return false;
	refuse(&udp->refusals, (enum reason)reason, &arrival->peer);
	return !(udp->guard->limits.dry_run && reason_is_limit((enum reason)reason));
}

/* The header is taken off; whom it names is the peer from now on, and the answer goes to the proxy. */
static void udp_strip(
	struct mmsghdr *request, struct arrival *arrival, const struct proxy_header *header)
{
	struct iovec *span = request->msg_hdr.msg_iov;
	struct in6_addr destination;

	span->iov_base = (uint8_t *)span->iov_base + header->length;
	request->msg_len -= (unsigned)header->length;
	if (!header->has_ends)
		return;
	memcpy(&destination, arrival->ends.destination, sizeof(destination));
	arrival->peer = proxy_peer(header->ends.source, header->ends.source_port);
	arrival->ends = guard_ends(&arrival->peer, &destination, false);
}

/* GUARD_ANSWER, or the reason why this datagram is not taken from this sender. */
static int udp_read_header(struct udp *udp, struct mmsghdr *request, struct arrival *arrival)
{
	bool required = udp->proxy.mode == PROXY_REQUIRED;
	struct proxy_header header;
	int reason, r;

	if (udp->proxy.mode == PROXY_OFF)
		return GUARD_ANSWER;
	reason = guard_judge_ends(udp->guard, &arrival->ends, udp->loop->now_ms);
	if (reason != GUARD_ANSWER)
		return reason;

	r = proxy_parse(
		PROXY_DATAGRAM, request->msg_hdr.msg_iov->iov_base, request->msg_len, &header);
	if (r == PROXY_E_MORE && request->msg_len < PROXY_SIGNATURE)
		r = PROXY_E_NONE;
	if (r == PROXY_E_NONE && !required)
		return GUARD_ANSWER;
	if (r != 0 || !proxy_rule_trusts(&udp->proxy, &arrival->peer))
		return REASON_proxy;
	udp_strip(request, arrival, &header);
	return GUARD_ANSWER;
}

/* The whole judgement: whether there is an answer, which is then in `room`. */
static bool udp_answer(struct udp *udp, const struct mmsghdr *request,
	const struct arrival *arrival, struct iovec *room)
{
	const void *data = request->msg_hdr.msg_iov->iov_base;
	uint64_t now_ms = udp->loop->now_ms;

	if (udp_refuses(udp, guard_judge(udp->guard, &arrival->ends, request->msg_len, now_ms),
		    arrival))
		return false;
	if (udp_refuses(
		    udp, udp_make_answer(udp, request, room->iov_base, &room->iov_len), arrival))
		return false;
	return !udp_refuses(udp,
		guard_judge_answer(udp->guard, &arrival->ends,
			is_unchanged(udp, request, room->iov_base, room->iov_len), data,
			request->msg_len, now_ms),
		arrival);
}

static size_t udp_put_control(union control *control, int level, const void *info, size_t size)
{
	struct msghdr message = {.msg_control = control, .msg_controllen = CONTROL_LENGTH};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = level;
	c->cmsg_type = level == IPPROTO_IP ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), info, size);
	return CMSG_SPACE(size);
}

/* The kernel tells more than it accepts: only the address and the interface go back. */
static size_t udp_turn_control(union control *control, const struct arrival *arrival)
{
	struct in_pktinfo four = arrival->four;

	four.ipi_addr.s_addr = 0;
	if (arrival->six.ipi6_ifindex > 0)
		return udp_put_control(control, IPPROTO_IPV6, &arrival->six, sizeof(arrival->six));
	if (arrival->four.ipi_ifindex > 0)
		return udp_put_control(control, IPPROTO_IP, &four, sizeof(four));
	return 0;
}

static void udp_reply(
	struct udp_batch *b, unsigned from, unsigned to, const struct arrival *arrival)
{
	const struct msghdr *request = &b->received[from].msg_hdr;
	size_t control = udp_turn_control(&b->control[from], arrival);

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
		struct mmsghdr *request = &b->received[i];
		struct iovec *answer = &b->out_span[replies];
		struct arrival arrival;

		udp->counters->counted[COUNT_messages]++;
		udp->counters->counted[COUNT_bytes_in] += request->msg_len;
		udp_read_arrival(udp, &request->msg_hdr, &arrival);
		answer->iov_base = room;
		if (udp_refuses(udp, udp_read_header(udp, request, &arrival), &arrival) ||
			!udp_answer(udp, request, &arrival, answer))
			continue;
		udp->counters->counted[COUNT_replies]++;
		udp_record_message(udp, request, &arrival);
		room += answer->iov_len;
		udp_reply(b, (unsigned)i, replies++, &arrival);
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
	udp->refusals = (struct refusals){
		.loop = udp->loop,
		.listener = udp->name,
		.counters = udp->counters,
		.dry_run = udp->guard->limits.dry_run,
	};
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
	refusals_done(&udp->refusals);
	loop_clear_timer(&udp->report);
	loop_unwatch(udp->loop, &udp->source);
	close(take_fd(&udp->fd));
}

void udp_done(struct udp *udp)
{
	refusals_done(&udp->refusals);
	loop_clear_timer(&udp->report);
	if (udp->fd >= 0)
		close(udp->fd);
	udp->fd = -1;
}
