/* SPDX-License-Identifier: Apache-2.0 */

/* Each datagram is one message: it is answered with one datagram, or not at all. A batch is received, judged
 * and answered before the next one; no state is kept between batches but counters.
 *
 * The way of a datagram:
 *
 *     udp_receive_batch        a batch from the kernel, see udp_batch.c
 *     answer_arrival           what came as one, by segmentation: several datagrams of one sender
 *     convert_whole_arrival    all of them in one conversion, where each byte has an answer of its own
 *     answer_each_datagram     otherwise one by one
 *     read_proxy_header        where listeners have proxies: the header names the client
 *     udp_admits               the guard: what is never answered, and how often a client is answered
 *     make_answer              the service
 *     udp_lets_go              the guard again: an answer that equals its request may be one side of a loop
 *     udp_batch_reply          into the batch that goes out
 *
 * What may never happen: two answers to one datagram, an answer longer than `amplification` allows, a part of
 * an answer, an error text, or an answer from another address than the one that was asked. A datagram that is
 * not answered is counted under its reason. */

#include "net/udp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/probe.h"
#include "core/proxy.h"
#include "net/stopwatch.h"
#include "net/udp_batch.h"

#define SWEEPS    64
#define REPORT_MS 60000

/* One message and its sender. */
struct datagram {
	const uint8_t *data;
	size_t len;
	const struct addr *peer;
	struct guard_sender *sender;
};

/* The client that a PROXY header names in place of the sender. */
struct named {
	struct addr peer;
	struct guard_sender sender;
};

/* Nothing is told before the first is lost. */
static void udp_overflowed(struct udp *udp, uint32_t overflows)
{
	if (overflows == 0 || overflows == udp->overflows)
		return;
	refuse_many(&udp->refusals, REASON_overflow, overflows - udp->overflows);
	udp->overflows = overflows;
}

static void udp_record_message(const struct udp *udp, const struct datagram *request)
{
	if (!udp->answerer.service->acknowledges)
		return;
	log_event(EVENT_MESSAGE, ABOUT(.listener = udp->socket.name, .peer = request->peer),
		"%zu bytes", request->len);
}

/* An acknowledgement comes back from an upper-casing server in upper case, and is one still. */
static bool is_unchanged(
	const struct udp *udp, const struct datagram *request, const uint8_t *reply, size_t length)
{
	if (length != request->len)
		return false;
	if (udp->answerer.service->acknowledges)
		return strncasecmp((const char *)request->data, (const char *)reply, length) == 0;
	return request->data[0] == reply[0] && memcmp(request->data, reply, length) == 0;
}

/* Writes the answer to `room`: GUARD_ANSWER and its length, or the reason why there is to be none. A
 * datagram is one message, so there is no frame to look for. */
static int make_answer(
	struct udp *udp, const struct datagram *request, uint8_t *room, size_t *ret_length)
{
	size_t longest = (size_t)(udp->amplification * (double)request->len);
	bool amplifies = longest < UDP_LONGEST;
	struct upper_in in = {request->data, request->data + request->len};
	struct upper_out out = {room, room + (amplifies ? longest : UDP_LONGEST)};

	switch (udp->answerer.service->answer(&udp->answerer.rule, true, &in, &out)) {
	case UPPER_E_ROOM:
		return amplifies ? REASON_amplification : REASON_size;
	case UPPER_E_INVALID:
		return REASON_invalid;
	default:
		*ret_length = (size_t)(out.at - room);
		return GUARD_ANSWER;
	}
}

/* Counts what stands in the way of an answer; whether anything does. */
static bool udp_refuses(struct udp *udp, int reason, const struct datagram *request)
{
	if (reason == GUARD_ANSWER)
		return false;
	refuse(&udp->refusals, (enum reason)reason, request->peer);
	return !(udp->guard->limits.dry_run && reason_is_limit((enum reason)reason));
}

/* From here on the client that the header names is the peer; the answer still goes to the proxy. */
static void strip_proxy_header(const struct udp *udp, struct datagram *request,
	const struct proxy_header *header, struct named *named)
{
	struct in6_addr destination;
	struct datagram_ends ends;

	request->data += header->length;
	request->len -= header->length;
	if (!header->has_ends)
		return;
	memcpy(&destination, request->sender->ends.destination, sizeof(destination));
	named->peer = proxy_peer(header->ends.source, header->ends.source_port);
	ends = guard_ends(&named->peer, &destination, false);
	named->sender = guard_sender(udp->guard, &ends, udp->socket.loop->now_ms);
	request->peer = &named->peer;
	request->sender = &named->sender;
}

