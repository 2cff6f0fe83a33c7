/* SPDX-License-Identifier: Apache-2.0 */

/* A DTLS session belongs to a worker, and the socket that its datagrams come to is read by one worker at a time.
 * After a reload that is a worker of the new generation, while sessions of the old ones go on. So each worker that
 * has such a socket gets a channel to each other one that has it, and they forward datagrams to each other.
 *
 * Listeners of two generations are matched by their socket, wherever they stand in their configurations. Workers
 * that have ended, or are still being set up, are skipped: a replacement is introduced when it serves. */

#include "generation/dtls_peers.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "generation/slot.h"
#include "generation/supply.h"
#include "sockets/socket_spec.h"

/* One socket that both have: who reads it now, and who did. */
struct dtls_peers {
	struct child *young, *old;
	uint32_t young_listener, old_listener;
};

static bool is_dtls(const struct generation *g, size_t listener)
{
	return g->plan.conf->listeners[listener].transport == CONF_DTLS;
}

static struct child *reader_of(const struct generation *g, size_t listener)
{
	struct child *child = &g->slots[supply_reader(listener, g->n)].child;

	return child->state == CHILD_STARTING || child->state == CHILD_ENDED ? NULL : child;
}

static void dtls_peer_send(
	struct child *child, uint32_t listener, uint32_t number, bool newer, int fd)
{
	const struct msg_dtls_peer peer = {
		.listener = listener, .number = number, .is_newer = newer};

	child_send(child, MSG_DTLS_PEER, &peer, sizeof(peer), &fd);
}

static void dtls_peers_connect(const struct dtls_peers *peers, uint32_t number)
{
	_cleanup_close_ int young = -1, old = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return;
	young = pair[0];
	old = pair[1];
	dtls_peer_send(peers->old, peers->old_listener, number, true, old);
	dtls_peer_send(peers->young, peers->young_listener, number, false, young);
}

/* The listener of `old` with that socket; as many as it has when there is none. */
static size_t dtls_peers_find(const struct generation *old, const struct socket_group *group)
{
	size_t i = 0;

	while (i < old->plan.conf->n_listeners &&
		(!is_dtls(old, i) || old->plan.groups[i] != group))
		i++;
	return i;
}

static void dtls_peers_introduce_listener(
	struct generation *young, size_t listener, struct generation *old)
{
	const struct socket_group *group = young->plan.groups[listener];
	size_t other = dtls_peers_find(old, group);
	struct dtls_peers peers = {
		.young_listener = (uint32_t)listener,
		.old_listener = (uint32_t)other,
	};

	if (other == old->plan.conf->n_listeners || old->n == 0)
		return;
	peers.young = reader_of(young, listener);
	peers.old = reader_of(old, other);
	for (uint32_t i = 0; peers.young && peers.old && i < socket_group_count(group, false); i++)
		dtls_peers_connect(&peers, i);
}

void dtls_peers_introduce_one(struct generation *young, unsigned worker, struct generation *old)
{
	for (size_t i = 0; i < young->plan.conf->n_listeners; i++)
		if (is_dtls(young, i) && supply_reader(i, young->n) == worker)
			dtls_peers_introduce_listener(young, i, old);
}

/* A listener of `old` whose address goes to another socket now. Groups are not looked into: those of `old`
 * may be closed. */
static bool is_given_up(
	const struct generation *old, size_t other, const struct generation *young, size_t listener)
{
	struct listen_spec before, after;

	return old->plan.groups[other] != young->plan.groups[listener] &&
		socket_spec_of(&old->plan.conf->listeners[other], &before) == 0 &&
		socket_spec_of(&young->plan.conf->listeners[listener], &after) == 0 &&
		listen_overlaps(&before, &after);
}

static void dtls_peers_lose(const struct generation *old, size_t listener)
{
	const struct msg_listener message = {.listener = (uint32_t)listener};
	struct child *reader = reader_of(old, listener);

	if (reader)
		child_send(reader, MSG_END_SESSIONS, &message, sizeof(message), NULL);
}

/* Two that read a socket and do not know each other would take datagrams from each other; and a narrower
 * socket that drains would keep new clients to itself. */
static void dtls_peers_take_listener(
	const struct generation *young, size_t listener, struct generation *old)
{
	size_t same = dtls_peers_find(old, young->plan.groups[listener]);

	if (old->n == 0)
		return;
	if (same < old->plan.conf->n_listeners && !is_dtls(young, listener))
		dtls_peers_lose(old, same);
	for (size_t i = 0; i < old->plan.conf->n_listeners; i++)
		if (is_dtls(old, i) && is_given_up(old, i, young, listener))
			dtls_peers_lose(old, i);
}

void dtls_peers_introduce(struct generation *young, struct generation *old)
{
	for (unsigned worker = 0; worker < young->n; worker++)
		dtls_peers_introduce_one(young, worker, old);
}

void dtls_peers_take_over(const struct generation *young, struct generation *old)
{
	for (size_t i = 0; i < young->plan.conf->n_listeners; i++)
		dtls_peers_take_listener(young, i, old);
}

/* A worker that may have sessions keeps the socket. */
static void dtls_peers_hold(const struct generation *old, struct sockets *sockets)
{
	for (size_t i = 0; old->n > 0 && i < old->plan.conf->n_listeners; i++)
		if (is_dtls(old, i) && old->plan.groups[i] &&
			old->slots[supply_reader(i, old->n)].child.state != CHILD_ENDED)
			sockets_hold(sockets, old->plan.groups[i]);
}

void dtls_peers_prune_sockets(
	struct sockets *sockets, const struct list *draining, const struct conf *conf)
{
	sockets_hold(sockets, NULL);
	for (struct list *node = draining->next; node != draining; node = node->next)
		dtls_peers_hold(generation_of_node(node), sockets);
	sockets_prune(sockets, conf);
}
