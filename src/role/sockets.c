/* SPDX-License-Identifier: Apache-2.0 */

/* A group never shrinks: when a reload asks for fewer workers, each of those serves several sockets,
 * since to close one would lose what is queued in it. */

#include "role/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "net/listen.h"
#include "priv/ident.h"

struct socket_group {
	struct list node;
	char key[LISTEN_KEY];
	struct listen_spec spec;
	char *interface; /* owned, for the spec */
	int *fds;
	unsigned n;
};

static void group_free(struct socket_group *group)
{
	if (!group)
		return;
	for (unsigned i = 0; i < group->n; i++)
		close(group->fds[i]);
	if (group->n > 0)
		listen_remove(&group->spec);
	free(group->fds);
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

static bool is_datagram(const struct conf_listener *listener)
{
	return listener->transport == CONF_UDP || listener->transport == CONF_DTLS;
}

static int spec_of(const struct conf_listener *listener, struct listen_spec *ret_spec)
{
	struct listen_spec spec = {
		.type = is_datagram(listener) ? SOCK_DGRAM : SOCK_STREAM,
		.address = listener->address,
		.v6only = listener->v6only,
		.interface = listener->interface,
		.backlog = listener->backlog,
		.mode = listener->mode,
		.owner = (uid_t)-1,
		.group = (gid_t)-1,
		.shared = !listener->path,
	};
	int r = 0;

	if (listener->path && addr_parse_unix(listener->path, &spec.address) != 0)
		return -ENAMETOOLONG;
	if (listener->path && listener->owner)
		r = ident_find_user(listener->owner, &spec.owner);
	if (r == 0 && listener->path && listener->group)
		r = ident_find_group(listener->group, &spec.group);
	if (r != 0)
		return r;

	*ret_spec = spec;
	return 0;
}

static struct socket_group *sockets_find(struct sockets *sockets, const char *key)
{
	list_foreach (node, &sockets->all) {
		struct socket_group *group = container_of(node, struct socket_group, node);

		if (strcmp(group->key, key) == 0)
			return group;
	}
	return NULL;
}

static int group_new(const struct listen_spec *spec, struct socket_group **ret_group)
{
	__attribute__((cleanup(group_freep))) struct socket_group *group = NULL;
	int r;

	r = listen_probe(spec);
	if (r < 0)
		return r;
	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	group->spec = *spec;
	if (spec->interface) {
		group->spec.interface = group->interface = strdup(spec->interface);
		if (!group->interface)
			return -ENOMEM;
	}
	listen_key(spec, group->key);

	*ret_group = take_ptr(&group);
	return 0;
}

static int group_grow(struct socket_group *group, unsigned wanted)
{
	int *fds;
	int r;

	if (group->n >= wanted)
		return 0;
	fds = reallocarray(group->fds, wanted, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	group->fds = fds;
	while (group->n < wanted) {
		r = listen_open(&group->spec, &group->fds[group->n]);
		if (r < 0)
			return r;
		group->n++;
	}
	return 0;
}

int sockets_claim(struct sockets *sockets, const struct conf_listener *listener, unsigned workers,
	struct socket_group **ret_group)
{
	struct socket_group *group;
	struct listen_spec spec;
	char key[LISTEN_KEY];
	bool fresh;
	int r;

	r = spec_of(listener, &spec);
	if (r != 0)
		return r;
	group = sockets_find(sockets, listen_key(&spec, key));
	fresh = !group;
	if (fresh) {
		r = group_new(&spec, &group);
		if (r < 0)
			return r;
	}
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

static bool conf_claims(
	const struct conf *conf, const struct socket_group *group, struct listen_spec *ret_spec)
{
	struct listen_spec spec;
	char key[LISTEN_KEY];

	for (size_t i = 0; conf && i < conf->n_listeners; i++) {
		if (spec_of(&conf->listeners[i], &spec) == 0 &&
			strcmp(listen_key(&spec, key), group->key) == 0) {
			*ret_spec = spec;
			return true;
		}
	}
	return false;
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

		if (conf_claims(conf, group, &spec)) {
			group_adjust(group, &spec);
			continue;
		}
		list_remove(node);
		group_free(group);
	}
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
