/* SPDX-License-Identifier: Apache-2.0 */

/* One connection: bytes are read into the scratch buffer of the process, behind what was left over,
 * answered into the other scratch buffer, and written. A connection owns memory only while something
 * waits: `rest` is input whose message is not whole yet, `out` is an answer that its peer has not taken.
 * While there is an `out`, nothing is read: a peer that does not read is not read from.
 *
 * A connection is in one stage, and in one queue of deadlines that fits the stage:
 *
 *     HANDSHAKE  the transport has one to do                          handshake
 *     TALK       reads and answers                                    idle, write, or quiet for a oneshot
 *     FINISH     reads no more; sends what is left, then our end      write
 *     LINGER     all is sent; what still comes is thrown away         linger
 *     CLOSED     waits for the end of the round, which frees it
 *
 * Events are edges. Each one pumps: stream_step() is called until reading or writing has to wait, or a few
 * times, after which the others get their turn and a task goes on. Therefore whatever stops the pump must
 * have an event or a deadline that starts it again.
 *
 * One thing may never happen: that a part of an answer looks whole. While there is an `out`, the kernel is told
 * to reset the connection if it is closed, by us or because this process dies; a connection ends in order
 * only when all that was read is answered and sent.
 *
 * Read from the end: stream_begin(), stream_on_event(), stream_pump(), stream_step(), stream_turn(). */

#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/probe.h"
#include "net/refusals.h"
#include "net/stopwatch.h"

#define STREAM_EVENTS (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)
#define TURNS_A_ROUND 4
#define LINGER_MS     2000
#define QUIET_MS      100
#define LOOKS         8     /* at what a peer has taken, in its time-out */
#define GRACE_MS      500   /* of a handshake: an honest peer is done by then */
#define TRICKLE_MS    60000 /* the grace, or the idle time-out where that is shorter */
#define TRICKLE_RATE  100   /* bytes a second, over all of the message so far */

enum stage {
	STAGE_HANDSHAKE,
	STAGE_ANSWER, /* reading and answering */
	STAGE_FINISH, /* nothing more is read; what is kept is still to be sent */
	STAGE_LINGER, /* all is said; what still comes is thrown away, lest it reset our answer */
	STAGE_CLOSED, /* waits for the loop to reap it */
};

/* Small: there may be many, nearly all idle. The members that every message touches come first. */
struct stream {
	struct source source;
	enum stage stage : 8;
	enum reason reason : 8;
	bool ended : 1;   /* the peer has said that no more will follow */
	bool quiet : 1;   /* a oneshot is over: it was answered, and has said nothing for a while */
	bool blocked : 1; /* the rest waits for room, not for input */
	bool resets : 1;  /* a close would cut an answer, and the kernel knows */
	bool awaits_room : 1; /* events tell when the peer takes more, since a write has once had to wait */
	/* Read again without an event: EOF is queued behind the data, or the kernel stopped at an urgent byte. */
	bool hangup : 1;
	struct transport transport;
	struct stream_class *class;
	struct deadline deadline; /* in the one queue that fits the stage */
	struct buf rest;          /* of the input: it waits for its end, or for room */
	struct buf out;           /* answers that the peer has not taken */
	uint64_t bytes_in, bytes_out, messages;
	struct list node;
	union {
		struct handshake handshake; /* while the stage is that */
		struct {
			uint64_t message_ms; /* when an unfinished message began; 0: none */
			uint64_t taken_ms;   /* when the peer last took something */
			uint64_t progress;   /* transport_progress() then */
		};
	};
	struct task task;
	uint64_t opened_ms;
	struct sockaddr_in6 peer; /* or IPv4, or the family alone */
};

static struct addr stream_peer(const struct stream *s)
{
	struct addr peer = {.len = sizeof(sa_family_t)};

	if (s->peer.sin6_family == AF_INET)
		peer.len = sizeof(peer.in);
	else if (s->peer.sin6_family == AF_INET6)
		peer.len = sizeof(peer.in6);
	memcpy(&peer.in6, &s->peer, sizeof(s->peer));
	return peer;
}