/* GUARD_ANSWER, or the reason why this datagram is not taken from this sender. */
static int read_proxy_header(struct udp *udp, struct datagram *request, struct named *named)
{
	bool required = udp->proxy.mode == PROXY_REQUIRED;
	struct proxy_header header;
	int r;

	if (request->sender->reason != GUARD_ANSWER)
		return request->sender->reason;

	r = proxy_parse(PROXY_DATAGRAM, request->data, request->len, &header);
	if (r == PROXY_E_MORE && request->len < PROXY_SIGNATURE)
		r = PROXY_E_NONE;
	if (r == PROXY_E_NONE && !required)
		return GUARD_ANSWER;
	if (r != 0 || !proxy_rule_trusts(&udp->proxy, request->peer))
		return REASON_proxy;
	strip_proxy_header(udp, request, &header, named);
	return GUARD_ANSWER;
}

/* Whether the datagram is to be answered at all. */
static bool udp_admits(struct udp *udp, const struct datagram *request)
{
	return !udp_refuses(udp,
		guard_judge(udp->guard, request->sender, request->len, udp->socket.loop->now_ms),
		request);
}

/* Whether that answer may go out. */
static bool udp_lets_go(
	struct udp *udp, const struct datagram *request, const uint8_t *reply, size_t length)
{
	int reason;

	if (!is_unchanged(udp, request, reply, length))
		return true;
	reason = guard_count_unchanged(
		udp->guard, request->sender, request->data, request->len, udp->socket.loop->now_ms);
	return !udp_refuses(udp, reason, request);
}

static void answer_datagram(struct udp *udp, const struct udp_arrival *arrival,
	const struct datagram *request, struct udp_sent *sent)
{
	uint8_t *room = udp_batch_make_room(udp->batch, udp->socket.fd, sent);
	size_t length = 0;

	if (!udp_admits(udp, request) ||
		udp_refuses(udp, make_answer(udp, request, room, &length), request) ||
		length == 0 || !udp_lets_go(udp, request, room, length))
		return;
	counter_add(&udp->counters->counted[COUNT_replies], 1);
	udp_record_message(udp, request);
	udp_batch_reply(udp->batch, arrival, room, length, length);
}

static void answer_proxied_datagram(struct udp *udp, const struct udp_arrival *arrival,
	struct datagram *request, struct udp_sent *sent)
{
	struct named named;

	if (!udp_refuses(udp, read_proxy_header(udp, request, &named), request))
		answer_datagram(udp, arrival, request, sent);
}

/* The datagram of an arrival that begins there. */
static struct datagram datagram_at(
	const struct udp_arrival *arrival, size_t at, struct guard_sender *sender)
{
	size_t left = arrival->len - at;

	return (struct datagram){
		.data = arrival->data + at,
		.len = left < arrival->segment ? left : arrival->segment,
		.peer = &arrival->peer,
		.sender = sender,
	};
}

/* The answers to all that came at once, one behind the other, where that comes to the same; or NULL. */
static uint8_t *convert_whole_arrival(struct udp *udp, const struct udp_arrival *arrival,
	const struct guard_sender *sender, struct udp_sent *sent)
{
	const struct service *service = udp->answerer.service;
	struct upper_in in = {arrival->data, arrival->data + arrival->len};
	struct upper_out out;
	uint8_t *room;

	if (arrival->len <= arrival->segment || arrival->segment > UDP_LONGEST_SEGMENT ||
		sender->reason != GUARD_ANSWER || udp->proxy.mode != PROXY_OFF ||
		!service->is_bytewise || !service->is_bytewise(arrival->data, arrival->len))
		return NULL;
	room = udp_batch_make_room(udp->batch, udp->socket.fd, sent);
	out = (struct upper_out){room, room + arrival->len};
	return service->answer(&udp->answerer.rule, true, &in, &out) == 0 ? room : NULL;
}

/* Answers that stand one behind the other, without a gap. */
static void reply_run(struct udp *udp, const struct udp_arrival *arrival, uint8_t *answers,
	size_t length, struct udp_sent *sent)
{
	if (length == 0)
		return;
	udp_batch_make_room(udp->batch, udp->socket.fd, sent);
	counter_add(&udp->counters->counted[COUNT_replies],
		(length + arrival->segment - 1) / arrival->segment);
	udp_batch_reply(udp->batch, arrival, answers, length, arrival->segment);
}

static void answer_whole_arrival(struct udp *udp, const struct udp_arrival *arrival,
	struct guard_sender *sender, uint8_t *answers, struct udp_sent *sent)
{
	size_t begin = 0, next;

	for (size_t at = 0; at < arrival->len; at = next) {
		const struct datagram request = datagram_at(arrival, at, sender);

		next = at + request.len;
		if (udp_admits(udp, &request) &&
			udp_lets_go(udp, &request, answers + at, request.len))
			continue;
		reply_run(udp, arrival, answers + begin, at - begin, sent);
		begin = next;
	}
	reply_run(udp, arrival, answers + begin, arrival->len - begin, sent);
}

