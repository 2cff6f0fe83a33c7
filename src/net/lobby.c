/* SPDX-License-Identifier: Apache-2.0 */

/* A guest waits until its header is whole, or it is clear that there is none. From an address that is no
 * proxy a header is not believed but refused; where headers are optional, such a peer is heard as it
 * speaks, so for it the first bytes decide at once. */

#include "net/lobby.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/proxy.h"

#define TELLING \
	6 /* "PROXY ": fewer bytes do not look like a header from one who may not send any */
#define GUESTS_MAX 1024 /* of proxies, whose clients nobody has counted yet */

struct guest {
	struct source source;
	struct lobby *lobby;
	struct list node;
	struct deadline deadline;
	struct task task;
	struct addr peer;
	uint64_t since_ms;
	int fd; /* owned */
	bool trusted;
};

enum { GUEST_E_WAIT = 1, GUEST_E_REFUSE, GUEST_E_GONE };

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

static void guest_free(struct task *task)
{
	free(container_of(task, struct guest, task));
}

/* Takes it off every list; the memory goes when the round is over. Returns the descriptor. */
static int guest_release(struct guest *guest)
{
	deadline_clear(&guest->deadline);
	list_remove(&guest->node);
	guest->lobby->n_guests -= guest->trusted;
	loop_unwatch(guest->lobby->loop, &guest->source);
	guest->task.run = guest_free;
	loop_defer(guest->lobby->loop, &guest->task);
	return take_fd(&guest->fd);
}

static void guest_refuse(struct guest *guest, enum reason reason)
{
	struct lobby *lobby = guest->lobby;
	struct addr peer = guest->peer;

	close(guest_release(guest));
	lobby->on_refused(lobby, &peer, guest->trusted, reason);
}

/* What the bytes of one who may not send a header mean. */
static int guest_judge_stranger(int outcome, size_t n)
{
	bool is_header = outcome != PROXY_E_NONE && n >= TELLING;

	return is_header ? GUEST_E_REFUSE : 0;
}

static int guest_take_header(struct guest *guest, const struct proxy_header *header)
{
	uint8_t bytes[PROXY_LONGEST];

	if (recv(guest->fd, bytes, header->length, 0) != (ssize_t)header->length)
		return GUEST_E_GONE;
	if (header->has_ends)
		guest->peer = proxy_peer(header->ends.source, header->ends.source_port);
	return 0;
}

/* 0 when the peer is known, and what follows is for the transport. */
static int guest_listen(struct guest *guest)
{
	bool required = guest->lobby->rule.mode == PROXY_REQUIRED;
	uint8_t bytes[PROXY_LONGEST];
	struct proxy_header header;
	ssize_t n;
	int r;

	n = recv(guest->fd, bytes, sizeof(bytes), MSG_PEEK);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? GUEST_E_WAIT : GUEST_E_GONE;
	if (n == 0)
		return required ? GUEST_E_GONE : 0;

	r = proxy_parse(PROXY_STREAM, bytes, (size_t)n, &header);
	if (!guest->trusted)
		return guest_judge_stranger(r, (size_t)n);
	switch (r) {
	case 0:
		return guest_take_header(guest, &header);
	case PROXY_E_MORE:
		return GUEST_E_WAIT;
	case PROXY_E_NONE:
		return required ? GUEST_E_REFUSE : 0;
	default:
		return GUEST_E_REFUSE;
	}
}

static void guest_on_event(struct source *source, uint32_t events)
{
	struct guest *guest = container_of(source, struct guest, source);
	struct lobby *lobby = guest->lobby;
	int r, fd;

	r = guest_listen(guest);
	/* It will not finish what it has begun. */
	if (r == GUEST_E_WAIT && events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		r = GUEST_E_GONE;
	if (r == GUEST_E_WAIT)
		return;
	if (r != 0) {
		guest_refuse(guest, r == GUEST_E_GONE ? REASON_reset : REASON_proxy);
		return;
	}
	fd = guest_release(guest);
	lobby->on_ready(lobby, fd, &guest->peer, guest->trusted, guest->since_ms);
}

static void guest_on_deadline(struct deadline *deadline)
{
	guest_refuse(container_of(deadline, struct guest, deadline), REASON_handshake);
}

static void lobby_make_room(struct lobby *lobby)
{
	list_foreach (node, &lobby->guests) {
		struct guest *guest = container_of(node, struct guest, node);

		if (lobby->n_guests < GUESTS_MAX)
			return;
		if (guest->trusted)
			guest_refuse(guest, REASON_handshake);
	}
}

int lobby_enter(struct lobby *lobby, int fd, const struct addr *peer, bool trusted)
{
	struct guest *guest;
	int r;

	guest = calloc(1, sizeof(*guest));
	if (!guest) {
		close(fd);
		return -ENOMEM;
	}
	*guest = (struct guest){
		.source.on_event = guest_on_event,
		.lobby = lobby,
		.peer = *peer,
		.since_ms = lobby->loop->now_ms,
		.fd = fd,
		.trusted = trusted,
	};
	r = loop_watch(lobby->loop, &guest->source, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	if (r < 0) {
		close(fd);
		free(guest);
		return r;
	}
	if (trusted)
		lobby_make_room(lobby);
	lobby->n_guests += trusted;
	list_append(&lobby->guests, &guest->node);
	deadline_set(&lobby->deadlines, &guest->deadline);
	return 0;
}

void lobby_close_all(struct lobby *lobby, enum reason reason)
{
	list_foreach (node, &lobby->guests)
		guest_refuse(container_of(node, struct guest, node), reason);
}

void lobby_init(struct lobby *lobby, struct loop *loop, uint64_t within_ms)
{
	lobby->loop = loop;
	deadlines_init(&lobby->deadlines, loop, within_ms, guest_on_deadline);
	list_init(&lobby->guests);
}

void lobby_done(struct lobby *lobby)
{
	deadlines_done(&lobby->deadlines);
	list_foreach (node, &lobby->guests) {
		struct guest *guest = container_of(node, struct guest, node);

		close(guest->fd);
		free(guest);
	}
	list_init(&lobby->guests);
}