static void stream_record_end(const struct stream *s)
{
	struct stream_class *class = s->class;
	struct addr peer = stream_peer(s);
	struct connection_end end = {
		.listener = class->name,
		.peer = &peer,
		.counters = class->counters,
		.access = class->access,
		.reason = s->reason,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
		.messages = s->messages,
		.took_ms = class->loop->now_ms - s->opened_ms,
	};

	if (s->transport.ops->describe)
		end.detail = s->transport.ops->describe(&s->transport, &end.facts);
	connection_end_record(&end);
}

static void stream_free_task(struct task *task)
{
	struct stream *s = container_of(task, struct stream, task);

	buf_done(&s->rest);
	buf_done(&s->out);
	free(s);
}

/* The kernel is told before the connection ends, so that the death of this process is a reset too. */
static void stream_set_reset(struct stream *s, bool resets)
{
	if (s->resets != resets)
		transport_set_reset(&s->transport, resets);
	s->resets = resets;
}

/* Whether something that was to be answered never will be. */
static bool stream_is_cut(const struct stream *s, enum reason reason)
{
	bool reads_on = s->task.node.next && !list_is_empty(&s->task.node);

	return buf_len(&s->out) > 0 || s->blocked || reads_on || reason == REASON_write ||
		reason == REASON_memory;
}

/* A connection that we end although its peer could go on. */
static bool ends_in_order(enum reason reason)
{
	return reason == REASON_idle || reason == REASON_drain || reason == REASON_displaced;
}

static void stream_close(struct stream *s, enum reason reason)
{
	const struct addr peer = stream_peer(s);

	if (s->stage == STAGE_CLOSED)
		return;
	if (s->reason == REASON_done)
		s->reason = reason;
	if (s->stage == STAGE_ANSWER || s->stage == STAGE_FINISH) {
		if (stream_is_cut(s, reason))
			stream_set_reset(s, true);
		else if (ends_in_order(reason) && !s->transport.ops->ends_by_closing)
			s->transport.ops->finish(&s->transport);
	}
	if (s->stage == STAGE_HANDSHAKE)
		handshakes_remove(s->class->handshakes, &s->handshake);
	s->stage = STAGE_CLOSED;
	stream_record_end(s);

	deadline_clear(&s->deadline);
	list_remove(&s->node);
	loop_forget(&s->source);
	s->transport.ops->close(&s->transport);

	loop_cancel(&s->task);
	s->task.run = stream_free_task;
	loop_defer(s->class->loop, &s->task);
	s->class->on_closed(s->class, &peer, s->reason);
}

/* Why a transport gave up: its own word for it comes first. */
static enum reason stream_reason(const struct stream *s, int outcome)
{
	if (outcome == -ENOMEM)
		return REASON_memory;
	return s->transport.reason != REASON_done ? s->transport.reason : REASON_reset;
}

static bool stream_is_taken(struct stream *s)
{
	uint64_t progress = transport_progress(&s->transport);

	if (progress != s->progress)
		s->taken_ms = s->class->loop->now_ms;
	s->progress = progress;
	return s->class->loop->now_ms - s->taken_ms < s->class->write_ms;
}

/* Waits for a peer that has just taken something, but not all. */
static void stream_wait_for_peer(struct stream *s)
{
	s->progress = transport_progress(&s->transport);
	s->taken_ms = s->class->loop->now_ms;
	deadline_set(&s->class->write, &s->deadline);
}

static bool is_oneshot(const struct stream *s)
{
	return s->class->answerer.frame.framing == UPPER_ONESHOT;
}

/* From now on; a oneshot that has been answered is given less time. */
static void stream_wait_for_input(struct stream *s)
{
	bool hurries = is_oneshot(s) && s->bytes_out > 0;

	deadline_set(hurries ? &s->class->quiet : &s->class->idle, &s->deadline);
}

