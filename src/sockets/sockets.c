/* SPDX-License-Identifier: Apache-2.0 */

/* A group never shrinks: when a reload asks for fewer workers, each of those serves several sockets,
 * since to close one would lose what is queued in it.
 *
 * The service manager's go by name. It may have others than we would make, and narrower ones; but never
 * one that is open to more than the listener says. */

#include "sockets/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sockets/inherit.h"
#include "sockets/listen.h"
#include "sockets/mend.h"
#include "sockets/socket_spec.h"
#include "upgrade/handover.h"

struct socket_group {
	struct list node;
	char key[LISTEN_KEY];
	struct listen_spec spec;
	char *interface; /* owned, for the spec */
	char *name;      /* owned; the manager's; NULL when the socket is our own */
	bool lent;       /* for a trial, which leaves everything as it is */
	bool kept;       /* for who drains */
	int lost;        /* owned; whose file is gone, until it is known who serves; or -1 */
	int *fds;
	unsigned n;
};

static void group_free(struct socket_group *group)
{
	if (!group)
		return;
	for (unsigned i = 0; i < group->n; i++)
		close(group->fds[i]);
	if (group->lost >= 0)
		close(group->lost);
	if (group->n > 0 && !group->name && !group->lent)
		listen_remove(&group->spec);
	free(group->fds);
	free(group->name);
	free(group->interface);
	free(group);
}

static void group_freep(struct socket_group **group)
{
	group_free(*group);
}

void sockets_init(struct sockets *sockets)
{
	list_init(&sockets->all);
}

void sockets_done(struct sockets *sockets)
{
	list_foreach (node, &sockets->all) {
		list_remove(node);
		group_free(container_of(node, struct socket_group, node));
	}
}

static struct socket_group *sockets_find(struct sockets *sockets, const char *key)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (!group->name && strcmp(group->key, key) == 0)
			return group;
	}
	return NULL;
}

/* LISTEN_FDNAMES has no room for a colon: "udp:53" is passed as "udp-53". */
static bool is_name_of(const char *passed, const char *listener)
{
	for (; *passed && *listener; passed++, listener++)
		if (*passed != (*listener == ':' ? '-' : *listener))
			return false;
	return *passed == *listener;
}

static struct socket_group *sockets_find_named(const struct sockets *sockets, const char *name)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && is_name_of(group->name, name))
			return group;
	}
	return NULL;
}

static int group_new(const struct listen_spec *spec, struct socket_group **ret_group)
{
	__attribute__((cleanup(group_freep))) struct socket_group *group = NULL;

	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	group->spec = *spec;
	group->lost = -1;
	if (spec->interface) {
		group->spec.interface = group->interface = strdup(spec->interface);
		if (!group->interface)
			return -ENOMEM;
	}
	listen_key(spec, group->key);

	*ret_group = take_ptr(&group);
	return 0;
}

static int group_reserve(struct socket_group *group, unsigned wanted)
{
	int *fds = reallocarray(group->fds, wanted, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	group->fds = fds;
	return 0;
}

static int group_grow(struct socket_group *group, unsigned wanted)
{
	int r;

	if (group->n >= wanted)
		return 0;
	r = group_reserve(group, wanted);
	if (r < 0)
		return r;
	while (group->n < wanted) {
		r = listen_open(&group->spec, &group->fds[group->n]);
		if (r < 0)
			return r;
		group->n++;
	}
	return 0;
}

/* Whoever comes by the path of a file that was removed finds nobody. */
static int group_renew(struct socket_group *group)
{
	int fd, r;

	if (group->lost >= 0 || !listen_is_gone(&group->spec))
		return 0;
	r = listen_open(&group->spec, &fd);
	if (r < 0)
		return r;
	group->lost = group->fds[0];
	group->fds[0] = fd;
	return 0;
}

static int group_take(struct socket_group *group, int *fd)
{
	int r;

	r = group_reserve(group, group->n + 1);
	if (r < 0)
		return r;
	group->fds[group->n++] = take_fd(fd);
	return 0;
}

static int sockets_inherit_one(struct sockets *sockets, struct inherited *one)
{
	struct socket_group *group =
		one->key ? sockets_find(sockets, one->key) : sockets_find_named(sockets, one->name);
	char interface[LISTEN_INTERFACE], key[LISTEN_KEY];
	struct listen_spec spec;
	int r;

	r = listen_take(one->fd, &spec, interface);
	if (r < 0)
		return r;
	if (group)
		return one->key || strcmp(group->key, listen_key(&spec, key)) == 0
			? group_take(group, &one->fd)
			: -ENOTUNIQ;
	r = group_new(&spec, &group);
	if (r < 0)
		return r;
	list_append(&sockets->all, &group->node);
	group->lent = sockets->frozen;
	if (one->key)
		snprintf(group->key, sizeof(group->key), "%s", one->key);
	else
		group->name = take_ptr(&one->name);
	return group_take(group, &one->fd);
}

int sockets_inherit(struct sockets *sockets, struct inheritance *inheritance, const char **ret_name)
{
	for (size_t i = 0; i < inheritance->n; i++) {
		int r = sockets_inherit_one(sockets, &inheritance->list[i]);

		if (r < 0) {
			*ret_name = inheritance->list[i].name;
			return r;
		}
	}
	return 0;
}

size_t sockets_count(const struct sockets *sockets)
{
	size_t n = 0;

	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next)
		n += container_of(node, struct socket_group, node)->n;
	return n;
}

