/* SPDX-License-Identifier: Apache-2.0 */

/* A session of DTLS: one record is one message, and its answer is one record. dtls.c has found the session
 * that a datagram belongs to; here it is fed, answered and ended.
 *
 * A session is shaking hands or talking, and in one queue of deadlines: handshake, or idle. Only records that
 * are authentic keep it alive, since a datagram with the address of a client may come from anywhere. For the
 * same reason a forged one may not end it: what the library refuses is dropped, and the session goes on.
 *
 * Datagrams get lost, so a handshake has a timer of its own: dtls_on_remind() has the library send its last
 * flight again. Handshakes are bounded in number. When there is no room, the oldest that does not get on is
 * evicted for a new client that has been admitted; a client that is turned away comes again by itself.
 *
 * The end of a session is judged by the guard: an unfinished handshake of a client that has shown its cookie
 * counts against it, a failed one does not, since a forged datagram may have caused it. An ended session is
 * freed at the end of the round, as loop.c asks. */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/probe.h"
#include "net/dtls_session.h"
#include "net/stopwatch.h"

#define GRACE_MS  3000 /* an honest handshake is over by then, even if something was lost twice */
#define REMIND_MS 100  /* how often it is seen to what was perhaps lost */

static void session_send(struct datagram_transport *transport, const void *data, size_t len)
{
	struct dtls_session *s = container_of(transport, struct dtls_session, transport);

	if (udp_send_back(s->dtls->socket.fd, &s->way, data, len) < 0)
		s->dtls->counters->reasons[REASON_send]++;
}

/* A forged datagram can make a handshake fail before its end: that is not held against the client. An
 * unfinished one is, since it has shown its cookie; and so is being evicted again and again from a
 * crowd of those that do not finish. */
static void session_judge(const struct dtls_session *s, enum reason reason)
{
	if (s->is_agreed || reason == REASON_handshake || reason == REASON_tls_crowded)
		guard_judge_end(s->dtls->acceptor->guard, &s->way.peer, reason,
			s->dtls->socket.loop->now_ms);
}

void session_end(struct dtls_session *s, enum reason reason)
{
	struct dtls *dtls = s->dtls;
	struct acceptor *acceptor = dtls->acceptor;
	struct connection_end end = {
		.listener = dtls->socket.name,
		.peer = &s->way.peer,
		.counters = dtls->counters,
		.access = dtls->access,
		.reason = reason,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
		.messages = s->messages,
		.took_ms = dtls->socket.loop->now_ms - s->opened_ms,
	};

	if (s->transport.ops->describe)
		end.detail = s->transport.ops->describe(&s->transport, &end.facts);
	connection_end_record(&end);
	if (s->is_agreed)
		s->transport.ops->finish(&s->transport);
	else
		handshakes_remove(dtls->handshakes, &s->shake);
	s->transport.ops->close(&s->transport);
	session_judge(s, reason);
	guard_leave(acceptor->guard, acceptor->counters, &s->way.peer);
	flows_remove(&dtls->flows, &s->flow);
	deadline_clear(&s->deadline);
	list_remove(&s->node);
	free(s);
	acceptor_lost(acceptor, &dtls->allotment);
}

/* The reason that the transport gives comes first. */
static void session_end_as(struct dtls_session *s, int outcome)
{
	if (outcome == TRANSPORT_E_END)
		session_end(s, REASON_done);
	else if (outcome == -ENOMEM)
		session_end(s, REASON_memory);
	else
		session_end(
			s, s->transport.reason != REASON_done ? s->transport.reason : REASON_reset);
}

/* Writes the answer to `room`: GUARD_ANSWER and its length, or the reason why there is to be none. */
static int session_make_answer(
	struct dtls_session *s, const uint8_t *data, size_t len, uint8_t *room, size_t *ret_length)
{
	struct dtls *dtls = s->dtls;
	size_t longest = (size_t)(dtls->amplification * (double)len);
	bool amplifies = longest < DATAGRAM_LONGEST;
	struct upper_in in = {data, data + len};
	struct upper_out out = {room, room + (amplifies ? longest : DATAGRAM_LONGEST)};
	uint64_t messages = 0;