/* All is sent: says so. A peer that has ended too has nothing left that could come too late. */
static void stream_say_end(struct stream *s)
{
	const struct transport_ops *ops = s->transport.ops;
	int r;

	r = s->ended && ops->ends_by_closing ? 0 : ops->finish(&s->transport);
	if (r == TRANSPORT_E_WAIT) {
		stream_wait_for_peer(s);
		return;
	}
	if (s->ended || r != 0) {
		stream_close(s, r == 0 ? REASON_done : stream_reason(s, r));
		return;
	}
	s->stage = STAGE_LINGER;
	s->progress = transport_progress(&s->transport);
	s->taken_ms = s->class->loop->now_ms;
	deadline_set(&s->class->linger, &s->deadline);
}

/* Stops reading; the rest of the input is dropped, and what is kept for the peer still goes out. */
static void stream_stop_reading(struct stream *s, enum reason reason)
{
	s->reason = reason;
	s->stage = STAGE_FINISH;
	s->blocked = false;
	buf_done(&s->rest);
	if (buf_len(&s->out) == 0)
		stream_say_end(s);
}

/* 0 when all was taken or kept, TRANSPORT_E_GONE, or a negative errno. */
static int stream_write(struct stream *s, const uint8_t *data, size_t len)
{
	size_t n;
	int r;

	while (len > 0) {
		r = s->transport.ops->write(&s->transport, data, len, &n);
		if (r == TRANSPORT_E_WAIT) {
			stream_wait_for_peer(s);
			stream_set_reset(s, true);
			return buf_keep(&s->out, data, len);
		}
		if (r != 0)
			return r;

		s->bytes_out += n;
		counter_add(&s->class->counters->counted[COUNT_bytes_out], n);
		data += n;
		len -= n;
	}
	return 0;
}

/* All that was read is answered, and the answers are sent. */
static void stream_release(struct stream *s)
{
	if (s->transport.held > 0 && buf_len(&s->out) == 0 && !s->blocked)
		transport_release(&s->transport, s->class->scratch->in, s->class->scratch->in_size);
}

/* The same for what was kept before. */
static int stream_flush(struct stream *s)
{
	struct buf *out = &s->out;
	bool has_taken = false;
	size_t n;
	int r;

	while (buf_len(out) > 0) {
		r = s->transport.ops->write(&s->transport, out->data + out->at, buf_len(out), &n);
		if (r == TRANSPORT_E_WAIT)
			break;
		if (r != 0)
			return r;

		s->bytes_out += n;
		counter_add(&s->class->counters->counted[COUNT_bytes_out], n);
		buf_take(out, n);
		has_taken = true;
	}
	if (buf_len(out) == 0) {
		stream_set_reset(s, false);
		stream_release(s);
		stream_wait_for_input(s);
	} else if (has_taken) {
		stream_wait_for_peer(s);
	}
	return 0;
}

/* An acknowledged message is what the service is for: its size and sender are told. */
static void stream_tell_messages(
	const struct stream *s, uint64_t messages, const uint8_t *at, const uint8_t *end)
{
	struct addr peer = stream_peer(s);

	for (; messages > 0; messages--) {
		const uint8_t *line = messages > 1 ? memchr(at, '\n', (size_t)(end - at)) : NULL;
		const uint8_t *next = line ? line + 1 : end;

		log_event(EVENT_MESSAGE, ABOUT(.listener = s->class->name, .peer = &peer),
			"%zu bytes", (size_t)(next - at));
		at = next;
	}
}

static void stream_record_messages(
	struct stream *s, uint64_t messages, const uint8_t *at, const uint8_t *end)
{
	struct stream_class *class = s->class;

	s->messages += messages;
	counter_add(&class->counters->counted[COUNT_messages], messages);
	counter_add(&class->counters->counted[COUNT_replies], messages);
	if (class->answerer.service->acknowledges && messages > 0)
		stream_tell_messages(s, messages, at, end);
}

/* A oneshot is one message, however many pieces it comes in, and is acknowledged once. */
static bool stream_has_acknowledged(const struct stream *s)
{
	return is_oneshot(s) && s->class->answerer.service->acknowledges &&
		(s->bytes_out > 0 || buf_len(&s->out) > 0);
}

