/* SPDX-License-Identifier: Apache-2.0 */

/* The connections of a listener together: where they come from, how long each may wait for what, and
 * what is told of them when they end. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/ending.h"
#include "net/stream_inside.h"

#define LINGER_MS 2000
#define QUIET_MS  100
#define LOOKS     8   /* at what a peer has taken, in its time-out */
#define GRACE_MS  500 /* of a handshake: an honest peer is done by then */

struct addr stream_peer(const struct stream *s)
{
	struct addr peer = {.len = sizeof(sa_family_t)};

	if (s->peer.sin6_family == AF_INET)
		peer.len = sizeof(peer.in);
	else if (s->peer.sin6_family == AF_INET6)
		peer.len = sizeof(peer.in6);
	memcpy(&peer.in6, &s->peer, sizeof(s->peer));
	return peer;
}

void stream_record_end(const struct stream *s)
{
	struct stream_class *class = s->class;
	struct addr peer = stream_peer(s);

	ending_record(&(struct ending){
		.listener = class->name,
		.peer = &peer,
		.counters = class->counters,
		.access = class->access,
		.reason = s->reason,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
		.took_ms = class->loop->now_ms - s->opened_ms,
	});
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

int stream_open(struct stream_class *class, struct transport *transport, const struct addr *peer,
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
	s->stage = agree ? STAGE_HANDSHAKE : STAGE_TALK;
	memcpy(&s->peer, &peer->in6, sizeof(s->peer));

	r = loop_watch(class->loop, &s->source, transport->fd,
		EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
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
			.evict = stream_on_evict,
		};
		handshakes_add(class->handshakes, &s->handshake);
		deadline_set_since(&class->handshake, &s->deadline, since_ms);
	} else {
		deadline_set(&class->idle, &s->deadline);
	}
	class->counters->counted[COUNT_connections]++;
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