/* One that is empty is one too. */
static void answer_each_datagram(struct udp *udp, const struct udp_arrival *arrival,
	struct guard_sender *sender, struct udp_sent *sent)
{
	size_t at = 0;

	do {
		struct datagram request = datagram_at(arrival, at, sender);

		at += request.len;
		if (udp->proxy.mode == PROXY_OFF)
			answer_datagram(udp, arrival, &request, sent);
		else
			answer_proxied_datagram(udp, arrival, &request, sent);
	} while (at < arrival->len);
}

/* An arrival may hold several datagrams, all of one sender. */
static void answer_arrival(
	struct udp *udp, const struct udp_arrival *arrival, struct udp_sent *sent)
{
	const struct datagram_ends ends = udp_arrival_ends(arrival);
	struct guard_sender sender = guard_sender(udp->guard, &ends, udp->socket.loop->now_ms);
	uint8_t *answers = convert_whole_arrival(udp, arrival, &sender, sent);

	udp_overflowed(udp, arrival->overflows);
	counter_add(&udp->counters->counted[COUNT_messages],
		arrival->len == 0 ? 1 : (arrival->len + arrival->segment - 1) / arrival->segment);
	counter_add(&udp->counters->counted[COUNT_bytes_in], arrival->len);
	if (answers)
		answer_whole_arrival(udp, arrival, &sender, answers, sent);
	else
		answer_each_datagram(udp, arrival, &sender, sent);
}

/* One batch; how many arrivals it had, or a negative errno. */
static int udp_receive_batch(struct datagram_socket *socket)
{
	struct udp *udp = container_of(socket, struct udp, socket);
	uint64_t *replies = &udp->counters->counted[COUNT_replies], had = *replies, start;
	struct udp_sent sent = {0};
	int n;

	n = udp_batch_receive(udp->batch, udp->socket.fd);
	start = n > 0 ? stopwatch_start() : 0;
	for (int i = 0; i < n; i++)
		answer_arrival(udp, udp_batch_arrival(udp->batch, (unsigned)i), &sent);
	udp_batch_send(udp->batch, udp->socket.fd, &sent);
	stopwatch_stop(&udp->counters->service, start, *replies - had);
	PROBE3(message, udp->socket.name, sent.bytes, *replies - had);
	counter_add(&udp->counters->counted[COUNT_bytes_out], sent.bytes);
	udp->counters->reasons[REASON_send] += sent.failed;
	return n;
}

static void udp_on_report(struct timer *timer, uint64_t now_ms)
{
	struct udp *udp = container_of(timer, struct udp, report);
	const uint64_t *now = udp->counters->counted, *then = udp->reported.counted;

	if (now[COUNT_messages] != then[COUNT_messages]) {
		struct log_facts facts = {0};

		log_fact_set(&facts, bytes_in, now[COUNT_bytes_in] - then[COUNT_bytes_in]);
		log_fact_set(&facts, bytes_out, now[COUNT_bytes_out] - then[COUNT_bytes_out]);
		log_fact_set(&facts, messages, now[COUNT_messages] - then[COUNT_messages]);
		log_fact_set(&facts, replies, now[COUNT_replies] - then[COUNT_replies]);
		log_each(EVENT_ACCESS, ABOUT(.listener = udp->socket.name, .facts = &facts),
			"datagrams of the last minute");
	}
	udp->reported = *udp->counters;
	loop_set_timer(udp->socket.loop, timer, now_ms + REPORT_MS);
}

int udp_open(struct udp *udp)
{
	datagram_socket_init(&udp->socket, udp_receive_batch);
	udp->report.on_time = udp_on_report;
	udp->reported = *udp->counters;
	udp->refusals = (struct refusals){
		.loop = udp->socket.loop,
		.listener = udp->socket.name,
		.counters = udp->counters,
		.guard = udp->guard,
	};
	if (udp->access)
		loop_set_timer(
			udp->socket.loop, &udp->report, udp->socket.loop->now_ms + REPORT_MS);
	return datagram_socket_watch(&udp->socket);
}

void udp_stop(struct udp *udp)
{
	for (int i = 0; i < SWEEPS; i++)
		if (udp_receive_batch(&udp->socket) < UDP_BATCH)
			break;
	if (udp->access)
		udp_on_report(&udp->report, udp->socket.loop->now_ms);
	refusals_done(&udp->refusals);
	loop_clear_timer(&udp->report);
	datagram_socket_unwatch(&udp->socket);
	datagram_socket_close(&udp->socket);
}

void udp_done(struct udp *udp)
{
	refusals_done(&udp->refusals);
	loop_clear_timer(&udp->report);
	datagram_socket_close(&udp->socket);
}