/* Answers what is in the span, as far as the peer takes it; the rest is kept. */
static int stream_answer(struct stream *s, struct upper_in *in, size_t seen)
{
	struct stream_class *class = s->class;
	struct scratch *scratch = class->scratch;
	int outcome, r;

	if (stream_has_acknowledged(s)) {
		in->at = in->end;
		return 0;
	}
	do {
		struct upper_out out = {scratch->out, scratch->out + scratch->out_size};
		const uint8_t *from = in->at;
		uint64_t messages = 0;

		outcome = answerer_answer(
			&class->answerer, s->ended || s->quiet, seen, in, &out, &messages);
		stream_record_messages(s, messages, from, in->at);
		r = stream_write(s, scratch->out, (size_t)(out.at - scratch->out));
		if (r != 0)
			return r;
		seen = 0;
	} while (outcome == ANSWERER_E_ROOM && buf_len(&s->out) == 0);

	switch (outcome) {
	case ANSWERER_E_OVER:
		stream_stop_reading(s, REASON_done);
		return 0;
	case ANSWERER_E_TOO_LONG:
		stream_stop_reading(s, REASON_line);
		return 0;
	case ANSWERER_E_INVALID:
		stream_stop_reading(s, REASON_invalid);
		return 0;
	default:
		s->blocked = outcome == ANSWERER_E_ROOM;
		return buf_keep(&s->rest, in->at, (size_t)(in->end - in->at));
	}
}

/* Puts what was left over in front of the scratch buffer; returns its length. */
static size_t stream_fetch_rest(struct stream *s)
{
	size_t len = buf_len(&s->rest);

	if (len > 0)
		memcpy(s->class->scratch->in, s->rest.data + s->rest.at, len);
	buf_done(&s->rest);
	return len;
}

/* A peer may send a message a few bytes at a time, so that it never ends and is never idle either. One that
 * takes longer than the grace must come at TRICKLE_RATE or faster. */
static void stream_end_if_trickling(struct stream *s, bool answered)
{
	uint64_t now_ms = s->class->loop->now_ms, took_ms;
	size_t waits = buf_len(&s->rest);

	if (waits == 0 || answered || s->message_ms == 0) {
		s->message_ms = waits > 0 ? now_ms : 0;
		return;
	}
	took_ms = now_ms - s->message_ms;
	if (took_ms > s->class->trickle_ms && waits * 1000 / took_ms < TRICKLE_RATE)
		stream_stop_reading(s, REASON_trickle);
}

/* Reads once and answers. 0: there may be more; TRANSPORT_E_WAIT: there is not. */
static int stream_turn(struct stream *s)
{
	struct scratch *scratch = s->class->scratch;
	size_t had = stream_fetch_rest(s), n = 0;
	bool was_blocked = s->blocked, reads = !was_blocked && !s->ended;
	struct listener_counters *counters = s->class->counters;
	uint64_t replies = counters->counted[COUNT_replies], start;
	struct upper_in in;
	int r;

	if (reads) {
		r = s->transport.ops->read(
			&s->transport, scratch->in + had, scratch->in_size - had, &n);
		if (r == TRANSPORT_E_END)
			s->ended = true;
		else if (r == TRANSPORT_E_WAIT)
			return buf_keep(&s->rest, scratch->in, had) < 0 ? -ENOMEM : r;
		else if (r != 0)
			return r;
	}
	s->bytes_in += n;
	counter_add(&s->class->counters->counted[COUNT_bytes_in], n);
	s->blocked = false;
	in = (struct upper_in){scratch->in, scratch->in + had + n};
	start = stopwatch_start();
	r = stream_answer(s, &in, was_blocked ? 0 : had);
	stopwatch_stop(&counters->service, start, counters->counted[COUNT_replies] - replies);
	PROBE3(message, s->class->name, n, counters->counted[COUNT_replies] - replies);
	if (r != 0)
		return r;
	if (reads && s->stage == STAGE_ANSWER && buf_len(&s->out) == 0)
		stream_wait_for_input(s);
	if (!s->blocked)
		stream_end_if_trickling(s, in.at > scratch->in);
	stream_release(s);
	if (s->ended && s->stage == STAGE_ANSWER && !s->blocked)
		stream_stop_reading(s, REASON_done);
	else if (reads && s->transport.drained && !s->hangup && !s->blocked)
		return TRANSPORT_E_WAIT; /* without a read, the event may be spent already */
	return 0;
}

