/* SPDX-License-Identifier: Apache-2.0 */

/* Connections of listeners that expect a PROXY header, before their client is known. Each is a "pending": a
 * socket, the address of its peer, and a deadline. It ends in one of two ways, and on_ready() or on_refused()
 * tells the listener which.
 *
 * The header is looked at with MSG_PEEK and taken out of the socket only when it is whole, so that the bytes
 * behind it are left for the transport, and nothing has to be buffered here.
 *
 * From an address that is no proxy a header is not believed but refused; where headers are optional, such a
 * peer is heard as it speaks, so for it the first bytes decide at once. It has been admitted by its own
 * address before; proxies have not, since they speak for many, so their number is bounded here, and the oldest
 * makes room. */

#include "net/proxy_wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/proxy.h"

#define TELLING \
	6 /* "PROXY ": fewer bytes do not look like a header, from a peer that may not send one */
#define PENDING_MAX 1024 /* of proxies: their clients are not counted yet */

struct pending {
	struct source source;
	struct proxy_wait *wait;
	struct list node;
	struct deadline deadline;
	struct task task;
	struct addr peer;
	uint64_t since_ms;
	int fd; /* owned */
	bool trusted;
};

enum { PENDING_E_WAIT = 1, PENDING_E_REFUSE, PENDING_E_GONE };

bool proxy_rule_trusts(const struct proxy_rule *rule, const struct addr *peer)
{
	struct in6_addr host = addr_host6(peer);

	for (size_t i = 0; i < rule->n_from; i++)
		if (addr_prefix_has(&rule->from[i], &host))
			return true;
	return false;
}

struct addr proxy_peer(const uint8_t host[static 16], uint16_t port)
{
	struct addr peer = {
		.len = sizeof(peer.in6),
		.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
	};

	memcpy(&peer.in6.sin6_addr, host, 16);
	return peer;
}

static void pending_free(struct task *task)
{
	free(container_of(task, struct pending, task));
}

/* Takes it off every list; the memory goes when the round is over. Returns the descriptor. */
static int pending_release(struct pending *pending)
{
	deadline_clear(&pending->deadline);
	list_remove(&pending->node);
	pending->wait->n_pending -= pending->trusted;
	loop_unwatch(pending->wait->loop, &pending->source);
	pending->task.run = pending_free;
	loop_defer(pending->wait->loop, &pending->task);
	return take_fd(&pending->fd);
}

static void pending_refuse(struct pending *pending, enum reason reason)
{
	struct proxy_wait *wait = pending->wait;
	struct addr peer = pending->peer;

	close(pending_release(pending));
	wait->on_refused(wait, &peer, pending->trusted, reason);
}

/* A peer that may not send a header is refused when its first bytes look like one. */
static int pending_judge_stranger(int outcome, size_t n)
{
	bool is_header = outcome != PROXY_E_NONE && n >= TELLING;

	return is_header ? PENDING_E_REFUSE : 0;
}

static int pending_take_header(struct pending *pending, const struct proxy_header *header)
{
	uint8_t bytes[PROXY_LONGEST];

	if (recv(pending->fd, bytes, header->length, 0) != (ssize_t)header->length)
		return PENDING_E_GONE;
	if (header->has_ends)
		pending->peer = proxy_peer(header->ends.source, header->ends.source_port);
	return 0;
}

/* 0 when the peer is known, and what follows is for the transport. */
static int pending_listen(struct pending *pending)
{
	bool required = pending->wait->rule.mode == PROXY_REQUIRED;
	uint8_t bytes[PROXY_LONGEST];
	struct proxy_header header;
	ssize_t n;
	int r;

	n = recv(pending->fd, bytes, sizeof(bytes), MSG_PEEK);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? PENDING_E_WAIT : PENDING_E_GONE;
	if (n == 0)
		return required ? PENDING_E_GONE : 0;

	r = proxy_parse(PROXY_STREAM, bytes, (size_t)n, &header);
	if (!pending->trusted)
		return pending_judge_stranger(r, (size_t)n);
	switch (r) {
	case 0:
		return pending_take_header(pending, &header);
	case PROXY_E_MORE:
		return PENDING_E_WAIT;
	case PROXY_E_NONE:
		return required ? PENDING_E_REFUSE : 0;
	default:
		return PENDING_E_REFUSE;
	}
}

static void pending_on_event(struct source *source, uint32_t events)
{
	struct pending *pending = container_of(source, struct pending, source);
	struct proxy_wait *wait = pending->wait;
	int r, fd;

	r = pending_listen(pending);
	/* It will not finish what it has begun. */
	if (r == PENDING_E_WAIT && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		r = PENDING_E_GONE;
	if (r == PENDING_E_WAIT)
		return;
	if (r != 0) {
		pending_refuse(pending, r == PENDING_E_GONE ? REASON_reset : REASON_proxy);
		return;
	}
	fd = pending_release(pending);
	wait->on_ready(wait, fd, &pending->peer, pending->trusted, pending->since_ms);
}

static void pending_on_deadline(struct deadline *deadline)
{
	pending_refuse(container_of(deadline, struct pending, deadline), REASON_handshake);
}

static void proxy_wait_make_room(struct proxy_wait *wait)
{
	list_foreach (node, &wait->pending) {
		struct pending *pending = container_of(node, struct pending, node);

		if (wait->n_pending < PENDING_MAX)
			return;
		if (pending->trusted)
			pending_refuse(pending, REASON_handshake);
	}
}

int proxy_wait_enter(struct proxy_wait *wait, int fd, const struct addr *peer, bool trusted)
{
	struct pending *pending;
	int r;

	pending = calloc(1, sizeof(*pending));
	if (!pending) {
		close(fd);
		return -ENOMEM;
	}
	*pending = (struct pending){
		.source.on_event = pending_on_event,
		.wait = wait,
		.peer = *peer,
		.since_ms = wait->loop->now_ms,
		.fd = fd,
		.trusted = trusted,
	};
	r = loop_watch(wait->loop, &pending->source, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	if (r < 0) {
		close(fd);
		free(pending);
		return r;
	}
	if (trusted)
		proxy_wait_make_room(wait);
	wait->n_pending += trusted;
	list_append(&wait->pending, &pending->node);
	deadline_set(&wait->deadlines, &pending->deadline);
	return 0;
}

void proxy_wait_close_all(struct proxy_wait *wait, enum reason reason)
{
	list_foreach (node, &wait->pending)
		pending_refuse(container_of(node, struct pending, node), reason);
}

void proxy_wait_init(struct proxy_wait *wait, struct loop *loop, uint64_t within_ms)
{
	wait->loop = loop;
	deadlines_init(&wait->deadlines, loop, within_ms, pending_on_deadline);
	list_init(&wait->pending);
}

void proxy_wait_done(struct proxy_wait *wait)
{
	deadlines_done(&wait->deadlines);
	list_foreach (node, &wait->pending) {
		struct pending *pending = container_of(node, struct pending, node);

		close(pending->fd);
		free(pending);
	}
	list_init(&wait->pending);
}
