/* SPDX-License-Identifier: Apache-2.0 */

/* From the queue of a listening socket to a connection that is let in, and what to do when no more can be had.
 *
 * An accepted socket passes four questions, the cheapest first: does this worker have room, may this client
 * have one more (guard.c), does a proxy speak for it (proxy_wait.c), and only then is a stream made.
 * Whichever says no closes the socket, counts the reason, and owns nothing any more.
 *
 * Room is bounded three times, and each bound has an answer of its own:
 *
 *     a listener's own limit    that listener alone is left alone until a few of its connections have ended
 *     all connections           the connection that is idle longest gives way (displace.c); if none may, all
 *                               listeners are left alone for a while
 *     descriptors               the first connection in the queue is accepted with the reserve and closed, so
 *                               that its client learns of it at once; then all listeners are left alone
 *
 * To leave a listener alone is to stop watching it: clients wait in the queue of the kernel instead of being
 * turned away, and the loop does not spin on a socket that is always ready. A pause is logged once at its
 * beginning and once at its end, and must always have something that ends it: room that is gained, or the
 * retry timer, since room may also come from another worker, of which no event tells. */

#include "net/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define ACCEPTS_A_ROUND 64
#define RETRY_MS        100
#define SOON_MS         10

enum { ACCEPT_E_NONE = 1, ACCEPT_E_FULL, ACCEPT_E_LOST };

static void acceptor_unwatch_all(struct acceptor *acceptor)
{
	list_foreach (node, &acceptor->listeners) {
		struct listener *listener = container_of(node, struct listener, node);

		loop_unwatch(acceptor->loop, &listener->source);
	}
}

/* For as long as another worker takes to make room. */
static void acceptor_rest(struct acceptor *acceptor)
{
	acceptor_unwatch_all(acceptor);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + SOON_MS);
}

static void acceptor_pause(struct acceptor *acceptor, const char *reason, int error)
{
	acceptor_unwatch_all(acceptor);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + RETRY_MS);
	acceptor->probing = false;
	if (acceptor->paused)
		return;
	acceptor->paused = true;
	log_event(EVENT_ACCEPT_PAUSED, ABOUT(.reason = reason, .error = error),
		"%llu connections are open, of %llu%s; accepting pauses",
		(unsigned long long)atomic_load(&acceptor->shared->open),
		(unsigned long long)acceptor->limit,
		acceptor->limit_is_of_files ? " that the limit on open files (LimitNOFILE=, ulimit "
					      "-n) allows; a higher "
					      "one takes a restart"
					    : " that limits.connections allows");
}

static void acceptor_resumed(struct acceptor *acceptor)
{
	acceptor->probing = false;
	if (!acceptor->paused)
		return;
	acceptor->paused = false;
	log_event(EVENT_ACCEPT_RESUMED, ABOUT_NOTHING,
		"%llu connections are open; accepting resumes",
		(unsigned long long)atomic_load(&acceptor->shared->open));
}

/* A little room first, lest every connection that ends be a pause that ends. */
static bool acceptor_has_room(const struct acceptor *acceptor)
{
	return atomic_load(&acceptor->shared->open) < acceptor->limit - acceptor->limit / 16;
}

static void acceptor_probe(struct acceptor *acceptor)
{
	loop_clear_timer(&acceptor->retry);
	acceptor->probing = true;
	list_foreach (node, &acceptor->listeners) {
		struct listener *listener = container_of(node, struct listener, node);

		if (listener->source.dead)
			loop_watch(acceptor->loop, &listener->source, listener->fd, EPOLLIN);
	}
}

static void acceptor_on_retry(struct timer *timer, uint64_t now_ms)
{
	struct acceptor *acceptor = container_of(timer, struct acceptor, retry);

	if (acceptor_has_room(acceptor) ||
		displacer_where(&acceptor->displacer) != DISPLACE_NOWHERE)
		acceptor_probe(acceptor);
	else
		loop_set_timer(acceptor->loop, &acceptor->retry, now_ms + RETRY_MS);
}