static void stream_hang_up(struct stream *s)
{
	struct upper_in in = {s->class->scratch->in, s->class->scratch->in + stream_fetch_rest(s)};
	int r;

	s->quiet = true;
	r = stream_answer(s, &in, 0);
	if (r != 0)
		stream_close(s, stream_reason(s, r));
	else if (s->stage == STAGE_ANSWER)
		stream_stop_reading(s, REASON_done);
}

static int stream_discard(struct stream *s)
{
	size_t n;
	int r;

	r = s->transport.ops->read(
		&s->transport, s->class->scratch->in, s->class->scratch->in_size, &n);
	if (r == 0)
		stream_release(s);
	if (r == TRANSPORT_E_END)
		stream_close(s, REASON_done);
	return r == TRANSPORT_E_END ? 0 : r;
}

static int stream_handshake(struct stream *s)
{
	int r;

	r = s->transport.ops->handshake(&s->transport, &s->task);
	if (r != 0)
		return r;
	handshakes_remove(s->class->handshakes, &s->handshake);
	handshake_count(s->class->counters, &s->transport.agreement);
	stopwatch_stop(&s->class->counters->agreement, s->handshake.start, 1);
	PROBE2(handshake, s->class->name, s->transport.agreement.version);
	s->stage = STAGE_ANSWER;
	s->message_ms = 0;
	deadline_set(&s->class->idle, &s->deadline);
	return s->transport.drained && !s->hangup ? TRANSPORT_E_WAIT : 0;
}

/* One step of whatever the stage asks for; the outcomes are those of a transport. */
static int stream_step(struct stream *s)
{
	int r;

	if (buf_len(&s->out) > 0) {
		r = stream_flush(s);
		if (r != 0)
			return r;
		if (buf_len(&s->out) > 0)
			return TRANSPORT_E_WAIT;
	}
	switch (s->stage) {
	case STAGE_HANDSHAKE:
		return stream_handshake(s);
	case STAGE_ANSWER:
		return stream_turn(s);
	case STAGE_FINISH:
		stream_say_end(s);
		return s->stage == STAGE_FINISH ? TRANSPORT_E_WAIT : 0;
	case STAGE_LINGER:
		return stream_discard(s);
	case STAGE_CLOSED:
		break;
	}
	return TRANSPORT_E_WAIT;
}

/* Events of room are asked for from the first write that had to wait; most connections never have one. */
static int stream_await_room(struct stream *s)
{
	bool waits = buf_len(&s->out) > 0 || s->transport.wants_room;

	if (!waits || s->awaits_room)
		return 0;
	s->awaits_room = true;
	return loop_change(s->class->loop, &s->source, STREAM_EVENTS | EPOLLOUT);
}

static void stream_pump(struct stream *s)
{
	int r;

	for (int turn = 0; turn < TURNS_A_ROUND; turn++) {
		r = stream_step(s);
		if (s->stage == STAGE_CLOSED)
			return;
		if (r == TRANSPORT_E_WAIT) {
			if (stream_await_room(s) < 0)
				stream_close(s, REASON_memory);
			return;
		}
		if (r != 0) {
			stream_close(s, stream_reason(s, r));
			return;
		}
	}
	loop_defer(s->class->loop, &s->task);
}

static void stream_pump_task(struct task *task)
{
	stream_pump(container_of(task, struct stream, task));
}

static void stream_on_event(struct source *source, uint32_t events)
{
	struct stream *s = container_of(source, struct stream, source);

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		s->hangup = true;
	stream_pump(s);
}

static void stream_on_idle(struct deadline *deadline)
{
	stream_close(container_of(deadline, struct stream, deadline), REASON_idle);
}