void sockets_hand_over(const struct sockets *sockets, struct handover *handover)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		for (unsigned i = 0; i < group->n; i++)
			handover_socket(handover, group->fds[i], group->name, group->key);
	}
}

const char *sockets_inherited(const struct sockets *sockets, char text[static 256])
{
	size_t len = 0;

	snprintf(text, 256, "none");
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && len < 256)
			len += (size_t)snprintf(
				text + len, 256 - len, "%s%s", len > 0 ? ", " : "", group->name);
	}
	return text;
}

bool sockets_any_inherited(const struct sockets *sockets)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next)
		if (container_of(node, struct socket_group, node)->name)
			return true;
	return false;
}

static bool conf_names(const struct conf *conf, const char *name)
{
	struct conf_listener listener;

	for (size_t i = 0; socket_spec_listener(conf, i, &listener); i++)
		if (is_name_of(name, listener.name))
			return true;
	return false;
}

const char *sockets_unclaimed(const struct sockets *sockets, const struct conf *conf)
{
	for (struct list *node = sockets->all.next; node != &sockets->all; node = node->next) {
		const struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->name && !conf_names(conf, group->name))
			return group->name;
	}
	return NULL;
}

static void group_mend(struct socket_group *group)
{
	for (unsigned i = 0; i < group->n; i++) {
		int r;

		if (!mend_is_needed(&group->spec, group->fds[i]))
			continue;
		r = mend(&group->spec, &group->fds[i], !group->name);
		log_each(EVENT_SOCKET_SHUT, ABOUT(.error = r),
			r < 0 ? "a child has shut %s down, and it cannot be opened again"
			      : "a child has shut %s down; it is open again",
			group->key);
	}
}

void sockets_mend(struct sockets *sockets)
{
	list_foreach (node, &sockets->all)
		group_mend(container_of(node, struct socket_group, node));
}

struct socket_group *sockets_look(struct sockets *sockets, const struct conf_listener *listener)
{
	struct socket_group *group = sockets_find_named(sockets, listener->name);
	struct listen_spec spec;
	char key[LISTEN_KEY];

	if (group || socket_spec_of(listener, &spec) != 0)
		return group;
	return sockets_find(sockets, listen_key(&spec, key));
}

int sockets_claim(struct sockets *sockets, const struct conf_listener *listener, unsigned workers,
	struct socket_group **ret_group)
{
	struct socket_group *group;
	struct listen_spec spec;
	char key[LISTEN_KEY];
	bool fresh;
	int r;

	r = socket_spec_of(listener, &spec);
	if (r != 0)
		return r;
	group = sockets_find_named(sockets, listener->name);
	if (group) {
		*ret_group = group;
		return socket_spec_allows(&spec, &group->spec) ? 0 : SOCKETS_E_OTHER;
	}
	group = sockets_find(sockets, listen_key(&spec, key));
	fresh = !group;
	if (fresh) {
		r = listen_probe(&spec);
		if (r >= 0)
			r = group_new(&spec, &group);
		if (r < 0)
			return r;
	} else if (sockets->frozen) {
		*ret_group = group;
		return 0;
	} else {
		spec.interface = group->interface;
		group->spec = spec;
	}
	r = fresh ? 0 : group_renew(group);
	if (r >= 0)
		r = group_grow(group, spec.shared ? workers : 1);
	if (r < 0) {
		if (fresh)
			group_free(group);
		return r;
	}
	if (fresh)
		list_append(&sockets->all, &group->node);
	*ret_group = group;
	return 0;
}

static void group_adjust(struct socket_group *group, const struct listen_spec *spec)
{
	int r = 0;

	for (unsigned i = 0; i < group->n && r >= 0; i++)
		r = listen_adjust(spec, group->fds[i]);
	if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r), "cannot adjust %s", group->key);
}

void sockets_settle(struct sockets *sockets, const struct conf *conf)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);
		struct listen_spec spec;

		if (group->name)
			continue;
		if (group->lost >= 0)
			close(take_fd(&group->lost));
		if (socket_spec_find(conf, group->key, &spec)) {
			group_adjust(group, &spec);
			continue;
		}
		if (conf && group->kept)
			continue;
		list_remove(node);
		group_free(group);
	}
}

void sockets_restore(struct sockets *sockets)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (group->lost < 0)
			continue;
		close(group->fds[0]);
		listen_remove(&group->spec);
		group->fds[0] = take_fd(&group->lost);
	}
}

void sockets_keep(struct sockets *sockets, const struct socket_group *kept)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		group->kept = kept && (group->kept || group == kept);
	}
}

const char *socket_group_text(const struct socket_group *group)
{
	return group->key;
}

unsigned socket_group_count(const struct socket_group *group)
{
	return group->n;
}

int socket_group_share(const struct socket_group *group, unsigned worker, unsigned workers,
	int (*give)(void *userdata, int fd), void *userdata)
{
	int r;

	if (group->n < workers)
		return give(userdata, group->fds[worker % group->n]);
	for (unsigned i = worker; i < group->n; i += workers) {
		r = give(userdata, group->fds[i]);
		if (r != 0)
			return r;
	}
	return 0;
}