void acceptor_gained(struct acceptor *acceptor, const struct allotment *allotment)
{
	allotment_take(acceptor->guard, acceptor->counters, allotment);
	acceptor->counters->open++;
	atomic_fetch_add(&acceptor->shared->open, 1);
}

void acceptor_lost(struct acceptor *acceptor, const struct allotment *allotment)
{
	allotment_return(acceptor->guard, acceptor->counters, allotment);
	shared_lose(acceptor->shared, 1);
	if (--acceptor->counters->open == 0)
		acceptor->on_idle(acceptor);
}

static void listener_on_closed(
	struct stream_class *class, const struct addr *peer, enum reason reason)
{
	struct listener *listener = container_of(class, struct listener, class);
	struct acceptor *acceptor = listener->acceptor;

	guard_judge_end(acceptor->guard, peer, reason, acceptor->loop->now_ms);
	guard_leave(acceptor->guard, acceptor->counters, peer);
	acceptor_lost(acceptor, &listener->allotment);
}

/* The first in the queue learns at once that we are full, rather than never. */
static void listener_turn_away(struct listener *listener)
{
	struct acceptor *acceptor = listener->acceptor;
	int fd;

	if (acceptor->reserve_fd < 0)
		return;
	close(take_fd(&acceptor->reserve_fd));
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		listener->class.counters->reasons[REASON_descriptors]++;
	}
	acceptor->reserve_fd = fcntl(acceptor->loop->epoll_fd, F_DUPFD_CLOEXEC, 0);
}

bool acceptor_admits(struct acceptor *acceptor, struct refusals *refusals, const struct addr *peer)
{
	int reason, would;

	reason = guard_enter(
		acceptor->guard, acceptor->counters, peer, acceptor->loop->now_ms, &would);
	if (reason != GUARD_ANSWER)
		refuse(refusals, (enum reason)reason, peer);
	else if (would != GUARD_ANSWER)
		refuse(refusals, (enum reason)would, peer);
	return reason == GUARD_ANSWER;
}

/* Whether the client may have this connection; if not, it is closed. */
static bool listener_admits(struct listener *listener, int fd, const struct addr *peer)
{
	if (acceptor_admits(listener->acceptor, &listener->refusals, peer))
		return true;
	close(fd);
	acceptor_lost(listener->acceptor, &listener->allotment);
	return false;
}

/* The peer is known, and has been let in. */
static void listener_begin(
	struct listener *listener, int fd, const struct addr *peer, uint64_t since_ms)
{
	struct acceptor *acceptor = listener->acceptor;
	struct transport transport;
	int r;

	r = listener->transport_open(listener->userdata, fd, &transport);
	if (r == 0)
		r = stream_begin(&listener->class, &transport, peer, since_ms);
	if (r < 0) {
		listener->class.counters->reasons[REASON_memory]++;
		guard_leave(acceptor->guard, acceptor->counters, peer);
		acceptor_lost(acceptor, &listener->allotment);
	}
}

/* The client behind a proxy is known only now, and is counted now. */
static void listener_on_ready(
	struct proxy_wait *wait, int fd, const struct addr *peer, bool trusted, uint64_t since_ms)
{
	struct listener *listener = container_of(wait, struct listener, wait);

	if (!trusted || listener_admits(listener, fd, peer))
		listener_begin(listener, fd, peer, since_ms);
}

/* The mistakes of a proxy are not held against it: it speaks for many. */
static void listener_on_refused(
	struct proxy_wait *wait, const struct addr *peer, bool trusted, enum reason reason)
{
	struct listener *listener = container_of(wait, struct listener, wait);
	struct acceptor *acceptor = listener->acceptor;

	refuse(&listener->refusals, reason, peer);
	if (!trusted) {
		guard_judge_end(acceptor->guard, peer, reason, acceptor->loop->now_ms);
		guard_leave(acceptor->guard, acceptor->counters, peer);
	}
	acceptor_lost(acceptor, &listener->allotment);
}

/* A peer that is no proxy is admitted by its address before anything is read from it: a silent client
 * would otherwise have as many connections as it likes. */