void stream_displace(struct deadline *deadline)
{
	stream_close(container_of(deadline, struct stream, deadline), REASON_displaced);
}

static void stream_on_quiet(struct deadline *deadline)
{
	stream_hang_up(container_of(deadline, struct stream, deadline));
}

static void stream_on_write(struct deadline *deadline)
{
	struct stream *s = container_of(deadline, struct stream, deadline);

	if (stream_is_taken(s))
		deadline_set(&s->class->write, deadline);
	else
		stream_close(s, REASON_write);
}

static void stream_on_handshake(struct deadline *deadline)
{
	stream_close(container_of(deadline, struct stream, deadline), REASON_handshake);
}

static void stream_on_evict(struct handshake *handshake)
{
	stream_close(container_of(handshake, struct stream, handshake), REASON_tls_crowded);
}

/* It has been sent everything; that it does not hang up is no fault. While it still takes what the kernel
 * holds of that, a close would cut it off: the kernel answers what comes after a close with a reset. */
static void stream_on_linger(struct deadline *deadline)
{
	struct stream *s = container_of(deadline, struct stream, deadline);
	uint64_t before = s->progress;

	if (stream_is_taken(s) && s->progress != before)
		deadline_set(&s->class->linger, deadline);
	else
		stream_close(s, REASON_done);
}

int stream_begin(struct stream_class *class, struct transport *transport, const struct addr *peer,
	uint64_t since_ms)
{
	bool agree = transport->ops->handshake != NULL;
	struct stream *s;
	int r;

	s = calloc(1, sizeof(*s));
	if (!s) {
		transport->ops->close(transport);
		return -ENOMEM;
	}
	s->transport = *transport;
	s->transport.is_local = peer->sa.sa_family == AF_UNIX;
	s->class = class;
	s->source.on_event = stream_on_event;
	s->task.run = stream_pump_task;
	s->opened_ms = since_ms;
	s->stage = agree ? STAGE_HANDSHAKE : STAGE_ANSWER;
	memcpy(&s->peer, &peer->in6, sizeof(s->peer));

	r = loop_watch(class->loop, &s->source, transport->fd, STREAM_EVENTS);
	if (r < 0) {
		s->transport.ops->close(&s->transport);
		free(s);
		return r;
	}
	list_append(&class->streams, &s->node);
	if (agree) {
		s->handshake = (struct handshake){
			.since_ms = since_ms,
			.grace_ms = GRACE_MS,
			.start = stopwatch_start(),
			.evict = stream_on_evict,
		};
		handshakes_add(class->handshakes, &s->handshake);
		deadline_set_since(&class->handshake, &s->deadline, since_ms);
	} else {
		deadline_set(&class->idle, &s->deadline);
	}
	class->counters->counted[COUNT_connections]++;
	PROBE2(accept, class->name, s->transport.fd);
	return 0;
}

void stream_close_all(struct stream_class *class, enum reason reason)
{
	list_foreach (node, &class->streams)
		stream_close(container_of(node, struct stream, node), reason);
}

void stream_class_init(struct stream_class *class, const struct stream_timeouts *timeouts)
{
	struct loop *loop = class->loop;

	class->trickle_ms = timeouts->idle_ms < TRICKLE_MS ? timeouts->idle_ms : TRICKLE_MS;
	deadlines_init(&class->idle, loop, timeouts->idle_ms, stream_on_idle);
	class->write_ms = timeouts->write_ms;
	deadlines_init(
		&class->write, loop, (timeouts->write_ms + LOOKS - 1) / LOOKS, stream_on_write);
	deadlines_init(&class->handshake, loop, timeouts->handshake_ms, stream_on_handshake);
	deadlines_init(&class->linger, loop, LINGER_MS, stream_on_linger);
	deadlines_init(&class->quiet, loop, QUIET_MS, stream_on_quiet);
	list_init(&class->streams);
}

void stream_class_done(struct stream_class *class)
{
	deadlines_done(&class->idle);
	deadlines_done(&class->write);
	deadlines_done(&class->handshake);
	deadlines_done(&class->linger);
	deadlines_done(&class->quiet);
}
