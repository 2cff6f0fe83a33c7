/* SPDX-License-Identifier: Apache-2.0 */

/* Accepting, and what to do when no more can be had: the doors are left alone for a while, so that
 * nobody is turned away who could be served a moment later, and the loop does not spin. The one who
 * stood first when the descriptors ran out is let in and out again with the reserve. */

#include "net/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "net/admit.h"

#define ACCEPTS_A_ROUND 64
#define RETRY_MS        100
#define SOON_MS         10

enum { ACCEPT_E_NONE = 1, ACCEPT_E_FULL, ACCEPT_E_LOST };

static void acceptor_leave_doors(struct acceptor *acceptor)
{
	list_foreach (node, &acceptor->doors) {
		struct door *door = container_of(node, struct door, node);

		loop_unwatch(acceptor->loop, &door->source);
	}
}

/* For as long as another worker takes to make room. */
static void acceptor_rest(struct acceptor *acceptor)
{
	acceptor_leave_doors(acceptor);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + SOON_MS);
}

static void acceptor_pause(struct acceptor *acceptor, const char *reason, int error)
{
	acceptor_leave_doors(acceptor);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + RETRY_MS);
	acceptor->probing = false;
	if (acceptor->paused)
		return;
	acceptor->paused = true;
	log_event(EVENT_ACCEPT_PAUSED, ABOUT(.reason = reason, .error = error),
		"%llu connections are open, of %llu; accepting pauses",
		(unsigned long long)atomic_load(&acceptor->shared->open),
		(unsigned long long)acceptor->limit);
}