static void listener_receive(struct listener *listener, int fd, const struct addr *peer)
{
	const struct proxy_rule *rule = &listener->wait.rule;
	bool trusted = rule->mode != PROXY_OFF && proxy_rule_trusts(rule, peer);

	acceptor_gained(listener->acceptor, &listener->allotment);
	if (!trusted && !listener_admits(listener, fd, peer))
		return;
	if (rule->mode == PROXY_OFF) {
		listener_begin(listener, fd, peer, listener->acceptor->loop->now_ms);
	} else if (rule->mode == PROXY_REQUIRED && !trusted) {
		close(fd);
		listener_on_refused(&listener->wait, peer, trusted, REASON_proxy);
	} else if (proxy_wait_enter(&listener->wait, fd, peer, trusted) < 0) {
		listener_on_refused(&listener->wait, peer, trusted, REASON_memory);
	}
}

/* Leaves this listener alone for a moment; the others go on. */
static void listener_rest(struct listener *listener)
{
	struct acceptor *acceptor = listener->acceptor;

	loop_unwatch(acceptor->loop, &listener->source);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + RETRY_MS);
}

/* Clients wait in the queue until a connection has ended, or a few of them when there are many. */
static bool listener_is_full(struct listener *listener)
{
	uint64_t limit = listener->allotment.limit,
		 most = listener->full ? limit - limit / 16 : limit, open;

	if (limit == 0)
		return false;
	open = allotment_taken(listener->acceptor->guard, &listener->allotment);
	if ((open >= most) != listener->full) {
		listener->full = !listener->full;
		log_event(listener->full ? EVENT_ACCEPT_PAUSED : EVENT_ACCEPT_RESUMED,
			ABOUT(.listener = listener->class.name, .reason = "limit"),
			"%llu connections are open, of %llu; accepting %s",
			(unsigned long long)open, (unsigned long long)limit,
			listener->full ? "pauses" : "resumes");
	}
	return listener->full;
}

/* All connections are in use: whether one of ours can give way; one of another worker is asked to. */
static bool acceptor_makes_room(struct acceptor *acceptor)
{
	struct displacer *displacer = &acceptor->displacer;
	enum displace_where where;

	displacer_look(displacer, acceptor->limit);
	where = displacer_where(displacer);
	if (where == DISPLACE_ELSEWHERE && !displacer_ask(displacer))
		where = displacer_where(displacer);
	if (where == DISPLACE_ELSEWHERE)
		acceptor_rest(acceptor);
	else if (where == DISPLACE_NOWHERE)
		acceptor_pause(acceptor, "limit", 0);
	return where == DISPLACE_HERE;
}

/* `is_awaited`: an event has said so; else there may be no peer that waits, and no connection gives way. */
static int listener_accept(struct listener *listener, bool is_awaited)
{
	struct acceptor *acceptor = listener->acceptor;
	struct handshakes *handshakes = listener->class.handshakes;
	bool is_full = atomic_load(&acceptor->shared->open) >= acceptor->limit;
	struct addr peer = {.len = sizeof(peer) - offsetof(struct addr, sa)};
	int fd;

	if (is_full && !is_awaited)
		return ACCEPT_E_NONE;
	if (is_full && !acceptor_makes_room(acceptor))
		return ACCEPT_E_FULL;
	if (listener_is_full(listener) ||
		(handshakes && !handshakes_make_room(handshakes, acceptor->loop->now_ms))) {
		listener_rest(listener);
		return ACCEPT_E_FULL;
	}
	fd = accept4(listener->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (is_full)
			displacer_displace(&acceptor->displacer);
		listener_receive(listener, fd, &peer);
		return 0;
	}
	switch (errno) {
	case EAGAIN:
		return ACCEPT_E_NONE;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		acceptor_pause(acceptor, reason_name(REASON_descriptors), errno);
		listener_turn_away(listener);
		return ACCEPT_E_FULL;
	default: /* it went away while it waited, or the network to it did */
		return ACCEPT_E_LOST;
	}
}

