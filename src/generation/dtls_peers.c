/* SPDX-License-Identifier: Apache-2.0 */

/* Two listeners are kin when they have the same socket, wherever they stand in their configurations. Whom
 * we cannot tell, since it has ended, is passed over; who is of another build is told to leave the socket. */

#include "generation/dtls_peers.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "generation/slot.h"

/* One socket that both have: who reads it now, and who did. */
struct kin {
	struct child *young, *old;
	uint32_t young_listener, old_listener;
};

static bool is_dtls(const struct generation *g, size_t listener)
{
	return g->plan.conf->listeners[listener].transport == CONF_DTLS;
}

static struct child *reader_of(const struct generation *g, size_t listener)
{
	struct child *child = &g->seats[plan_reader(listener, g->n)].child;

	return child->state == CHILD_STARTING || child->state == CHILD_ENDED ? NULL : child;
}

static void kin_tell(struct child *child, uint32_t listener, uint32_t number, bool newer, int fd)
{
	const struct msg_sibling sibling = {
		.listener = listener, .number = number, .is_newer = newer};

	child_tell(child, MSG_SIBLING, &sibling, sizeof(sibling), &fd);
}

static void kin_meet(const struct kin *kin, uint32_t number)
{
	_cleanup_close_ int young = -1, old = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	young = pair[0];
	old = pair[1];
	kin_tell(kin->old, kin->old_listener, number, true, old);
	kin_tell(kin->young, kin->young_listener, number, false, young);
}

/* The listener of `old` with that socket; as many as it has when there is none. */
static size_t kin_find(const struct generation *old, const struct socket_group *group)
{
	size_t i = 0;

	while (i < old->plan.conf->n_listeners &&
		(!is_dtls(old, i) || old->plan.groups[i] != group))
		i++;
	return i;
}

static void kin_introduce_listener(
	struct generation *young, size_t listener, struct generation *old)
{
	const struct socket_group *group = young->plan.groups[listener];
	size_t other = kin_find(old, group);
	struct kin kin = {
		.young_listener = (uint32_t)listener,
		.old_listener = (uint32_t)other,
	};

	if (other == old->plan.conf->n_listeners || old->n == 0)
		return;
	kin.young = reader_of(young, listener);
	kin.old = reader_of(old, other);
	if (kin.old && kin.old->foreign)
		return;
	for (uint32_t i = 0; kin.young && kin.old && i < socket_group_count(group); i++)
		kin_meet(&kin, i);
}

void kin_introduce_one(struct generation *young, unsigned worker, struct generation *old)
{
	for (size_t i = 0; i < young->plan.conf->n_listeners; i++)
		if (is_dtls(young, i) && plan_reader(i, young->n) == worker)
			kin_introduce_listener(young, i, old);
}

/* Two who read a socket and do not know each other would take datagrams from each other. */
static void kin_take_listener(
	const struct generation *young, size_t listener, struct generation *old)
{
	const struct msg_listener lost = {
		.listener = (uint32_t)kin_find(old, young->plan.groups[listener])};
	struct child *reader;

	if (lost.listener == old->plan.conf->n_listeners || old->n == 0)
		return;
	reader = reader_of(old, lost.listener);
	if (reader && (reader->foreign || !is_dtls(young, listener)))
		child_tell(reader, MSG_LOST, &lost, sizeof(lost), NULL);
}

void kin_introduce(struct generation *young, struct generation *old)
{
	for (unsigned worker = 0; worker < young->n; worker++)
		kin_introduce_one(young, worker, old);
}

void kin_take_over(const struct generation *young, struct generation *old)
{
	for (size_t i = 0; i < young->plan.conf->n_listeners; i++)
		kin_take_listener(young, i, old);
}

/* Whoever may have sessions keeps the socket, also from us: a foreigner too. */
static void kin_keep(const struct generation *old, struct sockets *sockets)
{
	for (size_t i = 0; old->n > 0 && i < old->plan.conf->n_listeners; i++)
		if (is_dtls(old, i) && old->plan.groups[i] &&
			old->seats[plan_reader(i, old->n)].child.state != CHILD_ENDED)
			sockets_keep(sockets, old->plan.groups[i]);
}

void kin_settle(struct sockets *sockets, const struct list *draining, const struct conf *conf)
{
	sockets_keep(sockets, NULL);
	for (struct list *node = draining->next; node != draining; node = node->next)
		kin_keep(generation_of_node(node), sockets);
	sockets_settle(sockets, conf);
}