	switch (answerer_answer(&dtls->answerer, true, 0, &in, &out, &messages)) {
	case ANSWERER_E_ROOM:
		return amplifies ? REASON_amplification : REASON_size;
	case ANSWERER_E_INVALID:
		return REASON_invalid;
	default:
		*ret_length = (size_t)(out.at - room);
		return GUARD_ANSWER;
	}
}

/* A message is answered or dropped, and the session goes on either way. */
static int session_answer(struct dtls_session *s, const uint8_t *data, size_t len)
{
	struct dtls *dtls = s->dtls;
	uint8_t *room = dtls->scratch->out;
	uint64_t start = stopwatch_start();
	size_t length = 0;
	int reason, r;

	counter_add(&dtls->counters->counted[COUNT_messages], 1);
	counter_add(&dtls->counters->counted[COUNT_bytes_in], len);
	s->messages++;
	s->bytes_in += len;
	reason = session_make_answer(s, data, len, room, &length);
	if (reason != GUARD_ANSWER)
		refuse(&dtls->refusals, (enum reason)reason, &s->way.peer);
	if (reason != GUARD_ANSWER || length == 0)
		return 0;
	r = s->transport.ops->write(&s->transport, room, length);
	if (r == DATAGRAM_E_LONG) {
		refuse(&dtls->refusals, REASON_size, &s->way.peer);
		return 0;
	}
	if (r != 0)
		return r;
	stopwatch_stop(&dtls->counters->service, start, 1);
	PROBE3(message, dtls->socket.name, len, 1);
	counter_add(&dtls->counters->counted[COUNT_replies], 1);
	counter_add(&dtls->counters->counted[COUNT_bytes_out], length);
	s->bytes_out += length;
	if (dtls->answerer.service->acknowledges)
		log_event(EVENT_MESSAGE, ABOUT(.listener = dtls->socket.name, .peer = &s->way.peer),
			"%zu bytes", len);
	return 0;
}

/* Until the two agree. */
static int session_shake(struct dtls_session *s)
{
	int r;

	if (s->is_agreed)
		return 0;
	r = s->transport.ops->handshake(&s->transport);
	if (r != 0)
		return r;
	s->is_agreed = true;
	handshakes_remove(s->dtls->handshakes, &s->shake);
	handshake_count(s->dtls->counters, &s->transport.agreement);
	stopwatch_stop(&s->dtls->counters->agreement, s->shake.start, 1);
	PROBE2(handshake, s->dtls->socket.name, s->transport.agreement.version);
	deadline_set(&s->dtls->idle, &s->deadline);
	return 0;
}

/* All that the datagram holds. */
static int session_talk(struct dtls_session *s)
{
	struct dtls *dtls = s->dtls;
	size_t n;
	int r;

	r = session_shake(s);
	while (r == 0) {
		r = s->transport.ops->read(&s->transport, dtls->scratch->in, DATAGRAM_LONGEST, &n);
		if (r == 0) {
			deadline_set(&dtls->idle, &s->deadline);
			r = session_answer(s, dtls->scratch->in, n);
		}
	}
	return r;
}

void session_feed(struct dtls_session *s, const uint8_t *data, size_t len)
{
	int r;

	s->transport.in = data;
	s->transport.in_len = len;
	r = session_talk(s);
	s->transport.in = NULL;
	s->dtls->counters->reasons[REASON_dtls_forged] += s->transport.forged;
	s->transport.forged = 0;
	if (r != TRANSPORT_E_WAIT)
		session_end_as(s, r);
	else if (s->is_agreed)
		s->transport.ops->rest(&s->transport);
}

static void session_on_idle(struct deadline *deadline)
{
	session_end(container_of(deadline, struct dtls_session, deadline), REASON_idle);
}

static void session_on_handshake(struct deadline *deadline)
{
	session_end(container_of(deadline, struct dtls_session, deadline), REASON_handshake);
}

/* There are no more than may shake hands, so each is asked. */
static void dtls_on_remind(struct timer *timer, uint64_t now_ms)
{
	struct dtls *dtls = container_of(timer, struct dtls, remind);

	list_foreach (node, &dtls->handshake.queue) {
		struct deadline *deadline = container_of(node, struct deadline, node);
		struct dtls_session *s = container_of(deadline, struct dtls_session, deadline);
		int r = s->transport.ops->remind(&s->transport);

		if (r != 0)
			session_end_as(s, r);
	}
	if (!list_is_empty(&dtls->handshake.queue))
		loop_set_timer(dtls->socket.loop, timer, now_ms + REMIND_MS);
}