/* As many as wait, but not more than `most`; those that are gone already do not count. */
static int listener_accept_some(struct listener *listener, unsigned most)
{
	unsigned tries = most < ACCEPTS_A_ROUND ? ACCEPTS_A_ROUND : most, taken = 0, lost = 0;
	int r = 0;

	while (taken < most && taken + lost < tries && (r == 0 || r == ACCEPT_E_LOST)) {
		r = listener_accept(listener, taken + lost == 0);
		taken += r == 0;
		lost += r == ACCEPT_E_LOST;
	}
	if (lost < tries)
		return r;
	/* Not so many peers go away at once: the system refuses, and would go on to. */
	acceptor_pause(listener->acceptor, "lost", errno);
	return ACCEPT_E_FULL;
}

/* Most connections come alone, and to look in vain for another costs a tenth of a short one. So a round accepts one;
 * if the next round has an event again, another waited behind it, and then all that wait are taken. A probe looks
 * behind the first, lest accepting resume and pause again for each. */
static void listener_on_event(struct source *source, uint32_t events)
{
	struct listener *listener = container_of(source, struct listener, source);
	struct acceptor *acceptor = listener->acceptor;
	bool looks = acceptor->probing || acceptor->loop->rounds == listener->round + 1;

	listener->round = acceptor->loop->rounds;
	if (listener_accept_some(listener, looks ? ACCEPTS_A_ROUND : 1) != ACCEPT_E_FULL &&
		acceptor->probing)
		acceptor_resumed(acceptor);
}

int acceptor_init(struct acceptor *acceptor, struct loop *loop)
{
	*acceptor = (struct acceptor){.loop = loop, .retry.on_time = acceptor_on_retry};
	list_init(&acceptor->listeners);

	displacer_init(&acceptor->displacer, loop);
	acceptor->reserve_fd = fcntl(loop->epoll_fd, F_DUPFD_CLOEXEC, 0);
	if (acceptor->reserve_fd < 0)
		return -errno;
	return 0;
}

void acceptor_done(struct acceptor *acceptor)
{
	loop_clear_timer(&acceptor->retry);
	displacer_done(&acceptor->displacer);
	if (acceptor->reserve_fd >= 0)
		close(acceptor->reserve_fd);
}

int acceptor_add(struct acceptor *acceptor, struct listener *listener)
{
	listener->acceptor = acceptor;
	listener->class.on_closed = listener_on_closed;
	listener->source.on_event = listener_on_event;
	listener->wait.on_ready = listener_on_ready;
	listener->wait.on_refused = listener_on_refused;
	listener->refusals = (struct refusals){
		.loop = acceptor->loop,
		.listener = listener->class.name,
		.counters = listener->class.counters,
		.guard = acceptor->guard,
	};
	listener->idle = (struct idle_queue){
		.idle = &listener->class.idle,
		.displace = stream_displace,
	};
	displacer_add(&acceptor->displacer, &listener->idle);
	list_append(&acceptor->listeners, &listener->node);
	return loop_watch(acceptor->loop, &listener->source, listener->fd, EPOLLIN);
}

void acceptor_look(struct acceptor *acceptor)
{
	displacer_look(&acceptor->displacer, acceptor->limit);
}

void acceptor_stop(struct acceptor *acceptor)
{
	loop_clear_timer(&acceptor->retry);
	list_foreach (node, &acceptor->listeners) {
		struct listener *listener = container_of(node, struct listener, node);

		listener_accept_some(listener, listener->backlog);
		loop_unwatch(acceptor->loop, &listener->source);
		list_remove(&listener->node);
		close(take_fd(&listener->fd));
	}
	loop_clear_timer(&acceptor->retry);
}

void listener_cut(struct listener *listener, enum reason reason)
{
	proxy_wait_close_all(&listener->wait, reason);
	stream_close_all(&listener->class, reason);
}

void listener_done(struct listener *listener)
{
	refusals_done(&listener->refusals);
	proxy_wait_done(&listener->wait);
	stream_class_done(&listener->class);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
}
