/* SPDX-License-Identifier: Apache-2.0 */

/* A listener's settings, as those of a socket. */

#include "sockets/socket_spec.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "priv/ident.h"

static bool is_datagram(const struct conf_listener *listener)
{
	return listener->transport == CONF_UDP || listener->transport == CONF_DTLS;
}

int socket_spec_of(const struct conf_listener *listener, struct listen_spec *ret_spec)
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

bool socket_spec_allows(const struct listen_spec *wanted, const struct listen_spec *found)
{
	const struct addr *w = &wanted->address, *f = &found->address;

	if (wanted->type != found->type || addr_port(w) != addr_port(f) ||
		(w->sa.sa_family == AF_UNIX) != (f->sa.sa_family == AF_UNIX))
		return false;
	if (wanted->interface &&
		(!found->interface || strcmp(wanted->interface, found->interface) != 0))
		return false;
	if (wanted->v6only && !found->v6only && addr_is_wildcard(f))
		return false;
	return addr_equal(w, f) ||
		(addr_is_wildcard(w) &&
			(w->sa.sa_family == AF_INET6 || f->sa.sa_family == AF_INET));
}

bool socket_spec_listener(
	const struct conf *conf, size_t number, struct conf_listener *ret_listener)
{
	if (number < conf->n_listeners)
		*ret_listener = conf->listeners[number];
	return number < conf->n_listeners ||
		(number == conf->n_listeners && conf_metrics(conf, ret_listener));
}

bool socket_spec_find(const struct conf *conf, const char *key, struct listen_spec *ret_spec)
{
	struct conf_listener listener;
	struct listen_spec spec;
	char found[LISTEN_KEY];

	for (size_t i = 0; conf && socket_spec_listener(conf, i, &listener); i++) {
		if (socket_spec_of(&listener, &spec) == 0 &&
			strcmp(listen_key(&spec, found), key) == 0) {
			*ret_spec = spec;
			return true;
		}
	}
	return false;
}