static void acceptor_resumed(struct acceptor *acceptor)
{
	acceptor->probing = false;
	if (!acceptor->paused)
		return;
	acceptor->paused = false;
	log_event(EVENT_ACCEPT_RESUMED, ABOUT_NOTHING,
		"%llu connections are open; accepting goes on",
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
	list_foreach (node, &acceptor->doors) {
		struct door *door = container_of(node, struct door, node);

		if (door->source.dead)
			loop_watch(acceptor->loop, &door->source, door->fd, EPOLLIN);
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

static void door_on_closed(struct stream_class *class, const struct addr *peer, enum reason reason)
{
	struct door *door = container_of(class, struct door, class);
	struct acceptor *acceptor = door->acceptor;

	admit_judge_end(acceptor->guard, peer, reason, acceptor->loop->now_ms);
	admit_leave(acceptor->guard, acceptor->counters, peer);
	acceptor_lost(acceptor, &door->allotment);
}

/* The first in the queue learns at once that we are full, rather than never. */
static void door_turn_away(struct door *door)
{
	struct acceptor *acceptor = door->acceptor;
	int fd;

	if (acceptor->reserve_fd < 0)
		return;
	close(take_fd(&acceptor->reserve_fd));
	fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		door->class.counters->reasons[REASON_descriptors]++;
	}
	acceptor->reserve_fd = fcntl(acceptor->loop->epoll_fd, F_DUPFD_CLOEXEC, 0);
}

/* Whether its client may have one more; if not, that is the end of it. */
static bool door_lets_in(struct door *door, int fd, const struct addr *peer)
{
	struct acceptor *acceptor = door->acceptor;
	int reason, would;

	reason = admit_enter(
		acceptor->guard, acceptor->counters, peer, acceptor->loop->now_ms, &would);
	if (reason != GUARD_ANSWER)
		refuse(&door->refusals, (enum reason)reason, peer);
	else if (would != GUARD_ANSWER)
		refuse(&door->refusals, (enum reason)would, peer);
	if (reason == GUARD_ANSWER)
		return true;
	close(fd);
	acceptor_lost(acceptor, &door->allotment);
	return false;
}

/* The peer is known, and has been let in. */
static void door_begin(struct door *door, int fd, const struct addr *peer, uint64_t since_ms)
{
	struct acceptor *acceptor = door->acceptor;
	struct transport transport;
	int r;

	r = door->transport_open(door->userdata, fd, &transport);
	if (r == 0)
		r = stream_open(&door->class, &transport, peer, since_ms);
	if (r < 0) {
		door->class.counters->reasons[REASON_memory]++;
		admit_leave(acceptor->guard, acceptor->counters, peer);
		acceptor_lost(acceptor, &door->allotment);
	}
}

/* Who came by a proxy has a name only now, and is counted under it. */
static void door_on_ready(
	struct lobby *lobby, int fd, const struct addr *peer, bool trusted, uint64_t since_ms)
{
	struct door *door = container_of(lobby, struct door, lobby);

	if (!trusted || door_lets_in(door, fd, peer))
		door_begin(door, fd, peer, since_ms);
}

/* What a proxy does wrong is not held against it: it speaks for many. */
static void door_on_refused(
	struct lobby *lobby, const struct addr *peer, bool trusted, enum reason reason)
{
	struct door *door = container_of(lobby, struct door, lobby);
	struct acceptor *acceptor = door->acceptor;

	refuse(&door->refusals, reason, peer);
	if (!trusted) {
		admit_judge_end(acceptor->guard, peer, reason, acceptor->loop->now_ms);
		admit_leave(acceptor->guard, acceptor->counters, peer);
	}
	acceptor_lost(acceptor, &door->allotment);
}

/* Who is no proxy is known by its address, and has to be let in before anything is heard of it: one that
 * says nothing would else have as many connections as it likes. */
static void door_receive(struct door *door, int fd, const struct addr *peer)
{
	const struct proxy_rule *rule = &door->lobby.rule;
	bool trusted = rule->mode != PROXY_OFF && proxy_rule_trusts(rule, peer);

	acceptor_gained(door->acceptor, &door->allotment);
	if (!trusted && !door_lets_in(door, fd, peer))
		return;
	if (rule->mode == PROXY_OFF) {
		door_begin(door, fd, peer, door->acceptor->loop->now_ms);
	} else if (rule->mode == PROXY_REQUIRED && !trusted) {
		close(fd);
		door_on_refused(&door->lobby, peer, trusted, REASON_proxy);
	} else if (lobby_enter(&door->lobby, fd, peer, trusted) < 0) {
		door_on_refused(&door->lobby, peer, trusted, REASON_memory);
	}
}

/* Leaves this door alone for a moment, and the others open. */
static void door_rest(struct door *door)
{
	struct acceptor *acceptor = door->acceptor;

	loop_unwatch(acceptor->loop, &door->source);
	loop_set_timer(acceptor->loop, &acceptor->retry, acceptor->loop->now_ms + RETRY_MS);
}

/* Whoever comes waits in the queue until somebody has gone, or a few when there are many. */
static bool door_is_full(struct door *door)
{
	uint64_t limit = door->allotment.limit, most = door->full ? limit - limit / 16 : limit,
		 open;

	if (limit == 0)
		return false;
	open = allotment_taken(door->acceptor->guard, &door->allotment);
	if ((open >= most) != door->full) {
		door->full = !door->full;
		log_event(door->full ? EVENT_ACCEPT_PAUSED : EVENT_ACCEPT_RESUMED,
			ABOUT(.listener = door->class.name, .reason = "limit"),
			"%llu connections are open, of %llu; accepting %s",
			(unsigned long long)open, (unsigned long long)limit,
			door->full ? "pauses" : "goes on");
	}
	return door->full;
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
static int door_accept(struct door *door, bool is_awaited)
{
	struct acceptor *acceptor = door->acceptor;
	struct handshakes *handshakes = door->class.handshakes;
	bool is_full = atomic_load(&acceptor->shared->open) >= acceptor->limit;
	struct addr peer = {.len = sizeof(peer) - offsetof(struct addr, sa)};
	int fd;

	if (is_full && !is_awaited)
		return ACCEPT_E_NONE;
	if (is_full && !acceptor_makes_room(acceptor))
		return ACCEPT_E_FULL;
	if (door_is_full(door) ||
		(handshakes && !handshakes_make_room(handshakes, acceptor->loop->now_ms))) {
		door_rest(door);
		return ACCEPT_E_FULL;
	}
	fd = accept4(door->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (is_full)
			displacer_displace(&acceptor->displacer);
		door_receive(door, fd, &peer);
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
		door_turn_away(door);
		return ACCEPT_E_FULL;
	default: /* it went away while it waited, or the network to it did */
		return ACCEPT_E_LOST;
	}
}

static int door_accept_some(struct door *door, unsigned most)
{
	unsigned lost = 0;
	int r = 0;

	for (unsigned i = 0; i < most && (r == 0 || r == ACCEPT_E_LOST); i++) {
		r = door_accept(door, i == 0);
		lost += r == ACCEPT_E_LOST;
	}
	if (lost < most)
		return r;
	/* Nobody loses so many: the system is refusing, and would do so for ever. */
	acceptor_pause(door->acceptor, "lost", errno);
	return ACCEPT_E_FULL;
}

static void door_on_event(struct source *source, uint32_t events)
{
	struct door *door = container_of(source, struct door, source);

	if (door_accept_some(door, ACCEPTS_A_ROUND) != ACCEPT_E_FULL && door->acceptor->probing)
		acceptor_resumed(door->acceptor);
}

int acceptor_init(struct acceptor *acceptor, struct loop *loop)
{
	*acceptor = (struct acceptor){.loop = loop, .retry.on_time = acceptor_on_retry};
	list_init(&acceptor->doors);

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

int acceptor_add(struct acceptor *acceptor, struct door *door)
{
	door->acceptor = acceptor;
	door->class.on_closed = door_on_closed;
	door->source.on_event = door_on_event;
	door->lobby.on_ready = door_on_ready;
	door->lobby.on_refused = door_on_refused;
	door->refusals = (struct refusals){
		.loop = acceptor->loop,
		.listener = door->class.name,
		.counters = door->class.counters,
		.dry_run = acceptor->guard->limits.dry_run,
	};
	door->idle = (struct idle_queue){
		.idle = &door->class.idle,
		.displace = stream_displace,
	};
	displacer_add(&acceptor->displacer, &door->idle);
	list_append(&acceptor->doors, &door->node);
	return loop_watch(acceptor->loop, &door->source, door->fd, EPOLLIN);
}

void acceptor_look(struct acceptor *acceptor)
{
	displacer_look(&acceptor->displacer, acceptor->limit);
}

void acceptor_stop(struct acceptor *acceptor)
{
	loop_clear_timer(&acceptor->retry);
	list_foreach (node, &acceptor->doors) {
		struct door *door = container_of(node, struct door, node);

		door_accept_some(door, door->backlog);
		loop_unwatch(acceptor->loop, &door->source);
		list_remove(&door->node);
		close(take_fd(&door->fd));
	}
	loop_clear_timer(&acceptor->retry);
}

void door_cut(struct door *door, enum reason reason)
{
	lobby_close_all(&door->lobby, reason);
	stream_close_all(&door->class, reason);
}

void door_done(struct door *door)
{
	refusals_done(&door->refusals);
	lobby_done(&door->lobby);
	stream_class_done(&door->class);
	if (door->fd >= 0)
		close(door->fd);
	door->fd = -1;
}