static void session_displace(struct deadline *deadline)
{
	session_end(container_of(deadline, struct dtls_session, deadline), REASON_displaced);
}

void sessions_init(struct dtls *dtls, uint64_t idle_ms, uint64_t handshake_ms)
{
	deadlines_init(&dtls->idle, dtls->socket.loop, idle_ms, session_on_idle);
	deadlines_init(&dtls->handshake, dtls->socket.loop, handshake_ms, session_on_handshake);
	dtls->remind.on_time = dtls_on_remind;
	list_init(&dtls->remind.node);
	list_init(&dtls->sessions);
	dtls->idle_queue = (struct idle_queue){.idle = &dtls->idle, .displace = session_displace};
	displacer_add(&dtls->acceptor->displacer, &dtls->idle_queue);
}

static void session_on_evict(struct handshake *shake)
{
	session_end(container_of(shake, struct dtls_session, shake), REASON_tls_crowded);
}

/* Whether there is room for a client that has been let in, or can be made. */
static bool dtls_makes_room(struct dtls *dtls)
{
	struct acceptor *acceptor = dtls->acceptor;
	uint64_t limit = dtls->allotment.limit;

	if (limit > 0 && allotment_taken(acceptor->guard, &dtls->allotment) >= limit)
		return false;
	if (!handshakes_make_room(dtls->handshakes, dtls->socket.loop->now_ms))
		return false;
	if (atomic_load(&acceptor->shared->open) < acceptor->limit)
		return true;
	acceptor_look(acceptor);
	switch (displacer_where(&acceptor->displacer)) {
	case DISPLACE_HERE:
		displacer_displace(&acceptor->displacer);
		return true;
	case DISPLACE_ELSEWHERE: /* and its client comes again by itself */
		displacer_ask(&acceptor->displacer);
		return false;
	case DISPLACE_NOWHERE:
		break;
	}
	return false;
}

/* A client that finds no room comes again by itself. Room is made only for one that is admitted. */
static bool dtls_admits(struct dtls *dtls, const struct addr *peer)
{
	struct acceptor *acceptor = dtls->acceptor;

	if (!acceptor_admits(acceptor, &dtls->refusals, peer))
		return false;
	if (dtls_makes_room(dtls))
		return true;
	guard_leave(acceptor->guard, acceptor->counters, peer);
	refuse(&dtls->refusals, REASON_dtls_full, peer);
	return false;
}

static struct dtls_session *session_new(
	struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello)
{
	struct dtls_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->transport.send = session_send;
	if (dtls->maker.open(dtls->maker.userdata, &s->transport) < 0) {
		free(s);
		return NULL;
	}
	s->dtls = dtls;
	s->flow.key = d->key;
	s->way = *d->arrival;
	s->way.data = NULL;
	s->opened_ms = dtls->socket.loop->now_ms;
	s->shake = (struct handshake){
		.since_ms = s->opened_ms,
		.grace_ms = GRACE_MS,
		.start = stopwatch_start(),
		.evict = session_on_evict,
	};
	memcpy(s->random, hello->random, sizeof(s->random));
	return s;
}

void session_begin(struct dtls *dtls, const struct dtls_datagram *d, const struct hello *hello)
{
	struct acceptor *acceptor = dtls->acceptor;
	struct dtls_session *s;

	if (!dtls_admits(dtls, &d->arrival->peer))
		return;
	s = session_new(dtls, d, hello);
	if (!s) {
		guard_leave(acceptor->guard, acceptor->counters, &d->arrival->peer);
		dtls->counters->reasons[REASON_memory]++;
		return;
	}
	acceptor_gained(acceptor, &dtls->allotment);
	handshakes_add(dtls->handshakes, &s->shake);
	dtls->counters->counted[COUNT_connections]++;
	PROBE2(accept, dtls->socket.name, -1);
	flows_add(&dtls->flows, &s->flow);
	list_append(&dtls->sessions, &s->node);
	deadline_set(&dtls->handshake, &s->deadline);
	if (list_is_empty(&dtls->remind.node))
		loop_set_timer(
			dtls->socket.loop, &dtls->remind, dtls->socket.loop->now_ms + REMIND_MS);
	session_feed(s, d->data, d->len);
}
